"""Both advantages through one number a token, as TRL's trainer has them on the same rollouts."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from rtt_grpo_toy import GROUP, HERE, train, varied

from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer
from rtt_lib.methods.token_rewards import RESPONSE_LOCAL, advantages, token_rewards
from rtt_lib.relevance.sources import Oracle


@dataclass(frozen=True)
class Batch:
    """What TRL's trainer had in hand at its last generation, and the advantages that it trained on."""

    verdicts: torch.Tensor
    relevance: torch.Tensor
    mask: torch.Tensor
    rewards: torch.Tensor
    advantages: torch.Tensor

    @property
    def groups(self) -> list[str]:
        return [f"prompt {i // GROUP}" for i in range(len(self.mask))]

    def token_rewards(self, scheme: str = "intra") -> torch.Tensor:
        return token_rewards(self.rewards, self.verdicts, self.relevance, self.mask, 0.5, scheme)


def unknown_now_and_then(prompts, responses, rubrics):
    """The fourth response can not be scored at all, another has one unknown verdict."""
    return [
        [None if i == 3 or (i, k) == (5, 0) else (i + k) % 3 > 0 for k in range(len(rubric))]
        for i, rubric in enumerate(rubrics)
    ]


def trained_on(folder, scheme: str, **changes) -> Batch:
    class Keeping(RTTGRPOTrainer):
        def _credit(self, rollouts, a_res):
            self.rollouts, self.credit = rollouts, super()._credit(rollouts, a_res)
            return self.credit

        def _advantages(self, credit):
            self.trained_on = super()._advantages(credit)
            return self.trained_on

    trainer = train(
        folder, cls=Keeping, scheme=scheme, relevance=Oracle() if not changes else None, max_steps=1, extra=varied(),
        per_group_token_mean=False, **changes,
    )  # fmt: skip
    verdicts, mask = trainer.rollouts.verdict_tensor(), trainer.rollouts.mask
    return Batch(verdicts, trainer.credit.relevance, mask, verdicts.nanmean(1), trainer.trained_on)


@pytest.mark.parametrize("scheme", RESPONSE_LOCAL)
@pytest.mark.parametrize("changes", [{}, {"verifier": unknown_now_and_then}], ids=["rules", "unknown verdicts"])
def test_they_are_what_trls_trainer_has(tmp_path, scheme, changes):
    batch = trained_on(tmp_path, scheme, **changes)
    rewards = batch.token_rewards(scheme)
    known = ~batch.rewards.isnan()
    assert known.all() == (not changes)
    torch.testing.assert_close(rewards.sum(1)[known], batch.rewards[known], atol=1e-6, rtol=0)
    found = advantages(rewards, batch.mask, batch.groups)
    torch.testing.assert_close(found, batch.advantages * batch.mask, atol=1e-6, rtol=0)
    assert found.std(1).max() > 0.1, "no token credit, nothing was compared"


def test_the_order_of_the_responses_does_not_matter(tmp_path):
    batch = trained_on(tmp_path, "intra")
    rewards, order = batch.token_rewards(), torch.randperm(len(batch.mask), generator=torch.Generator().manual_seed(0))
    shuffled = advantages(rewards[order], batch.mask[order], [batch.groups[i] for i in order])
    torch.testing.assert_close(shuffled, advantages(rewards, batch.mask, batch.groups)[order], atol=1e-6, rtol=0)


def test_tokens_of_others_and_empty_responses_get_nothing():
    verdicts, relevance = torch.tensor([[1.0], [0.0]]), torch.tensor([[[0.0, 1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]]])
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0]]).bool()
    rewards = token_rewards(torch.tensor([1.0, 0.0]), verdicts, relevance, mask)
    # By hand: p = 0, 1, 0 on the own tokens, mean 1/3, deviation sqrt(2)/3, so credit -0.71, 1.41, -0.71, times 0.5.
    half = 2**0.5 / 4
    torch.testing.assert_close(rewards, torch.tensor([[-half, 0, 2 * half, 1 - half], [0.0] * 4]), atol=1e-6, rtol=0)
    found = advantages(rewards, mask, ["a", "a"])
    a_res = 0.5 / (0.5**0.5 + 1e-4)
    expected = torch.tensor([[a_res - half, 0, a_res + 2 * half, a_res - half], [0.0] * 4])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_scheme_that_needs_the_group_is_refused():
    with pytest.raises(RTTError, match="scheme='inter' needs all responses of a group: choose one of intra, joint"):
        token_rewards(torch.ones(1), torch.ones(1, 1), torch.ones(1, 1, 2), torch.ones(1, 2), scheme="inter")


def test_the_code_in_the_recipe_runs():
    text = (HERE.parent / "docs" / "verl.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = re.sub(r"^token_rewards\(", "print(token_rewards(", code, flags=re.M).replace(
        "beta=0.5)", "beta=0.5).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "tensor(0.5000)", done.stderr[-2000:]
