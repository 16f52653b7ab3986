"""The rule by which a claim is judged, in words (`RULE`, which stands in docs/fixed.md too) and in code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rtt_lib.analysis.comparison import ENOUGH_RUNS, SCORES
from rtt_lib.analysis.evidence import Comparison, in_figures, pairs_of
from rtt_lib.stats import LEVEL, holm, p_value

REPLICATES, FAILS, PARTLY = "replicates", "does not replicate", "partly"
UNTESTED = "cannot be tested at this size"
VERDICTS = (REPLICATES, PARTLY, FAILS, UNTESTED)
SMALLEST_GAIN = 0.01  # the paper's mean gains are 1.6 to 2.5 points
MARGIN_OF_REVERSED = 2  # so many more reversed than shown, so that no single one decides
SHOWN, REVERSED, NEITHER = "shown", "reversed", "neither"  # what one comparison says
TOO_FEW, NOT_RUN = "too few runs", "not run"

RULE = (
    "A comparison is *shown* if its interval lies on the claimed side of zero, "
    "*reversed* if it lies on the other side.",
    "The intervals of one claim are corrected for their number (Holm), also for the comparisons that are missing.",
    "*Replicates*: every comparison of the set is complete and shown.",
    "*Does not replicate*: at least two more are reversed than are shown.",
    "Or every comparison is complete and its 95% interval, not corrected, leaves out a gain of one point.",
    "*Partly*: at least one is shown, and none of the above.",
    "*Cannot be tested*: all the rest.",
)


@dataclass(frozen=True)
class Measured:
    """One comparison of a claim, as it counts: its interval at the corrected level, and what it says.

    Shares stay shares here (0.01 is one point). `line`: the value that the interval has to leave out. A case that
    compares no two arms has its name as `arm` and no baseline.
    """

    arm: str
    baseline: str
    world: str
    measure: str
    pairs: int
    mean: float
    low: float
    high: float
    level: float
    line: float
    finding: str


@dataclass(frozen=True)
class Judgement:
    ours: str
    n: str
    verdict: str
    reason: str
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class Sign:
    """What one comparison says: 1 shown, -1 reversed, 0 neither. `no_gain`: it leaves out a gain of a point."""

    place: str
    sign: int
    complete: bool
    no_gain: bool


def untested(reason: str, ours: str = "not run in this profile", n: str = "0 runs") -> Judgement:
    return Judgement(ours, n, UNTESTED, reason)


NOT_HERE = "the runs that it compares are not in this profile."


def judge(comparisons: Sequence[Comparison], caveat: str = "", above: float = 0.0, lower: bool = False) -> Judgement:
    """Judge the claim that all of `comparisons` are above `above`; `lower`: that all are below it."""
    if not any(one.values for one in comparisons):
        return untested(NOT_HERE)
    levels, way = corrected(comparisons, above), -1 if lower else 1
    ours, n = in_figures(comparisons, levels), pairs_of(comparisons)
    signs = [
        Sign(one.place, way * one.sign(level, above), one.complete, _no_gain(one))
        for one, level in zip(comparisons, levels, strict=True)
    ]
    measured = tuple(_measured(*each, above) for each in zip(comparisons, levels, signs, strict=True))
    if not any(one.tested for one in comparisons):
        return replace(untested(f"fewer than {ENOUGH_RUNS} paired runs, so no interval.", ours, n), measured=measured)
    return Judgement(ours, n, verdict_of(signs), f"{reason_of(signs)} {caveat}".strip(), measured)


def _measured(one: Comparison, level: float, sign: Sign, line: float) -> Measured:
    mean = one.mean if one.values else math.nan
    low, high = one.interval(level) if one.tested else (math.nan, math.nan)
    finding = finding_of(sign.sign) if one.tested else TOO_FEW if one.values else NOT_RUN
    place = (one.arm, one.baseline, one.world, one.column)
    return Measured(*place, len(one.values), mean, low, high, level, line, finding)


def finding_of(sign: int) -> str:
    return {1: SHOWN, -1: REVERSED, 0: NEITHER}[sign]


def corrected(comparisons: Sequence[Comparison], above: float = 0.0) -> list[float]:
    """The level of each comparison's interval (`stats.holm`), 95% for those without enough runs for one."""
    tested = [n for n, one in enumerate(comparisons) if one.tested]
    values = [[value - above for value in comparisons[n].values.values()] for n in tested]
    doubts = [p_value(each, comparisons[n].bases) for n, each in zip(tested, values, strict=True)]
    found = dict(zip(tested, holm(doubts, of=len(comparisons)), strict=True))
    return [found.get(n, LEVEL) for n in range(len(comparisons))]


def _no_gain(one: Comparison) -> bool:
    """Only scores have a smallest gain."""
    return one.column in SCORES and one.complete and one.interval()[1] < SMALLEST_GAIN


def verdict_of(signs: Sequence[Sign]) -> str:
    """See `RULE`."""
    shown, reversed_ = (sum(one.sign == sign for one in signs) for sign in (1, -1))
    if signs and all(one.complete and one.sign == 1 for one in signs):
        return REPLICATES
    if reversed_ >= shown + MARGIN_OF_REVERSED or (signs and all(one.complete and one.no_gain for one in signs)):
        return FAILS
    return PARTLY if shown else UNTESTED


def reason_of(signs: Sequence[Sign], what: str = "comparisons") -> str:
    shown, reversed_ = (sum(one.sign == sign for one in signs) for sign in (1, -1))
    text = f"shown in {shown} of {len(signs)} {what}, reversed in {reversed_}."
    lacking = sum(not one.complete for one in signs)
    if lacking:
        text += f" {lacking} {'is' if lacking == 1 else 'are'} missing or incomplete."
    verdict, rests = verdict_of(signs), {}
    for n, one in enumerate(signs):
        other = verdict_of([*signs[:n], *signs[n + 1 :]])
        if other != verdict and len(signs) > 1:
            rests.setdefault(other, []).append(one.place)
    for other, places in rests.items():
        text += f" Without {' or without '.join(places)}: {other}."
    return text
