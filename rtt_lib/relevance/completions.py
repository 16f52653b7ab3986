"""Responses, negatives and rubrics written by an LLM behind an OpenAI-compatible server (App. C).

Positives serve as SFT data and as DPO's chosen side too. Constraint omission is `complete` on a prompt of which
`responses.without` has withheld a criterion; where the prompt's own text states the criteria, `bare_tasks` first takes
them out. The templates are plain files and can be replaced; `cache` is a folder for answers, so that what was stopped
asks only what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtt_lib.endpoint import Endpoint, EndpointError, Usage, chat_many
from rtt_lib.errors import RTTError
from rtt_lib.relevance.llm_annotate import unfenced
from rtt_lib.rubrics.schema import Criterion, RubricPrompt

TEMPLATES = Path(__file__).with_name("templates")


def complete(
    prompts: Sequence[RubricPrompt],
    endpoint: Endpoint,
    usage: Usage | None = None,
    template: str = "completion",
    cache: Path | None = None,
) -> list[str | EndpointError]:
    """One response a prompt that is asked to keep its whole rubric; an error where the server gave none."""
    text = load_template(template, ("task", "rubric"))
    fields = [{"task": p.task or p.prompt, "rubric": listed(p.criteria)} for p in prompts]
    return chat_many(endpoint, [_ask(text, each) for each in fields], usage, cache)


def modify(
    cases: Sequence[tuple[RubricPrompt, str, int]],
    endpoint: Endpoint,
    usage: Usage | None = None,
    template: str = "modification",
    cache: Path | None = None,
) -> list[str | EndpointError]:
    """Minimal modification: for each (prompt, response, k) the response with criterion k broken and nothing else.

    Whether that came out is for the verifiers to say: a model does not always do as it is told.
    """
    text = load_template(template, ("criterion", "rubric", "response"))
    return chat_many(endpoint, [_ask(text, _modification(*case)) for case in cases], usage, cache)


def bare_tasks(
    prompts: Sequence[RubricPrompt],
    endpoint: Endpoint,
    usage: Usage | None = None,
    template: str = "task",
    cache: Path | None = None,
) -> list[str | EndpointError]:
    """The task x of each prompt q: its text without the rubric, which it states somewhere in between."""
    text = load_template(template, ("prompt", "rubric"))
    fields = [{"prompt": p.prompt, "rubric": listed(p.criteria)} for p in prompts]
    return chat_many(endpoint, [_ask(text, each) for each in fields], usage, cache)


def requirements(
    prompts: Sequence[RubricPrompt],
    endpoint: Endpoint,
    usage: Usage | None = None,
    template: str = "requirements",
    cache: Path | None = None,
) -> list[tuple[Criterion, ...] | RTTError]:
    """The rubric C of prompts that came without one, as soft criteria; none is an empty one."""
    text = load_template(template, ("prompt",))
    answers = chat_many(endpoint, [_ask(text, {"prompt": p.prompt}) for p in prompts], usage, cache)
    return [answer if isinstance(answer, EndpointError) else read_requirements(answer) for answer in answers]


def read_requirements(answer: str) -> tuple[Criterion, ...] | RTTError:
    try:
        value = json.loads(unfenced(answer))
    except (ValueError, RecursionError):
        return RTTError("not JSON alone")
    texts = value.get("criteria") if isinstance(value, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        return RTTError("'criteria' must be a list of texts")
    return tuple(Criterion(text.strip()) for text in dict.fromkeys(texts))


def _modification(prompt: RubricPrompt, response: str, k: int) -> Mapping[str, str]:
    rest = [criterion for j, criterion in enumerate(prompt.criteria) if j != k]
    return {"criterion": prompt.criteria[k].text, "rubric": listed(rest) or "(none)", "response": response}


def listed(criteria: Sequence[Criterion]) -> str:
    return "\n".join(f"- {criterion.text}" for criterion in criteria)


def load_template(name: str, fields: Sequence[str]) -> str:
    """One of our templates by name, or a file; it must have all of `fields` in braces."""
    path = TEMPLATES / f"{name}.txt" if (TEMPLATES / f"{name}.txt").is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RTTError(f"template {name}: neither one of ours nor a readable file") from error
    for each in fields:
        if f"{{{each}}}" not in text:
            raise RTTError(f"{path}: {{{each}}} is missing")
    return text


def _ask(template: str, fields: Mapping[str, str]) -> list[dict[str, str]]:
    """All fields in one pass: braces inside the material stay as they are."""
    pattern = r"\{(" + "|".join(fields) + r")\}"
    return [{"role": "user", "content": re.sub(pattern, lambda match: fields[match[1]], template)}]
