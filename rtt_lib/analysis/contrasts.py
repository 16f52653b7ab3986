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

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

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


@dataclass(frozen=True)
class Result:
    """low, high: the paired t interval; resampled: the bootstrap's; adjusted: p by Holm."""

    contrast: Contrast
    pairs: int
    difference: float
    low: float
    high: float
    resampled: tuple[float, float]
    p: float
    adjusted: float = math.nan

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
    n, nothing = len(values), math.nan
    if n < ENOUGH_RUNS:
        mean = float(values.mean()) if n else nothing
        return Result(contrast, n, mean, nothing, nothing, (nothing, nothing), nothing)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    half = float(scipy_stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    p = float(scipy_stats.ttest_1samp(values, 0).pvalue) if error else float(mean == 0)
    resampled = bootstrap(values.to_numpy(), list(values.index.str[0]))
    return Result(contrast, n, mean, mean - half, mean + half, resampled, p)


def decide(contrasts: Sequence[Contrast], runs: pd.DataFrame) -> list[Result]:
    results = [compare(contrast, values_of(contrast, runs)) for contrast in contrasts]
    tested = [n for n, result in enumerate(results) if result.pairs >= ENOUGH_RUNS]
    for n, adjusted in zip(tested, holm([results[n].p for n in tested]), strict=True):
        results[n] = replace(results[n], adjusted=adjusted)
    return results


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
