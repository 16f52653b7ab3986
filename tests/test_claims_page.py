"""The table of claims, as it is saved and as it is said."""

from __future__ import annotations

import pandas as pd
from test_claims import CORE, curves, evidence, scores

from rtt_lib.analysis import claims
from rtt_lib.analysis.claims_page import (
    COLUMNS,
    OVER_BASES,
    WITHIN_BASES,
    claims_markdown,
    claims_table,
    designs,
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
    table = claims_table(evidence(tmp_path))
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


def test_the_site_colours_exactly_these_verdicts():
    assert set(VERDICT_CLASSES) == set(VERDICTS) and len(set(VERDICT_CLASSES.values())) == 4
