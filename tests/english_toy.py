"""The English world at toy size: a policy of one layer, width 32, pretrained for 30 steps."""

from __future__ import annotations

from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import Profile
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.english.policy import Size

TOY = Size(layers=1, width=32, vocabulary=600)
SMALL = {
    "policy.pretrain_steps": "30",
    "data.train_prompts": "8",
    "discriminator.samples": "80",
    "discriminator.epochs": "1",
    "rl.steps": "2",
    "rl.prompts_per_step": "2",
    "rl.group_size": "4",
    "rl.max_prompt_tokens": "300",
    "rl.max_response_tokens": "16",
    "evaluation.prompts": "6",
    "evaluation.max_tokens": "16",
}


def toy_profile(**changes: str) -> Profile:
    return load_profile("english", SMALL | {name.replace("__", "."): value for name, value in changes.items()})


def spec_of(profile: Profile, arm: str, seed: str = "A0") -> RunSpec:
    return RunSpec(find_arm(arm), "english", seed, profile)
