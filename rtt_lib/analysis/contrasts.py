"""Claims that are fixed before the runs: one weighted sum of arms each, with its interval, Holm's p and a verdict.

    supported     the interval lies beyond zero on the claimed side, and Holm's p is below 5%
    contradicted  the same on the other side
    negligible    the interval lies within the margin around zero
    undecided     none of these
    untested      fewer than three base policies have all the arms

Intervals are 95% paired t intervals over base policies; a bootstrap interval stands beside. Holm's adjustment is over
all claims that are decided together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from rtt_lib.stats import ENOUGH_RUNS, LEVEL, bootstrap

SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED = "supported", "contradicted", "negligible", "undecided"
UNTESTED = "untested"
MARGIN = 0.02  # shares that differ by less than two points are alike


@dataclass(frozen=True)
class Contrast:
    """The sum of weight x score of its arms, one value a seed; claimed to be above zero.

    weights: of the arms, with sum zero; column: of `studies.records.results_table`; limit: what the test leaves open
    """

    id: str
    statement: str
    weights: Mapping[str, float]
    column: str
    world: str = "nested"
    published: str = ""
    limit: str = ""

    def in_words(self) -> str:
        """`Conifer - 0.5 Conifer shuffled - 0.5 Conifer reversed`."""
        words = ""
        for arm, weight in self.weights.items():
            sign = " - " if weight < 0 else " + "
            words += sign + ("" if abs(weight) == 1 else f"{abs(weight):g} ") + arm
        return words.removeprefix(" + ").removeprefix(" ")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Differences of a claim in numbers. low, high: the paired t interval; resampled: the bootstrap's; adjusted: p by
    Holm."""

    pairs: int
    difference: float
    low: float = math.nan
    high: float = math.nan
    resampled: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    adjusted: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Result(Measured):
    contrast: Contrast

    @property
    def verdict(self) -> str:
        if self.pairs < ENOUGH_RUNS:
            return UNTESTED
        if self.adjusted < 1 - LEVEL and self.low > 0:
            return SUPPORTED
        if self.adjusted < 1 - LEVEL and self.high < 0:
            return CONTRADICTED
        return NEGLIGIBLE if self.low > -MARGIN and self.high < MARGIN else UNDECIDED


def values_of(contrast: Contrast, runs: pd.DataFrame) -> pd.Series:
    """The weighted sum of each seed that has all the arms. runs: one row per run."""
    if contrast.column not in runs:
        return pd.Series(dtype=float)
    scores = runs[runs["world"] == contrast.world].pivot_table(index="seed", columns="arm", values=contrast.column)
    if not set(contrast.weights) <= set(scores.columns):
        return pd.Series(dtype=float)
    return sum(weight * scores[arm] for arm, weight in contrast.weights.items()).dropna()


def compare(contrast: Contrast, values: pd.Series) -> Result:
    found = intervals(values)
    return Result(contrast=contrast, **found, p=p_of_zero(values) if "low" in found else math.nan)


def intervals(values: pd.Series) -> dict[str, Any]:
    """The fields of `Measured` that need no hypothesis, of one value a seed; without intervals for too few."""
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < ENOUGH_RUNS:
        return {"pairs": n, "difference": mean}
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / math.sqrt(n))
    resampled = bootstrap(values.to_numpy(), list(values.index.str[0]))
    return {"pairs": n, "difference": mean, "low": mean - half, "high": mean + half, "resampled": resampled}


def p_of_zero(values: pd.Series) -> float:
    """Of a mean of zero, two-sided; equal values leave no doubt."""
    from scipy.stats import ttest_1samp  # slow to import

    if values.std(ddof=1) == 0:
        return float(values.mean() == 0)
    return float(ttest_1samp(values, 0).pvalue)


def decide(contrasts: Sequence[Contrast], runs: pd.DataFrame) -> list[Result]:
    return together([compare(contrast, values_of(contrast, runs)) for contrast in contrasts])


M = TypeVar("M", bound=Measured)


def together(results: Sequence[M]) -> list[M]:
    """With Holm's p-values over all that were tested."""
    tested = [n for n, result in enumerate(results) if result.pairs >= ENOUGH_RUNS]
    adjusted = dict(zip(tested, holm([results[n].p for n in tested]), strict=True))
    return [replace(result, adjusted=adjusted.get(n, math.nan)) for n, result in enumerate(results)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the same order."""
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, place in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted.tolist()


def results_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row a claim; differences are shares, 0.01 is one point."""
    rows = [
        {
            "claim": result.contrast.id,
            "statement": result.contrast.statement,
            "verdict": result.verdict,
            "difference": result.difference,
            "low": result.low,
            "high": result.high,
            "bootstrap": result.resampled,
            "Holm p": result.adjusted,
            "n": result.pairs,
            "contrast": f"{result.contrast.in_words()} ({result.contrast.column}, {result.contrast.world})",
            "published": result.contrast.published,
            "limit": result.contrast.limit,
        }
        for result in results
    ]
    return pd.DataFrame(rows)
