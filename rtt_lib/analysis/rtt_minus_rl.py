"""RTT minus RL with the same reward, world by world: what was gained, and what else changed in the responses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import taxonomy_of
from rtt_lib.analysis.evidence import SCORE, of_set
from rtt_lib.analysis.primary import primary

WORDS, LOCAL, GLOBAL = "mean words", "local criteria", "global criteria"
MEASURES = (SCORE, WORDS, LOCAL, GLOBAL)
COLUMNS = ["world", "arm", "baseline", "measure", "pairs", "of arm", "of baseline", "mean", "low", "high"]


def rtt_minus_rl(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per world, pair of arms of C1 and measure: both means, the mean paired difference, its 95% interval.

    The runs are those that decide C1. A measure that a world does not have (U has no global criteria) has no row.
    """
    scored, rows = with_scopes(runs), []
    for one in of_set(scored, primary().claims["C1"], MEASURES):
        if not one.tested:
            continue
        here = scored[(scored["world"] == one.world) & scored["seed"].isin(list(one.values))]
        of_arm, of_baseline = (here.loc[here["arm"] == arm, one.column].mean() for arm in (one.arm, one.baseline))
        figures = (of_arm, of_baseline, one.mean, *one.interval())
        rows.append((one.world, one.arm, one.baseline, one.column, len(one.values), *figures))
    return pd.DataFrame(rows, columns=COLUMNS)


def with_scopes(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with two more columns: the mean share satisfied over local and over global families of criteria."""
    runs = runs.assign(**{LOCAL: np.nan, GLOBAL: np.nan})
    for world in runs["world"].unique():
        here = runs["world"] == world
        for name, scope in ((LOCAL, "local"), (GLOBAL, "global")):
            families = list(_families(runs, world, scope))
            if families:
                runs.loc[here, name] = runs.loc[here, families].mean(axis=1)
    return runs


def _families(runs: pd.DataFrame, world: str, scope: str) -> Iterable[str]:
    return (column for column in runs if taxonomy_of(str(column), world).split(",")[0] == scope)
