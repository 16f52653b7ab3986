"""Responses, negatives and rubrics written by an LLM behind an OpenAI-compatible server (App. C).

Positives serve as SFT data and as DPO's chosen side too. Constraint omission is `complete` on a prompt of which
`responses.without` has withheld a criterion; where the prompt's own text states the criteria, `bare_tasks` first takes
them out. `cache` is a folder for answers, so that what was stopped asks only what is missing. An error that says why
takes the place of an answer that cannot be used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rtt_lib.endpoint import Endpoint, Usage, read_many
from rtt_lib.errors import RTTError
from rtt_lib.relevance.llm_annotate import TEMPLATES
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.templates import fill, load_template, unfenced

Fields = Mapping[str, str]
Answer = TypeVar("Answer")


def complete(
    prompts: Sequence[RubricPrompt], endpoint: Endpoint, usage: Usage | None = None, cache: Path | None = None
) -> list[str | RTTError]:
    """One response a prompt that is asked to keep its whole rubric."""
    fields = [{"task": p.task or p.prompt, "rubric": listed(p.criteria)} for p in prompts]
    return _ask("completion", ("task", "rubric"), fields, written, endpoint, usage, cache)


def modify(
    cases: Sequence[tuple[RubricPrompt, str, int]],
    endpoint: Endpoint,
    usage: Usage | None = None,
    cache: Path | None = None,
) -> list[str | RTTError]:
    """Minimal modification: for each (prompt, response, k) the response with criterion k broken and nothing else.

    Whether that came out is for the verifiers to say: a model does not always do as it is told.
    """
    fields = [_modification(*case) for case in cases]
    return _ask("modification", ("criterion", "rubric", "response"), fields, written, endpoint, usage, cache)


def _modification(prompt: RubricPrompt, response: str, k: int) -> Fields:
    rest = [criterion for j, criterion in enumerate(prompt.criteria) if j != k]
    return {"criterion": prompt.criteria[k].text, "rubric": listed(rest) or "(none)", "response": response}


def bare_tasks(
    prompts: Sequence[RubricPrompt], endpoint: Endpoint, usage: Usage | None = None, cache: Path | None = None
) -> list[str | RTTError]:
    """The task x of each prompt q: its text without the rubric, which it states somewhere in between."""
    fields = [{"prompt": p.prompt, "rubric": listed(p.criteria)} for p in prompts]
    return _ask("task", ("prompt", "rubric"), fields, written, endpoint, usage, cache)


def requirements(
    prompts: Sequence[RubricPrompt], endpoint: Endpoint, usage: Usage | None = None, cache: Path | None = None
) -> list[tuple[Criterion, ...] | RTTError]:
    """The rubric C of prompts that came without one, as soft criteria; it may be empty."""
    fields = [{"prompt": p.prompt} for p in prompts]
    return _ask("requirements", ("prompt",), fields, read_requirements, endpoint, usage, cache)


def _ask(
    template: str,
    names: Sequence[str],
    fields: Sequence[Fields],
    read: Callable[[str], Answer],
    endpoint: Endpoint,
    usage: Usage | None,
    cache: Path | None,
) -> list[Answer | RTTError]:
    text = load_template(template, names, TEMPLATES)
    return read_many(endpoint, [fill(text, each) for each in fields], read, usage, cache)


def written(answer: str) -> str:
    if not answer:
        raise RTTError("an empty answer")
    return answer


def read_requirements(answer: str) -> tuple[Criterion, ...]:
    try:
        value = json.loads(unfenced(answer))
    except (ValueError, RecursionError):
        raise RTTError("not JSON alone") from None
    texts = value.get("criteria") if isinstance(value, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise RTTError("'criteria' must be a list of texts")
    "".join(texts).encode("utf-8")  # JSON can spell half a surrogate pair, which is a ValueError here
    return tuple(Criterion(text.strip()) for text in dict.fromkeys(texts))


def listed(criteria: Sequence[Criterion]) -> str:
    return "\n".join(f"- {criterion.text}" for criterion in criteria)
