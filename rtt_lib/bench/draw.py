"""Drawing a token: temperature, top-k and top-p from random numbers that are given."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rtt_lib.profile import Evaluation


def noise(seeds: Sequence[int], tokens: int) -> torch.Tensor:
    """[B, tokens] in [0, 1): each row from a generator of its own, so that it does not depend on the rows beside it."""
    return torch.stack([torch.rand(tokens, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def draw(scores: torch.Tensor, uniform: torch.Tensor, settings: Evaluation) -> torch.Tensor:
    """Logits [B, V] and uniform numbers [B] -> token ids [B], by inverting the cumulative distribution.

    The smallest set of most probable tokens that reaches `top_p` is kept, of the `top_k` best (0: all).
    """
    kept = min(settings.top_k or scores.shape[1], scores.shape[1])
    best, order = torch.topk(scores.float() / settings.temperature, kept)
    probability = best.softmax(1)
    before = probability.cumsum(1) - probability  # the mass of the more probable ones
    probability = probability.masked_fill((before >= settings.top_p) & (before > 0), 0.0)
    cumulative = probability.cumsum(1)
    chosen = (cumulative <= (uniform[:, None] * cumulative[:, -1:])).sum(1, keepdim=True)
    last = (probability > 0).sum(1, keepdim=True) - 1  # rounding must not lead past the last kept one
    return order.gather(1, torch.minimum(chosen, last))[:, 0]
