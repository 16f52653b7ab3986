"""RTT-GRPO in engines that know one number a token: both advantages in a [B, T] tensor of token rewards.

Token credit of a response-local scheme sums to zero over the response. So the response's reward can be put on top of
the credit of its last token, and both can be read off again: the reward is the sum over tokens. An engine's sums,
means and filters of rewards see the reward alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rtt_lib.credit import response_advantage, token_advantage
from rtt_lib.errors import RTTError

# Schemes whose statistics never leave one response: the rest of its group need not be at hand.
RESPONSE_LOCAL = ("intra", "joint")


def token_rewards(
    rewards: Tensor, verdicts: Tensor, relevance: Tensor, mask: Tensor, beta: float = 0.5, scheme: str = "intra"
) -> Tensor:
    """[B, T]: beta * A_tok, and the reward [B] (Eq. 2 or 3; NaN where unknown) on the response's last token.

    verdicts [B, K], relevance [B, K, T], mask [B, T] as for `rtt_lib.credit.token_advantage`.
    """
    if scheme not in RESPONSE_LOCAL:
        raise RTTError(f"scheme={scheme!r} needs all responses of a group: choose one of {', '.join(RESPONSE_LOCAL)}")
    credit = beta * token_advantage(verdicts, relevance, mask, 1, scheme)
    return torch.where(_at_the_end(mask), credit + rewards.unsqueeze(1), credit)


def advantages(rewards: Tensor, mask: Tensor, groups: Sequence[Any]) -> Tensor:
    """Eq. 7 of `token_rewards`: A_res + beta * A_tok, [B, T], zero outside the mask.

    groups: B names; responses to the same prompt have the same one, in any order
    """
    last = _at_the_end(mask)
    credit = rewards.masked_fill(last | ~mask.bool(), 0)
    credit = credit - last * credit.sum(1, keepdim=True)  # what makes the sum over the response zero
    reward = (rewards.masked_fill(~last, 0) - credit * last).sum(1)
    a_res = torch.zeros_like(reward)
    for name in dict.fromkeys(groups):
        rows = torch.tensor([group == name for group in groups], device=rewards.device)
        a_res[rows] = response_advantage(reward[rows], int(rows.sum()))
    return (a_res.unsqueeze(1) + credit) * mask


def _at_the_end(mask: Tensor) -> Tensor:
    """[B, T] bool: the last token of each response that has one."""
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (places * mask.bool()).amax(1, keepdim=True)
    return (places == last) & mask.bool()
