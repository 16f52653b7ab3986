"""What goes to a verifier and what comes back, checked at the border: data sets and verifiers may be anyone's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.verify.verdict import Verdict

# (prompts, responses, rubrics) -> for each response one verdict per criterion. `bool | None` will do for a verdict.
Verifier = Callable[[Sequence[str], Sequence[str], Sequence[Sequence[Criterion]]], Sequence[Sequence[Any]]]


def rubric_dataset(prompts: Sequence[Any], conversational: bool) -> list[Mapping[str, Any]]:
    """Rows for the trainer from `RubricPrompt`s: the criteria as JSON text, since their arguments differ in shape."""
    return [
        {
            "prompt": [{"role": "user", "content": p.prompt}] if conversational else p.prompt,
            "criteria": json.dumps([criterion.to_json() for criterion in p.criteria]),
        }
        for p in prompts
    ]


def parse_rubric(value: Any) -> list[Criterion]:
    """A data set's `criteria` cell: a list of texts or of criterion objects, or JSON text of such a list."""
    rows = value
    if isinstance(value, str):
        try:
            rows = json.loads(value)
        except ValueError:
            rows = None
    if not isinstance(rows, list | tuple):
        found = "nothing" if value is None else f"{type(value).__name__} {str(value)[:80]!r}"
        raise RTTError(
            f"column 'criteria': found {found}, expected a list of texts or of criterion objects, or JSON text of such "
            'a list: ["Name a cat.", {"text": ..., "verifier": ..., "args": {}}]'
        )
    return [
        Criterion(row) if isinstance(row, str) else criterion_from_json(row, f"criteria[{k}]")
        for k, row in enumerate(rows)
    ]


def checked_verdicts(answers: Iterable[Iterable[Any]], rubrics: Sequence[Sequence[Criterion]]) -> list[list[Verdict]]:
    """What a verifier, which may be anyone's, answered: a verdict for every criterion."""
    rows = [list(row) for row in answers]
    if len(rows) != len(rubrics):
        raise RTTError(f"the verifier gave verdicts on {len(rows)} responses, there are {len(rubrics)}")
    for i, (row, rubric) in enumerate(zip(rows, rubrics, strict=True)):
        if len(row) != len(rubric):
            raise RTTError(f"the verifier gave {len(row)} verdicts on response {i}, whose rubric has {len(rubric)}")
    return [
        [_checked(v, f"response {i}, criterion {c.text[:80]!r}") for v, c in zip(row, rubric, strict=True)]
        for i, (row, rubric) in enumerate(zip(rows, rubrics, strict=True))
    ]


def _checked(verdict: Any, where: str) -> Verdict:
    """AON asks whether a value is False: 0, or a tensor, would be a satisfied criterion."""
    value = verdict.value if isinstance(verdict, Verdict) else verdict
    if isinstance(value, np.bool_):
        value = bool(value)
    if not (value is None or isinstance(value, bool)):
        raise RTTError(
            f"the verifier's verdict on {where} is {type(value).__name__} {value!r}: it must be True, False or None "
            "(unknown)"
        )
    return replace(verdict, value=value) if isinstance(verdict, Verdict) else Verdict(value)
