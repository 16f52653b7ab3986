"""The judge LLM for soft criteria: one criterion per question, YES or NO, and never a guess.

What cannot be decided (the server failed, the answer is neither YES nor NO, the criterion does not fit) is a verdict
of None with its reason. If too many are, the run stops with advice instead of training on what is left.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from rtt_lib.endpoint import (
    THINKING,
    Endpoint,
    EndpointError,
    Session,
    Usage,
    cache_path,
    keep,
    map_limited,
    read_kept,
    run_async,
)
from rtt_lib.errors import RTTError
from rtt_lib.verify.verdict import Verdict

DEFAULT_TEMPLATE = Path(__file__).with_name("templates") / "judge.txt"
REMINDER = "Answer with one word only: YES or NO."
LEFT_OUT = "\n[... {count} characters left out here ...]\n"
FENCES = re.compile(r"<(?=\s*(?:/\s*)?(?:criterion|prompt|response)\b)", re.IGNORECASE)
ANSWER = re.compile(r"[\W_]*(YES|NO)[\W_]*", re.IGNORECASE)

RECENT, AT_LEAST = 500, 50  # the share of unknown verdicts is watched over the last 500, from the 50th on

Question = tuple[str, str, str]  # criterion, prompt, response


def read_template(path: str | Path) -> str:
    """A template is plain text with {criterion}, {response} and, if it likes, {prompt}."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RTTError(f"{path}: the judge template cannot be read ({error})") from error
    for name in ("criterion", "response"):
        if f"{{{name}}}" not in text:
            raise RTTError(f"{path}: the judge template must contain {{{name}}}")
    return text


def render(template: str, criterion: str, prompt: str, response: str) -> str:
    """Fill the template in one pass, so that a text with `{response}` in it stays as it is.

    The tags that fence the material are escaped inside it: a response cannot close its own fence.
    """
    values = {"criterion": criterion, "prompt": prompt, "response": response}
    return re.sub(r"\{(criterion|prompt|response)\}", lambda match: FENCES.sub("&lt;", values[match[1]]), template)


def cut_middle(text: str, keep: int) -> str:
    """The first and last characters of a text, `keep` in all, and a note of how many are left out between them."""
    if keep >= len(text):
        return text
    head = (keep + 1) // 2
    return text[:head] + LEFT_OUT.format(count=len(text) - keep) + text[len(text) - (keep - head) :]


def fit_response(fits: Callable[[str], bool], response: str) -> str | None:
    """The response, cut in its middle as little as makes it fit; None if not even one character does."""
    if fits(response):
        return response
    low, high = 0, len(response)  # `low` characters fit (or none are left), `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(cut_middle(response, middle)) else (low, middle)
    return cut_middle(response, low) if low else None


def parse_answer(text: str) -> bool | None:
    """YES or NO alone, in any case and with any marks (`**Yes.**`), after what a model thought aloud; else None."""
    match = ANSWER.fullmatch(THINKING.sub("", text, count=1))
    return None if match is None else match[1].upper() == "YES"


class Judge:
    """Asks an OpenAI-compatible server about soft criteria.

    template:     file with the question (default: `templates/judge.txt`).
    cache:        folder for answers, one small file each; a run that was stopped asks only what is missing.
    budget:       longest question, in the unit of `measure` (characters; or tokens, with a tokenizer's counter).
    max_unknown:  the largest share of undecided questions before the run is stopped.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        template: str | Path = DEFAULT_TEMPLATE,
        cache: str | Path | None = None,
        budget: int = 24_000,
        measure: Callable[[str], int] = len,
        max_unknown: float = 0.2,
    ) -> None:
        if budget < 1 or not 0 <= max_unknown <= 1:
            raise RTTError("judge: budget must be at least 1, max_unknown from 0 to 1")
        self.endpoint, self.template = endpoint, read_template(template)
        self.cache = Path(cache) if cache is not None else None
        self.budget, self.measure, self.max_unknown = budget, measure, max_unknown
        self.usage = Usage()
        self.asked_again: set[Question] = set()  # whose first answer was neither YES nor NO
        self._recent: deque[str] = deque(maxlen=RECENT)  # why a question stayed undecided, "" where it did not

    def check_many(self, questions: Sequence[Question]) -> list[Verdict]:
        """The verdicts on (criterion, prompt, response), in order; equal questions are asked once."""
        distinct = list(dict.fromkeys(questions))

        async def ask_all() -> list[Verdict]:
            async with Session(self.endpoint, self.usage) as session:
                return await map_limited(
                    lambda question: self._check(session, question), distinct, self.endpoint.concurrency
                )

        verdicts = dict(zip(distinct, run_async(ask_all()), strict=True)) if distinct else {}
        return [verdicts[question] for question in questions]

    async def _check(self, session: Session, question: Question) -> Verdict:
        criterion, prompt, response = question
        shown = fit_response(
            lambda text: self.measure(render(self.template, criterion, prompt, text)) <= self.budget, response
        )
        if shown is None:
            return self._counted(Verdict(None, f"criterion and prompt leave no room in the judge's {self.budget}"))
        note = "" if shown == response else f"judged on a response cut from {len(response)} characters"
        messages = [{"role": "user", "content": render(self.template, criterion, prompt, shown)}]
        path = None if self.cache is None else cache_path(self.cache, self.endpoint, messages, reminder=REMINDER)
        known = None if path is None else read_kept(path)
        if known in ("YES", "NO"):
            return Verdict(known == "YES", note)
        try:
            value = await self._ask(session, question, messages)
        except EndpointError as error:
            return self._counted(Verdict(None, f"the judge gave no answer: {error}"))
        if value is None:
            return self._counted(Verdict(None, "the judge answered neither YES nor NO, twice"))
        if path is not None:
            await asyncio.to_thread(keep, path, "YES" if value else "NO")
        return self._counted(Verdict(value, note))

    async def _ask(self, session: Session, question: Question, messages: list[dict]) -> bool | None:
        """An answer that is neither YES nor NO is asked once more, with a reminder."""
        first = await session.chat(messages)
        value = parse_answer(first)
        if value is not None:
            return value
        self.asked_again.add(question)
        again = [{"role": "assistant", "content": first or "..."}, {"role": "user", "content": REMINDER}]
        return parse_answer(await session.chat(messages + again))

    def _counted(self, verdict: Verdict) -> Verdict:
        """Count the verdict; stop the run where too many of the last ones are unknown."""
        self._recent.append(verdict.reason if verdict.value is None else "")
        reasons = [reason for reason in self._recent if reason]
        share = len(reasons) / len(self._recent)
        if len(self._recent) >= AT_LEAST and share > self.max_unknown:
            raise RTTError(
                f"judge {self.endpoint.model} at {self.endpoint.url}: {share:.0%} of the last {len(self._recent)} "
                f"questions stayed undecided, more than max_unknown = {self.max_unknown:.0%}. Last reason: "
                f"{reasons[-1]}. Check that the server is up, the model's name and "
                f"${self.endpoint.api_key_env}; lower `concurrency` if it is overloaded; answers that came are "
                f"{'kept in ' + str(self.cache) if self.cache else 'lost: set `cache`'}."
            )
        return verdict
