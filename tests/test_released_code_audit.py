"""The demonstrations of the released code's departures, against values worked by hand."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch

from rtt_lib.credit import token_advantage
from rtt_lib.report.group_partitioning import worked_example
from rtt_lib.report.released_code_audit import (
    ARMS,
    DEPARTURES,
    GROUP_AXIS_REWARDS,
    csr_difference,
    departures_table,
    discriminator_survival,
    draw_mixing,
    eos_table,
    group_axis_table,
    judge_answer_table,
    judge_window_table,
    mixing_correlations,
    mixing_on_rollouts,
    mixing_table,
    released_specs,
    rows_received,
    smallest_survivor,
    survival_table,
    token_weights,
    truncated,
    truncation_table,
)
from rtt_lib.run.pipeline import REPOSITORY
from rtt_lib.studies.profiles import load_profile


def test_d1_rows_by_hand():
    # G = 2, K = 2: flat rows (o1 c1), (o1 c2), (o2 c1), (o2 c2); response g is paid rows g and 2 + g.
    table = rows_received(2, 2)
    assert table["gets the mean of"].tolist() == ["o1 c1, o2 c1", "o1 c2, o2 c2"]
    assert table["its own share"].tolist() == [0.5, 0.5]


def test_d1_with_one_criterion_everybody_is_paid_their_own():
    assert rows_received(3, 1)["its own share"].tolist() == [1, 1, 1]


def test_d1_the_table_of_rows_is_what_the_released_scheme_pays():
    """Relevance that is not uniform in one (response, criterion) row only: who gets credit for it?"""
    received = rows_received(3, 3).set_index("response")["gets the mean of"]
    for response in range(3):
        for criterion in range(3):
            relevance = torch.zeros(3, 3, 4)
            relevance[response, criterion, 0] = 1
            credit = token_advantage(torch.ones(3, 3), relevance, torch.ones(3, 4), 3, "released")
            paid = credit.abs().amax(1) > 0
            row = f"o{response + 1} c{criterion + 1}"
            assert paid.tolist() == [row in received[f"o{g + 1}"] for g in range(3)]


def test_d1_correlation_is_one_for_one_criterion_and_low_for_several():
    table = mixing_table(mixing_correlations((1, 3), tokens=32, draws=20)).set_index("criteria")
    assert table.loc[1, "min"] == pytest.approx(1, abs=1e-5)
    assert table.loc[3, "mean"] < 0.4
    found = mixing_on_rollouts(worked_example())
    assert found["correlation with the paper"] < 0.9 and 0 < found["tokens with the opposite sign"] < 1


def test_d2_only_what_rounds_to_one_survives():
    # bf16 has 8 significant bits: below 1 its step is 2^-8, and the tie at 1 - 2^-9 rounds to the even 1.
    assert smallest_survivor() == 1 - 2**-9
    assert truncated(torch.tensor([1 - 2**-9, 0.998, 0.0, 1.0])).tolist() == [1, 0, 0, 1]
    assert truncation_table((0.5, 1.0))["stored"].tolist() == [0, 1]


def test_d2_on_a_discriminator():
    scored = worked_example()
    table = survival_table(scored.relevance * 0.9, scored).set_index("tokens")
    assert table.loc["relevant", "p at least 0.5"] == 1 and table.loc["relevant", "left after truncation"] == 0
    assert table["count"].sum() == 3 * (5 + 4 + 8)
    assert survival_table(scored.relevance, scored)["left after truncation"].tolist() == [1, 0]


def test_in_another_world_there_is_nothing_to_measure():
    assert discriminator_survival(load_profile(REPOSITORY / "params" / "smol-cpu.yaml"), worked_example()).empty


def test_the_arms_of_the_experiment_with_their_references_on_the_same_seeds():
    specs = released_specs(load_profile(REPOSITORY / "params" / "micro-full.yaml"))
    assert {spec.world for spec in specs} == {"L", "M", "U"}
    assert {"RL-AON", "RTT-AON mixed rows"} <= {s.arm.name for s in specs}
    assert {spec.arm.name for spec in specs} <= set(ARMS)
    seeds = {name: {s.seed for s in specs if s.arm.name == name} for name in ("RTT-AON", "RTT-AON mixed rows")}
    assert seeds["RTT-AON"] >= seeds["RTT-AON mixed rows"] != set()


def test_d3_weights_by_hand():
    table = token_weights((1, 3))
    assert table["one token, Eq. 6"].tolist() == [0.25, 0.25]
    assert table["one token, released"].tolist() == pytest.approx([1 / 2, 1 / 6])
    assert table["the response, released"].tolist() == pytest.approx([0.5, 0.5])


def test_d4_is_harmless():
    assert csr_difference() < 2e-3


def test_d5_the_criterion_is_cut_off_there_and_kept_here():
    table = judge_window_table((100, 10_000), window=2_000)
    assert table["cut at the end"].tolist() == [True, False]
    assert table["cut in the middle (here)"].tolist() == [True, True]
    answers = judge_answer_table(("YES", "no", "perhaps"))
    assert answers["released"].tolist() == ["satisfied", "violated", "violated"]
    assert answers["here"].tolist() == ["satisfied", "violated", "unknown"]


def test_d7_by_hand():
    # Two prompts, two responses: rows 1, 3 and 2, 4 are compared instead of 1, 2 and 3, 4.
    table = group_axis_table((1.0, 1.0, 0.0, 0.0), 2)
    assert table["A_res"].tolist() == [0, 0, 0, 0]  # within each prompt the rewards are equal
    assert table["compared with rows"].tolist() == ["1, 3", "2, 4", "1, 3", "2, 4"]
    expected = 0.5 / (0.5**0.5 + 1e-4)
    assert table["A_res, group axis first"].tolist() == pytest.approx([expected, expected, -expected, -expected])
    assert len(group_axis_table(GROUP_AXIS_REWARDS, 3)) == 6


def test_d10_eos_gets_minus_the_root_of_the_length():
    table = eos_table((9, 100))
    assert table["EOS, released"].tolist() == pytest.approx([-3, -10], rel=1e-4)
    assert table["EOS, here"].tolist() == [0, 0]


def test_every_departure_has_a_row_and_an_effect():
    table = departures_table()
    assert table[""].tolist() == [f"D{n}" for n in range(1, 11)] == [key for key, *_ in DEPARTURES]
    assert table["effect here"].str.len().min() > 10


def test_the_figure_is_drawn():
    assert len(draw_mixing(mixing_correlations((1, 2), tokens=8, draws=3)).axes) == 1
    plt.close("all")
