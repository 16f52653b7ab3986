"""How often the intervals of `rtt_lib.stats` hold the true mean: it depends on how what varies is distributed.

python -m rtt_lib.analysis.coverage     writes docs/coverage.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd

from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.stats import LEVEL, bootstrap
from rtt_lib.tables import markdown_table

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
TRIALS = 1000
SPREAD = 0.05  # of runs around what their base policy gains


def _without_gain(share: float) -> Draw:
    """Every base policy gains 1, but for a share of them that gain nothing; less the mean, so that the truth is 0."""
    return lambda rng, size: (rng.random(size) >= share) + SPREAD * rng.normal(size=size) - (1 - share)


NORMAL = "normal"
SHAPES: dict[str, Draw] = {
    NORMAL: lambda rng, size: rng.normal(size=size),
    "Student's t with 3 degrees of freedom": lambda rng, size: rng.standard_t(3, size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "two halves, a gain or none": _without_gain(1 / 2),
    "one base policy of three without a gain": _without_gain(1 / 3),
    "one base policy of five without a gain": _without_gain(1 / 5),
    "one base policy of ten without a gain": _without_gain(1 / 10),
}


WORST = "one base policy of ten without a gain"  # of the above, with one run from each of five base policies


@cache
def coverage(strata: tuple[str, ...], shape: str = NORMAL, level: float = LEVEL, trials: int = TRIALS) -> float:
    """How often `bootstrap` holds the true mean of values that are drawn independently in this shape."""
    values = SHAPES[shape](np.random.default_rng(0), (trials, len(strata)))
    return _share_held(values, strata, level)


def coverage_apart(strata: Sequence[str], between: float, trials: int = TRIALS) -> float:
    """The same for normal values whose strata have means of their own, `between` standard deviations apart."""
    rng, (names, stratum) = np.random.default_rng(0), np.unique(list(strata), return_inverse=True)
    values = rng.normal(size=(trials, len(strata))) + between * rng.normal(size=(trials, len(names)))[:, stratum]
    return _share_held(values, strata, LEVEL)


def _share_held(values: np.ndarray, strata: Sequence[str], level: float) -> float:
    """values: [trials, runs], whose true mean is 0."""
    intervals = [bootstrap(row, list(strata), level) for row in values]
    return float(np.mean([low <= 0 <= high for low, high in intervals]))


def bases(runs: int) -> tuple[str, ...]:
    return tuple("ABCDEFGHIJ"[:runs])


def coverage_table() -> pd.DataFrame:
    """One row per shape; a column for five and for eight base policies, at 95% and at the level that the first of eight
    comparisons has to reach."""
    first = 1 - (1 - LEVEL) / 8
    columns = {f"n = {n}, {level:.{digits}%}": (n, level) for level, digits in ((LEVEL, 0), (first, 1)) for n in (5, 8)}
    held = {
        name: [f"{coverage(bases(n), shape, level):.1%}" for shape in SHAPES] for name, (n, level) in columns.items()
    }
    return pd.DataFrame({"differences are": list(SHAPES)} | held)


TEXT = """# How often an interval holds the truth

Each run of an arm starts from a base policy of its own, and the intervals are of the mean over base policies. How often
they hold it depends on how base policies differ, which five or eight runs cannot show. The table is a simulation
({trials:,} times each shape, the same bootstrap as in all tables): how often the interval held the true mean. The last
columns are at the level that the smallest p-value of a claim with eight comparisons has to reach (Holm).

{table}
With normal differences an interval holds what it says. With rare exceptions it does not: where all base policies drawn
gain the same (give or take {spread:.0%} of the gain), the interval is narrow and knows nothing of those that gain
nothing. Of these shapes the worst at n = 5 is *{worst}*.
No interval from so few base policies can know of what none of them has.

`python -m rtt_lib.analysis.coverage` makes this page.
"""


def page() -> str:
    return TEXT.format(trials=TRIALS, spread=SPREAD, table=markdown_table(coverage_table()), worst=WORST)


if __name__ == "__main__":
    write_text(REPOSITORY / "docs" / "coverage.md", page())
