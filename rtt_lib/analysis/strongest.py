"""The strongest of the core arms in each world, as a rival for other arms."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rtt_lib.analysis.evidence import SCORE
from rtt_lib.stats import ENOUGH_RUNS, summary

RIVALS = {"RL": ("RL-AON", "RL-CSR"), "RTT": ("RTT-AON", "RTT-CSR")}
STRONGEST = "the best of RL and RTT"


def strongest_rivals(runs: pd.DataFrame, least: int = ENOUGH_RUNS) -> dict[str, str]:
    """For each world the RL or RTT arm with the highest mean, if both kinds have at least `least` runs there."""
    found = {}
    table = summary(runs, SCORE) if len(runs) else pd.DataFrame(columns=["world", "arm", "runs", "mean"])
    for world, rows in table[table["runs"] >= least].groupby("world"):
        if all(rows["arm"].isin(arms).any() for arms in RIVALS.values()):
            rivals = rows[rows["arm"].isin(sum(RIVALS.values(), ()))]
            found[str(world)] = str(rivals.loc[rivals["mean"].idxmax(), "arm"])
    return found


def with_strongest(runs: pd.DataFrame, rivals: Mapping[str, str]) -> pd.DataFrame:
    """The runs, and once more those of each world's strongest rival, under one name, as an arm to compare with."""
    again = [runs[(runs["world"] == world) & (runs["arm"] == arm)] for world, arm in rivals.items()]
    return pd.concat([runs, *(rows.assign(arm=STRONGEST) for rows in again)], ignore_index=True)
