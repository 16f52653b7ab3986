"""The loss of RTTGRPOTrainer: plain GRPO at token_beta 0, and Eq. 6 by hand."""

from __future__ import annotations

import pytest
import torch
from rtt_grpo_toy import DATA, GROUP, TOKENIZER, make, rollouts, same, settings, tiny_model, train, varied
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.methods.verification import parse_rubric
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import csr


def test_token_beta_zero_is_plain_grpo(tmp_path):
    def reward(prompts, completions, criteria, **kwargs):
        rubrics = [parse_rubric(value) for value in criteria]
        return [csr([v.value for v in row]) for row in Verifier()(prompts, completions, rubrics)]

    few = {"max_steps": 3, "steps_per_generation": 2}
    ours = train(tmp_path / "ours", token_beta=0.0, per_group_token_mean=False, **few).model
    plain = GRPOTrainer(
        tiny_model(),
        reward_funcs=reward,
        args=GRPOConfig(**settings(tmp_path / "plain", **few)),
        train_dataset=DATA,
        processing_class=TOKENIZER,
    )
    plain.train()
    assert not same(ours, tiny_model())
    assert same(ours, plain.model)
    assert not same(train(tmp_path / "rtt", per_group_token_mean=False, **few).model, plain.model)


def surrogate(model, rows: list[dict], advantages: list[torch.Tensor], old_shift: float) -> torch.Tensor:
    """Eq. 6 one response at a time: the group's clipped surrogate over the group's tokens, then over groups.

    The old policy gave token x the probability that `model` gives it, times exp(old_shift * sin x).
    """
    per_group = []
    for start in range(0, len(rows), GROUP):
        total, count = 0.0, 0
        for i in range(start, start + GROUP):
            prompt = TOKENIZER(rows[i]["prompt"], return_tensors="pt").input_ids
            ids = torch.tensor([TOKENIZER.convert_tokens_to_ids(rows[i]["tokens"])])
            logits = model(torch.cat([prompt, ids], 1)).logits[0, prompt.shape[1] - 1 : -1]
            logp = torch.log_softmax(logits, -1).gather(1, ids[0, :, None])[:, 0]
            ratio = (logp - logp.detach() - old_shift * torch.sin(ids[0].float())).exp()
            a = advantages[i]
            total = total + torch.minimum(ratio * a, ratio.clamp(0.8, 1.27) * a).sum()
            count += len(a)
        per_group.append(total / count)
    return -torch.stack(per_group).mean()


@pytest.mark.parametrize("old_shift", [0.0, 0.5], ids=["ratio 1", "clipped"])
def test_the_loss_is_equation_6_and_so_is_its_gradient(tmp_path, old_shift):
    trainer = make(tmp_path, max_steps=1, epsilon_high=0.27, save_rollouts_every=1, extra=varied())
    trainer.model.train()
    [inputs] = [trainer._prepare_inputs(list(DATA.select([0] * GROUP + [1] * GROUP)))]
    trainer.current_gradient_accumulation_steps = 1
    rows = rollouts(tmp_path)
    lengths = [sum(len(row["tokens"]) for row in rows[start : start + GROUP]) for start in (0, GROUP)]
    assert lengths[0] != lengths[1], "groups of equal length would not tell Eq. 6 from a mean over all tokens"
    advantages = [row["a_res"] + 0.5 * torch.tensor(row["a_tok"]) for row in rows]

    if old_shift:
        ids, prompts = inputs["completion_ids"], inputs["prompt_ids"]
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        logp, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, torch.cat([prompts, ids], 1), attention, ids.shape[1]
        )
        inputs["old_per_token_logps"] = logp.detach() + old_shift * torch.sin(ids.float())
    loss = trainer._compute_loss(trainer.model, inputs)
    expected = surrogate(trainer.model, rows, advantages, old_shift)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-3)
    if not old_shift:
        by_sum = -sum(torch.cat(advantages[s : s + GROUP]).mean() for s in (0, GROUP)) / 2
        torch.testing.assert_close(loss.detach(), by_sum, atol=1e-4, rtol=1e-3)
    got = torch.autograd.grad(loss, list(trainer.model.parameters()))
    wanted = torch.autograd.grad(expected, list(trainer.model.parameters()))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)
