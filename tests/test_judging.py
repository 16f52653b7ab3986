"""The rule of every claim: by hand, against a slow reading of its words, and at its edges."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from test_claims import CORE, evidence, scores

from rtt_lib.analysis import claims
from rtt_lib.analysis.evidence import Comparison
from rtt_lib.analysis.judging import (
    FAILS,
    PARTLY,
    REPLICATES,
    RULE,
    UNTESTED,
    Sign,
    corrected,
    judge,
    reason_of,
    verdict_of,
)
from rtt_lib.analysis.primary import primary
from rtt_lib.profile import REPOSITORY

EIGHT = ("A0", "B1", "C2", "D3", "E4", "F5", "G6", "H7")
STATES = (Sign("", 1, True, False), Sign("", -1, True, True), Sign("", 0, True, False), Sign("", 0, False, False))


def in_words(signs) -> str:
    """The rule as it is written, sentence by sentence."""
    shown, turned = [one for one in signs if one.sign > 0], [one for one in signs if one.sign < 0]
    if len([one for one in shown if one.complete]) == len(signs):
        return "replicates"
    if len(turned) - len(shown) >= 2:
        return "does not replicate"
    if not [one for one in signs if not (one.complete and one.no_gain)]:
        return "does not replicate"
    return "partly" if shown else "cannot be tested at this size"


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_code_is_the_rule(n):
    for signs in product(STATES, repeat=n):
        assert verdict_of(signs) == in_words(signs)


def test_the_rule_is_the_documents():
    text = " ".join((REPOSITORY / "docs" / "fixed.md").read_text(encoding="utf-8").replace("\n- ", "\n").split())
    assert [sentence for sentence in RULE if sentence not in text] == []


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_no_single_comparison_decides_between_replication_and_its_opposite(n):
    for signs in product(STATES, repeat=n):
        around = [verdict_of([*signs[:k], other, *signs[k + 1 :]]) for k in range(n) for other in STATES]
        around += [verdict_of([*signs[:k], *signs[k + 1 :]]) for k in range(n)] if n > 2 else []
        assert not {REPLICATES, FAILS} <= {verdict_of(signs), *around} or verdict_of(signs) not in (REPLICATES, FAILS)


def test_what_a_verdict_rests_on_is_said():
    plus, minus = replace(STATES[0], place="a"), replace(STATES[1], place="b")
    assert reason_of([plus, STATES[2]]) == (
        "shown in 1 of 2 comparisons, reversed in 0. Without a: cannot be tested at this size. Without : replicates."
    )
    assert reason_of([plus, plus, minus, minus]) == "shown in 2 of 4 comparisons, reversed in 2."
    lacking = reason_of([plus, plus, STATES[3]])
    assert lacking.startswith("shown in 2 of 3 comparisons, reversed in 0. 1 is missing or incomplete.")


# --- from runs to signs ---


def in_the_worlds(worlds="LMSU", seeds=EIGHT, **arms) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.01, 64)
    frames = []
    for world in worlds:
        for k, seed in enumerate(seeds):
            runs = scores(seeds=(seed,), world=world, **arms)
            runs["all satisfied"] += noise[k] * runs["arm"].str.startswith("RTT")
            frames.append(runs)
    return pd.concat(frames, ignore_index=True)


def test_all_of_the_set_replicates_and_less_of_it_partly(tmp_path):
    judged = claims.c1(evidence(tmp_path, in_the_worlds(**CORE)))
    assert judged.verdict == REPLICATES and judged.n == "8 paired seeds: A0 B1 C2 D3 E4 F5 G6 H7"
    for less in (in_the_worlds("LMS", **CORE), in_the_worlds(seeds=EIGHT[:7], **CORE)):
        judged = claims.c1(evidence(tmp_path, less))
        assert judged.verdict == PARTLY and "missing or incomplete" in judged.reason
    assert "| U not run" in claims.c1(evidence(tmp_path, in_the_worlds("LMS", **CORE))).ours
    assert "n = 7 of 8" in judged.ours


def test_no_other_run_than_those_of_the_set_counts(tmp_path):
    more = in_the_worlds(seeds=("A1", "I8", "J9"), **CORE | {"RTT__AON": 0.1, "RTT__CSR": 0.1})
    both = pd.concat([in_the_worlds(**CORE), more])
    assert claims.c1(evidence(tmp_path, both)) == claims.c1(evidence(tmp_path, in_the_worlds(**CORE)))
    elsewhere = claims.c4(evidence(tmp_path, in_the_worlds("S", RTT__AON=0.9, RTT__AON_inter=0.1)))
    assert elsewhere.verdict == UNTESTED and "S" not in primary().claims["C4"].worlds


def one(values, column="all satisfied", planned=EIGHT) -> Comparison:
    return Comparison("RTT-AON", "RL-AON", "L", column, planned, dict(zip(EIGHT, values, strict=False)))


WEAK = [0.05, 0.04, 0.09, -0.02, 0.02, 0.01, 0.05, 0.03]  # its 95% interval leaves out zero, one at 99.4% does not


def test_several_comparisons_ask_more_of_each():
    weak, strong, nothing = one(WEAK), one([0.1 + 0.001 * k for k in range(8)]), one([0.03, -0.03] * 4)
    assert weak.sign() == 1 and weak.sign(1 - 0.05 / 8) == 0
    assert judge([weak]).verdict == REPLICATES
    assert judge([weak, *[nothing] * 7]).verdict == UNTESTED
    levels = corrected([weak, strong, nothing])
    assert levels == pytest.approx([1 - 0.05 / 2, 1 - 0.05 / 3, 1 - 0.05])
    missing = one([])
    assert corrected([weak, missing]) == pytest.approx([0.975, 0.95]) and judge([weak, missing]).verdict != REPLICATES


def test_no_room_for_a_gain_is_a_verdict_only_where_all_is_there():
    flat = one([0.001, -0.001, 0.002, -0.002] * 2)
    assert judge([flat, flat]).verdict == FAILS
    assert judge([flat, one([0.001, -0.001, 0.002])]).verdict == UNTESTED
    assert judge([replace(flat, column="final entropy")] * 2).verdict == UNTESTED, "a gain of a point is one of scores"


def test_a_sign_needs_bases_that_agree():
    within = Comparison("a", "b", "L", "all satisfied", (), {"A0": 0.5, "A1": 0.5, "A2": 0.5, "A3": 0.5, "B0": -0.05})
    assert within.interval()[0] > 0 and within.sign() == 0
    assert replace(within, values={"A0": 0.5, "A1": 0.4, "A2": 0.5, "B0": 0.3, "B1": 0.4}).sign() == 1


def test_lower_and_above_turn_and_move_what_is_claimed():
    below = one([0.05 + 0.001 * k for k in range(8)], "language loss")
    assert judge([below], above=0.1, lower=True).verdict == REPLICATES
    assert judge([below, below], above=0.01, lower=True).verdict == FAILS
    assert judge([below], above=0.01).verdict == REPLICATES
