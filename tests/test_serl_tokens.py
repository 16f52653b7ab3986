"""Self-judged token credit: the comparisons speak of runs that are planned, and decide as they say."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.analysis.serl_claims import BASES, CLAIMS, CONTRADICTED, SUPPORTED, UNTESTED, claims_table, decide
from rtt_lib.analysis.serl_tokens import COMPARISONS
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile


def test_every_comparison_has_its_runs():
    planned = {(s.arm.name, s.world, s.seed) for s in plan(load_profile("serl"), ["serl-criteria"])}
    for claim in COMPARISONS:
        assert {(arm, claim.world, seed) for arm in (claim.arm, claim.baseline) for seed in BASES} <= planned
    assert not {claim.id for claim in COMPARISONS} & {claim.id for claim in CLAIMS}


def test_the_sign_decides_and_p_values_are_adjusted_over_these_alone():
    scores = {"SERL": 0.5, "SERL 16 judgments": 0.7, "SERL per criterion": 0.6, "RTT-CSR relative oracle": 0.8}
    runs = pd.DataFrame(
        [
            {"arm": arm, "world": "J65", "seed": seed, "per constraint": score + 0.001 * n * score}
            for arm, score in scores.items()
            for n, seed in enumerate(BASES)
        ]
    )
    table = claims_table(decide(runs, pd.DataFrame(), COMPARISONS)).set_index("claim")
    assert table["verdict"].to_dict() == {
        "S-T1": SUPPORTED,
        "S-T2": CONTRADICTED,
        "S-T3": UNTESTED,
        "S-T4": UNTESTED,
        "S-T5": SUPPORTED,
    }
    assert table.loc["S-T1", "difference"] == pytest.approx(0.1 + 0.0035 * 0.1)
    assert table.loc["S-T5", "difference"] == pytest.approx(-0.2 - 0.0035 * 0.2)
