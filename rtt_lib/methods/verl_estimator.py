"""RTT-GRPO's advantages in verl 0.9, under the name `rtt`; docs/verl.md is the recipe.

verl hands an estimator of its registry the token rewards, the response mask and the prompts' ids, and nothing else:
token credit comes in the token rewards, see `rtt_lib.methods.token_rewards`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from rtt_lib.errors import RTTError
from rtt_lib.methods.token_rewards import advantages


@register_adv_est("rtt")
def rtt_advantage(
    token_level_rewards: Tensor, response_mask: Tensor, index: Sequence[Any], config: Any = None, **others: Any
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both A_res + beta * A_tok [B, T]."""
    if config is not None and config.get("use_kl_in_reward", False):
        raise RTTError(
            "algorithm.use_kl_in_reward adds a penalty to every token's reward, which would be read as token credit: "
            "set it to False, and actor_rollout_ref.actor.use_kl_loss to True"
        )
    result = advantages(token_level_rewards, response_mask, index)
    return result, result
