"""Notebook 11's worked examples, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.credit import token_advantage
from rtt_lib.report import beyond_the_paper as failures


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 300), st.data())
def test_a_satisfied_local_criterion_pushes_eos_down_by_the_formula(n, data):
    m = data.draw(st.integers(1, n - 1))
    relevance = torch.zeros(1, 1, n, dtype=torch.float64)
    relevance[..., :m] = 1
    a_tok = token_advantage(torch.ones(1, 1), relevance, torch.ones(1, n), 1)[0]
    assert a_tok[-1].item() == pytest.approx(failures.eos_credit(n, m), rel=1e-9)
    assert a_tok[0].item() == pytest.approx(-1 / failures.eos_credit(n, m), rel=1e-9)
    # The same offending tokens of a criterion that must not be there: the end is pushed up.
    violated = token_advantage(torch.zeros(1, 1), relevance, torch.ones(1, n), 1)[0]
    assert violated[-1].item() == pytest.approx(-failures.eos_credit(n, m), rel=1e-9)


def test_the_worked_example_by_hand():
    table = failures.worked_example().set_index("token")
    # Seven tokens, two of them the word: sqrt(5/2) and -sqrt(2/5); without EOS six: sqrt(4/2) and -sqrt(2/4).
    assert table.loc["miru", "intra"].tolist() == pytest.approx([math.sqrt(2.5)] * 2)
    assert table.loc["<end>", ["intra", "intra, both satisfy"]].tolist() == pytest.approx([-math.sqrt(0.4)] * 2)
    assert table.loc["<end>", "intra, no EOS"] == 0
    assert table.loc["bako", "intra, no EOS"] == pytest.approx(-math.sqrt(0.5))
    # relative: one of two satisfies, A = 1; weights p / mean p = 3.5 on the word and 0 elsewhere; both: nothing.
    assert table.loc["miru", "relative"].tolist() == pytest.approx([3.5] * 2)
    assert table.loc["<end>", "relative"] == 0 and (table["relative, both satisfy"] == 0).all()


def test_the_table_of_eos_credit_agrees_with_itself():
    table = failures.eos_table()
    assert table["computed, EOS"].to_numpy() == pytest.approx(table["-sqrt(m/(n-m))"].to_numpy())
    assert (table["computed, EOS"] < 0).all()


def test_every_arm_says_what_it_is():
    table = failures.arms_table(["RTT-CSR relative", "RL-AON"])
    assert table["arm"].tolist() == ["RTT-CSR relative", "RL-AON"] and table["what it is"].str.len().min() > 10


def test_noise_about_nothing_is_full_size_credit_unless_it_is_rounded():
    table = failures.noise_example()
    assert table["p"].astype(float).between(0.002, 0.004).all() and table["p"].nunique() > 1
    assert table["intra, p as it is"].std(ddof=0) == pytest.approx(1)
    assert (table["intra, p rounded"] == 0).all()
