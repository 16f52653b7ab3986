"""The table of claims, as it is saved and as it is said."""

from __future__ import annotations

import pandas as pd
import pytest
from test_claims import CORE, curves, evidence, scores

from rtt_lib.analysis import claims
from rtt_lib.analysis.claims_page import (
    COLUMNS,
    OVER_BASES,
    WITHIN_BASES,
    claims_markdown,
    claims_table,
    comparisons_table,
    designs,
    judge_claims,
    save_claims,
)
from rtt_lib.analysis.judging import UNTESTED, VERDICTS
from rtt_lib.report.site import VERDICT_CLASSES


def test_a_base_policy_of_its_own_for_every_run_is_said_and_needs_no_means(tmp_path):
    own = scores(seeds=("A0", "B1", "C2", "D3", "E4"), **CORE)
    assert "x +10.0 [+10.0, +10.0], n = 5" in claims.c1(evidence(tmp_path, own)).ours
    for runs, said in ((own, OVER_BASES), (scores(**CORE), WITHIN_BASES), (own[:0], WITHIN_BASES)):
        text = claims_markdown(pd.DataFrame(columns=COLUMNS), "micro", designs(runs))
        assert [words in text for words in (OVER_BASES, WITHIN_BASES)].count(True) == 1 and said in text


def test_an_empty_run_fills_every_cell(tmp_path):
    table = claims_table(judge_claims(evidence(tmp_path)))
    assert table["claim"].tolist() == [f"C{n}" for n in range(1, 12)]
    assert (table.map(lambda cell: bool(str(cell).strip())).all(axis=None)) and not table.isna().any(axis=None)
    assert set(table.loc[table["claim"] != "C11", "verdict"]) == {UNTESTED}


def test_the_saved_table_is_what_the_site_shows(tmp_path):
    lines = curves(RL__CSR=(30, 0.6, 1.4), RTT__CSR=(10, 0.6, 0.4))
    table = save_claims(evidence(tmp_path / "tables", scores(**CORE), lines), "micro", tmp_path)
    saved = pd.read_csv(tmp_path / "tables" / "claims.csv")
    assert saved["verdict"].tolist() == table["verdict"].tolist() and not saved.isna().any(axis=None)
    text = (tmp_path / "claims.md").read_text()
    assert "profile `micro`" in text and text.count("\n| C") == 11 and "replicates: 3" in text


def test_the_comparisons_are_those_that_the_verdict_counts(tmp_path):
    changes = {"x": {}, "y": {"RTT__AON": 0.3}, "z": {"RTT__CSR": 0.5}}
    worlds = [scores(("A0", "B1", "C2"), world, **CORE | change) for world, change in changes.items()]
    judged = judge_claims(evidence(tmp_path, pd.concat(worlds)))
    table = comparisons_table(judged)
    c1 = table[table["claim"] == "C1"].set_index(["arm", "world"])
    assert c1["finding"].to_dict() == {
        ("RTT-AON", "x"): "shown",
        ("RTT-AON", "y"): "reversed",
        ("RTT-AON", "z"): "shown",
        ("RTT-CSR", "x"): "shown",
        ("RTT-CSR", "y"): "shown",
        ("RTT-CSR", "z"): "neither",
    }
    one = c1.loc[("RTT-AON", "y")]
    assert [one[name] for name in ("mean", "low", "high", "line")] == pytest.approx([-0.2, -0.2, -0.2, 0])
    assert one["level"] > 0.95 and one["pairs"] == 3 and one["baseline"] == "RL-AON"
    assert judged["C1"].reason.startswith("shown in 4 of 6 comparisons, reversed in 1.")
    assert set(table.loc[table["claim"] == "C2", "finding"]) == set()  # no SFT, no DPO: nothing to compare
    assert table.loc[table["claim"] == "C11", ["arm", "finding"]].to_numpy().tolist() == [
        ["inter", "shown"],
        ["intra", "shown"],
    ]


def test_a_loss_is_shown_below_its_line_and_a_few_runs_say_nothing(tmp_path):
    runs = scores(base=0.5, RTT__AON=0.5, RTT__CSR=0.5)
    runs["language loss"] += runs["arm"].map({"base": 0, "RTT-AON": 0.02, "RTT-CSR": 2.0})
    for chosen, said in ((runs, ["shown", "reversed"]), (runs[runs["seed"].isin(["A0", "B0"])], ["too few runs"] * 2)):
        table = comparisons_table(judge_claims(evidence(tmp_path, chosen)))
        c3 = table[table["claim"] == "C3"]
        assert c3["finding"].tolist() == said and set(c3["line"]) == {claims.KEPT_MARGIN}


def test_the_site_colours_exactly_these_verdicts():
    assert set(VERDICT_CLASSES) == set(VERDICTS) and len(set(VERDICT_CLASSES.values())) == 4
