"""Asking an OpenAI-compatible server (vLLM, transformers serve, a paid API) many things at once, whatever it does.

A failure that may pass (no connection, a reset, a stall, 429, 5xx, an answer that is not the JSON it should be) is
tried again with growing pauses; what is left after that is an `EndpointError` for that one question.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from rtt_lib.errors import RTTError
from rtt_lib.files import write_json

Messages = Sequence[Mapping[str, str]]  # [{"role": ..., "content": ...}, ...]
Item, Result = TypeVar("Item"), TypeVar("Result")

RETRIED = {408, 409, 425, 429}  # and every 5xx
LARGEST_ANSWER = 8 << 20  # bytes; a server that sends more is broken
THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)  # what a reasoning model says before its answer
EXCERPT = 200  # characters of the server's own error message that we pass on
JITTER = random.Random()  # its own state: retries must not move the seeds of a training run


class EndpointError(RTTError):
    """One question that got no usable answer; the message says why."""


class Passing(Exception):
    """A failure that may pass; `wait` is what the server asked for (Retry-After), in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Endpoint:
    """Where to ask and how.

    url:         up to and including `/v1`.
    parameters:  sent with every request as they are (`temperature`, `max_tokens`, ...).
    api_key_env: the environment variable with the key; the key itself is kept nowhere. Not OPENAI_API_KEY unless you
                 say so: that key should not travel to whatever server stands here.
    timeout:     seconds for one request from connecting to the last byte.
    backoff:     the first pause in seconds; it doubles with every retry, up to `longest_wait`.
    whole:       an answer that was cut at `max_tokens` is none.
    """

    url: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0.0, "max_tokens": 512})
    api_key_env: str = "RTT_API_KEY"
    concurrency: int = 16
    timeout: float = 60.0
    retries: int = 6
    backoff: float = 1.0
    longest_wait: float = 120.0
    whole: bool = False

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except (httpx.InvalidURL, TypeError) as error:
            raise RTTError(f"endpoint: url {self.url!r} is not an address ({error})") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise RTTError(f"endpoint: url must be like http://host:8000/v1, found {url}")
        if url.userinfo or url.query:
            raise RTTError(f"endpoint: url must hold no user, password or query; put the key into ${self.api_key_env}")
        if self.concurrency < 1 or self.timeout <= 0 or self.retries < 0 or self.backoff < 0:
            raise RTTError("endpoint: concurrency must be at least 1, timeout above 0, retries and backoff at least 0")

    def headers(self) -> dict[str, str]:
        """With the key, read afresh and never kept. An unusable key is refused without showing it."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise RTTError(f"endpoint: ${self.api_key_env} holds characters that no key has")
        return {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})


@dataclass
class Usage:
    """What it cost so far. `seconds` is the sum over answered requests, so `latency` is their mean."""

    requests: int = 0
    answers: int = 0
    retries: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    @property
    def latency(self) -> float:
        return self.seconds / self.answers if self.answers else math.nan


class Session:
    """An open connection pool: `async with Session(endpoint, usage) as session: await session.chat(messages)`."""

    def __init__(self, endpoint: Endpoint, usage: Usage) -> None:
        self.endpoint, self.usage = endpoint, usage

    async def __aenter__(self) -> Session:
        self._http = httpx.AsyncClient(
            headers=self.endpoint.headers(),
            timeout=self.endpoint.timeout,
            limits=httpx.Limits(max_connections=self.endpoint.concurrency),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def chat(self, messages: Messages) -> str:
        """The text of the answer, or an EndpointError once trying again is no use."""
        for attempt in range(self.endpoint.retries + 1):
            try:
                return await self._once(messages)
            except Passing as failure:
                wait = pause(self.endpoint, attempt, failure.wait)
                if attempt == self.endpoint.retries or wait > self.endpoint.longest_wait:
                    self.usage.failures += 1
                    raise EndpointError(f"{failure} (tried {attempt + 1} times)") from None
                self.usage.retries += 1
                await asyncio.sleep(wait)
            except EndpointError:
                self.usage.failures += 1
                raise
        raise AssertionError("unreachable")

    async def _once(self, messages: Messages) -> str:
        """One request. Everything that can go wrong is `Passing` (try again) or EndpointError (do not)."""
        body = {"model": self.endpoint.model, "messages": list(messages), **self.endpoint.parameters}
        self.usage.requests += 1
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.endpoint.timeout):  # the whole request: httpx only limits each read
                status, headers, data = await self._post(json.dumps(body).encode())
        except TimeoutError:
            raise Passing(f"no answer within {self.endpoint.timeout:g} s") from None
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise (Passing if isinstance(error, httpx.RequestError) else EndpointError)(reason) from None
        answer = read_answer(status, headers, data)
        self._count(answer, time.monotonic() - start)
        text = message_text(answer)
        if self.endpoint.whole and answer["choices"][0].get("finish_reason") == "length":
            raise EndpointError("the answer was cut at max_tokens")
        return text

    async def _post(self, body: bytes) -> tuple[int, httpx.Headers, bytes]:
        data = bytearray()
        url = f"{self.endpoint.url.rstrip('/')}/chat/completions"
        async with self._http.stream("POST", url, content=body) as response:
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > LARGEST_ANSWER:
                    raise Passing(f"an answer of more than {LARGEST_ANSWER >> 20} MB")
        key = self._http.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if key and response.status_code != 200:  # some servers repeat the key in their errors
            data = data.replace(key, b"[key]")
        return response.status_code, response.headers, bytes(data)

    def _count(self, answer: Mapping, seconds: float) -> None:
        usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
        self.usage.answers += 1
        self.usage.seconds += seconds
        for name in ("prompt_tokens", "completion_tokens"):
            count = usage.get(name)
            setattr(self.usage, name, getattr(self.usage, name) + (count if isinstance(count, int) else 0))


def pause(endpoint: Endpoint, attempt: int, asked: float | None) -> float:
    """Seconds before the next try: at least what the server asked for, else doubling with jitter."""
    own = min(endpoint.backoff * 2**attempt, endpoint.longest_wait) * JITTER.uniform(0.5, 1.0)
    return own if asked is None else max(own, asked)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, given as a number or as a date; None where it is absent or makes no sense."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def read_answer(status: int, headers: Mapping[str, str], data: bytes) -> dict:
    """The JSON object of a good answer."""
    if status != 200:
        reason = f"the server answered {status}: {excerpt(data)}"
        if status in RETRIED or status >= 500:
            raise Passing(reason, retry_after(headers))
        raise EndpointError(reason)
    kind = headers.get("content-type", "no content type")
    if "json" not in kind.lower():
        raise Passing(f"the answer is not JSON but {kind[:EXCERPT]}")
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise Passing(f"the answer of {len(data)} bytes is not valid JSON") from None
    if not isinstance(answer, dict):
        raise Passing("the answer is not a JSON object")
    return answer


def message_text(answer: Mapping) -> str:
    """`choices[0].message.content`; an answer without text (cut while still thinking, say) is an empty text."""
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Passing("the answer has no choices[0].message.content") from None
    if not isinstance(content, str | None):
        raise Passing("the answer's content is not a text")
    return content or ""


def excerpt(data: bytes) -> str:
    """The start of what the server sent, printable, for a message."""
    text = ascii(data[: 4 * EXCERPT].decode("utf-8", "replace"))[1 : EXCERPT + 1]
    return text or "(nothing)"


def chat_many(
    endpoint: Endpoint,
    conversations: Sequence[Messages],
    usage: Usage | None = None,
    cache: Path | None = None,
    usable: Callable[[str], bool] = lambda text: True,
) -> list[str | EndpointError]:
    """The answers in order, an EndpointError in the place of each that failed.

    cache: folder for `usable` answers, one small file each; what was stopped asks only what is missing.
    """

    async def ask_all() -> list[str | EndpointError]:
        async with Session(endpoint, usage or Usage()) as session:
            return await map_limited(
                lambda messages: _kept_or_asked(session, messages, cache, usable), conversations, endpoint.concurrency
            )

    return run_async(ask_all())


def read_many(
    endpoint: Endpoint,
    questions: Sequence[str],
    read: Callable[[str], Result],
    usage: Usage | None = None,
    cache: Path | None = None,
) -> list[Result | RTTError]:
    """`read` applied to each answer, without what the model thought aloud. An answer that `read` refuses is not kept.

    An error of the server, or `read`'s own (RTTError, ValueError), stands in the place of an answer.
    """

    def tried(text: str) -> Result | RTTError:
        try:
            text.encode("utf-8")  # half a surrogate pair could not be written to a file
            return read(THINKING.sub("", text, count=1).strip())
        except (RTTError, ValueError) as error:
            return RTTError(str(error))

    asked: list[Messages] = [[{"role": "user", "content": question}] for question in questions]
    answers = chat_many(endpoint, asked, usage, cache, lambda text: not isinstance(tried(text), RTTError))
    return [answer if isinstance(answer, EndpointError) else tried(answer) for answer in answers]


async def _kept_or_asked(
    session: Session, messages: Messages, cache: Path | None, usable: Callable[[str], bool]
) -> str | EndpointError:
    path = None if cache is None else cache_path(cache, session.endpoint, messages)
    kept = None if path is None else read_kept(path)
    if isinstance(kept, str) and usable(kept):
        return kept
    try:
        answer = await session.chat(messages)
    except EndpointError as error:
        return error
    if path is not None and usable(answer):
        await asyncio.to_thread(keep, path, answer)
    return answer


def cache_path(folder: Path, endpoint: Endpoint, messages: Messages, **more: str) -> Path:
    """The file of one answer, named by all that decides it."""
    parts = {"model": endpoint.model, "parameters": dict(endpoint.parameters), "messages": list(messages), **more}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return folder / key[:2] / f"{key}.json"


def read_kept(path: Path) -> Any:
    """A kept answer; None where there is none, or a file that is not ours (it is then asked and written anew)."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value.get("answer") if isinstance(value, dict) else None


def keep(path: Path, answer: str) -> None:
    try:
        write_json(path, {"answer": answer})
    except OSError as error:
        raise RTTError(
            f"{path}: the answer cannot be kept ({error.strerror}); free the disk or set another cache"
        ) from error


async def map_limited(work: Callable[[Item], Awaitable[Result]], items: Sequence[Item], limit: int) -> list[Result]:
    """`work` on every item, at most `limit` at a time, results in order; the first exception cancels the rest."""
    results: list[Any] = [None] * len(items)
    todo = iter(enumerate(items))

    async def worker() -> None:
        for index, item in todo:
            results[index] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(items))):
                group.create_task(worker())
    except* Exception as several:
        raise several.exceptions[0] from None
    return results


def run_async(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end from ordinary code, also inside Jupyter, where a loop already runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
