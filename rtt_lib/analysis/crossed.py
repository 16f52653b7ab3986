"""How much of a run is its base policy, how much its discriminator? Every pair of some of each, one run a pair.

With y[i, j] the score from base policy i with discriminator j, the sum of squares about the mean splits in three:

    policies        J sum_i (mean_i - mean)^2
    discriminators  I sum_j (mean_j - mean)^2
    rest            sum_ij (y_ij - mean_i - mean_j + mean)^2, both together and chance
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import NOT_RUN

COLUMN = "all satisfied"
_ARM = re.compile(r"(?P<arm>.+) discriminator (?P<letter>[A-Z])")


def scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Of arms `... discriminator B`: world, arm, base, discriminator, score."""
    runs = runs.reindex(columns=["world", "arm", "seed", COLUMN])
    found = runs["arm"].astype(str).str.extract(_ARM).set_axis(["of", "discriminator"], axis=1)
    rows = runs.assign(**found).dropna(subset=["of"])
    rows = rows.assign(arm=rows["of"], base=rows["seed"].str[0], score=rows[COLUMN].astype(float))
    return rows[["world", "arm", "base", "discriminator", "score"]].reset_index(drop=True)


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """Per world and arm: runs, lowest and highest score, and the shares of the sum of squares; only whole tables."""
    rows = []
    for (world, arm), own in found.groupby(["world", "arm"], sort=False):
        square = own.pivot(index="base", columns="discriminator", values="score")
        if square.isna().any(axis=None) or min(square.shape) < 2:
            continue
        row = {"world": world, "arm": arm, "runs": square.size, "lowest": square.min(axis=None)}
        rows.append(row | {"highest": square.max(axis=None)} | split(square.to_numpy()))
    return pd.DataFrame(
        rows, columns=["world", "arm", "runs", "lowest", "highest", "policies", "discriminators", "rest"]
    )


def split(y: np.ndarray) -> dict[str, float]:
    """Shares of the sum of squares of y [I, J]; NaN where all scores are equal."""
    mean, by_policy, by_discriminator = y.mean(), y.mean(1, keepdims=True), y.mean(0, keepdims=True)
    parts = {
        "policies": ((by_policy - mean) ** 2).sum() * y.shape[1],
        "discriminators": ((by_discriminator - mean) ** 2).sum() * y.shape[0],
        "rest": ((y - by_policy - by_discriminator + mean) ** 2).sum(),
    }
    whole = sum(parts.values())
    return {name: float(part / whole) if whole else float("nan") for name, part in parts.items()}


def finding(table: pd.DataFrame) -> str:
    """One sentence per world; `table`: of `shares`."""
    if table.empty:
        return f"Base policies crossed with discriminators: {NOT_RUN}."
    return " ".join(
        f"In world {row.world} the scores of {row.arm} lie between {row.lowest:.0%} and {row.highest:.0%}; base "
        f"policies account for {row.policies:.0%} of their variance, discriminators for {row.discriminators:.0%}, and "
        "the rest is both together and chance."
        for row in table.itertuples()
    )
