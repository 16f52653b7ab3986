"""Shared prompts: the same numbers, gradients and trained weights as without, and fewer tokens computed."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig
from test_rtt_grpo import TOKENIZER, make, tiny_model
from transformers import LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from rtt_lib.errors import RTTError
from rtt_lib.methods.shared_prompts import groups_of_one_size, in_order_of_prompts, log_probs, pack
from rtt_lib.worlds.micro.policy import micro_config

T = 6


def scored(model, outputs=("log_probs", "entropy")):
    add_fused_lm_head(model, temperature=1.0, outputs=outputs)
    return model


def flat(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def plain(model, ids, mask, tokens=T):
    labels = ids.masked_fill(~mask, -100)
    labels[:, :-tokens] = -100
    found = model(input_ids=ids, attention_mask=mask.long(), labels=labels, fused_lm_head=True)
    return found.log_probs[:, -tokens:], found.entropy[:, -tokens:]


def batch(shuffled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Three prompts of 2, 5 and 7 tokens with 3, 1 and 3 responses of 1 to 6 tokens; one response has no token."""
    g = torch.Generator().manual_seed(3)
    rows = []
    for length, responses in ((2, (6, 3, 0)), (5, (4,)), (7, (1, 6, 5))):
        prompt = torch.randint(3, 40, (length,), generator=g)
        for n in responses:
            response = torch.randint(3, 40, (n,), generator=g)
            ids = torch.cat([torch.zeros(7 - length), prompt, response, torch.zeros(T - n)]).long()
            mask = torch.tensor([0] * (7 - length) + [1] * (length + n) + [0] * (T - n)).bool()
            rows.append((ids, mask))
    if shuffled:
        rows = [rows[n] for n in (4, 0, 6, 3, 1, 5, 2)]
    return torch.stack([ids for ids, _ in rows]), torch.stack([mask for _, mask in rows])


@pytest.mark.parametrize("shuffled", [False, True])
def test_log_probabilities_entropies_and_gradients_are_the_same(shuffled):
    torch.manual_seed(0)
    model = scored(LlamaForCausalLM(micro_config(len(TOKENIZER))))
    ids, mask = batch(shuffled)
    own, weight = mask[:, -T:], torch.randn(len(ids), T)
    found = []
    for compute in (plain, lambda *given: log_probs(*given, T)):
        model.zero_grad()
        logps, entropy = compute(model, ids, mask)
        (((logps + 0.1 * entropy) * own * weight).sum() / own.sum()).backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((logps[own], entropy[own].detach(), gradient))
    for expected, shared in zip(*found, strict=True):
        torch.testing.assert_close(shared, expected, rtol=0, atol=1e-5)
    assert found[0][2].abs().max() > 1e-3


def test_a_response_does_not_see_the_others():
    model, (ids, mask) = scored(tiny_model()), batch(shuffled=False)
    before = log_probs(model, ids, mask, T)[0]
    ids[1, -T:-3] = 39  # another response to the first prompt
    after = log_probs(model, ids, mask, T)[0]
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def test_prompts_are_held_once():
    """By hand: 3 responses of at most 2 tokens to [5 6]: the prompt's 5 once, its 6 before each response."""
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 9, 0], [5, 6, 7, 7]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    (rows,) = groups_of_one_size([(5, 6)] * 3)
    packed = pack(ids, mask, rows, 2)
    assert packed.ids.tolist() == [[5, 6, 7, 8, 6, 9, 0, 6, 7, 7]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 1, 2, 3, 1, 2, 3]]
    assert packed.labels.tolist() == [[-100, -100, 7, 8, -100, 9, -100, -100, 7, 7]]
    sees = packed.mask[0, 0].int().tolist()
    assert sees[3] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]  # 8: the prompt, its own response
    assert sees[5] == [1, 0, 0, 0, 1, 1, 0, 0, 0, 0]  # 9
    assert sees[6] == [1, 0, 0, 0, 1, 1, 1, 0, 0, 0]  # padding


def test_groups_of_one_size_go_together():
    groups = [rows.tolist() for rows in groups_of_one_size([(1,), (2,), (1,), (3,), (2,), (4,)])]
    assert groups == [[[0, 2], [1, 4]], [[3], [5]]]


def test_the_rows_of_a_step_are_put_in_order_and_none_is_lost():
    prompts = torch.tensor([[2, 1], [0, 3], [2, 1], [0, 3]])
    mask = torch.tensor([[1, 1], [0, 1], [1, 1], [0, 1]])
    rows = {"prompt_ids": prompts, "prompt_mask": mask, "completion_ids": torch.arange(4).unsqueeze(1),
            "num_items_in_batch": torch.tensor(9), "old": None}  # fmt: skip
    halves = [{k: v[s] if v is not None and v.dim() else v for k, v in rows.items()} for s in (slice(2), slice(2, 4))]
    first, second = in_order_of_prompts(halves)
    assert first["completion_ids"].flatten().tolist() == [0, 2] and second["completion_ids"].flatten().tolist() == [
        1,
        3,
    ]
    assert first["num_items_in_batch"] == 9 and first["old"] is None


TRAINED = {
    "optim": "sgd",
    "learning_rate": 0.5,
    "max_steps": 4,
    "steps_per_generation": 4,
    "gradient_accumulation_steps": 2,
    "per_device_train_batch_size": 4,
}


def test_a_whole_training_leaves_the_same_weights(tmp_path):
    """Two optimizer steps on a generation batch, each of two passes: old log-probabilities matter."""
    weights = []
    for share in (False, True):
        trainer = make(tmp_path / str(share), model=copy.deepcopy(tiny_model()), share_prompts=share, **TRAINED)
        seen = []
        forward = trainer.model.forward
        trainer.model.forward = lambda *a, seen=seen, forward=forward, **k: (
            (seen.append(k["input_ids"].numel()) if "labels" in k else None) or forward(*a, **k)
        )
        trainer.train()
        weights.append((flat(trainer.model), sum(seen)))
    (expected, tokens), (shared, fewer) = weights
    torch.testing.assert_close(shared, expected, rtol=0, atol=1e-5)
    assert not torch.equal(shared, flat(tiny_model())) and fewer < 0.75 * tokens


def test_an_adapter_trains_too(tmp_path):
    trainer = make(tmp_path, share_prompts=True, extra={"peft_config": LoraConfig(r=2, target_modules=["q_proj"])})
    trainer.train()
    assert trainer.state.global_step == 2


def test_what_does_not_go_together_is_refused(tmp_path):
    model = tiny_model()
    model.config.sliding_window = 8
    with pytest.raises(RTTError, match=r"sliding_window.*set it to False"):
        make(tmp_path, model=model, share_prompts=True)
    model = tiny_model()
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(RTTError, match="flash_attention_2"):
        make(tmp_path, model=model, share_prompts=True)
    with pytest.raises(RTTError, match="not of images"):
        in_order_of_prompts([{"prompt_ids": torch.ones(1, 1), "num_images": [1]}])
