"""What else differs between RTT and RL: values worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis.rtt_minus_rl import COLUMNS, rtt_minus_rl, with_scopes

ARMS = ("RL-AON", "RTT-AON")


def runs() -> pd.DataFrame:
    """Worlds L and U, one seed of each of three bases: RTT-AON is 0.1 lower in L, 0.2 higher in U."""
    rows = []
    for world, gain in (("L", -0.1), ("U", 0.2)):
        for k, seed in enumerate(("A0", "B1", "C2")):
            for arm in ARMS:
                rtt = arm == "RTT-AON"
                row = {"arm": arm, "world": world, "seed": seed, "all satisfied": 0.5 + gain * rtt + 0.01 * k}
                row |= {"mean words": 12 + 6 * rtt, "include": 0.6 + 0.2 * rtt, "exclude": 0.8}
                row |= {"length": 0.9 - 0.3 * rtt if world == "L" else np.nan}
                rows.append(row)
    return pd.DataFrame(rows)


def test_each_measure_of_each_world_is_a_paired_difference():
    table = rtt_minus_rl(runs()).set_index(["world", "measure"])
    means = table["mean"].to_dict()
    assert means == pytest.approx(
        {
            ("L", "all satisfied"): -0.1,
            ("U", "all satisfied"): 0.2,
            ("L", "mean words"): 6,
            ("U", "mean words"): 6,
            ("L", "local criteria"): 0.1,  # the mean of +0.2 and 0
            ("U", "local criteria"): 0.1,
            ("L", "global criteria"): -0.3,  # U has none
        }
    )
    length = table.loc[("L", "global criteria")]
    assert (length["of arm"], length["of baseline"]) == pytest.approx((0.6, 0.9))
    assert (length["low"], length["high"]) == pytest.approx((-0.3, -0.3)) and length["pairs"] == 3
    assert list(table["baseline"].unique()) == ["RL-AON"]


def test_scores_are_no_criteria():
    scored = with_scopes(runs())
    assert scored.loc[scored["world"] == "U", "global criteria"].isna().all()
    assert scored.loc[0, "local criteria"] == pytest.approx(0.7)


def test_too_few_pairs_and_no_run_leave_no_row():
    few = runs()[lambda frame: frame["seed"] != "C2"]
    for found in (rtt_minus_rl(few), rtt_minus_rl(pd.DataFrame(columns=["arm", "world", "seed"]))):
        assert found.empty and list(found) == COLUMNS
