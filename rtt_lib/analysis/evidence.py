"""What claims are judged on: the runs of a profile, and paired comparisons of two arms in one world."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import ENOUGH_RUNS, unit_of
from rtt_lib.analysis.primary import ClaimSet
from rtt_lib.stats import LEVEL, bootstrap, paired
from rtt_lib.worlds.micro.language import WORLDS

SCORE = "all satisfied"


@dataclass(frozen=True)
class Comparison:
    """arm - baseline over paired seeds. `planned`: the seeds that were to be run; `values`: the difference of each."""

    arm: str
    baseline: str
    world: str
    column: str
    planned: tuple[str, ...]
    values: dict[str, float]

    @property
    def tested(self) -> bool:
        return len(self.values) >= ENOUGH_RUNS

    @property
    def complete(self) -> bool:
        return self.tested and set(self.planned) <= set(self.values)

    @property
    def name(self) -> str:
        return f"{self.arm} - {self.baseline}, {self.column} ({unit_of(self.column)[0]})"

    @property
    def place(self) -> str:
        return f"{self.arm} - {self.baseline} in {self.world}"

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def bases(self) -> list[str]:
        """The base policy of each pair."""
        return [seed[0] for seed in self.values]

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        return bootstrap(list(self.values.values()), self.bases, level)

    def sign(self, level: float = LEVEL, above: float = 0.0) -> int:
        """1 where the interval lies above `above`, -1 where it lies below, else 0; see `stats.paired` for bases that
        have several pairs, whose own means have to lie there too."""
        if not self.tested:
            return 0
        low, high = self.interval(level)
        sign = 1 if low > above else -1 if high < above else 0
        own = pd.Series(list(self.values.values())).groupby(self.bases).mean() - above
        agree = len(own) == len(self.values) or bool((sign * own > 0).all())
        return sign if agree else 0

    def numbers(self, level: float = LEVEL) -> str:
        """`L +3.1 [+1.0, +5.2] (A +2.0 B +4.8), n = 5`: the interval only where there are enough runs for one, the base
        policies' own means only where some have several runs."""
        if not self.values:
            return f"{self.world} not run"
        _, factor, digits = unit_of(self.column)
        ends = (f"{factor * end:+.{digits}f}" for end in self.interval(level)) if self.tested else ()
        interval = f" [{', '.join(ends)}]" if self.tested else ""
        own = pd.Series(self.values).groupby(self.bases).mean()
        bases = " ".join(f"{base} {factor * value:+.{digits}f}" for base, value in own.items())
        within = f" ({bases})" if 1 < len(own) < len(self.values) else ""
        lacking = "" if set(self.planned) <= set(self.values) else f" of {len(self.planned)}"
        return f"{self.world} {factor * self.mean:+.{digits}f}{interval}{within}, n = {len(self.values)}{lacking}"


@dataclass(frozen=True)
class Evidence:
    """One row per run, one per rollout step, and the tables of other notebooks."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    tables: Path

    def table(self, name: str) -> pd.DataFrame | None:
        path = self.tables / f"{name}.csv"
        return pd.read_csv(path) if path.exists() else None


def comparison(
    runs: pd.DataFrame, arm: str, baseline: str, column: str, world: str, planned: Collection[str]
) -> Comparison:
    """Of the planned seeds, or of all where none is planned."""
    here = runs[runs["seed"].isin(planned)] if planned else runs
    values = paired(here, arm, baseline, column, world)["values"] if column in here else None
    return Comparison(arm, baseline, world, column, tuple(planned), values or {})


def of_set(runs: pd.DataFrame, chosen: ClaimSet, measures: Sequence[str] | None = None) -> list[Comparison]:
    """Every comparison of a primary set, also those without a run, on `measures` (None: those of the set).

    The set's worlds and seeds are the micro world's. Another world has no plan: all its seeds are asked for.
    """
    others = runs[~runs["world"].isin(WORLDS)].groupby("world")["seed"].unique()
    asked = {world: tuple(sorted(seeds)) for world, seeds in others.items()}
    asked = asked or dict.fromkeys(chosen.worlds, chosen.seeds)
    return [
        comparison(runs, arm, baseline, column, world, seeds)
        for column in measures or chosen.measures
        for arm, baseline in chosen.pairs
        for world, seeds in asked.items()
    ]


def planned_only(frame: pd.DataFrame, chosen: ClaimSet) -> pd.DataFrame:
    """The rows of runs of a primary set; of another world than the micro world's, all."""
    micro = frame["world"].isin(WORLDS)
    return frame[~micro | (frame["world"].isin(chosen.worlds) & frame["seed"].isin(chosen.seeds))]


def in_figures(comparisons: Sequence[Comparison], levels: Sequence[float] | None = None) -> str:
    """Each comparison's name, and behind it its figures in each world."""
    by_name: dict[str, list[str]] = {}
    for one, level in zip(comparisons, levels or [LEVEL] * len(comparisons), strict=True):
        by_name.setdefault(one.name, []).append(one.numbers(level))
    return "; ".join(f"{name}: {' | '.join(numbers)}" for name, numbers in by_name.items())


def pairs_of(comparisons: Sequence[Comparison]) -> str:
    seeds = sorted({seed for one in comparisons for seed in one.values})
    return f"{len(seeds)} paired {'seed' if len(seeds) == 1 else 'seeds'}: {' '.join(seeds)}"
