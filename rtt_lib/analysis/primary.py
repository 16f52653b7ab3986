"""What was fixed before the runs (`data/primary.yaml`): those of each claim, of the tuning and of the predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from rtt_lib.yaml_tree import build, read

DATA = Path(__file__).parent / "data" / "primary.yaml"
DEFAULT = "default"  # the profile's settings, which are the paper's where it names some


@dataclass(frozen=True)
class ClaimSet:
    """Every comparison in every world on every measure decides; comparisons are written `arm - baseline`."""

    measures: tuple[str, ...]
    comparisons: tuple[str, ...]
    worlds: tuple[str, ...]
    seeds: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(arm, baseline); the claim is that the difference is positive."""
        return [tuple(comparison.split(" - ")) for comparison in self.comparisons]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for pair in self.pairs for arm in pair))


@dataclass(frozen=True)
class Tuning:
    """`methods`: the settings of each that are tried, in the order in which equals are preferred."""

    measure: str
    worlds: tuple[str, ...]
    chosen_on: tuple[str, ...]
    tested_on: tuple[str, ...]
    long: int
    methods: dict[str, tuple[str, ...]]

    def arms(self, method: str) -> list[str]:
        return [named(method, settings) for settings in self.methods[method]]


@dataclass(frozen=True)
class Fresh:
    """`share`: how many of the fresh runs their cell's prediction interval has to hold."""

    measure: str
    arms: tuple[str, ...]
    worlds: tuple[str, ...]
    predicted_from: tuple[str, ...]
    seeds: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class Primary:
    claims: dict[str, ClaimSet]
    tuning: Tuning
    fresh: Fresh


@cache
def primary() -> Primary:
    tree, where = read(DATA)
    return build(Primary, tree, (), where)


def named(method: str, settings: str) -> str:
    """The arm of a method with settings: `RTT-AON lr 0.001`."""
    return method if settings == DEFAULT else f"{method} {settings}"


def longer(arm: str, steps: int) -> str:
    """The same arm trained for so many steps."""
    return f"{arm} steps {steps}"


def sets_table() -> pd.DataFrame:
    """One row per claim that compares runs: what was fixed to decide it."""
    rows = [
        [name, "; ".join(each.comparisons), ", ".join(each.measures), " ".join(each.worlds), " ".join(each.seeds)]
        for name, each in primary().claims.items()
    ]
    return pd.DataFrame(rows, columns=["claim", "claimed to be positive", "on", "in worlds", "seeds"])
