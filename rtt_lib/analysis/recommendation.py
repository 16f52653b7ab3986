"""What to use instead: the variant that no world speaks against, if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import CONTROLS
from rtt_lib.analysis.evidence import SCORE, Evidence, in_figures
from rtt_lib.methods.arms import find_arm
from rtt_lib.stats import ENOUGH_RUNS, summary
from rtt_lib.tables import save_table

CLOSED_WORLD = ("oracle", "noisy")  # relevance from exact labels, which nobody has elsewhere
RIVALS = {"RL": ("RL-AON", "RL-CSR"), "RTT": ("RTT-AON", "RTT-CSR")}


STRONGEST = "the best of RL and RTT"


def strongest_rivals(runs: pd.DataFrame, column: str = SCORE, least: int = ENOUGH_RUNS) -> dict[str, str]:
    """For each world the RL or RTT arm with the highest mean, if both kinds have at least `least` runs there."""
    found = {}
    table = summary(runs, column) if len(runs) else pd.DataFrame(columns=["world", "arm", "runs", "mean"])
    for world, rows in table[table["runs"] >= least].groupby("world"):
        if all(rows["arm"].isin(arms).any() for arms in RIVALS.values()):
            rivals = rows[rows["arm"].isin(sum(RIVALS.values(), ()))]
            found[str(world)] = str(rivals.loc[rivals["mean"].idxmax(), "arm"])
    return found


def with_strongest(runs: pd.DataFrame, rivals: Mapping[str, str]) -> pd.DataFrame:
    """The runs, and once more those of each world's strongest rival, under one name, as an arm to compare with."""
    again = [runs[(runs["world"] == world) & (runs["arm"] == arm)] for world, arm in rivals.items()]
    return pd.concat([runs, *(rows.assign(arm=STRONGEST) for rows in again)], ignore_index=True)


def save_recommendation(evidence: Evidence, candidates: Sequence[str], results: Path) -> str:
    """Leave `tables/recommendation.csv`, which the site's first page shows; returns the sentence."""
    sentence = recommendation(evidence, candidates)
    save_table(pd.DataFrame({"recommendation": [sentence]}), "recommendation", results)
    return sentence


def recommendation(evidence: Evidence, candidates: Sequence[str], column: str = SCORE) -> str:
    """The candidate with the largest mean gain, of those that are behind in no world.

    In every world with runs of RL and RTT, it must have been run, its mean must be at least that of the better of the
    two, and it must not be shown to be worse. Arms that read exact labels are no candidates.
    """
    rivals = strongest_rivals(evidence.runs, column)
    if not rivals:
        return f"No recommendation: no world of this profile has {ENOUGH_RUNS} runs of both RL and RTT."
    fit, near = [], []
    for candidate in (name for name in candidates if find_arm(name).relevance not in CLOSED_WORLD):
        found = [c for w, rival in rivals.items() for c in evidence.compare(candidate, rival, column) if c.world == w]
        level = [c.tested and c.mean >= 0 and c.sign() >= 0 for c in found]
        if found:
            gain = float(np.mean([c.mean for c in found]))
            near.append((sum(level), gain, candidate, found))
        if len(found) == len(rivals) and all(level):
            fit.append((gain, candidate, found))
    worlds = " and ".join(rivals)
    if not fit:
        none = f"No variant is recommended: none was at or above the better of RL and RTT in every one of {worlds}."
        if not near:
            return none
        held, _, closest, found = max(near, key=lambda item: item[:2])
        return f"{none} Closest, in {held} of {len(rivals)}: {closest}. {in_figures(found)}."
    _, best, found = max(fit, key=lambda item: item[0])
    better = sum(c.sign() > 0 for c in found)
    control = [c for other in CONTROLS for c in evidence.compare(best, other, column) if c.world in rivals]
    return (
        f"Recommended: {best}. Its mean is at or above the better of RL and RTT in {worlds}, and shown to be above it "
        f"in {better} of {len(found)}: {in_figures(found)}."
        + (f" What relevance adds to the same baseline: {in_figures(control)}." if control else "")
    )
