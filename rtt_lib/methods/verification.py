"""What goes to a verifier and what comes back, checked at the border: data sets and verifiers may be anyone's."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from accelerate.utils import gather_object

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.verify.verdict import Verdict

# (prompts, responses, rubrics) -> for each response one verdict per criterion. `bool | None` will do for a verdict.
Verifier = Callable[[Sequence[str], Sequence[str], Sequence[Sequence[Criterion]]], Sequence[Sequence[Any]]]
# The share of unknown verdicts is watched over the last ten batches, from the 50th verdict on.
RECENT_BATCHES, AT_LEAST = 10, 50
ADVICE = (
    "What stays undecided trains nothing. Give the verifier what it lacks (a judge, the sandbox: `rtt doctor`), leave "
    "such criteria out of the data, or raise max_unknown"
)


def rubric_dataset(prompts: Sequence[Any], conversational: bool) -> list[Mapping[str, Any]]:
    """Rows for the trainer from `RubricPrompt`s: the criteria as JSON text, since their arguments differ in shape."""
    return [
        {
            "prompt": p.chat() if conversational else p.prompt,
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
    """Check what a user's verifier answered: one verdict for every criterion."""
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
    """Only True, False and None pass: AON tests for `is False`, so 0 or a tensor would count as satisfied."""
    value = verdict.value if isinstance(verdict, Verdict) else verdict
    if isinstance(value, np.bool_):
        value = bool(value)
    if not (value is None or isinstance(value, bool)):
        raise RTTError(
            f"the verifier's verdict on {where} is {type(value).__name__} {value!r}: it must be True, False or None "
            "(unknown)"
        )
    return replace(verdict, value=value) if isinstance(verdict, Verdict) else Verdict(value)


class UnknownLimit:
    """Stops a run in which too many verdicts are unknown: it would end normally and have learned nothing."""

    def __init__(self, largest_share: float):
        self.largest_share = largest_share
        self._recent: deque[tuple[int, Counter[str]]] = deque(maxlen=RECENT_BATCHES)

    def count(self, verdicts: Sequence[Sequence[Verdict]]) -> None:
        """Called in all processes with the verdicts of each; an error in all of them."""
        local = [v for row in verdicts for v in row]
        reasons = Counter(v.reason or "the verifier gave no reason" for v in local if v.value is None)
        self._recent.append(_sum(gather_object([(len(local), reasons)])))
        total, unknown = _sum(self._recent)
        if total >= AT_LEAST and unknown.total() > self.largest_share * total:
            raise RTTError(
                f"{unknown.total() / total:.0%} of the last {total} verdicts are unknown, more than max_unknown = "
                f"{self.largest_share:.0%}. The most frequent reason: {unknown.most_common(1)[0][0]}. {ADVICE}."
            )


def _sum(counts: Iterable[tuple[int, Counter[str]]]) -> tuple[int, Counter[str]]:
    """How many verdicts, and how many of them unknown for which reason."""
    totals, reasons = zip(*counts, strict=True)
    return sum(totals), sum(reasons, Counter())


def undecidable(verifier: Verifier, rubrics: Iterable[Sequence[Criterion]]) -> tuple[float, Counter[str]]:
    """The share of criteria that `verifier` says it can decide on no response, and how often which reason stands.

    Only a verifier with a method `lack(criterion) -> reason or None` can say so, as `rtt_lib.verify.batch.Verifier`.
    """
    lack = getattr(verifier, "lack", None)
    if lack is None:
        return 0.0, Counter()
    criteria = [criterion for rubric in rubrics for criterion in rubric]
    reasons = Counter(reason for criterion in criteria if (reason := lack(criterion)))
    return reasons.total() / max(1, len(criteria)), reasons
