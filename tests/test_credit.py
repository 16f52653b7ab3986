"""Credit assignment against hand-worked numbers, a slow and obvious reference, and its invariants."""

from __future__ import annotations

import math
from statistics import fmean, pstdev, stdev

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.credit import SCHEMES, combine, response_advantage, token_advantage

NAN = math.nan
F64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=F64)


# --- worked by hand ---


def test_intra_raises_the_tokens_of_a_satisfied_criterion_and_lowers_the_rest():
    # p = (1, 0, 0, 0): mean 1/4, std sqrt(3)/4, so (p - mean)/std = (sqrt 3, -1/sqrt 3, ...).
    a = token_advantage(tensor([[1.0]]), tensor([[[1.0, 0, 0, 0]]]), tensor([[1.0, 1, 1, 1]]), 1)
    assert a.tolist()[0] == pytest.approx([math.sqrt(3)] + [-1 / math.sqrt(3)] * 3)


def test_intra_lowers_the_tokens_of_a_violated_criterion():
    a = token_advantage(tensor([[0.0]]), tensor([[[1.0, 0, 0, 0]]]), tensor([[1.0, 1, 1, 1]]), 1)
    assert a.tolist()[0] == pytest.approx([-math.sqrt(3)] + [1 / math.sqrt(3)] * 3)


def test_intra_takes_the_mean_over_criteria_and_a_uniform_criterion_counts_as_zero():
    # Criterion 1 splits the two tokens (+1, -1); criterion 2 is uniform and gives 0: the mean halves.
    a = token_advantage(tensor([[1.0, 1.0]]), tensor([[[1.0, 0], [1.0, 1]]]), tensor([[1.0, 1]]), 1)
    assert a.tolist()[0] == pytest.approx([0.5, -0.5])


def test_an_unknown_criterion_is_not_counted():
    a = token_advantage(tensor([[1.0, NAN]]), tensor([[[1.0, 0], [0.3, 0.9]]]), tensor([[1.0, 1]]), 1)
    assert a.tolist()[0] == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize(
    ("verdicts", "relevance"), [(torch.int64, torch.int64), (torch.int64, torch.bool), (torch.bool, torch.uint8)]
)
def test_whole_numbers_and_booleans_are_not_cut_off(verdicts, relevance):
    p = torch.tensor([[[1, 0, 0, 0]]]).to(relevance)
    a = token_advantage(torch.tensor([[1]]).to(verdicts), p, torch.ones(1, 4), 1)
    assert a.dtype == torch.float32
    assert a.tolist()[0] == pytest.approx([math.sqrt(3)] + [-1 / math.sqrt(3)] * 3)


def test_inter_standardises_over_the_tokens_of_the_group():
    # Rewards: response 1 (+1, 0), response 2 (-1, 0): mean 0, variance 2/4, std 1/sqrt 2.
    a = token_advantage(tensor([[1.0], [0.0]]), tensor([[[1.0, 0]], [[1.0, 0]]]), torch.ones(2, 2), 2, "inter")
    assert a.flatten().tolist() == pytest.approx([math.sqrt(2), 0, -math.sqrt(2), 0])


def test_inter_weights_responses_by_their_length():
    # A satisfied one-token response and a violated three-token one, all tokens relevant: rewards 1, -1, -1, -1.
    mask = tensor([[1.0, 0, 0], [1, 1, 1]])
    a = token_advantage(tensor([[1.0], [0.0]]), torch.ones(2, 1, 3, dtype=F64), mask, 2, "inter")
    mean, std = -0.5, math.sqrt(0.75)
    assert a[0].tolist() == pytest.approx([(1 - mean) / std, 0, 0])
    assert a[1].tolist() == pytest.approx([(-1 - mean) / std] * 3)


def test_relative_spreads_the_verdict_advantage_by_mean_one_relevance():
    # Verdicts 1, 0: standardised +1, -1. Response 1: weights (2, 0); response 2: nothing relevant, so (1, 1).
    relevance = tensor([[[1.0, 0]], [[0.0, 0]]])
    a = token_advantage(tensor([[1.0], [0.0]]), relevance, torch.ones(2, 2), 2, "relative")
    assert a.tolist() == [pytest.approx([2.0, 0.0]), pytest.approx([-1.0, -1.0])]


def test_relative_gives_nothing_for_a_criterion_that_everybody_satisfies():
    relevance = torch.rand(3, 1, 4, dtype=F64)
    assert token_advantage(torch.ones(3, 1, dtype=F64), relevance, torch.ones(3, 4), 3, "relative").abs().max() == 0


def test_released_mixes_up_the_rows_of_responses_and_criteria():
    # G = 2, K = 2: output row g averages the flat rows g and 2 + g, so row 0 is response 0's criterion 0 and
    # response 1's criterion 0; row 1 is response 0's criterion 1 and response 1's criterion 1.
    relevance = tensor([[[1.0, 0], [0.0, 1]], [[1.0, 0], [1.0, 0]]])
    a = token_advantage(torch.ones(2, 2, dtype=F64), relevance, torch.ones(2, 2), 2, "released")
    assert a.tolist() == [pytest.approx([1.0, -1.0]), pytest.approx([0.0, 0.0])]
    paper = token_advantage(torch.ones(2, 2, dtype=F64), relevance, torch.ones(2, 2), 2)
    assert paper.tolist() == [pytest.approx([0.0, 0.0]), pytest.approx([1.0, -1.0])]


def test_response_advantage_is_grpos():
    # Rewards 1, 0: mean 1/2, sample std 1/sqrt 2.
    expected = 0.5 / (math.sqrt(0.5) + 1e-4)
    assert response_advantage(tensor([1.0, 0.0]), 2).tolist() == pytest.approx([expected, -expected])


@pytest.mark.parametrize("rewards", [[0.0, 0.0], [0.1, 0.1], [NAN, NAN], [NAN, 1.0]])
def test_response_advantage_is_zero_without_a_contrast(rewards):
    assert response_advantage(tensor(rewards), 2).tolist() == [0, 0]


def test_response_advantage_of_a_group_of_one_is_zero():
    assert response_advantage(tensor([1.0, 0.0]), 1).tolist() == [0, 0]


def test_response_advantage_leaves_unknown_rewards_out_of_the_statistics():
    a = response_advantage(tensor([1.0, NAN, 0.0]), 3)
    expected = 0.5 / (math.sqrt(0.5) + 1e-4)
    assert a.tolist() == pytest.approx([expected, 0, -expected])


def test_combine_is_equation_7():
    a = combine(tensor([2.0, -1.0]), tensor([[1.0, 3.0], [0.0, 4.0]]), alpha=0.5, beta=2.0)
    assert a.tolist() == [[3.0, 7.0], [-0.5, 7.5]]


# --- a slow and obvious implementation ---


def standardised(values: list[float]) -> list[float]:
    if not values or pstdev(values) < 1e-6:
        return [0.0] * len(values)
    return [(value - fmean(values)) / pstdev(values) for value in values]


def slow(verdicts, relevance, tokens, size, scheme):
    """Lists in, lists out: for each scheme, collect its groups' members by hand and standardise them."""
    B, K, T = len(verdicts), len(verdicts[0]), len(tokens[0])
    a_k = [[[0.0] * T for _ in range(K)] for _ in range(B)]
    known = [[not math.isnan(v) for v in row] for row in verdicts]

    def reward(i, k, t):
        return (2 * verdicts[i][k] - 1) * relevance[i][k][t]

    def standardise(members):
        for (i, k, t), value in zip(members, standardised([reward(*member) for member in members]), strict=True):
            a_k[i][k][t] = value

    places = [[t for t in range(T) if tokens[i][t]] for i in range(B)]
    for start in range(0, B, size):
        group = range(start, start + size)
        for k in range(K):
            judged = [i for i in group if known[i][k]]
            if scheme == "intra":
                for i in judged:
                    standardise([(i, k, t) for t in places[i]])
            elif scheme == "inter":
                standardise([(i, k, t) for i in judged for t in places[i]])
            elif scheme == "position":
                for bucket in range(4):
                    standardise(
                        [
                            (i, k, t)
                            for i in judged
                            for order, t in enumerate(places[i])
                            if order * 4 // len(places[i]) == bucket
                        ]
                    )
            elif scheme == "mass":
                present = [i for i in judged if places[i]]
                masses = standardised([fmean(reward(i, k, t) for t in places[i]) for i in present])
                for i, value in zip(present, masses, strict=True):
                    for t in places[i]:
                        a_k[i][k][t] = value
            elif scheme in ("decoupled", "relative"):
                for i, value in zip(judged, standardised([verdicts[i][k] for i in judged]), strict=True):
                    mean = fmean(relevance[i][k][t] for t in places[i]) if places[i] else 0
                    for t in places[i]:
                        spread = scheme == "relative" and mean > 1e-6
                        a_k[i][k][t] = value * (relevance[i][k][t] / mean if spread else 1)
        if scheme == "joint":
            for i in group:
                standardise([(i, k, t) for k in range(K) if known[i][k] for t in places[i]])
    return [
        [sum(a_k[i][k][t] for k in range(K) if known[i][k]) / max(1, sum(known[i])) for t in range(T)] for i in range(B)
    ]


@st.composite
def batches(draw, unknown=True, max_criteria=4):
    """Ragged responses, unknown verdicts, relevance that is often 0, 1 or constant."""
    size = draw(st.integers(1, 4))
    B, K, T = size * draw(st.integers(1, 3)), draw(st.integers(1, max_criteria)), draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    g = torch.Generator().manual_seed(seed)
    verdicts = torch.randint(0, 2, (B, K), generator=g).to(F64)
    if unknown:
        verdicts[torch.rand(B, K, generator=g) < 0.2] = NAN
    relevance = torch.rand(B, K, T, generator=g, dtype=F64)
    kind = torch.randint(0, 3, (B, K, 1), generator=g)
    relevance = torch.where(kind == 0, relevance.round(), torch.where(kind == 1, relevance[..., :1], relevance))
    lengths = torch.randint(0 if draw(st.booleans()) else 1, T + 1, (B, 1), generator=g)
    return verdicts, relevance, torch.arange(T)[None] < lengths, size


@settings(max_examples=300, deadline=None)
@given(batches(), st.sampled_from([name for name in SCHEMES if name != "released"]))
def test_fast_equals_slow(batch, scheme):
    verdicts, relevance, mask, size = batch
    fast = token_advantage(verdicts, relevance, mask, size, scheme)
    expected = slow(verdicts.tolist(), relevance.tolist(), mask.tolist(), size, scheme)
    torch.testing.assert_close(fast, tensor(expected), atol=1e-6, rtol=1e-6)


def slow_released(verdicts, relevance, mask, size):
    """By flat rows: row j * G + g of a group's [G * K] rows, standardised under response g's mask."""
    B, K, T = relevance.shape
    out = torch.zeros(B, T, dtype=F64)
    for start in range(0, B, size):
        for g in range(size):
            places = [t for t in range(T) if mask[start + g, t]]
            for j in range(K):
                i, k = divmod(j * size + g, K)
                i += start
                row = [(2 * verdicts[i, k].item() - 1) * relevance[i, k, t].item() * mask[i, t].item() for t in places]
                for t, value in zip(places, standardised(row), strict=True):
                    out[start + g, t] += value / K
    return out


@settings(max_examples=100, deadline=None)
@given(batches(unknown=False))
def test_released_is_the_mixed_up_rows_and_intra_when_there_is_one_criterion(batch):
    verdicts, relevance, mask, size = batch
    got = token_advantage(verdicts, relevance, mask, size, "released")
    torch.testing.assert_close(got, slow_released(verdicts, relevance, mask, size), atol=1e-6, rtol=1e-6)
    one = token_advantage(verdicts[:, :1], relevance[:, :1], mask, size, "released")
    torch.testing.assert_close(one, token_advantage(verdicts[:, :1], relevance[:, :1], mask, size), atol=1e-9, rtol=0)


def test_released_differs_from_intra_with_several_criteria():
    g = torch.Generator().manual_seed(0)
    verdicts, relevance = torch.randint(0, 2, (8, 3), generator=g).to(F64), torch.rand(8, 3, 50, generator=g, dtype=F64)
    released, intra = (token_advantage(verdicts, relevance, torch.ones(8, 50), 8, s) for s in ("released", "intra"))
    correlation = torch.corrcoef(torch.stack([released.flatten(), intra.flatten()]))[0, 1]
    assert correlation.abs() < 0.5


def test_released_refuses_unknown_verdicts():
    with pytest.raises(ValueError, match="unknown verdict"):
        token_advantage(tensor([[NAN]]), torch.ones(1, 1, 2, dtype=F64), torch.ones(1, 2), 1, "released")


# --- invariants ---


@settings(max_examples=100, deadline=None)
@given(batches(max_criteria=1))
def test_intra_sums_to_zero_within_a_response_for_each_criterion(batch):
    verdicts, relevance, mask, size = batch
    assert token_advantage(verdicts, relevance, mask, size).sum(1).abs().max() < 1e-9


@settings(max_examples=100, deadline=None)
@given(batches(), st.sampled_from(list(SCHEMES)), st.randoms(use_true_random=False))
def test_order_and_padding_do_not_matter(batch, scheme, random):
    verdicts, relevance, mask, size = batch
    verdicts = verdicts.nan_to_num(0) if scheme == "released" else verdicts
    expected = token_advantage(verdicts, relevance, mask, size, scheme)
    # Longer padding, with garbage in it.
    padded = torch.cat([relevance, relevance.new_full((*relevance.shape[:2], 2), NAN)], 2)
    longer = torch.cat([mask, mask.new_zeros(len(mask), 2)], 1)
    got = token_advantage(verdicts, padded, longer, size, scheme)
    torch.testing.assert_close(got[:, : mask.shape[1]], expected, atol=1e-9, rtol=0)
    assert got[:, mask.shape[1] :].abs().sum() == 0
    # The groups of the batch in another order.
    groups = list(range(len(mask) // size))
    random.shuffle(groups)
    rows = torch.tensor([g * size + i for g in groups for i in range(size)])
    got = token_advantage(verdicts[rows], relevance[rows], mask[rows], size, scheme)
    torch.testing.assert_close(got, expected[rows], atol=1e-9, rtol=0)
    if scheme == "released":
        return  # the bug: it depends on the order of responses and criteria
    inside = torch.cat([g * size + torch.tensor(random.sample(range(size), size)) for g in groups])
    columns = torch.tensor(random.sample(range(verdicts.shape[1]), verdicts.shape[1]))
    got = token_advantage(verdicts[inside][:, columns], relevance[inside][:, columns], mask[inside], size, scheme)
    torch.testing.assert_close(got, expected[inside], atol=1e-9, rtol=0)


@settings(max_examples=50, deadline=None)
@given(batches())
def test_uniform_relevance_gives_no_intra_credit(batch):
    verdicts, relevance, mask, size = batch
    assert token_advantage(verdicts, torch.full_like(relevance, 0.7), mask, size).abs().max() == 0


@settings(max_examples=50, deadline=None)
@given(batches(), st.floats(0.1, 10), st.floats(-5, 5))
def test_response_advantage_is_affine_invariant_without_its_epsilon(batch, scale, shift):
    rewards, size = batch[0][:, 0], batch[3]
    moved = response_advantage(rewards * scale + shift, size, eps=0)
    torch.testing.assert_close(moved, response_advantage(rewards, size, eps=0), atol=1e-6, rtol=0)


@settings(max_examples=50, deadline=None)
@given(batches())
def test_response_advantage_equals_a_slow_one(batch):
    rewards, size = batch[0][:, 0].tolist(), batch[3]
    expected = []
    for start in range(0, len(rewards), size):
        group = rewards[start : start + size]
        known = [r for r in group if not math.isnan(r)]
        flat = len(known) < 2 or stdev(known) == 0
        expected += [0 if flat or math.isnan(r) else (r - fmean(known)) / (stdev(known) + 1e-4) for r in group]
    torch.testing.assert_close(response_advantage(tensor(rewards), size), tensor(expected), atol=1e-9, rtol=0)


@settings(max_examples=100, deadline=None)
@given(batches(), st.sampled_from([name for name in SCHEMES if name != "released"]))
def test_tokens_that_are_not_eligible_are_as_if_absent(batch, scheme):
    verdicts, relevance, mask, size = batch
    eligible = torch.ones_like(mask)
    eligible[:, 0] = False
    got = token_advantage(verdicts, relevance, mask, size, scheme, eligible)
    expected = token_advantage(verdicts, relevance, mask & eligible, size, scheme)
    torch.testing.assert_close(got, expected, atol=0, rtol=0)
    assert got[:, 0].abs().sum() == 0


@settings(max_examples=100, deadline=None)
@given(batches(), st.sampled_from(list(SCHEMES)), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, F64]))
def test_every_precision_is_finite_and_keeps_its_type(batch, scheme, dtype):
    verdicts, relevance, mask, size = batch
    verdicts = verdicts.nan_to_num(0) if scheme == "released" else verdicts
    got = token_advantage(verdicts.to(dtype), relevance.to(dtype), mask, size, scheme)
    assert got.dtype == dtype and got.isfinite().all() and (got[~mask] == 0).all()


def test_a_nearly_constant_relevance_does_not_cancel():
    # 0.98 plus or minus 0.001 in float32: E[p^2] - E[p]^2 would lose the variance to rounding.
    p = 0.98 + 0.001 * torch.tensor([1.0, -1.0]).repeat(500)
    a = token_advantage(torch.ones(1, 1), p.view(1, 1, -1), torch.ones(1, 1000), 1)
    torch.testing.assert_close(a[0, :2], torch.tensor([1.0, -1.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0)])
def test_empty_shapes_give_empty_or_zero(shape):
    B, K, T = shape
    got = token_advantage(torch.ones(B, K), torch.ones(B, K, T), torch.ones(B, T), 2)
    assert got.shape == (B, T) and got.abs().sum() == 0


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"unknown partition scheme 'intre'.*intra"):
        token_advantage(torch.ones(2, 1), torch.ones(2, 1, 3), torch.ones(2, 3), 2, "intre")
    with pytest.raises(ValueError, match="multiple of the group size 2"):
        token_advantage(torch.ones(3, 1), torch.ones(3, 1, 3), torch.ones(3, 3), 2)
