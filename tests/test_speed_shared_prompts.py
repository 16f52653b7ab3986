"""With and without shared prompts the loss and its gradient are the same, and a wrong one would show."""

from __future__ import annotations

import re

import pytest
import torch
from markdown_rows import cells_of
from transformers import LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from rtt_lib.run.speed import shared_prompts as speed
from rtt_lib.worlds.micro.policy import micro_config


def test_shared_prompts_give_the_same_loss_and_gradient(capsys):
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(50))
    speed.shared_prompts(model, "tiny", prompts=2, prompt_tokens=24, tokens=6, rounds=2)
    first, header, _, training, old, last = filter(None, capsys.readouterr().out.splitlines())
    assert first.startswith("tiny; 2 x 8 responses of 6 tokens, prompts of 24; ") and "commit" in first
    assert cells_of(header) == ["pass", "seconds without", "seconds with", "times faster", "least", "most"]
    for row, name in ((training, "training"), (old, "old log-probabilities")):
        task, *numbers = cells_of(row)
        without, shared, ratio, least, most = map(float, numbers)
        assert task == name and without > 0 and shared > 0 and 0 < least <= ratio <= most
    loss, gradient = map(float, re.search(r"differs by (\S+), the gradient by (\S+) of", last).groups())
    assert loss < 1e-5 and gradient < 1e-4


def test_a_wrong_way_would_be_seen():
    """Both ways compute something that differs where responses differ."""
    model = LlamaForCausalLM(micro_config(50))
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids, mask = speed.prompts_and_responses(model, 2, 5, 3)
    assert ids.shape == (16, 8) and torch.equal(ids[0, :5], ids[7, :5]) and not torch.equal(ids[7, :5], ids[8, :5])
    plain = speed.plain_log_probs(model, ids, mask, 3)
    assert plain.shape == (16, 3) and plain.std() > 0
    loss, gradient = speed.loss_and_gradient(model, lambda: speed.plain_log_probs(model, ids, mask, 3))
    other, other_gradient = speed.loss_and_gradient(model, lambda: speed.plain_log_probs(model, ids.flip(0), mask, 3))
    assert (
        loss == pytest.approx(-other, abs=1e-5)
        and (gradient + other_gradient).abs().max() < 1e-4 < gradient.abs().max()
    )
