"""When does rewarding oneself help and when does it harm? The judge's accuracy at the start against what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from rtt_lib.stats import ENOUGH_RUNS, bootstrap, percentile_interval

SCORE, ACCURACY, AGREEMENT = "per constraint", "judge accuracy", "judge order agreement"
FIRM, WORD = "judge firm accuracy", "judge word"
RESAMPLES = 2000
MEANS = (
    *(f"{name} {when}" for name in ("accuracy", "firm accuracy", "word") for when in ("before", "after")),
    "actor's gain",
)


@dataclass(frozen=True)
class Forecast:
    """What a judge of three weights does on fixed responses in 200 steps, by a simulation that this test was planned
    with: its accuracy at the start and at the end, and where that was noted, its order agreement."""

    start: str
    world: str
    arm: str
    before: float
    after: float
    agreement: float | None = None


FORECASTS = (
    Forecast("ordinary", "J65", "SERL", 0.65, 0.98),
    Forecast("ordinary", "J65", "SERL random R_J", 0.65, 0.62),
    Forecast("weak", "J55", "SERL", 0.54, 0.95),
    Forecast("weak", "J55", "SERL random R_J", 0.54, 0.49),
    Forecast("an irrelevant word dominates", "word", "SERL", 0.54, 0.64, 1.0),
    Forecast("inverted", "J25", "SERL", 0.46, 0.05, 1.0),
    Forecast("heavy position bias", "first", "SERL", 0.55, 0.97),
    Forecast("heavy position bias", "first", "SERL one order", 0.55, 0.50),
)


def forecast_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The forecast beside our runs, where there are some."""
    rows = []
    for forecast in FORECASTS:
        start, end = (_of(runs, forecast.world, arm) for arm in ("base", forecast.arm))
        rows.append(
            {
                "start": forecast.start,
                "world": forecast.world,
                "arm": forecast.arm,
                "forecast before": forecast.before,
                "before": start[ACCURACY].mean() if len(start) else None,
                "forecast after": forecast.after,
                **_with_interval(end, ACCURACY, "after"),
                "forecast agreement": forecast.agreement,
                **_with_interval(end, AGREEMENT, "agreement"),
                "n": len(end),
            }
        )
    return pd.DataFrame(rows)


def _of(runs: pd.DataFrame, world: str, arm: str) -> pd.DataFrame:
    return runs[(runs["world"] == world) & (runs["arm"] == arm)]


def _with_interval(frame: pd.DataFrame, column: str, name: str) -> dict[str, float | None]:
    if not len(frame):
        return dict.fromkeys((name, f"{name} low", f"{name} high"))
    enough = len(frame) >= ENOUGH_RUNS
    low, high = bootstrap(frame[column].to_numpy(), list(frame["seed"].str[0])) if enough else (None, None)
    return {name: frame[column].mean(), f"{name} low": low, f"{name} high": high}


def gains(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per world and seed that has both base and SERL: how the judge began, how it ended, what the actor
    gained."""
    keys = ["world", "seed"]
    runs = runs.reindex(columns=["arm", *keys, ACCURACY, FIRM, WORD, AGREEMENT, SCORE])  # without any run too
    both = runs[runs["arm"] == "base"].merge(runs[runs["arm"] == "SERL"], on=keys, suffixes=(" before", " after"))
    return pd.DataFrame(
        {
            **{key: both[key] for key in keys},
            "accuracy before": both[f"{ACCURACY} before"],
            "accuracy after": both[f"{ACCURACY} after"],
            "firm accuracy before": both[f"{FIRM} before"],
            "firm accuracy after": both[f"{FIRM} after"],
            "word before": both[f"{WORD} before"],
            "word after": both[f"{WORD} after"],
            "agreement before": both[f"{AGREEMENT} before"],
            "agreement after": both[f"{AGREEMENT} after"],
            "actor's gain": both[f"{SCORE} after"] - both[f"{SCORE} before"],
        }
    )


def by_world(found: pd.DataFrame) -> pd.DataFrame:
    """One row a world: how good its judges were and how often they picked the planted word, before and after, and what
    its actors gained; bootstrap intervals."""
    rows = []
    for world, runs in found.groupby("world", sort=False):
        enough = len(runs) >= ENOUGH_RUNS
        gain, bases = runs["actor's gain"].to_numpy(), list(runs["seed"].str[0])
        low, high = bootstrap(gain, bases) if enough else (None, None)
        means = {name: runs[name].mean() for name in MEANS}
        counts = {"runs that lose": sum(gain < 0), "n": len(runs)}
        rows.append({"world": world, **means, "low": low, "high": high, **counts})
    return pd.DataFrame(rows)


def turning_point(found: pd.DataFrame) -> dict[str, float | None]:
    """The judge's accuracy at the start at which the actor's gain is zero, by a straight line through all runs.

    None where no accuracy that was measured, `least` to `most`, is that: a line says nothing beyond its points. The
    interval is from resampled base policies, which are what varies. `rises`: share of resamples whose line rises;
    where that is not near one there is no such point. `gain`: the mean gain of all runs.
    """
    names = ("accuracy", "low", "high", "rises", "least", "most", "gain")
    result: dict[str, float | None] = dict.fromkeys(names) | {"n": len(found)}
    if found["seed"].nunique() < ENOUGH_RUNS or found["world"].nunique() < 2:
        return result
    lines = [_line(part) for part in _resampled(found)]
    accuracy, before = _zero(_line(found)), found["accuracy before"]
    result |= {"least": before.min(), "most": before.max(), "gain": found["actor's gain"].mean()}
    result["rises"] = float(np.mean([slope > 0 for slope, _ in lines]))
    if before.min() <= accuracy <= before.max():
        low, high = percentile_interval([_zero(line) for line in lines if line[0] > 0] or [np.nan])
        result |= {"accuracy": accuracy, "low": low, "high": high}
    return result


def _line(found: pd.DataFrame) -> tuple[float, float]:
    """Slope and height of the least squares line."""
    slope, height = np.polyfit(found["accuracy before"], found["actor's gain"], 1)
    return float(slope), float(height)


def _zero(line: tuple[float, float]) -> float:
    return -line[1] / line[0]


def _resampled(found: pd.DataFrame) -> list[pd.DataFrame]:
    """All runs of base policies that are drawn with replacement."""
    parts, rng = [part for _, part in found.groupby("seed")], np.random.default_rng(0)
    return [pd.concat([parts[i] for i in rng.integers(0, len(parts), len(parts))]) for _ in range(RESAMPLES)]


def what_consistency_tells(found: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations over all runs of order agreement with accuracy, before and after training, and of the
    agreement before with the actor's gain; intervals from resampled base policies."""
    asked = (
        ("agreement before", "accuracy before"),
        ("agreement after", "accuracy after"),
        ("agreement before", "actor's gain"),
        ("agreement after", "actor's gain"),
        ("accuracy before", "actor's gain"),
    )
    enough = found["seed"].nunique() >= ENOUGH_RUNS
    samples = _resampled(found) if enough else []
    rows = []
    for one, other in asked:
        low, high = percentile_interval([_rank(part, one, other) for part in samples] or [np.nan])
        rows.append((one, other, _rank(found, one, other) if enough else None, low, high, len(found)))
    return pd.DataFrame(rows, columns=["one", "other", "rank correlation", "low", "high", "n"])


def _rank(found: pd.DataFrame, one: str, other: str) -> float:
    if found[one].nunique() < 2 or found[other].nunique() < 2:
        return float("nan")
    return float(spearmanr(found[one], found[other]).statistic)
