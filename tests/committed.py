"""What is committed below `results/`: a profile's tables, and the training logs of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pandas as pd

from rtt_lib.profile import REPOSITORY

RESULTS = REPOSITORY / "results"
PROFILES = ("micro", "micro-full", "smol-cpu")


@cache
def table(name: str, profile: str = "micro") -> pd.DataFrame:
    return pd.read_csv(RESULTS / profile / "tables" / f"{name}.csv")


def logs(profile: str) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """World, arm, seed and log of every run of a profile; a log has the columns of its own trainer."""
    for path in sorted((RESULTS / profile / "runs").glob("*/*/*/log.csv")):
        world, arm, seed = path.parent.parts[-3:]
        yield world, arm, seed, pd.read_csv(path)
