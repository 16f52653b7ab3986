"""What a relevance source sees and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Span, Verdict


@dataclass(frozen=True)
class Rollouts:
    """A batch of B responses and their rubrics; K is the longest rubric, T the longest response.

    prompts:    B texts the policy was given; a conversation as one text (`schema.chat_text`)
    responses:  B texts, special tokens removed; where tools or an environment wrote too, the model's turns alone
    criteria:   B rubrics of at most K criteria
    verdicts:   B lists of verdicts with their evidence, aligned with `criteria`
    token_ids:  [B, T] the policy's tokens, padded on the right
    mask:       [B, T] bool, True on the model's own response tokens (EOS included)
    offsets:    B lists of the character span of each response token in `responses`;
                an empty span (n, n) for a token without text, EOS say
    """

    prompts: Sequence[str]
    responses: Sequence[str]
    criteria: Sequence[Sequence[Criterion]]
    verdicts: Sequence[Sequence[Verdict]]
    token_ids: torch.Tensor
    mask: torch.Tensor
    offsets: Sequence[Sequence[Span]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, K, T)"""
        longest = max((len(rubric) for rubric in self.criteria), default=0)
        return len(self.responses), longest, self.token_ids.shape[1]

    def verdict_tensor(self) -> torch.Tensor:
        """[B, K] float32: 1 satisfied, 0 violated, NaN unknown or absent."""
        values = torch.full(self.shape[:2], torch.nan)
        for i, row in enumerate(self.verdicts):
            values[i, : len(row)] = torch.tensor([verdict.as_float() for verdict in row])
        return values.to(self.mask.device)

    def has_text(self) -> torch.Tensor:
        """[B, T] bool: tokens that stand for characters of the response, which EOS does not."""
        written = torch.zeros(self.mask.shape, dtype=torch.bool)
        for i, spans in enumerate(self.offsets):
            row = [end > start for start, end in spans][: written.shape[1]]
            written[i, : len(row)] = torch.tensor(row, dtype=torch.bool)
        return written.to(self.mask.device)


class RelevanceSource(Protocol):
    """p_k(i, t) of Eq. 4: how much response i's token t matters for criterion k.

    Called with rollouts, returns [B, K, T] float32 in [0, 1]; zero where a criterion or token is absent.
    """

    def __call__(self, rollouts: Rollouts) -> torch.Tensor: ...
