"""RTT's failure modes: the credit of the end token by hand, and the shapes of curves that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import shapes as shapes_of
from rtt_lib.analysis.comparison import in_words


def curves(arm="RTT-AON", seeds=("A0", "A1", "B0"), **columns) -> pd.DataFrame:
    steps = np.arange(1, 41)
    # Up to 0.8 by step 20, flat for ten steps, down to 0.2 at step 40.
    rate = np.interp(steps, [1, 20, 30, 31, 40], [0, 0.8, 0.8, 0.2, 0.2])
    frame = pd.DataFrame({"step": steps, "verdict/aon": rate, "verdict/csr": rate, "entropy": 2 - steps / 40})
    frame["completions/mean_length"] = np.where(steps <= 10, 12.0, 20.0)
    frame["verdict/include"] = np.where(steps <= 10, 0.4, 0.9)
    frame["verdict/end"] = np.where(steps <= 10, 0.2, 0.9)
    frame["verdict/exactly"] = np.where(steps <= 10, 0.5, 0.1)
    frame["verdict/unknown"] = 0.0
    frame = frame.assign(arm=arm, world="L", **columns)
    return pd.concat([frame.assign(seed=seed) for seed in seeds], ignore_index=True)


def test_the_shape_of_a_run():
    shapes = shapes_of.run_shapes(curves(**{"credit/eos": -0.3, "completions/clipped_ratio": 0.5}), ["RTT-AON"])
    assert shapes[["arm", "world", "seed"]].to_numpy().tolist() == [["RTT-AON", "L", s] for s in ("A0", "A1", "B0")]
    row = shapes.iloc[0]
    assert row["peak"] == pytest.approx(0.8) and row["end"] == pytest.approx(0.2)
    assert row[shapes_of.FALL] == pytest.approx(0.6)
    assert row[shapes_of.LENGTH] == 8 and row[shapes_of.CUT] == 0.5 and row[shapes_of.EOS] == pytest.approx(-0.3)
    assert row[shapes_of.LOCAL] == pytest.approx(0.6) and row[shapes_of.GLOBAL] == pytest.approx(-0.4)
    assert row[shapes_of.ENTROPY] == pytest.approx(2 - 35.5 / 40)


def test_length_is_global_and_totals_are_no_families():
    found = shapes_of.with_scopes(
        pd.DataFrame({"world": "L", "verdict/aon": [0.0], "verdict/include": [0.5], "verdict/at_most_words": [1.0]})
    )
    assert found[shapes_of.LOCAL_CURVE].tolist() == [0.5] and found[shapes_of.GLOBAL_CURVE].tolist() == [1.0]


def test_families_of_composed_prompts_have_their_own_taxonomy():
    columns = {"verdict/lowercase": [1.0], "verdict/keywords": [0.5], "verdict/aon": [0.0]}
    found = shapes_of.with_scopes(pd.DataFrame({"world": ["composed"], **columns}))
    assert found[shapes_of.GLOBAL_CURVE].tolist() == [1.0] and found[shapes_of.LOCAL_CURVE].tolist() == [0.5]


def test_an_arm_without_token_credit_gets_a_dash():
    table = shapes_of.shape_table(shapes_of.run_shapes(curves("RL-AON"), ["RL-AON"]), ["RL-AON"])
    assert table[shapes_of.EOS].tolist() == ["-"] and table[shapes_of.LENGTH].tolist() == ["8.000"]


def test_more_and_less_instead_of_better_and_worse():
    shorter = curves("RL-AON").assign(**{"completions/mean_length": 12.0, "entropy": 3.0})
    both = shapes_of.run_shapes(pd.concat([curves(), shorter]), ["RTT-AON", "RL-AON"])
    table = shapes_of.shape_differences(both, [("RTT-AON", "RL-AON")]).set_index("measure")
    assert table.loc[shapes_of.LENGTH, ["difference", "verdict"]].tolist() == [8, "more"]
    assert table.loc[shapes_of.ENTROPY, "verdict"] == "less"
    assert table.loc[shapes_of.FALL, "verdict"] == "no difference shown"
    assert "**more**" in in_words(table.reset_index())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_toy_run_has_a_shape_too(steps):
    row = shapes_of.run_shapes(curves().query(f"step <= {steps}"), ["RTT-AON"]).iloc[0]
    assert np.isfinite(row["peak"]) and row[shapes_of.FALL] == 0


def test_without_runs_the_tables_are_empty():
    nothing = pd.DataFrame(columns=["arm", "world", "seed", "step"])
    shapes = shapes_of.run_shapes(nothing, ["RTT-AON"])
    assert shapes.empty and shapes_of.shape_table(shapes, ["RTT-AON"]).empty
    assert shapes_of.shape_differences(shapes, [("RTT-AON", "RL-AON")]).empty
    assert shapes_of.with_scopes(nothing)[shapes_of.LOCAL_CURVE].empty
