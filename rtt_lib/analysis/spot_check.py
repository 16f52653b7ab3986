"""Does a fresh run of this machine come out as the published runs say it should?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rtt_lib.stats import prediction_interval

COLUMN = "all satisfied"


def compare(published: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """One row per fresh run, beside the published runs of the same arm in the same world.

    Both are tables as `rtt_lib.studies.records` makes them: one row per run with world, arm, seed and scores.
    """
    rows = []
    for run in fresh.to_dict("records"):
        same = published[(published["world"] == run["world"]) & (published["arm"] == run["arm"])]
        low, high = np.clip(prediction_interval(same[COLUMN]), 0, 1)  # it is a share
        row = {name: run[name] for name in ("world", "arm", "seed")}
        rows.append(
            row | {"fresh": run[COLUMN], "published": same[COLUMN].mean(), "runs": len(same), "low": low, "high": high}
        )
    table = pd.DataFrame(rows, columns=["world", "arm", "seed", "fresh", "published", "runs", "low", "high"])
    return table.assign(inside=(table["low"] <= table["fresh"]) & (table["fresh"] <= table["high"]))


def in_words(table: pd.DataFrame) -> str:
    known = table[table["low"].notna()]
    return (
        f"{int(known['inside'].sum())} of {len(known)} fresh runs are inside the 95% prediction interval of the "
        "published runs."
    )
