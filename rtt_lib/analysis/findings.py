"""What came out in the micro world, as five statements that can be tested in any world.

Each statement is a list of paired comparisons that it says are positive. It is judged as the paper's claims are
(`judging`), on all seeds that both arms of a comparison have, but for those that are kept for other questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from rtt_lib.analysis.comparison import QUARTERS, SAME_REWARD, quarters
from rtt_lib.analysis.evidence import SCORE, Comparison, comparison
from rtt_lib.analysis.judging import judge
from rtt_lib.analysis.primary import primary
from rtt_lib.analysis.shapes import GLOBAL, LENGTH, run_shapes

ARMS = ("RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR", "RTT-AON no EOS")  # whose shapes are compared
COLUMNS = ["finding", "statement", "verdict", "measured", "n", "reason"]


@dataclass(frozen=True)
class Runs:
    """What the findings are judged on, of one world: one row per run, one per rollout step, one per run's shape."""

    scores: pd.DataFrame
    curves: pd.DataFrame
    shapes: pd.DataFrame


def compare(frame: pd.DataFrame, arm: str, baseline: str, column: str) -> list[Comparison]:
    """One comparison for each world in which both arms were run, over the seeds that both have."""
    worlds = sorted(frame["world"].unique()) if len(frame) else ()
    found = [comparison(frame, arm, baseline, column, world, ()) for world in worlds]
    return [one for one in found if one.values]


def early_lead(runs: Runs) -> list[Comparison]:
    early = quarters(runs.curves)
    return [one for pair in SAME_REWARD for one in compare(early, *pair, QUARTERS[0])]


def length_drift(runs: Runs) -> list[Comparison]:
    """More than RL with the same reward, and less where the end token gets no token credit."""
    pairs = [*SAME_REWARD, ("RTT-AON", "RTT-AON no EOS")]
    return [one for pair in pairs for one in compare(runs.shapes, *pair, LENGTH)]


def neglect_of_global_criteria(runs: Runs) -> list[Comparison]:
    return [one for rtt, rl in SAME_REWARD for one in compare(runs.shapes, rl, rtt, GLOBAL)]


def rounding(runs: Runs) -> list[Comparison]:
    return compare(runs.scores, "RTT-AON", "RTT-AON raw", SCORE)


def relative(runs: Runs) -> list[Comparison]:
    return [one for rival in ("RTT-CSR", "RL-CSR") for one in compare(runs.scores, "RTT-CSR relative", rival, SCORE)]


@dataclass(frozen=True)
class Finding:
    id: str
    statement: str
    comparisons: Callable[[Runs], list[Comparison]]


FINDINGS = (
    Finding("early lead", "RTT leads RL with the same reward in the first quarter of training", early_lead),
    Finding("length", "RTT makes responses longer than RL, less so without credit of the end token", length_drift),
    Finding("global criteria", "RTT gains less than RL on criteria that all words decide", neglect_of_global_criteria),
    Finding("rounding", "RTT needs relevance that is rounded", rounding),
    Finding("relative", "`relative` beats RTT and RL with the same reward", relative),
)


def findings_table(scores: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per finding. scores and curves: those of `studies.records`."""
    kept = {*primary().tuning.chosen_on, *primary().fresh.seeds}
    scores, curves = (frame[~frame["seed"].isin(kept)] for frame in (scores, curves))
    runs = Runs(scores, curves, run_shapes(curves, ARMS))
    rows = []
    for finding in FINDINGS:
        judged = judge(finding.comparisons(runs))
        rows.append((finding.id, finding.statement, judged.verdict, judged.ours, judged.n, judged.reason))
    return pd.DataFrame(rows, columns=COLUMNS)
