"""What is committed below `results/`: a profile's tables, the logs of its runs, and what pages say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pandas as pd

from rtt_lib.profile import REPOSITORY

RESULTS = REPOSITORY / "results"
PROFILES = ("micro", "smol-cpu", "smol-ten", "conifer", "serl")
OPEN = "no difference shown"
TEN = "smol-ten"
A_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+|(?<![\w.])\d+%|\d+ to \d+%")


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


# --- what pages say of them ---


def row(name: str, world: str, arm: str, against: str, measure: str = "all satisfied", profile="micro") -> pd.Series:
    asked = {"world": world, "arm": arm, "against": against, "measure": measure}
    found = table(name, profile)
    return found.loc[(found[list(asked)] == pd.Series(asked)).all(axis=1)].iloc[0]


def in_points(found: pd.Series, factor: float = 100, digits: int = 1) -> str:
    """`-7.3 [-18.3, +3.8]`"""
    mean, low, high = (factor * found[name] for name in ("difference", "low", "high"))
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def by_base(found: pd.Series) -> dict[str, float]:
    """`A +0.100, B +0.104` in points."""
    return {part.split()[0]: 100 * float(part.split()[1]) for part in found["by base"].split(", ")}


def means() -> pd.DataFrame:
    """By world and arm, of measures like `0.026 [0.022, 0.029]` the first number."""
    found = table("beyond_scores").set_index(["world", "arm"]).drop(columns="runs")
    return found.apply(lambda column: column.str.split().str[0].astype(float))


def core(world: str, arm: str, against: str = "") -> pd.Series:
    """The difference to RL with the same reward, or to `against`, over eight base policies."""
    found = row("core_differences", world, arm, against or f"RL-{arm[-3:]}")
    assert found["pairs"] == 8
    return found


def fresh_difference(world: str, arm: str) -> pd.Series:
    """The difference to RL with the same reward over ten base policies that only the fresh runs use."""
    found = row("core_differences", world, arm, f"RL-{arm[-3:]}", profile="fresh")
    assert found["pairs"] == 10
    return found


def wrongly_marked(arm: str) -> tuple[float, float]:
    """As *last word* in world U: tokens of a response by the policies of an arm, and how many tokens it has."""
    found = table("09_after_training").set_index(["world", "arm", "family"]).loc[("U", arm, "end")]
    assert found["runs"] == 8
    return found["wrong"], found["tokens"]


def over_prompts(arm: str, against: str, seed: str) -> str:
    found = table("held_out_pairs", TEN).query("measure == 'all satisfied'").set_index(["arm", "against", "seed"])
    if (arm, against, seed) not in found.index:
        return "not run"
    assert found.loc[(arm, against, seed), "prompts"] == 512
    return in_points(found.loc[(arm, against, seed)])
