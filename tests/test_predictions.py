"""Prediction intervals by hand, and the check against fresh runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis.predictions import held_out, in_words, prediction_table, with_runs_before
from rtt_lib.analysis.primary import Fresh, primary

FRESH = Fresh("all satisfied", ("RL-AON", "RTT-AON"), ("L",), ("A0", "B1", "C2", "D3", "E4"), ("N13", "O14"), 0.9)


def runs(**scores) -> pd.DataFrame:
    rows = [
        {"arm": arm.replace("_", "-"), "world": "L", "seed": seed, "all satisfied": score, "per constraint": score}
        for arm, by_seed in scores.items()
        for seed, score in by_seed.items()
    ]
    return pd.DataFrame(rows)


FIVE = dict(zip(FRESH.predicted_from, [0.4, 0.4, 0.5, 0.6, 0.6], strict=True))
REACH = 2.7764 * 0.1 * 1.2**0.5  # Student's t with 4 degrees of freedom, standard deviation 0.1, one run more than five


def test_a_cell_by_hand():
    table = prediction_table(runs(RTT_AON=FIVE), ["all satisfied", "per constraint"])
    assert table["measure"].tolist() == ["all satisfied", "per constraint"] and table["runs"].tolist() == [5, 5]
    assert table.loc[0, ["mean", "low", "high"]].tolist() == pytest.approx([0.5, 0.5 - REACH, 0.5 + REACH], abs=1e-4)


def test_a_share_stays_a_share_and_two_runs_predict_nothing():
    low = prediction_table(runs(RTT_AON={seed: 0.1 * score for seed, score in FIVE.items()}), ["all satisfied"])
    assert low["low"].item() == pytest.approx(0.05 - 0.1 * REACH, abs=1e-4)
    assert prediction_table(runs(RTT_AON={"A0": 0.0, "B1": 0.1, "C2": 0.0}), ["all satisfied"])["low"].item() == 0
    assert prediction_table(runs(RTT_AON={"A0": 0.1, "B1": 0.2}), ["all satisfied"])["low"].isna().all()


def test_only_shares_end_at_one():
    loss = runs(RTT_AON=FIVE).assign(**{"language loss": [1.0, 1.1, 1.2, 1.3, 1.4]})
    assert prediction_table(loss, ["language loss"])["high"].item() > 1.4
    lowest = runs(RTT_AON=FIVE).assign(**{"language loss": [0.0, 0.0, 0.0, 0.0, 1.0]})
    assert prediction_table(lowest, ["language loss"])["low"].item() == 0


def test_fresh_runs_alone_are_held_against_the_published_ones():
    fresh = primary().fresh
    new = runs(RTT_AON=dict.fromkeys(fresh.seeds, 0.5))
    found = held_out(with_runs_before(new, fresh), fresh)
    assert found[["world", "arm", "runs", "fresh runs"]].to_numpy().tolist() == [["L", "RTT-AON", 8, 10]]
    both = pd.concat([new, runs(RTT_AON=dict.fromkeys(fresh.predicted_from, 0.4))])
    assert len(with_runs_before(both, fresh)) == 18, "a profile's own runs predict where it has them"
    own = runs(RTT_AON=FIVE)
    assert with_runs_before(own, fresh) is own, "nothing fresh, nothing to hold"


def test_fresh_runs_are_held_against_the_runs_before_them():
    frame = runs(
        RTT_AON=FIVE | {"N13": 0.5 + 0.9 * REACH, "O14": 0.5 + 1.1 * REACH, "Z9": 0.0},
        RL_AON=FIVE | {"N13": 0.5},
        DPO=FIVE | {"N13": 0.5},
    )
    table = held_out(frame, FRESH).set_index("arm")
    assert table[["fresh runs", "inside"]].to_dict("index") == {
        "RTT-AON": {"fresh runs": 2, "inside": 1},
        "RL-AON": {"fresh runs": 1, "inside": 1},
    }
    said = in_words(held_out(frame, FRESH), FRESH)
    assert "2 of 3 fresh runs (67%)" in said and "**less than asked**. 1 of the 4 planned are missing." in said
    assert said.endswith("By cells: 1 of 2 hold as many of theirs."), "5 of 10 in one cell and all in the other"


def test_as_many_as_asked():
    frame = runs(RTT_AON=FIVE | {"N13": 0.5, "O14": 0.5}, RL_AON=FIVE | {"N13": 0.5, "O14": 0.5})
    assert "4 of 4 fresh runs (100%)" in in_words(held_out(frame, FRESH), FRESH)
    assert "**as asked**. By cells: 2 of 2" in in_words(held_out(frame, FRESH), FRESH)


def test_without_fresh_runs_nothing_is_said():
    assert in_words(held_out(runs(RTT_AON=FIVE), FRESH), FRESH) == "*Fresh runs: not run in this profile.*"


def test_normal_runs_are_held_as_often_as_promised():
    rng = np.random.default_rng(0)
    inside = total = 0
    for _ in range(150):
        each = {arm: dict(zip((*FRESH.predicted_from, *FRESH.seeds), rng.normal(0.5, 0.05, 7), strict=True))
                for arm in ("RL_AON", "RTT_AON")}  # fmt: skip
        table = held_out(runs(**each), FRESH)
        inside, total = inside + table["inside"].sum(), total + table["fresh runs"].sum()
    assert inside / total == pytest.approx(0.95, abs=0.025)
