"""The claims of a profile as files of its results: `claims.md`, and tables from which the site draws its first page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from rtt_lib.analysis.claims import CLAIMS
from rtt_lib.analysis.comparison import ENOUGH_RUNS
from rtt_lib.analysis.coverage import WORST, coverage, coverage_apart
from rtt_lib.analysis.evidence import Evidence
from rtt_lib.analysis.judging import RULE, VERDICTS, Judgement, Measured
from rtt_lib.analysis.rtt_minus_rl import rtt_minus_rl
from rtt_lib.files import write_text
from rtt_lib.tables import markdown_table, save_table

COLUMNS = ["claim", "statement", "verdict", "paper", "ours", "n", "reason", "where"]
COMPARISON_COLUMNS = ["claim", *(field.name for field in fields(Measured))]


def judge_claims(evidence: Evidence) -> dict[str, Judgement]:
    """The judgement of each claim, by its number."""
    return {claim.id: claim.test(evidence) for claim in CLAIMS}


def claims_table(judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """One row per claim, no cell empty."""
    rows = []
    for claim in CLAIMS:
        found = judged[claim.id]
        rows.append(
            [claim.id, claim.statement, found.verdict, claim.paper, found.ours, found.n, found.reason, claim.where]
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def comparisons_table(judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """One row per comparison on which a claim is judged, in the order in which it is judged."""
    rows = [{"claim": claim} | asdict(one) for claim, found in judged.items() for one in found.measured]
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def save_claims(evidence: Evidence, profile: str, results: Path) -> pd.DataFrame:
    """Leave `claims.md` and the tables `claims`, `claim_comparisons`, `rtt_minus_rl`; returns the table of claims."""
    judged = judge_claims(evidence)
    save_table(comparisons_table(judged), "claim_comparisons", results)
    save_table(rtt_minus_rl(evidence.runs), "rtt_minus_rl", results)
    table = save_table(claims_table(judged), "claims", results)
    write_text(results / "claims.md", claims_markdown(table, profile, designs(evidence.runs)))
    return table


def designs(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """Which base policies the runs of an arm start from: (A, A, A, B, B) for five runs, three of them from A."""
    bases = runs.groupby(["world", "arm"])["seed"].agg(lambda seeds: tuple(sorted(seed[0] for seed in seeds)))
    return sorted(set(bases[bases.map(len) >= ENOUGH_RUNS]), key=len, reverse=True)


OWN_DISCRIMINATOR = " Each base policy has a discriminator of its own, so they hold how these differ too."
OVER_BASES = "Every run starts from a base policy of its own, so that the intervals hold how base policies differ."
WITHIN_BASES = (
    "Intervals are of seeds within the base policies (where there are several, their own means stand in brackets); "
    "they know of no other base policy."
)


def _of_bases(design: Sequence[str]) -> bool:
    return len(set(design)) == len(design)


def _held(design: Sequence[str]) -> str:
    """How often a 95% interval over these runs holds the true mean, by simulation."""
    if _of_bases(design):
        normal, worst = coverage(tuple(design)), coverage(tuple(design), WORST)
        return (
            f"from {' '.join(design)} in {normal:.0%} of simulations if differences over base policies are normal, in "
            f"{worst:.0%} in the worst shape that was tried ({WORST})"
        )
    return (
        f"from {' '.join(design)} in {coverage(tuple(design)):.0%} of simulations if base policies do not differ and "
        f"values are normal, in {coverage_apart(design, 1.0):.0%} if they differ as much as seeds do"
    )


def claims_markdown(table: pd.DataFrame, profile: str, designs: Sequence[tuple[str, ...]]) -> str:
    """`designs`: from which base policies the runs start. This decides what their intervals are worth."""
    counts = ", ".join(f"{verdict}: {(table['verdict'] == verdict).sum()}" for verdict in VERDICTS)
    held = "; ".join(map(_held, designs))
    of_bases = bool(designs) and all(map(_of_bases, designs))
    return (
        f"# The paper's claims, profile `{profile}`\n\n{counts}.\n\n"
        "Which runs decide a claim was fixed before they were made: docs/fixed.md has the rules. *Ours* are mean "
        "paired differences with bootstrap intervals, corrected within each claim (Holm), in points (hundredths) "
        f"unless another unit is given. {' '.join(RULE)} C3, C8, C10 and C11 have rules of their own, in their "
        "reasons. "
        + (OVER_BASES if of_bases else WITHIN_BASES)
        + (OWN_DISCRIMINATOR if of_bases else " They know of no other discriminator.")
        + (f" A 95% interval holds the true mean {held}." if held else "")
        + "\n\n"
        + markdown_table(table)
    )
