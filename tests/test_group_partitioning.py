"""The drawn partition is the one the code uses, and the worked example is what the notebook says it is."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.analysis.rollouts import score
from rtt_lib.credit import SCHEMES, token_advantage
from rtt_lib.report.group_partitioning import (
    EOS,
    STANDARDISED,
    correlation_table,
    describe_schemes,
    draw_advantages,
    draw_correlations,
    draw_distributions,
    draw_partition_space,
    draw_rewards,
    partition,
    scheme_table,
    silence_table,
    token_table,
    verdict_table,
    worked_example,
    zero_variance_table,
)
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.policy import micro_tokenizer


@pytest.fixture(scope="module")
def example():
    return worked_example()


def test_the_example_has_the_verdicts_and_relevance_one_reads_off_it(example):
    assert example.verdicts.tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 0]]
    assert example.words[0] == ["bako", "desu", ",", "fiti", EOS]
    assert example.rewards[0].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],  # the first word satisfies "start bako"
        [0, 0, -1, 0, 0, 0, 0, 0],  # the comma violates "no commas"
        [1, 1, 1, 1, 1, 0, 0, 0],  # a length is everybody's, EOS included
    ]
    assert example.response_reward("aon").tolist() == [0, 1, 0]
    assert example.response_reward("csr").tolist() == pytest.approx([2 / 3, 1, 0])


def test_intra_on_the_example_by_hand(example):
    # o2: only "start bako" varies, p = (1, 0, 0, 0): (sqrt 3, -1/sqrt 3, ...), a third of it each.
    assert example.credit("intra")[1, :4].tolist() == pytest.approx([3**0.5 / 3, *[-1 / 3**0.5 / 3] * 3])


@pytest.mark.parametrize("scheme", ["intra", "inter", "joint", "position"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), g=st.integers(0, 2), t=st.integers(0, 7), k=st.integers(0, 1))
def test_a_cell_moves_the_tokens_of_its_own_group_and_no_others(scheme, seed, g, t, k):
    generator = torch.Generator().manual_seed(seed)
    verdicts = (torch.rand(3, 2, generator=generator) < 0.5).double()
    relevance = torch.rand(3, 2, 8, generator=generator).double()
    changed = relevance.clone()
    changed[g, k, t] = (relevance[g, k, t] + 0.5) % 1
    before, after = (token_advantage(verdicts, p, torch.ones(3, 8), 3, scheme) for p in (relevance, changed))
    groups = partition(scheme, 3, 8, 2)
    expected = (groups == groups[g, t, k]).any(-1)
    assert np.array_equal((before - after).abs().numpy() > 1e-9, expected)


@pytest.mark.parametrize("scheme", ["mass", "decoupled", "relative"])
def test_a_verdict_moves_every_response_of_the_group_and_no_other_prompt(scheme):
    torch.manual_seed(0)
    verdicts, relevance = torch.tensor([[1.0], [0], [0], [1], [1], [0]]), torch.rand(6, 1, 8)
    before = token_advantage(verdicts, relevance, torch.ones(6, 8), 3, scheme)
    verdicts[1] = 1
    moved = (before - token_advantage(verdicts, relevance, torch.ones(6, 8), 3, scheme)).abs().amax(1) > 1e-6
    assert moved.tolist() == [True, True, True, False, False, False]


def test_every_scheme_is_described():
    table = scheme_table()
    assert table["scheme"].tolist() == list(SCHEMES) == list(STANDARDISED)
    assert table["a group is"].str.len().min() > 20
    assert all(len(np.unique(partition(scheme, 3, 8, 2))) > 1 for scheme in SCHEMES)


def test_tables_of_the_example(example):
    table = verdict_table(example)
    assert table["no commas"].tolist() == ["violated", "satisfied", "violated"] and table["AON"].tolist() == [0, 1, 0]
    tokens = token_table(example)
    assert len(tokens) == 5 + 4 + 8 and (tokens["word"] == EOS).sum() == 3
    described = describe_schemes(tokens).set_index("scheme")
    assert described.loc["intra", "largest mean over a response"] < 1e-6  # zero sum within a response
    assert described.loc["decoupled", "largest mean over a response"] > 0.5
    assert described.loc["intra", "credit of EOS"] == pytest.approx(tokens.loc[tokens["word"] == EOS, "intra"].mean())
    assert correlation_table(tokens).loc["intra", "intra"] == pytest.approx(1)
    families = zero_variance_table(example).set_index("family")
    assert families.loc["length", "relevance uniform in the response"] == 1
    assert families.loc["no_commas", "relevance uniform in the response"] == pytest.approx(1 / 3)
    assert families["verdicts equal in the group"].sum() == 0


def test_a_group_that_aon_leaves_silent_gets_token_credit():
    criteria = (Criterion("start bako", "micro:start", {"word": "bako"}), Criterion("no commas", "micro:no_commas"))
    prompt, tokenizer = RubricPrompt("p", "start bako ; no commas :", criteria), micro_tokenizer()
    ids = [[*tokenizer(text).input_ids, 1] for text in ("bako , desu", "lati gosu")]
    table = silence_table(score([prompt] * 2, ids, tokenizer, 2)).set_index("reward")
    assert table.loc["AON", "silent under A_res"] == 1 and table.loc["AON", "intra"] == 1
    # Each response satisfies one of two: CSR cannot tell them apart (the ambiguity of section 3.1).
    assert table.loc["CSR", "silent under A_res"] == 1 and table.loc["CSR", "relative"] == 1


def test_figures_are_drawn(example):
    tokens = pd.DataFrame(token_table(example))
    assert len(draw_rewards(example).axes) == 3 + 1  # a colour bar
    assert len(draw_advantages(example).axes) == len(SCHEMES) + 1
    assert len(draw_partition_space().axes) == 6
    assert len(draw_distributions(tokens).axes) == 1
    assert len(draw_correlations(correlation_table(tokens)).axes) == 1
    plt.close("all")
