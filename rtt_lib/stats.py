"""Means with intervals over few seeds: stratified bootstrap, paired differences, probability of improvement.

Runs are stratified by base model: the seed `A0` is stratum A, replicate 0. Arms are paired by (world, seed): the
same base policy, prompts and sampling seed. Every interval is a 95% percentile interval of a bootstrap: of all its
resamples, or of a seeded sample where they are too many. It is stretched for few runs. How often it then holds the true
mean depends on the shape of what varies: `rtt_lib.analysis.coverage` counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit  # quantiles of the normal and Student's t; scipy.stats is slow to import

MOST_RESAMPLES = 10_000  # that are enumerated: one stratum of 8 values has 6,435 different ones, one of 9 has 24,310
RESAMPLES = 4000  # drawn where there are more
LEVEL = 0.95
ENOUGH_RUNS = 3  # below, no interval is shown and nothing is claimed


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half, a quarter of the values cut at each end (rounded down), as rliable does."""
    n = len(values)
    return float(np.sort(values)[n // 4 : n - n // 4].mean())


@dataclass(frozen=True)
class Resampled:
    """What the mean of resamples does: `mean` [...], by how much it is missed [n, ...], and how likely that is [n].

    `freedom`: the number of values less the number of strata.
    """

    mean: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    freedom: int

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """The percentile interval of the mean, stretched as Student's t is against the normal distribution.

        The spread of a few values is uncertain, which the bootstrap does not know. Without the stretch, an interval
        from the runs A, A, A, B, B would hold the mean of normal values three times in four instead of 95 in 100.
        """
        if self.freedom == 0:
            return self.mean, self.mean
        tail = (1 - level) / 2
        student = stdtrit(self.freedom, tail) / ndtri(tail)
        low, high = (_end(values, weight, tail) for values, weight in self._ordered)
        return self.mean + student * low, self.mean + student * high

    @cached_property
    def _ordered(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """From the smallest and from the largest: the deviations [n, ...] and the weight up to and with each."""
        order = np.argsort(self.deviations, axis=0)
        return [
            (np.take_along_axis(self.deviations, way, axis=0), np.cumsum(self.weights[way], axis=0))
            for way in (order, order[::-1])
        ]

    def p_value(self) -> float:
        """One minus the highest level at which the interval still leaves out zero, for a mean of one number."""
        low, high = math.log(1e-12), math.log(0.999)
        for _ in range(50):
            middle = (low + high) / 2
            ends = self.interval(1 - math.exp(middle))
            low, high = (low, middle) if ends[0] > 0 or ends[1] < 0 else (middle, high)
        return math.exp(high)


def _end(values: np.ndarray, weight: np.ndarray, tail: float) -> np.ndarray:
    """[n, ...] -> [...]: the first of ordered values up to which there is at least `tail` of the weight."""
    first = (weight >= tail * (1 - 1e-9)).argmax(axis=0)[None]
    return np.take_along_axis(values, first, axis=0)[0]


def bootstrap(values: Sequence[float], strata: Sequence[str], level: float = LEVEL) -> tuple[float, float]:
    """The interval of the mean, resampling within each stratum."""
    low, high = resampled(values, strata).interval(level)
    return float(low), float(high)


def p_value(values: Sequence[float], strata: Sequence[str]) -> float:
    """How much doubt `bootstrap` leaves that the mean is on its side of zero, in both directions."""
    return resampled(values, strata).p_value()


def resampled(values: Sequence, strata: Sequence[str], draws: int = RESAMPLES) -> Resampled:
    """Of values [n, ...], resampled within each stratum: every resample if there are few enough, else `draws`.

    Resamples of n values vary too little, by the factor sqrt((n - 1) / n), for which deviations from the stratum's mean
    are multiplied. A lone value cannot be resampled within its stratum, which would make the interval far too narrow:
    where there is one, all values are drawn from together.
    """
    values, strata = np.asarray(values, float), np.asarray(strata)
    if np.unique(strata, return_counts=True)[1].min() < 2:
        strata = np.zeros(len(values), int)
    groups = [values[strata == name] for name in sorted(set(strata.tolist()))]
    freedom = len(values) - len(groups)
    if freedom == 0:  # a single value
        return Resampled(values[0], np.zeros_like(values), np.ones(1), 0)
    enumerated = math.prod(math.comb(2 * len(group) - 1, len(group)) for group in groups) <= MOST_RESAMPLES
    rng = np.random.default_rng(0)
    total, weights = np.zeros((1, *values.shape[1:])), np.ones(1)
    for group in groups:
        n = len(group)
        centred = (group - group.mean(axis=0)) * np.sqrt(n / (n - 1)) / len(values)
        if enumerated:
            counts, chances = _all_resamples(n)
            sums = np.tensordot(counts, centred, 1)
            total = (total[:, None] + sums[None]).reshape(-1, *values.shape[1:])
            weights = np.outer(weights, chances).ravel()
        else:
            total = total + centred[rng.integers(0, n, (draws, n))].sum(axis=1)
    if not enumerated:
        weights = np.full(draws, 1 / draws)
    return Resampled(values.mean(axis=0), total, weights, freedom)


@cache
def _all_resamples(n: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each of n values is in each resample of n, [C(2n - 1, n), n], and the chance of that resample."""
    drawn = np.array(list(combinations_with_replacement(range(n), n)))
    counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1)
    factorial = np.array([math.factorial(k) for k in range(n + 1)], float)
    return counts, factorial[n] / factorial[counts].prod(axis=1) / float(n) ** n


def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where one fresh run of normal values should fall (Student); unknown below `ENOUGH_RUNS`."""
    n = len(values)
    if n < ENOUGH_RUNS:
        return math.nan, math.nan
    reach = stdtrit(n - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def holm(p_values: Sequence[float], of: int) -> list[float]:
    """The level at which each comparison's interval has to leave out zero, so that all `of` of them together are wrong
    in one claim of twenty at most (Holm).

    The smallest p-value is held against alpha / of, the next against alpha / (of - 1), and so on until one fails;
    those after it are held against what that one failed against. Comparisons that were not made count in `of`.
    """
    levels, failed, alpha = [0.0] * len(p_values), False, (1 - LEVEL) / of
    for k, n in enumerate(np.argsort(p_values, kind="stable")):
        alpha = alpha if failed else (1 - LEVEL) / (of - k)
        levels[n], failed = 1 - alpha, failed or p_values[n] > alpha
    return levels


def percentile_interval(draws: Sequence[float]) -> tuple[float, float]:
    """The middle 95% of bootstrap draws, undefined ones (NaN) left out."""
    known = np.asarray(draws)[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def summary(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per world and arm, in order of appearance: runs, mean with interval, interquartile mean."""
    rows = []
    for (world, arm), group in runs.groupby(["world", "arm"], sort=False):
        values = group[column].to_numpy(float)
        low, high = bootstrap(values, group["seed"].str[0].tolist())
        rows.append(
            {
                "world": world,
                "arm": arm,
                "runs": len(values),
                "mean": values.mean(),
                "low": low,
                "high": high,
                "iqm": interquartile_mean(values),
            }
        )
    return pd.DataFrame(rows, columns=["world", "arm", "runs", "mean", "low", "high", "iqm"])


def paired(runs: pd.DataFrame, arm: str, baseline: str, column: str, world: str) -> dict:
    """Mean of arm - baseline over the seeds that both have, its interval, and the share of pairs that improve.

    `better` and `worse` need an interval that excludes zero, and bases that `agree`: where a base model has several
    pairs, the mean of every base model must have the same sign, since the interval leaves out how base models differ.
    Where every base model has one pair, the interval holds this already. With fewer than three pairs nothing is
    claimed.
    `by base`: the mean difference of each base model's pairs. `values`: every pair's difference.
    """
    frame = runs[runs["world"] == world].pivot_table(index="seed", columns="arm", values=column)
    if arm not in frame or baseline not in frame:
        return {"pairs": 0, "difference": np.nan, "low": np.nan, "high": np.nan} | dict.fromkeys(
            ("improved", "better", "worse", "agree", "by base", "values"), None
        )
    difference = (frame[arm] - frame[baseline]).dropna()
    if difference.empty:
        return paired(runs.iloc[:0], arm, baseline, column, world)
    base = difference.index.str[0]
    low, high = bootstrap(difference.to_numpy(), base.tolist())
    by_base = difference.groupby(base).mean()
    enough = len(difference) >= ENOUGH_RUNS
    agree = bool(base.is_unique or (by_base > 0).all() or (by_base < 0).all())
    return {
        "pairs": len(difference),
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "improved": float((difference > 0).mean() + 0.5 * (difference == 0).mean()),
        "better": enough and low > 0 and agree,
        "worse": enough and high < 0 and agree,
        "agree": agree,
        "by base": by_base.to_dict(),
        "values": difference.to_dict(),
    }


def smooth(values: Sequence[float], window: int = 10) -> np.ndarray:
    """Trailing mean over at most `window` steps, leaving out what is missing."""
    return pd.Series(values, dtype=float).rolling(window, min_periods=1).mean().to_numpy()


def steps_to_threshold(values: Sequence[float], threshold: float, window: int = 10) -> float:
    """The first step (from 1) whose trailing mean over a full window reaches `threshold`; infinity if none does."""
    reached = np.flatnonzero(smooth(values, window)[window - 1 :] >= threshold)
    return float(reached[0] + window) if len(reached) else float("inf")
