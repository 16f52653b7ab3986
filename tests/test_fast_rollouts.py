"""The trainer with fast rollouts: the tokens, the weights they come from, whole trainings, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from arms_toy import RL, Stop, start_micro, trainer_arguments
from peft import LoraConfig
from rtt_grpo_toy import DATA, EOS, GROUP, TOKENIZER, finite, fixed, logged, make, same, tiny_model
from test_fast import reference
from test_rtt_grpo_chats import tool_trainer

from rtt_lib.errors import RTTError
from rtt_lib.methods import rl
from rtt_lib.methods.fast_rollouts import FastRTTGRPOTrainer, through_the_end
from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer
from rtt_lib.profile import Evaluation

PROMPTS = [ids for text in DATA["prompt"][:3] for ids in [TOKENIZER(text).input_ids] for _ in range(GROUP)]
PROMPTS.append(PROMPTS[0][3:])


def lively_model():
    """Its responses differ from one another, and some of them end."""
    model = tiny_model()
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(std=0.3)
        model.model.embed_tokens.weight[EOS] *= 2
    return model


def fast(folder, **kwargs) -> FastRTTGRPOTrainer:
    return make(folder, **{"model": lively_model(), "cls": FastRTTGRPOTrainer} | kwargs)


def expected(model, settings: Evaluation, seed: int) -> list[list[int]]:
    torch.manual_seed(seed)
    seeds = torch.randint(2**63 - 1, (len(PROMPTS),)).tolist()
    return reference(model, PROMPTS, settings, seeds, [EOS], TOKENIZER.pad_token_id)


def rolled_out(trainer, seed: int) -> list[list[int]]:
    torch.manual_seed(seed)
    found, logps = trainer._generate_single_turn(PROMPTS, None, {}, GROUP)
    assert logps is None
    return found


# --- the tokens ---


def test_rollouts_are_those_of_the_transformers_backend(tmp_path):
    trainer = fast(tmp_path, temperature=0.7, top_p=0.9, top_k=20)
    settings = Evaluation(temperature=0.7, top_p=0.9, top_k=20, max_tokens=10)
    said, found = expected(lively_model(), settings, 5), rolled_out(trainer, 5)
    assert [ids[:-1] if ids[-1] == EOS else ids for ids in found] == said
    assert [ids[-1] == EOS for ids in found] == [len(ids) < 10 for ids in said]
    assert 0 < sum(len(ids) < 10 for ids in said) < len(PROMPTS) and len(set(map(tuple, found))) > GROUP
    assert rolled_out(trainer, 5) == found != rolled_out(trainer, 6)


def test_rollouts_come_from_the_weights_of_now(tmp_path):
    trainer = fast(tmp_path, learning_rate=0.1)
    settings = Evaluation(temperature=1.0, top_p=1.0, top_k=0, max_tokens=10)
    before = rolled_out(trainer, 5)
    trainer.train()
    model = trainer.model.eval()
    assert not same(model, lively_model())
    after = [[token for token in ids if token != EOS] for ids in rolled_out(trainer, 5)]
    assert after == expected(model, settings, 5) and after != before


def test_in_mixed_precision_the_products_are_in_bfloat16(tmp_path):
    trainer = fast(tmp_path, bf16=True)
    sampler = trainer._sampler()
    assert (sampler.model.dtype, sampler.model.embedding.dtype) == (torch.bfloat16, torch.float32)
    trainer.train()
    assert finite(trainer.model) and trainer.model.dtype == torch.float32


def test_through_the_end():
    assert through_the_end([5, 1, 0, 0], [1]) == [5, 1]
    assert through_the_end([5, 6], [1]) == [5, 6]
    assert through_the_end([2, 1], [1, 2]) == [2]


# --- training ---


def test_it_trains_and_a_resumed_run_is_the_same(tmp_path):
    often = {"max_steps": 4, "save_strategy": "steps", "save_steps": 1, "steps_per_generation": 2}
    whole = fast(tmp_path / "whole", **often)
    whole.train()
    assert finite(whole.model) and not same(whole.model, lively_model())
    assert len(logged(whole, "completions/mean_length")) == 2
    again = fast(tmp_path / "again", **often)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert same(whole.model, again.model)


def test_token_credit_is_given_as_with_generate(tmp_path):
    """A learning rate of zero: both policies stay the same, and so do the means of what they write, nearly."""
    many = {"max_steps": 12, "learning_rate": 0.0}
    trainers = [fast(tmp_path / "fast", **many), fast(tmp_path / "slow", cls=RTTGRPOTrainer, **many)]
    for trainer in trainers:
        trainer.train()
    quick, slow = (torch.tensor(logged(trainer, "completions/mean_length")) for trainer in trainers)
    noise = (quick.var() / 12 + slow.var() / 12).sqrt()
    assert (quick.mean() - slow.mean()).abs() < 4 * noise and noise < 1
    assert all(min(logged(trainer, "credit/a_tok_abs")) > 0 for trainer in trainers)


# --- which trainer ---


@pytest.mark.parametrize("sampler", ["transformers", "fast"])
def test_the_profile_says_which(tmp_path, monkeypatch, sampler):
    trainer_arguments(monkeypatch)
    stopping, chosen = rl.RTTGRPOTrainer, []
    for name in ("RTTGRPOTrainer", "FastRTTGRPOTrainer"):
        monkeypatch.setattr(rl, name, lambda *a, name=name, **k: chosen.append(name) or stopping(*a, **k))
    task = start_micro("RL-CSR", tmp_path, RL)
    with pytest.raises(Stop):
        rl.trainer_of(replace(task, compute=replace(task.compute, sampler=sampler)))
    assert chosen == ["FastRTTGRPOTrainer" if sampler == "fast" else "RTTGRPOTrainer"]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"use_vllm": True}, "together with use_vllm"),
        ({"min_p": 0.1}, "together with min_p"),
        ({"repetition_penalty": 1.1}, "together with repetition_penalty"),
        ({"generation_kwargs": {"no_repeat_ngram_size": 2}}, "together with generation_kwargs"),
        ({"extra": fixed([3, 4])}, "a rollout_func samples already"),
        ({"extra": {"peft_config": LoraConfig(r=2, task_type="CAUSAL_LM")}}, "PeftModel"),
    ],
)
def test_what_it_does_not_do_is_refused_with_the_reason(tmp_path, changes, reason):
    with pytest.raises(RTTError, match=f"no fast rollouts: .*{reason}"):
        fast(tmp_path, **changes)


@pytest.mark.parametrize("kind", ["tools", "environment"])
def test_tools_and_environments_are_refused(tmp_path, kind):
    with pytest.raises(RTTError, match="it writes one turn, without tools or an environment"):
        tool_trainer(tmp_path, FastRTTGRPOTrainer, kind)
