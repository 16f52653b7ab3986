"""Credit from scores: equal to `relative` where scores are verdicts, and otherwise to the same sums by loops."""

from __future__ import annotations

from statistics import mean, pstdev

import pytest
import torch

from rtt_lib.credit import token_advantage
from rtt_lib.self_credit import spread, standardised_scores

B, G, K, T = 12, 4, 3, 7


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores, relevance, and the mask of responses of several lengths, one of them empty."""
    generator = torch.Generator().manual_seed(seed)
    relevance = torch.rand(B, K, T, generator=generator) * (torch.rand(B, K, T, generator=generator) > 0.5)
    lengths = torch.tensor([7, 3, 1, 0, 5, 5, 5, 5, 2, 7, 4, 6])
    relevance[4, 1] = 0
    return torch.rand(B, K, generator=generator), relevance, torch.arange(T) < lengths[:, None]


def test_scores_of_zero_and_one_are_verdicts():
    scores, relevance, mask = batch()
    verdicts = (scores > 0.5).float()
    verdicts[4:8, 2] = 1  # all alike: it says nothing
    found = spread(standardised_scores(verdicts, G), relevance, mask)
    torch.testing.assert_close(found, token_advantage(verdicts, relevance, mask, G, "relative"))


def test_any_scores_by_loops():
    scores, relevance, mask = batch(1)
    found = spread(standardised_scores(scores, G), relevance, mask)
    for b in range(B):
        group = range(b // G * G, b // G * G + G)
        for t in range(T):
            expected = []
            for k in range(K):
                values = [scores[i, k].item() for i in group]
                lead = (scores[b, k].item() - mean(values)) / pstdev(values)
                own = [relevance[b, k, u].item() for u in range(T) if mask[b, u]]
                average = mean(own) if own else 0
                weight = relevance[b, k, t].item() / average if average else 1.0
                expected.append(lead * weight * mask[b, t].item())
            assert found[b, t].item() == pytest.approx(mean(expected), abs=1e-5)


def test_the_better_response_gains_on_the_tokens_that_matter():
    scores, relevance = torch.tensor([[0.75], [0.25]]), torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    found = spread(standardised_scores(scores, 2), relevance, torch.ones(2, 2))
    assert found.tolist() == [[2, 0], [0, -2]]


def test_equal_scores_give_nothing():
    scores = torch.full((4, 2), 0.1) + torch.tensor([0.0, 1e-9, 0.0, 0.0]).unsqueeze(1)
    assert not standardised_scores(scores, 4).any()
