"""A training pass and the pass for the old log-probabilities, with and without `compute.share_prompts`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median

import pandas as pd
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rtt_lib.models import device_for, precision
from rtt_lib.run.speed.measure import GROUP, in_turn, this_machine
from rtt_lib.tables import markdown_table

SMOLLM2_SHAPE = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
}  # fmt: skip


def shared_prompts(
    model: PreTrainedModel | None = None, name: str = "SmolLM2-135M's shape, random weights", prompts: int = 1,
    prompt_tokens: int = 130, tokens: int = 96, rounds: int = 6,
) -> None:  # fmt: skip
    """Prints a table: seconds of both passes without and with shared prompts, and the median of the paired ratios.

    The interval is the smallest and the largest ratio: of six, that holds the true median in 97 of 100 cases. Times
    are in the precision that training has here. Loss and gradient are compared in float32.
    """
    from trl.trainer.utils import add_fused_lm_head

    if model is None:
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**SMOLLM2_SHAPE))
    model.to(device_for(model)).train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids, mask = prompts_and_responses(model, prompts, prompt_tokens, tokens)
    ways = {
        "without": partial(plain_log_probs, model, ids, mask, tokens),
        "with": partial(shared_log_probs, model, ids, mask, tokens),
    }
    (loss, gradient), (other, other_gradient) = (loss_and_gradient(model, way) for way in ways.values())
    works = {
        (task, way): partial(_as_in_training, model, partial(work, model, compute))
        for task, work in PASSES.items()
        for way, compute in ways.items()
    }
    times, rows = in_turn(works, rounds), []
    for task in PASSES:
        without, shared = times[task, "without"], times[task, "with"]
        ratios = [a / b for a, b in zip(without, shared, strict=True)]
        row = {"pass": task, "seconds without": median(without), "seconds with": median(shared)}
        rows.append(row | {"times faster": median(ratios), "least": min(ratios), "most": max(ratios)})
    shape = f"{prompts} x {GROUP} responses of {tokens} tokens, prompts of {prompt_tokens}"
    print(f"{name}; {shape}; {precision()}; median of {rounds} pairs; {this_machine()}\n")
    print(markdown_table(pd.DataFrame(rows)))
    largest = (gradient - other_gradient).abs().max() / gradient.abs().max()
    print(f"float32: the loss differs by {abs(loss - other):.1e}, the gradient by {largest:.1e} of its largest entry")


def prompts_and_responses(model: PreTrainedModel, prompts: int, length: int, tokens: int) -> tuple[Tensor, Tensor]:
    """ids and mask [B, P + T]: random tokens, the same prompt before each of a group's responses."""
    rng = torch.Generator().manual_seed(0)
    asked = torch.randint(0, model.config.vocab_size, (prompts, length), generator=rng)
    responses = torch.randint(0, model.config.vocab_size, (prompts * GROUP, tokens), generator=rng)
    ids = torch.cat([asked.repeat_interleave(GROUP, 0), responses], 1).to(model.device)
    return ids, torch.ones_like(ids, dtype=torch.bool)


def plain_log_probs(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """[B, T] as TRL computes them: every row reads its prompt."""
    from rtt_lib.methods.shared_prompts import IGNORED

    labels = ids.clone()
    labels[:, :-tokens] = IGNORED
    found = model(input_ids=ids, attention_mask=mask.long(), labels=labels, fused_lm_head=True, use_cache=False)
    return found.log_probs[:, -tokens:]


def shared_log_probs(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """[B, T]: a prompt is read once for its group."""
    from rtt_lib.methods.shared_prompts import log_probs

    return log_probs(model, ids, mask, tokens)[0]


def training_pass(model: PreTrainedModel, compute: Callable[[], Tensor]) -> Tensor:
    """The loss of a policy gradient with half the responses up and half of them down, and its gradient."""
    model.zero_grad()
    logps = compute()
    advantages = torch.tensor([1.0, -1.0], device=logps.device).repeat(len(logps) // 2)
    loss = -(logps * advantages[:, None]).mean()
    loss.backward()
    return loss.detach()


@torch.no_grad()
def old_log_probs(model: PreTrainedModel, compute: Callable[[], Tensor]) -> Tensor:
    return compute()


PASSES = {"training": training_pass, "old log-probabilities": old_log_probs}


def loss_and_gradient(model: PreTrainedModel, compute: Callable[[], Tensor]) -> tuple[float, Tensor]:
    loss = float(training_pass(model, compute))
    return loss, torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def _as_in_training(model: PreTrainedModel, work: Callable[[], Tensor]) -> None:
    with torch.autocast(model.device.type, torch.bfloat16, enabled=precision() == "bfloat16"):
        work()
    if model.device.type == "cuda":
        torch.cuda.synchronize()
