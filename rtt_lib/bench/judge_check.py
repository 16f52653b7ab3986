"""A judge LLM on criteria that rules decide: how often is it wrong, on what, and when does it say nothing?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rtt_lib.bench.conform.items import read
from rtt_lib.verify.judge import Judge, Question

QUARTERS = 4


@dataclass(frozen=True)
class Case:
    """A question with its answer by the official code. family: the group of its check (`keywords`, `format`, ...)."""

    family: str
    criterion: str
    prompt: str
    response: str
    followed: bool

    @property
    def question(self) -> Question:
        return self.criterion, self.prompt, self.response


@dataclass(frozen=True)
class Answer:
    """What the judge said; again: only when asked a second time."""

    case: Case
    value: bool | None
    again: bool
    reason: str


def cases(benchmark: str, per_check: int, seed: int = 0) -> list[Case]:
    """For each check of the conformance set so many responses that follow it and as many that do not, in any order.

    Each has one criterion and something to read in the response; where there are fewer, all.
    """
    found: dict[tuple[str, bool], list[Case]] = {}
    for item in read(benchmark):
        ((name, _), *more), (value, *_) = item.checks, item.verdicts[benchmark]
        if not more and value is not None and item.response.strip():
            family = name.split(":")[0].split("_")[0] if benchmark == "muldimif" else name.split(":")[0]
            case = Case(family, item.prompt, item.prompt, item.response, value)
            found.setdefault((name, value), []).append(case)
    rng = random.Random(seed)
    chosen = [case for group in found.values() for case in rng.sample(group, min(per_check, len(group)))]
    return rng.sample(chosen, len(chosen))


def check(judge: Judge, asked: Sequence[Case]) -> list[Answer]:
    """The judge's answers, in order."""
    verdicts = judge.check_many([case.question for case in asked])
    return [
        Answer(case, verdict.value, case.question in judge.asked_again, verdict.reason)
        for case, verdict in zip(asked, verdicts, strict=True)
    ]


@dataclass(frozen=True)
class Counts:
    """Answers of one kind: those decided, those wrong among them, in which direction, and those left open."""

    name: str
    decided: int
    yes_wrongly: int
    no_wrongly: int
    unknown: int

    @property
    def error_rate(self) -> float | None:
        return (self.yes_wrongly + self.no_wrongly) / self.decided if self.decided else None


def counts(name: str, answers: Sequence[Answer]) -> Counts:
    known = [answer for answer in answers if answer.value is not None]
    wrong = [answer for answer in known if answer.value != answer.case.followed]
    yes = sum(answer.value is True for answer in wrong)
    return Counts(name, len(known), yes, len(wrong) - yes, len(answers) - len(known))


def tables(answers: Sequence[Answer]) -> dict[str, list[Counts]]:
    """All answers; by family; by whether a second question was needed; by quarter of the run."""
    families = sorted({answer.case.family for answer in answers})
    quarter = -(-len(answers) // QUARTERS)
    return {
        "all": [counts("all", answers)],
        "family": [counts(name, [a for a in answers if a.case.family == name]) for name in families],
        "asked": [
            counts("once", [answer for answer in answers if not answer.again]),
            counts("twice", [answer for answer in answers if answer.again]),
        ],
        "quarter of the run": [counts(str(n + 1), answers[n * quarter : (n + 1) * quarter]) for n in range(QUARTERS)],
    }


def report(answers: Sequence[Answer]) -> str:
    lines = [f"{'':<24}{'decided':>8}{'wrong':>8}{'error':>8}{'YES wrongly':>13}{'NO wrongly':>12}{'unknown':>9}"]
    for title, rows in tables(answers).items():
        lines += [""] if title == "all" else ["", title]
        for row in rows:
            rate = "-" if row.error_rate is None else f"{row.error_rate:.1%}"
            wrong = row.yes_wrongly + row.no_wrongly
            lines.append(
                f"{row.name:<24}{row.decided:>8}{wrong:>8}{rate:>8}{row.yes_wrongly:>13}{row.no_wrongly:>12}"
                f"{row.unknown:>9}"
            )
    reasons = sorted({answer.reason for answer in answers if answer.value is None})
    return "\n".join([*lines, "", *(f"unknown: {reason}" for reason in reasons[:5])]).rstrip()
