"""App. D: the identities to rounding, the limit, and the analytic curve against `rtt_lib.credit`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.analysis.length_bias import (
    SCENARIOS,
    analytic,
    bias_table,
    check_derivation,
    derivation,
    equation_17,
    error_of,
    length_shares,
    mean_advantage,
    pooled_mean,
    pooled_variance,
    share_of,
    shortest_table,
    simulate,
    simulation_table,
    split,
    spread_of_advantage,
)
from rtt_lib.credit import token_advantage
from rtt_lib.report.group_partitioning import worked_example

rewards = st.floats(-1, 1, allow_subnormal=False)
groups = st.lists(st.lists(rewards, min_size=1, max_size=30), min_size=2, max_size=8)


def arrays(group):
    return [np.array(row) for row in group]


@settings(max_examples=300, deadline=None)
@given(groups)
def test_every_line_of_the_derivation_is_an_identity(group):
    j = int(np.argmin([len(row) for row in group]))
    for line, (left, right) in derivation(arrays(group), j).items():
        assert left == pytest.approx(right, abs=1e-12), line


@settings(max_examples=200, deadline=None)
@given(groups, st.data())
def test_eq_12_and_17_hold_for_any_response_not_only_the_shortest(group, data):
    s = split(arrays(group), data.draw(st.integers(0, len(group) - 1)))
    assert pooled_mean(s.w_j, s.mean_j, s.mean_rest) == pytest.approx(s.mean, abs=1e-12)
    assert pooled_variance(s.w_j, s.var_j, s.var_rest, s.gap) == pytest.approx(s.variance, abs=1e-12)


def test_a_line_that_is_right_has_no_error_and_one_that_drops_a_term_has():
    assert error_of(equation_17) < 1e-12
    largest = max(s.w_j * (1 - s.w_j) * s.gap**2 for s in seen_by(lambda s: s.variance))
    assert error_of(lambda s: s.w_j * s.var_j + (1 - s.w_j) * s.var_rest) == pytest.approx(largest) and largest > 0.1


def seen_by(line):
    """The moments of every group that `error_of` asks a line about."""
    found = []
    error_of(lambda s: found.append(s) or line(s))
    assert len(found) == 500
    return found


def test_worked_by_hand():
    # Rewards (1) and (0, 0, 2): means 1 and 2/3, w = 1/4; group mean 3/4, variance 5/4 - 9/16 = 11/16.
    s = split([np.array([1.0]), np.array([0.0, 0.0, 2.0])], 0)
    assert (s.w_j, s.mean, s.gap) == (0.25, 0.75, pytest.approx(1 / 3))
    assert s.variance == pytest.approx(11 / 16)
    assert pooled_variance(0.25, 0.0, 8 / 9, 1 / 3) == pytest.approx(11 / 16)
    assert mean_advantage(0.25, 1 / 3, 0.0, 8 / 9) == pytest.approx(0.25 / math.sqrt(11 / 16))
    assert length_shares([1, 3]).tolist() == [0.25, 0.75]


def test_a_wrong_sign_or_a_dropped_term_would_be_seen():
    """The three terms of Eq. 17 are all needed: leaving one out misses the variance."""
    s = split([np.array([1.0, 0.5]), np.array([0.0, 0.0, 2.0, -1.0])], 0)
    w = s.w_j
    assert abs(w * s.var_j + (1 - w) * s.var_rest - s.variance) > 0.01
    assert abs(w * s.var_j + (1 - w) * s.var_rest + w * s.gap**2 - s.variance) > 0.001


def test_as_the_share_vanishes_the_other_responses_alone_set_the_scale():
    assert mean_advantage(1e-12, 0.8, 0.3, 0.04) == pytest.approx(0.8 / 0.2)
    assert spread_of_advantage(1e-12, 0.8, 0.09, 0.04) == pytest.approx(0.3 / 0.2)
    assert share_of(1.0, 8) == 1 / 8


def test_the_inter_scheme_is_eq_8():
    torch.manual_seed(0)
    verdicts, relevance = torch.tensor([[1.0], [0.0], [0.0]]).double(), torch.rand(3, 1, 9).double()
    mask = (torch.arange(9) < torch.tensor([[2], [9], [6]])).double()
    a = token_advantage(verdicts, relevance, mask, 3, "inter")
    own = [((2 * v - 1) * p[0, : int(m.sum())]).numpy() for v, p, m in zip(verdicts, relevance, mask, strict=True)]
    s = split(own, 0)
    assert a[0, :2].mean().item() == pytest.approx(mean_advantage(s.w_j, s.gap, s.var_j, s.var_rest), abs=1e-12)
    assert a[0, :2].std(correction=0).item() == pytest.approx(
        spread_of_advantage(s.w_j, s.gap, s.var_j, s.var_rest), abs=1e-12
    )


def test_the_simulation_follows_the_curve_and_intra_knows_no_length():
    ratios = (1 / 8, 1.0)
    simulated = simulate(ratios, group_size=4, length=2048, draws=4)
    intra = simulated[simulated["scheme"] == "intra"]
    assert intra["mean"].abs().max() < 1e-9 and (intra["spread"] - 1).abs().max() < 1e-9
    table = simulation_table(simulated, group_size=4)
    assert (table["inter, analytic"] - table["inter, simulated"]).abs().max() < 0.1
    curve = analytic(group_size=4).groupby("scenario")["mean"]
    assert curve.max()[SCENARIOS[0].name] > 1.2 * curve.min()[SCENARIOS[0].name] > 0
    assert curve.max()[SCENARIOS[2].name] == 0


def test_the_measurement_on_responses_agrees_with_the_prediction():
    table = shortest_table(worked_example())
    assert len(table) == 3 and (table["inter"] - table["predicted"]).abs().max() < 1e-9
    assert table["intra"].abs().max() < 1e-9 and table["inter"].abs().max() > 0.1
    assert table["ratio"].tolist() == [pytest.approx(4 / 6.5)] * 3  # "bako lati gosu" and EOS: 4 of 5, 4, 8 tokens
    assert bias_table(table)["cases"].sum() == 3
    assert bias_table(table.assign(predicted=0.0)).empty


def test_the_check_is_a_table_of_every_line():
    table = check_derivation(draws=20)
    assert len(table) == 7 and (table["largest error"].astype(float) < 1e-12).all()
