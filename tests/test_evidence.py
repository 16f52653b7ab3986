"""Comparisons of a primary set: of which runs they are, and how they are said."""

from __future__ import annotations

import pandas as pd
import pytest
from test_claims import CORE, SEEDS, scores

from rtt_lib.analysis.evidence import SCORE, Comparison, comparison, in_figures, of_set, pairs_of, planned_only
from rtt_lib.analysis.findings import compare
from rtt_lib.analysis.primary import ClaimSet

SET = ClaimSet(("all satisfied", "per constraint"), ("RTT-AON - RL-AON",), ("L", "M"), ("A0", "B1", "C2"))
OWN = ("A0", "B1", "C2", "D3")


def test_a_set_asks_for_its_worlds_and_seeds_only():
    runs = pd.concat([scores(seeds=OWN, world=world, RTT__AON=0.6, RL__AON=0.5) for world in "LU"])
    found = of_set(runs, SET)
    assert [(one.world, one.column, tuple(one.values)) for one in found] == [
        ("L", "all satisfied", ("A0", "B1", "C2")),
        ("M", "all satisfied", ()),
        ("L", "per constraint", ("A0", "B1", "C2")),
        ("M", "per constraint", ()),
    ]
    assert [one.complete for one in found] == [True, False, True, False]
    kept = planned_only(runs, SET)
    assert set(kept["world"]) == {"L"} and set(kept["seed"]) == {"A0", "B1", "C2"}


def test_another_world_is_asked_for_all_its_seeds():
    runs = scores(seeds=OWN, world="composed", RTT__AON=0.6, RL__AON=0.5)
    found = of_set(runs.iloc[:-1], SET, ["all satisfied"])
    assert [(one.world, one.planned, one.complete) for one in found] == [("composed", OWN, False)]
    assert planned_only(runs, SET).equals(runs)


def test_without_runs_everything_is_missing():
    empty = pd.DataFrame(columns=["arm", "world", "seed"])
    assert [one.values for one in of_set(empty, SET)] == [{}] * 4


def test_a_comparison_by_hand():
    runs = pd.DataFrame([(arm, "L", seed, score) for arm, row in {"a": [0.5, 0.7, 0.9], "b": [0.4, 0.5, 0.6]}.items()
                         for seed, score in zip(("A0", "B1", "C2"), row, strict=True)],
                        columns=["arm", "world", "seed", "s"])  # fmt: skip
    one = comparison(runs, "a", "b", "s", "L", ("A0", "B1"))
    assert one.values == pytest.approx({"A0": 0.1, "B1": 0.2}) and one.mean == pytest.approx(0.15)
    assert not one.tested and one.numbers() == "L +15.0, n = 2"
    assert comparison(runs, "a", "b", "s", "L", ()).tested
    assert comparison(runs, "a", "nobody", "s", "L", ()).values == {}
    assert comparison(runs, "a", "b", "another measure", "L", ()).values == {}


def test_figures_are_said_with_what_is_missing():
    one = Comparison("a", "b", "L", "final entropy", OWN, {"A0": 1.0, "B1": 1.0, "C2": 1.0})
    gone = Comparison("a", "b", "M", "final entropy", OWN, {})
    said = "L +1.00 [+1.00, +1.00], n = 3 of 4 | M not run"
    assert in_figures([one, gone]) == f"a - b, final entropy (nats per token): {said}"
    assert pairs_of([one, gone]) == "3 paired seeds: A0 B1 C2"
    there = compare(scores(**CORE), "RTT-AON", "RL-AON", SCORE)
    assert [tuple(one.values) for one in there] == [SEEDS] and there[0].complete
    assert compare(scores(**CORE), "RTT-AON", "DPO", SCORE) == []
