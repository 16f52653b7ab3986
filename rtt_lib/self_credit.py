"""Token credit from scores: `relative` of `rtt_lib.credit`, where a criterion has a score and no verdict.

B responses in consecutive groups of G per prompt, K criteria, T tokens. A score is any number, say the share of its
judgments that a response won on a criterion. With scores of 0 and 1 this is `relative` on verdicts.
"""

from __future__ import annotations

from torch import Tensor, where

from rtt_lib.credit import STD_FLOOR


def standardised_scores(scores: Tensor, group_size: int) -> Tensor:
    """[B, K]: each criterion's score standardised over its group, by the population's standard deviation.

    Zero where the responses of a group all score the same.
    """
    grouped = scores.view(-1, group_size, scores.shape[-1])
    deviation = grouped - grouped.mean(1, keepdim=True)
    std = deviation.square().mean(1, keepdim=True).sqrt()
    return where(std > STD_FLOOR, deviation / std.clamp(min=STD_FLOOR), 0.0).view_as(scores)


def spread(advantages: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: the mean over criteria of each advantage, spread over the response by relevance with mean one.

    advantages [B, K], relevance [B, K, T], mask [B, T]; a criterion to which nothing is relevant is spread evenly.
    """
    m = mask.to(relevance.dtype).unsqueeze(1)
    p = relevance * m
    mean = p.sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp(min=1)
    weight = where(mean > STD_FLOOR, p / mean.clamp(min=STD_FLOOR), m)
    return (advantages.unsqueeze(-1) * weight).mean(1)
