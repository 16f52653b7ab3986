"""How a run went: responses that grow, global criteria that are neglected, entropy, the fall from the peak.

Reads the training curves (`studies.records.curves_table`). Statistics and tables are those of `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import WINDOW, differences, ordered, score_table, taxonomy_of
from rtt_lib.stats import smooth

LENGTH, CUT, EOS = "tokens added", "cut at the cap at the end", "mean credit of EOS"
LOCAL, GLOBAL = "local criteria gained", "global criteria gained"
ENTROPY, FALL = "final entropy", "fall from peak"
SHAPES = (LENGTH, CUT, EOS, LOCAL, GLOBAL, ENTROPY, FALL)
# Columns of the training log in a reader's words; figures take their titles from them.
CURVES = {
    "completions/mean_length": "tokens per response",
    "completions/clipped_ratio": "responses cut at the cap",
    "credit/eos": "token credit of EOS",
}
LOCAL_CURVE, GLOBAL_CURVE = "local criteria satisfied", "global criteria satisfied"


def with_scopes(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves with readable names, and two more: mean share satisfied over local and over global families."""
    curves = curves.rename(columns=CURVES)
    for name, scope in ((LOCAL_CURVE, "local"), (GLOBAL_CURVE, "global")):
        columns = [column for column in curves if column.startswith("verdict/") and _scope(column, curves) == scope]
        curves[name] = curves[columns].mean(axis=1) if columns else np.nan
    return curves


def _scope(column: str, curves: pd.DataFrame) -> str:
    """local or global for the column of a criterion family (a profile's worlds are of one kind), `-` for any other."""
    family = column.removeprefix("verdict/")
    return "-" if curves.empty else taxonomy_of(family, curves["world"].iloc[0]).split(",")[0]


def run_shapes(curves: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """One row per run: how its curves begin, peak and end, over means of `WINDOW` steps.

    What is added or gained is counted from the first step, on which all arms sample from the same policy.
    """
    rows = []
    chosen = ordered(curves, arms) if "verdict/aon" in curves else curves.iloc[:0]
    for (world, arm, seed), curve in with_scopes(chosen).groupby(["world", "arm", "seed"], sort=False):
        curve = curve[curve["verdict/aon"].notna()].sort_values("step")
        if len(curve):
            rows.append({"world": world, "arm": arm, "seed": seed} | _shape(curve))
    return pd.DataFrame(rows, columns=["world", "arm", "seed", "start", "end", "peak", *SHAPES])


def _shape(curve: pd.DataFrame) -> dict[str, float]:
    window = max(1, min(WINDOW, len(curve) // 3))  # a toy run still has a beginning and an end
    settled = smooth(curve["verdict/aon"], window)[window - 1 :]

    def end(column: str) -> float:
        return curve[column].tail(window).mean() if column in curve else np.nan

    def change(column: str) -> float:
        return end(column) - curve[column].iloc[0] if column in curve else np.nan

    return {
        "start": settled[0],
        "end": settled[-1],
        "peak": settled.max(),
        LENGTH: change(CURVES["completions/mean_length"]),
        CUT: end(CURVES["completions/clipped_ratio"]),
        EOS: curve[CURVES["credit/eos"]].mean() if CURVES["credit/eos"] in curve else np.nan,
        LOCAL: change(LOCAL_CURVE),
        GLOBAL: change(GLOBAL_CURVE),
        ENTROPY: end("entropy"),
        FALL: settled.max() - settled[-1],
    }


def shape_table(shapes: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """One row per world and arm, means with intervals; a dash where an arm has no such thing (EOS credit of RL)."""
    return score_table(shapes, arms, SHAPES)


def shape_differences(
    shapes: pd.DataFrame, pairs: Iterable[tuple[str, str]], columns: Sequence[str] = SHAPES
) -> pd.DataFrame:
    """`comparison.differences` of the runs' shapes. More is not better here, so the verdict says more or less."""
    table = differences(shapes, pairs, columns).drop(columns="improved")
    return table.assign(verdict=table["verdict"].replace({"better": "more", "worse": "less"}))
