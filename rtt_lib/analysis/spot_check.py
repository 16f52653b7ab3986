"""Does a fresh run of this machine come out as the published runs say it should?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from rtt_lib.stats import ENOUGH_RUNS, LEVEL

COLUMN = "all satisfied"


def prediction_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where one more run of the same kind falls in 95 of 100 cases, if runs are normal; within [0, 1]."""
    values = np.asarray(values, float)
    n = len(values)
    if n < ENOUGH_RUNS:
        return float("nan"), float("nan")
    half = t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / n)
    return max(0.0, float(values.mean() - half)), min(1.0, float(values.mean() + half))


def compare(published: pd.DataFrame, fresh: pd.DataFrame, column: str = COLUMN) -> pd.DataFrame:
    """One row per fresh run, beside the published runs of the same arm in the same world.

    Both are tables as `rtt_lib.studies.records` makes them: one row per run with world, arm, seed and scores.
    """
    rows = []
    for run in fresh.to_dict("records"):
        same = published[(published["world"] == run["world"]) & (published["arm"] == run["arm"])]
        low, high = prediction_interval(same[column])
        row = {name: run[name] for name in ("world", "arm", "seed")}
        rows.append(
            row | {"fresh": run[column], "published": same[column].mean(), "runs": len(same), "low": low, "high": high}
        )
    table = pd.DataFrame(rows, columns=["world", "arm", "seed", "fresh", "published", "runs", "low", "high"])
    return table.assign(inside=(table["low"] <= table["fresh"]) & (table["fresh"] <= table["high"]))


def in_words(table: pd.DataFrame) -> str:
    known = table[table["low"].notna()]
    return (
        f"{int(known['inside'].sum())} of {len(known)} fresh runs are inside the 95% prediction interval of the "
        "published runs."
    )
