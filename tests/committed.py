"""What is committed below `results/`: a profile's tables, and the training logs of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pandas as pd

from rtt_lib.profile import REPOSITORY

RESULTS = REPOSITORY / "results"
PROFILES = ("micro", "smol-cpu", "smol-ten", "conifer")


@cache
def table(name: str, profile: str = "micro") -> pd.DataFrame:
    return pd.read_csv(RESULTS / profile / "tables" / f"{name}.csv")


def logs(profile: str) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """World, arm, seed and log of every run of a profile; a log has the columns of its own trainer."""
    together = RESULTS / profile / "curves.csv.xz"
    if together.is_file():
        for place, log in pd.read_csv(together).groupby(["world", "arm", "seed"], sort=False):
            yield *place, log.drop(columns=["world", "arm", "seed"]).dropna(axis=1, how="all")
        return
    for path in sorted((RESULTS / profile / "runs").glob("*/*/*/log.csv")):
        yield *path.parent.parts[-3:], pd.read_csv(path)
