"""What reaches the trainer of an arm, without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from rtt_lib.methods import rl
from rtt_lib.methods.arms import find_arm
from rtt_lib.methods.task import Task
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.micro.world import MicroWorld
from rtt_lib.worlds.text import world

RL = replace(load_profile("paper-qwen3-4b").rl, steps=1, prompts_per_step=4)


class Stop(Exception):
    """The trainer is made; it need not train."""


def trainer_arguments(monkeypatch) -> dict:
    """Filled with the keyword arguments of the last RTT-GRPO trainer; discriminators stand for their folders."""
    seen = {}

    def trainer(model, **arguments):
        seen.update(arguments)
        raise Stop

    monkeypatch.setattr(rl, "RTTGRPOTrainer", trainer)
    monkeypatch.setattr(rl, "load_discriminator", Path)
    monkeypatch.setattr(world, "weight_files", lambda folder: [folder])  # not all that may be there are shipped
    monkeypatch.setattr(MicroWorld, "discriminator", lambda self, kind, seed: Path(kind))
    return seen


def task_of(profile, place: str, arm: str, folder: Path) -> Task:
    spec = RunSpec(find_arm(arm), place, "A3", profile)
    model, tokenizer = SimpleNamespace(num_parameters=lambda: 1), SimpleNamespace(chat_template=None)
    if place == "composed":
        prompts = compose(default_tasks(), 4, 0)
    else:
        prompts, _ = spec.home.prompts(spec.number, tokenizer)
    rl, seed = spec.profile.rl, spec.discriminator_seed
    return Task(spec.arm, rl, profile.compute, seed, spec.home, model, tokenizer, prompts, folder)


def start_micro(arm: str, folder: Path, rl=RL) -> Task:
    return task_of(replace(load_profile("ci"), rl=rl), "L", arm, folder)


def start_text(arm: str, folder: Path, rl=RL) -> Task:
    return task_of(replace(load_profile("smol-cpu"), rl=rl), "composed", arm, folder)
