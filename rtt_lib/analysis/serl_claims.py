"""SERL's claims S-C1 to S-C7: which comparison decides each, fixed before any of these runs was made, and the verdicts.

    supported     the interval lies beyond zero on the claimed side
    contradicted  it lies beyond zero on the other side
    negligible    it lies within the margin around zero
    undecided     none of these
    untested      fewer than three paired runs

Intervals are 95% paired t intervals over base policies; a bootstrap interval stands beside. The first two verdicts also
need the p-value, adjusted by Holm over the claims, to be below 5%. S-C7 says that there is no difference. It is
supported where the interval lies within the margin and the adjusted p-value of two one-sided tests is below 5%,
contradicted where the interval lies beyond the margin on one side, and else undecided.

The comparisons are as they were fixed. What limits say of speed, certainty and the ramp was added after the runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import stats as scipy_stats

from rtt_lib.analysis.contrasts import (
    CONTRADICTED,
    MARGIN,
    NEGLIGIBLE,
    SUPPORTED,
    UNDECIDED,
    UNTESTED,
    Measured,
    intervals,
    p_of_zero,
    together,
)
from rtt_lib.stats import ENOUGH_RUNS, LEVEL

BASES = ("A0", "B1", "C2", "D3", "E4", "F5", "G6", "H7")
ENOUGH_STEPS, WINDOW = 48, 10  # of S-C7; single steps are noisy
SCORE, STEPS = "per constraint", "gain after step 48"


@dataclass(frozen=True)
class Claim:
    """arm - baseline in a world, paired over BASES; `sign`: +1 claimed above zero, -1 below, 0 no difference."""

    id: str
    statement: str
    paper: str
    arm: str
    baseline: str
    world: str
    column: str
    sign: int
    limit: str
    margin: float = MARGIN


CLAIMS = (
    Claim(
        "S-C1",
        "A policy improves by its own verdicts alone",
        "AlpacaEval 2, length-controlled: 52.37 to 59.90 (abstract)",
        "SERL",
        "base",
        "J65",
        SCORE,
        1,
        "criteria that rules verify stand for a judge's preference",
    ),
    Claim(
        "S-C2",
        "It beats other ways to reward oneself",
        "59.90 against 51.29 Self-Rewarding, 54.73 Meta-Rewarding, 54.07 Online-DPO (third-party notes)",
        "SERL",
        "SERL pointwise",
        "J65",
        SCORE,
        1,
        "marks of single responses stand for Self-Rewarding; the other two are not here; the marks have no length "
        "control, and an actor that trains without a judge learns faster from the start",
    ),
    Claim(
        "S-C3",
        "R_J makes the better judge",
        "no number found",
        "SERL",
        "SERL no R_J",
        "J65",
        "judge accuracy",
        1,
        "accuracy is a probability and can rise by certainty alone: firm accuracy stands beside it",
    ),
    Claim(
        "S-C4",
        "Without R_A more is lost than without R_J",
        "direction only (third-party notes)",
        "SERL no R_J",
        "SERL no R_A",
        "J65",
        SCORE,
        1,
        "without R_A the actor's role is not trained at all",
    ),
    Claim(
        "S-C5",
        "Showing every pair in both orders removes the preference for a place",
        "direction only (third-party notes)",
        "SERL",
        "SERL one order",
        "first",
        "judge place",
        -1,
        "the preference is planted; `judge place` is the distance of the share of first places from one half",
    ),
    Claim(
        "S-C6",
        "Length control keeps responses from growing",
        "length 3,017 against 3,429 of Online-DPO (third-party notes)",
        "SERL",
        "SERL no length control",
        "J65",
        "mean words",
        -1,
        "no prompt asks for a length; the longest response has 16 tokens; the filter counts commas, mean words do not",
        0.5,
    ),
    Claim(
        "S-C7",
        "Some 48 steps suffice, and training stays stable without KL",
        "gains appear within about 48 steps (third-party notes)",
        "SERL",
        "SERL",
        "J65",
        STEPS,
        0,
        "criteria met by the training responses: last ten steps minus steps 39 to 48 of the same run; the actor's "
        "weight rises until step 50, so that this claim was likely to fail",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Result(Measured):
    claim: Claim

    @property
    def verdict(self) -> str:
        if self.pairs < ENOUGH_RUNS:
            return UNTESTED
        inside = -self.claim.margin < self.low and self.high < self.claim.margin
        if self.claim.sign == 0:
            if inside and self.adjusted < 1 - LEVEL:
                return SUPPORTED
            return CONTRADICTED if self.low > self.claim.margin or self.high < -self.claim.margin else UNDECIDED
        beyond = 1 if self.low > 0 else -1 if self.high < 0 else 0
        if beyond and self.adjusted < 1 - LEVEL:
            return SUPPORTED if beyond == self.claim.sign else CONTRADICTED
        return NEGLIGIBLE if inside else UNDECIDED


def decide(runs: pd.DataFrame, curves: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> list[Result]:
    """Every claim. runs: one row per run, as of `records.results_table`; curves: one per step"""
    return together([compare(claim, differences(claim, runs, curves)) for claim in claims])


def differences(claim: Claim, runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
    """arm - baseline of each seed that has both."""
    if claim.column == STEPS:
        return gain_after(curves[(curves["arm"] == claim.arm) & (curves["world"] == claim.world)])
    return paired(runs, claim.world, claim.arm, claim.baseline, claim.column)


def paired(runs: pd.DataFrame, world: str, arm: str, baseline: str, column: str) -> pd.Series:
    """arm - baseline of each of BASES that has both."""
    if column not in runs:
        return pd.Series(dtype=float)
    frame = runs[(runs["world"] == world) & runs["seed"].isin(BASES)]
    table = frame.pivot_table(index="seed", columns="arm", values=column)
    if arm not in table or baseline not in table:
        return pd.Series(dtype=float)
    return (table[arm] - table[baseline]).dropna()


def what_parts_do(runs: pd.DataFrame) -> pd.DataFrame:
    """SERL minus every other arm in world J65, in what actor and judge are measured by. No claim was fixed about these
    pairs, and their intervals are not corrected for their number."""
    world, full = "J65", "SERL"
    arms = [arm for arm in dict.fromkeys(runs["arm"][runs["world"] == world]) if arm != full]
    rows = []
    for column in (SCORE, "judge accuracy", "judge firm accuracy", "mean words"):
        for arm in arms:
            found = intervals(paired(runs, world, full, arm, column))
            low, high = found.get("low", math.nan), found.get("high", math.nan)
            pair = {"measure": column, "world": world, "arm": full, "against": arm}
            rows.append({**pair, "difference": found["difference"], "low": low, "high": high, "n": found["pairs"]})
    return pd.DataFrame(rows)


def gain_after(curves: pd.DataFrame) -> pd.Series:
    """Criteria met in the last WINDOW steps minus those in the WINDOW steps up to ENOUGH_STEPS, one value a seed."""
    found = {}
    for seed, run in curves.groupby("seed"):
        values = run.sort_values("step").set_index("step")["verdict/csr"]
        if values.index.max() >= ENOUGH_STEPS + WINDOW:
            found[seed] = values.iloc[-WINDOW:].mean() - values.loc[ENOUGH_STEPS - WINDOW + 1 : ENOUGH_STEPS].mean()
    return pd.Series(found, dtype=float)


def compare(claim: Claim, values: pd.Series) -> Result:
    found = intervals(values)
    return Result(claim=claim, **found, p=_p_value(claim, values) if "low" in found else math.nan)


def _p_value(claim: Claim, values: pd.Series) -> float:
    """Against the claim's null: a mean of zero, or, where no difference is claimed, one at the margin or beyond."""
    if claim.sign:
        return p_of_zero(values)
    if values.std(ddof=1) == 0:
        return float(abs(values.mean()) > claim.margin)
    below = scipy_stats.ttest_1samp(values, claim.margin, alternative="less").pvalue
    above = scipy_stats.ttest_1samp(values, -claim.margin, alternative="greater").pvalue
    return float(max(below, above))


def claims_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row a claim, as it is published."""
    rows = []
    for result in results:
        claim = result.claim
        rows.append(
            {
                "claim": claim.id,
                "statement": claim.statement,
                "verdict": result.verdict,
                "paper": claim.paper,
                "comparison": f"{claim.arm} - {claim.baseline}, {claim.world}, {claim.column}"
                if claim.arm != claim.baseline
                else f"{claim.arm}, {claim.world}, {claim.column}",
                "difference": result.difference,
                "low": result.low,
                "high": result.high,
                "bootstrap low": result.resampled[0],
                "bootstrap high": result.resampled[1],
                "Holm p": result.adjusted,
                "n": result.pairs,
                "limit": claim.limit,
            }
        )
    return pd.DataFrame(rows)
