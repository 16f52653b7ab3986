"""SERL's rewards: a policy judges its own responses in pairs, and its verdicts reward responses and verdicts alike.

Every unordered pair of the N responses to a prompt is judged K times. A verdict is +1 where it picks the pair's first
response (the one with the lower number), -1 where it picks the second, and 0 where nothing could be read from it.

    verdicts [..., P, K]      P = N (N - 1) / 2 pairs in the order of `pairs`
    wins     [..., N, N, K]   1 where judgment k of i and j picks i
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rtt_lib.errors import RTTError

ROUNDING = 1e-6  # scores that differ by less are equal: the order of a sum decides the rest
EPSILON = 1e-4  # beside the standard deviation
MOST_ACTOR = 0.5  # of the released schedule

Objective = Literal["released", "summed"]


def pairs(n: int) -> Tensor:
    """[P, 2]: every pair of n responses, (0, 1), (0, 2), ..., (1, 2), ..."""
    if n < 2:
        raise RTTError(f"SERL compares the responses to a prompt with each other: {n} cannot be, at least 2 can")
    return torch.triu_indices(n, n, offset=1).T


def swapped(k: int, swap: bool = True) -> Tensor:
    """[K] bool: the judgments of a pair that show its second response first, half of them or none."""
    if k < 2 or k % 2:
        raise RTTError(f"K = {k} judgments of a pair: half of them are in each order, so K is even and at least 2")
    return torch.arange(k) >= (k // 2 if swap else k)


def verdicts(said: Tensor, swap: bool = True) -> Tensor:
    """[..., P, K]: what was said, 1 or 2 for the response shown first or second and 0 for nothing readable, as verdicts
    on the pair."""
    shown = torch.where(said == 1, 1, torch.where(said == 2, -1, 0))
    return torch.where(swapped(said.shape[-1], swap).to(said.device), -shown, shown)


def wins(verdict: Tensor, n: int) -> Tensor:
    """[..., N, N, K]"""
    first, second = pairs(n).to(verdict.device).unbind(1)
    result = torch.zeros(*verdict.shape[:-2], n, n, verdict.shape[-1], device=verdict.device)
    result[..., first, second, :] = (verdict > 0).to(result.dtype)
    result[..., second, first, :] = (verdict < 0).to(result.dtype)
    return result


def majority(won: Tensor) -> Tensor:
    """[..., N, N, K]: the whole pair to the response that won more of its judgments, and half to each where they won
    equally many. The scores are then Copeland's."""
    own = won.sum(-1, keepdim=True)
    other = own.transpose(-3, -2)
    taken = torch.where(own > other, 1.0, torch.where((own == other) & (own > 0), 0.5, 0.0))
    return taken.expand_as(won)


def length_weight(lengths: Tensor, margin: float | None) -> Tensor:
    """[..., N, N]: what a win of i over j counts: |j| / |i|, and nothing unless (1-margin)|j| < |i| < (1+margin)|j|.

    lengths [..., N]: words; a response without any wins nothing. margin None: every win counts 1.
    """
    if margin is None:
        return torch.ones(*lengths.shape, lengths.shape[-1], device=lengths.device)
    own, other = lengths.float().unsqueeze(-1), lengths.float().unsqueeze(-2)
    near = ((1 - margin) * other < own) & (own < (1 + margin) * other)
    return near * other / own.clamp(min=1)


def actor_rewards(won: Tensor, weight: Tensor) -> Tensor:
    """R_A [..., N]: the weighted share of its (N - 1) K judgments that a response won."""
    n, k = won.shape[-2:]
    return (won * weight.unsqueeze(-1)).sum((-2, -1)) / ((n - 1) * k)


def scores_without_the_pair(won: Tensor, weight: Tensor) -> Tensor:
    """[..., N, N]: at (i, j) what is left of R_A(i) without the judgments of i and j."""
    n, k = won.shape[-2:]
    of_pair = (won * weight.unsqueeze(-1)).sum(-1) / ((n - 1) * k)
    return of_pair.sum(-1, keepdim=True) - of_pair


def judge_rewards(verdict: Tensor, scores: Tensor) -> Tensor:
    """R_J [..., P, K]: +1 where the verdict picks the response with the higher score, -1 where the other or where
    nothing can be read, 0 where the scores are equal.

    scores [..., N], or [..., N, N] where the score of i depends on the pair that is judged
    """
    if scores.dim() == verdict.dim() - 1:
        scores = scores.unsqueeze(-1).expand(*scores.shape, scores.shape[-1])
    first, second = pairs(scores.shape[-1]).to(scores.device).unbind(1)
    difference = scores[..., first, second] - scores[..., second, first]
    sign = torch.where(difference.abs() > ROUNDING, difference.sign(), 0.0).unsqueeze(-1)
    return torch.where(verdict == 0, -1.0, verdict * sign)


def group_advantages(rewards: Tensor) -> Tensor:
    """(R - mean) / (std + 1e-4) over the last dimension: the responses to a prompt, or the judgments of a pair.

    The standard deviation is the sample's, as in TRL.
    """
    deviation = rewards - rewards.mean(-1, keepdim=True)
    return deviation / (rewards.std(-1, keepdim=True) + EPSILON)


def role_weights(progress: float, objective: Objective) -> tuple[float, float]:
    """The weights of the actor's and of the judge's loss. `released`: the judge alone at first, equal from the middle
    of training on. `summed`: both count 1, as in the paper."""
    if objective == "summed":
        return 1.0, 1.0
    actor = min(progress, MOST_ACTOR)
    return actor, 1 - actor
