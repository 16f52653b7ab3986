"""The published numbers, and the paper's own arithmetic worked again by hand."""

import math

import pytest

from rtt_lib.analysis import published as paper


def test_tables_have_every_cell():
    table1 = paper.table1()
    assert table1.shape == (3 * 7, 7) and table1.notna().all().all()
    assert paper.table2().shape == (3 * 2, 3)
    assert paper.table3().shape == (3 * 2, 7)
    assert paper.table4().shape == (4, 8)
    assert paper.figure3()["beta"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert sorted(paper.instruction_level() + paper.rubric_level()) == sorted(table1.columns)


def test_the_same_numbers_where_the_paper_prints_them_twice():
    """Table 3's intra row is Table 1's RTT-AON, Table 4's uniform row is RL-AON; a typing error would show here."""
    for model in ("Qwen3-4B-Instruct", "Qwen2.5-7B-Instruct", "Llama3.2-3B-Instruct"):
        assert paper.table3().loc[(model, "intra")].tolist() == paper.table1().loc[(model, "RTT-AON")].tolist()
    weights = paper.table4().drop(columns="mean")
    assert weights.loc["uniform (RL-AON)"].tolist() == paper.table1().loc[("Qwen3-4B-Instruct", "RL-AON")].tolist()
    assert weights.loc["ours (RTT-AON)"].tolist() == paper.table1().loc[("Qwen3-4B-Instruct", "RTT-AON")].tolist()


def test_mean_gain_over_the_same_reward_by_hand():
    """One column, three models, two rewards."""
    by_hand = (85.21 - 82.99) + (85.03 - 84.29) + (82.26 - 79.67) + (81.15 - 78.56) + (79.48 - 76.16) + (74.49 - 68.21)
    assert paper.gains()["IFEval Prompt"].mean() == pytest.approx(by_hand / 6)


def test_arithmetic_against_the_text():
    table = paper.arithmetic().set_index("statement")["recomputed"].round(2).tolist()
    # Instruction level, rubric level; best against best; AON (text 1.58), CSR (text 2.17); cost; Figure 3.
    assert table == [2.50, 1.64, 1.82, 1.49, 1.57, 2.70, 7.80, 8.46, 63.41, 65.55]


def test_mean_over_the_seven_columns_puts_uniform_before_greedy():
    means = paper.table4()["mean"].round(2)
    assert means.to_dict() == {
        "ours (RTT-AON)": 64.47,
        "uniform (RL-AON)": 63.05,
        "greedy": 62.63,
        "random": 57.87,
    }


def test_best_gain_takes_the_better_arm_of_each_side():
    # Llama, IFEval Prompt: RTT-AON 79.48 against RL-AON 76.16.
    assert paper.best_gains().loc["Llama3.2-3B-Instruct", "IFEval Prompt"] == pytest.approx(79.48 - 76.16)


def test_exceptions_are_the_four_cells():
    found = paper.exceptions()
    assert [tuple(row) for row in found[["column", "arm", "baseline"]].itertuples(index=False)] == [
        ("IFEval Instruct", "RTT-AON", "RL-CSR"),
        ("IFEval Prompt", "RTT-CSR", "RL-AON"),
        ("IFEval Instruct", "RTT-CSR", "RL-AON"),
        ("MulDimIF Acc", "RTT-CSR", "RL-AON"),
    ]


def test_cost_shares_recomputed():
    table = paper.table5()
    parts = table.drop(["RTT total", "RL baseline"])
    assert parts["GPU hours (A100-80GB)"].sum() == pytest.approx(1511.3)
    assert (parts["percent, recomputed"] - parts["percent"]).abs().max() < 0.06


def test_difference_finds_the_table_that_has_both_arms():
    # Table 3, rubric level, three models by three columns, worked by hand.
    by_hand = (0.24 + 4.77 + 2.06) + (0.48 + 4.18 + 0.66) + (0.96 + 1.49 + 0.58)
    assert paper.difference("RTT-AON", "RTT-AON inter", "rubric-level") == pytest.approx(by_hand / 9)
    # Table 4, one model, instruction level.
    by_hand = (85.21 - 85.03) + (34.69 - 30.95) + (76.75 - 75.08) + (47.48 - 46.20)
    assert paper.difference("RTT-AON", "RTT-AON greedy", "instruction-level") == pytest.approx(by_hand / 4)
    # RL-AON stands in Tables 1 and 4: Table 1, with all three models, is taken.
    gain = paper.gains().xs("RTT-AON", level="arm")[paper.rubric_level()].to_numpy().mean()
    assert paper.difference("RTT-AON", "RL-AON", "rubric-level") == pytest.approx(gain)
    assert math.isnan(paper.difference("RTT-AON", "RTT-AON joint", "rubric-level"))
