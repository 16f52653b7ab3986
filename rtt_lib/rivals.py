"""Credit rules of other papers: each maps a batch to the advantage of every token, at most 40 lines, pure functions.

Where a paper leaves something open, or needs what is not at hand, the rule's docstring says what was chosen. All
figures and rules are as their papers' readers report them; none of these papers' code was run here.

Not here, and why: PAPO (arXiv 2603.26535) and RDAN-GRPO standardise a process score among the responses whose outcome
is right; where every criterion is a rule and the outcome is all of them, that score is the same for all of those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-4  # as TRL


@dataclass(frozen=True)
class Batch:
    """B responses in consecutive groups of G.

    a_res      [B]        response-level advantage (GRPO's)
    verdicts   [B, K]     1 satisfied, 0 violated, NaN unknown or absent
    relevance  [B, K, T]  p_k(i, t) in [0, 1]
    mask       [B, T]     bool, response tokens
    progress              share of the run that is done
    """

    a_res: Tensor
    verdicts: Tensor
    relevance: Tensor
    mask: Tensor
    group_size: int
    progress: float = 1.0

    @property
    def grouped(self) -> Tensor:
        """[N, G, K] verdicts."""
        return self.verdicts.view(-1, self.group_size, self.verdicts.shape[1])


def cort(batch: Batch, eta: float = 1.0, ramp: float = 0.2) -> Tensor:
    """CoRT (2607.25659): the response's advantage, weighted by what its criteria change about each token.

    s_t = sigmoid(log-probability with criteria - without) - 1/2, which is relevance - 1/2 where one contrast, of all
    criteria together, stands for every criterion; w_t = 1 + eta lambda s_t, divided by its mean; A_t = w_t A_res.
    The paper's eta and ramp are not known: 1, and a smooth step over the first fifth of the run.
    """
    u = min(1.0, batch.progress / ramp)
    weight = (1 + eta * (3 * u**2 - 2 * u**3) * (batch.relevance.amax(1) - 0.5)) * batch.mask
    mean = weight.sum(1, keepdim=True) / batch.mask.sum(1, keepdim=True).clamp(min=1)
    return batch.a_res.unsqueeze(1) * weight / mean.clamp(min=EPS)


def cripo(batch: Batch, bonus: float = 0.1) -> Tensor:
    """CriPO (2607.18082), its branch for suppressed criteria, with relevance in place of a deletion prompt.

    A criterion is suppressed if the responses that satisfy it have a negative advantage in sum (or zero, being fewer
    than half). In their responses with a negative advantage the tokens relevant to it get +0.1 instead. The branch for
    criteria that no response satisfies is a loss of its own and is left out.
    """
    holds = batch.grouped.nan_to_num(0)
    a = batch.a_res.view(-1, batch.group_size, 1)
    total, count = (holds * a).sum(1), holds.sum(1)  # [N, K]
    suppressed = (count > 0) & ((total < -EPS) | ((total.abs() <= EPS) & (count < batch.group_size / 2)))
    rescued = (suppressed.unsqueeze(1) & (holds > 0) & (a < 0)).view(batch.verdicts.shape)  # [B, K]
    flipped = ((batch.relevance > 0.5) & rescued.unsqueeze(-1)).any(1)
    return torch.where(flipped, bonus, batch.a_res.unsqueeze(1)) * batch.mask


def draco(batch: Batch) -> Tensor:
    """DRACO (2609.04094) with tokens as steps, cited by relevance: the advantage is shared out by their success.

    Q_t = sum_k p_k I / sum_k p_k, for a token that nothing cites the mean over cited ones; w = Q where A_res >= 0,
    else 1 - Q; A_t = A_res N w_t / sum_t w, and A_res everywhere where all w are zero. The sum over tokens stays.
    """
    known = ~batch.verdicts.isnan()
    p = batch.relevance * (known.unsqueeze(-1) & batch.mask.unsqueeze(1))
    cited = p.sum(1)
    quality = (p * batch.verdicts.nan_to_num(0).unsqueeze(-1)).sum(1) / cited.clamp(min=EPS)
    is_cited = cited > EPS
    mean = (quality * is_cited).sum(1, keepdim=True) / is_cited.sum(1, keepdim=True).clamp(min=1)
    quality = torch.where(is_cited, quality, mean)
    a = batch.a_res.unsqueeze(1)
    weight = torch.where(a >= 0, quality, 1 - quality) * batch.mask
    total, tokens = weight.sum(1, keepdim=True), batch.mask.sum(1, keepdim=True)
    return torch.where(total > EPS, a * tokens * weight / total.clamp(min=EPS), a) * batch.mask


def gdpo(batch: Batch) -> Tensor:
    """GDPO (2601.05242): every criterion standardised over the group, summed, then standardised over the batch."""
    v = batch.grouped
    known = ~v.isnan()
    n = known.sum(1, keepdim=True)
    deviation = (v - v.nansum(1, keepdim=True) / n.clamp(min=1)).masked_fill(~known, 0)
    std = (deviation.square().sum(1, keepdim=True) / (n - 1).clamp(min=1)).sqrt()
    summed = (deviation / (std + EPS)).sum(-1).view(-1)  # [B]
    spread = summed.std() if len(summed) > 1 else summed.new_zeros(())
    return ((summed - summed.mean()) / (spread + EPS)).unsqueeze(1) * batch.mask


def weighted_negative(batch: Batch, positive: float = 0.1) -> Tensor:
    """W-REINFORCE (2506.01347): +0.1 for a response that satisfies everything, -1 for one that does not; no baseline.

    A response with an unknown verdict and no violation is left alone.
    """
    violated = (batch.verdicts == 0).any(1)
    unknown = batch.verdicts.isnan().all(1) | (batch.verdicts.isnan().any(1) & ~violated)
    value = torch.where(violated, -1.0, positive).masked_fill(unknown, 0.0)
    return value.to(batch.a_res.dtype).unsqueeze(1) * batch.mask


Rule = Callable[[Batch], Tensor]
RIVALS: dict[str, Rule] = {
    "CoRT": cort,
    "CriPO": cripo,
    "DRACO": draco,
    "GDPO": gdpo,
    "W-REINFORCE": weighted_negative,
}
