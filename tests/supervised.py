"""What TRL's SFT and DPO trainers are given, in the micro world and on a strong LLM's responses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from arms_toy import RL, Stop, start_micro
from text_toy import SETTINGS, spec_of

from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl
from rtt_lib.models import load_causal_lm
from rtt_lib.schema import RubricPrompt
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_trained
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.world import MicroWorld


def given_in_the_micro_world(monkeypatch, folder: Path, method: ModuleType, arm: str) -> dict[str, Any]:
    """`args` and `rows` of the trainer, which is made and does not train; the policy's own responses are stand-ins."""
    seen: dict[str, Any] = {}

    def trainer(model, args, train_dataset, processing_class):
        seen.update(args=args, rows=list(train_dataset))
        raise Stop

    def own(self, prompts, *rest):
        return [f"own response to {prompt.prompt}" for prompt in prompts]

    monkeypatch.setattr(method, f"{arm}Trainer", trainer)
    monkeypatch.setattr(MicroWorld, "own_responses", own)
    with pytest.raises(Stop):
        method.train(start_micro(arm, folder, replace(RL, steps=3, prompts_per_step=8, minibatches=4)), folder)
    assert (seen["args"].max_steps, seen["args"].per_device_train_batch_size) == (3 * 4, 8 / 4)
    return seen


def prompts_in_the_micro_world() -> list[RubricPrompt]:
    """Those of `given_in_the_micro_world`: of seed 3, for three steps of eight."""
    return sample_prompts(find_world("L"), 3 * 8, "train 3")


def trained_on_a_strong_llms_responses(
    monkeypatch, text_folder: Path, folder: Path, method: ModuleType, arm: str
) -> tuple[dict[str, Any], list[str]]:
    """Trains as in the paper; returns what the trainer was given (settings and `rows`) and the strong LLM's responses.

    One of six prompts has no response.
    """
    prompts = [
        {"id": f"p{n}", "source": "type2", "prompt": f"Name animal {n}.", "criteria": ["At least three numbers."],
         "ground_truth": {"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 3}]}} for n in range(6)
    ]  # fmt: skip
    write_jsonl(folder / "hir.jsonl", prompts)
    answers = [{"id": f"p{n}", "response": f"Animal {n} is a cat: 1, 2, 3."} for n in range(5)]
    write_jsonl(folder / "strong.jsonl", [*answers, {"id": "another", "response": "Not asked."}])
    settings = SETTINGS | {
        "data": {"source": "hir16k", "path": "hir.jsonl", "responses": "strong.jsonl", "train_prompts": 6},
        "policy": {"model": str(text_folder / "model")},
        "experiments": {"core": {"arms": ["base", arm], "seeds": ["A0"]}},
        "compute": {"judge_url": "http://127.0.0.1:9/v1", "judge_model": "m"},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    seen: dict[str, Any] = {}
    trainer = getattr(method, f"{arm}Trainer")

    class Watched(trainer):
        def __init__(self, model, args, train_dataset, **rest):
            seen.update({name: getattr(args, name) for name in vars(args)}, rows=list(train_dataset))
            super().__init__(model, args=args, train_dataset=train_dataset, **rest)

    monkeypatch.setattr(method, f"{arm}Trainer", Watched)
    profile = load_profile(folder / "toy.yaml")
    spec = spec_of(profile, arm, "A0")
    execute.train(spec)
    assert is_trained(spec)
    paper = ("num_train_epochs", "learning_rate", "warmup_steps", "max_length", "lr_scheduler_type")
    assert [seen[name] for name in paper] == [4, 1e-6, 10, 2048, "constant_with_warmup"]
    assert seen["per_device_train_batch_size"] * seen["gradient_accumulation_steps"] == 256
    moved, base = (load_causal_lm(place).state_dict() for place in (spec.policy, text_folder / "model"))
    assert any(not torch.equal(moved[name], base[name]) for name in base)
    return seen, [row["response"] for row in answers]


def other_responses_are_another_training(folder: Path, arm: str) -> None:
    """After `trained_on_a_strong_llms_responses` in the same folder."""
    profile = load_profile(folder / "toy.yaml")
    before = spec_of(profile, "RL-CSR", "A0").training_fingerprint
    write_jsonl(folder / "strong.jsonl", [{"id": "p0", "response": "Animal 0 is a cat: 1, 2, 3."}])
    assert not is_trained(spec_of(profile, arm, "A0"))
    assert spec_of(profile, "RL-CSR", "A0").training_fingerprint == before, "RL does not read them"
    write_jsonl(folder / "strong.jsonl", [{"id": "another", "response": "Not asked."}])
    with pytest.raises(RTTError, match=r"strong.jsonl: holds a response to none of the 6 training prompts"):
        execute.train(spec_of(profile, arm, "A0"))
