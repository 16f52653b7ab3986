"""Means with intervals over few seeds: stratified bootstrap, paired differences, probability of improvement.

Runs are stratified by base model: the seed `A0` is stratum A, replicate 0. Arms are paired by (world, seed): the
same base policy, prompts and sampling seed. Every interval is a 95% percentile interval from a seeded bootstrap,
stretched so that it holds the true mean as often as it says for few runs too (`coverage` counts).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm, t

RESAMPLES = 4000
LEVEL = 0.95
ENOUGH_RUNS = 3  # below, no interval is shown and nothing is claimed


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half, a quarter of the values cut at each end (rounded down), as rliable does."""
    ordered = np.sort(values, axis=axis)
    n = ordered.shape[axis]
    return np.take(ordered, range(n // 4, n - n // 4), axis=axis).mean(axis=axis)


def bootstrap(values: Sequence[float], strata: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """The interval of the mean, resampling within each stratum."""
    return percentile_interval(resampled_means(values, strata, RESAMPLES, seed))


def resampled_means(values: Sequence, strata: Sequence[str], resamples: int, seed: int = 0) -> np.ndarray:
    """[n, ...] -> [resamples, ...]: means of values drawn within each stratum, moved away from the stratum's mean.

    Resamples of n values vary too little, by the factor sqrt((n - 1) / n). The spread of a few values is uncertain too,
    which Student's t accounts for in other intervals. Without a correction, an interval from the runs A, A, A, B, B
    would hold the mean three times in four instead of 95 times in 100. So deviations from the stratum's mean are
    multiplied by both factors.

    A lone value cannot be resampled within its stratum, which would make the interval far too narrow: where there is
    one, all values are drawn from together.
    """
    values, strata = np.asarray(values, float), np.asarray(strata)
    if np.unique(strata, return_counts=True)[1].min() < 2:
        strata = np.zeros(len(values), int)
    names = sorted(set(strata.tolist()))
    freedom = len(values) - len(names)
    if freedom == 0:  # a single value
        return np.repeat(values, resamples, axis=0)
    tail, rng = (1 + LEVEL) / 2, np.random.default_rng(seed)
    student, total = t.ppf(tail, freedom) / norm.ppf(tail), 0.0
    for name in names:
        here = values[strata == name]
        n, mean = len(here), here.mean(axis=0)
        drawn = here[rng.integers(0, n, (resamples, n))].mean(axis=1)
        total = total + n * (mean + (drawn - mean) * student * np.sqrt(n / (n - 1)))
    return total / len(values)


def percentile_interval(draws: Sequence[float]) -> tuple[float, float]:
    """The middle 95% of bootstrap draws, undefined ones (NaN) left out."""
    known = np.asarray(draws)[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def coverage(strata: Sequence[str], between: float = 0.0, trials: int = 1000, seed: int = 0) -> float:
    """How often the interval of `bootstrap` holds the true mean of normal values.

    `between`: how much the strata's own means vary, in standard deviations of the values within one.
    """
    rng, (names, stratum) = np.random.default_rng(seed), np.unique(strata, return_inverse=True)
    values = rng.normal(size=(trials, len(strata))) + between * rng.normal(size=(trials, len(names)))[:, stratum]
    intervals = [bootstrap(row, strata, seed=n) for n, row in enumerate(values)]
    return float(np.mean([low <= 0 <= high for low, high in intervals]))


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
                "iqm": float(interquartile_mean(values)),
            }
        )
    return pd.DataFrame(rows, columns=["world", "arm", "runs", "mean", "low", "high", "iqm"])


def paired(runs: pd.DataFrame, arm: str, baseline: str, column: str, world: str) -> dict:
    """Mean of arm - baseline over the seeds that both have, its interval, and the share of pairs that improve.

    `better` and `worse` need an interval that excludes zero. Where a base model has several pairs, the mean of every
    base model must have the same sign too, since the interval leaves out how base models differ. Where every base model
    has one pair, the interval holds this already. With fewer than three pairs neither is claimed.
    `by base`: the mean difference of each base model's pairs.
    """
    frame = runs[runs["world"] == world].pivot_table(index="seed", columns="arm", values=column)
    if arm not in frame or baseline not in frame:
        return {"pairs": 0, "difference": np.nan, "low": np.nan, "high": np.nan} | dict.fromkeys(
            ("improved", "better", "worse", "by base"), None
        )
    difference = (frame[arm] - frame[baseline]).dropna()
    if difference.empty:
        return paired(runs.iloc[:0], arm, baseline, column, world)
    base = difference.index.str[0]
    low, high = bootstrap(difference.to_numpy(), base.tolist())
    by_base, over_bases = difference.groupby(base).mean(), base.is_unique
    enough = len(difference) >= ENOUGH_RUNS
    return {
        "pairs": len(difference),
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "improved": float((difference > 0).mean() + 0.5 * (difference == 0).mean()),
        "better": bool(enough and low > 0 and (over_bases or (by_base > 0).all())),
        "worse": bool(enough and high < 0 and (over_bases or (by_base < 0).all())),
        "by base": by_base.to_dict(),
    }


def smooth(values: Sequence[float], window: int = 10) -> np.ndarray:
    """Trailing mean over at most `window` steps, leaving out what is missing."""
    return pd.Series(values, dtype=float).rolling(window, min_periods=1).mean().to_numpy()


def steps_to_threshold(values: Sequence[float], threshold: float, window: int = 10) -> float:
    """The first step (from 1) whose trailing mean over a full window reaches `threshold`; infinity if none does."""
    reached = np.flatnonzero(smooth(values, window)[window - 1 :] >= threshold)
    return float(reached[0] + window) if len(reached) else float("inf")
