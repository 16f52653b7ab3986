"""Short runs in a world of levels, for the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtt_lib.methods.arms import Arm, find_arm
from rtt_lib.methods.task import Task
from rtt_lib.profile import Experiment, Profile
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec

SHORT = {
    "policy.pretrain_steps": "2",
    "rl.steps": "3",
    "rl.prompts_per_step": "4",
    "rl.group_size": "4",
    "evaluation.prompts": "8",
    "discriminator.samples": "64",
}


def short_profile(*arms: str, **overrides: str) -> Profile:
    profile = load_profile("conifer", SHORT | {key.replace("__", "."): value for key, value in overrides.items()})
    return replace(profile, experiments={"core": Experiment(arms or ("base",), ("A0",), ("nested",))})


def spec_of(arm: str | Arm, world: str = "nested", **overrides: str) -> RunSpec:
    arm = find_arm(arm) if isinstance(arm, str) else arm
    return RunSpec(arm, world, "A0", short_profile(**overrides))


def task_of(spec: RunSpec, folder: Path) -> Task:
    """As `rtt_lib.studies.execute` makes it."""
    model, tokenizer = spec.home.policy(spec.seed)
    prompts, _ = spec.home.prompts(spec.number, tokenizer)
    rl, compute = spec.profile.rl, spec.profile.compute
    return Task(spec.arm, rl, compute, spec.seed, spec.home, model, tokenizer, prompts, folder / "attempt")
