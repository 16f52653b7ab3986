"""Base policies crossed with discriminators: sums of squares by hand, and the table from runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import crossed


def runs(world: str, y: list[list[float]]) -> list[dict]:
    return [
        {"world": world, "arm": f"RTT-AON discriminator {'AB'[j]}", "seed": f"{'AB'[i]}{i}", "all satisfied": y[i][j]}
        for i in range(len(y))
        for j in range(len(y[i]))
    ]


def test_sums_of_squares_by_hand():
    # mean 0.5; policies 0.4 and 0.6: 2 (0.01 + 0.01) = 0.04; discriminators 0.3 and 0.7: 2 (0.04 + 0.04) = 0.16
    found = crossed.split(np.array([[0.2, 0.6], [0.4, 0.8]]))
    assert found == pytest.approx({"policies": 0.2, "discriminators": 0.8, "rest": 0.0})
    # the mean of every row and column is 0.5: all of it is the rest
    assert crossed.split(np.array([[0.3, 0.7], [0.7, 0.3]])) == pytest.approx(
        {"policies": 0.0, "discriminators": 0.0, "rest": 1.0}
    )
    assert all(map(math.isnan, crossed.split(np.full((2, 2), 0.5)).values()))


def test_the_parts_make_the_whole():
    y = np.random.default_rng(0).random((4, 3))
    assert sum(crossed.split(y).values()) == pytest.approx(1)
    assert crossed.split(y)["policies"] == pytest.approx(crossed.split(y.T)["discriminators"])


def test_only_whole_tables_are_split_and_other_arms_are_left_out():
    other = [{"world": "U", "arm": "RTT-AON", "seed": "A0", "all satisfied": 0.9}]
    table = pd.DataFrame([*runs("U", [[0.2, 0.6], [0.4, 0.8]]), *runs("L", [[0.1, 0.2], [0.3]]), *other])
    found = crossed.scores(table)
    assert len(found) == 7 and set(found["arm"]) == {"RTT-AON"}
    (row,) = crossed.shares(found).to_dict("records")
    assert (row["world"], row["runs"], row["lowest"], row["highest"]) == ("U", 4, 0.2, 0.8)
    assert crossed.finding(crossed.shares(found)) == (
        "In world U the scores of RTT-AON lie between 20% and 80%; base policies account for 20% of their variance, "
        "discriminators for 80%, and the rest is both together and chance."
    )


def test_without_such_runs_it_says_so():
    other = pd.DataFrame([{"world": "U", "arm": "RTT-AON", "seed": "A0", "all satisfied": 0.9}])
    for table in (other, other.iloc[:0], pd.DataFrame(columns=["arm", "world", "seed"])):
        nothing = crossed.shares(crossed.scores(table))
        assert nothing.empty and "not run in this profile" in crossed.finding(nothing)
