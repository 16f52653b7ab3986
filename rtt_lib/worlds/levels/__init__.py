"""Worlds of levels: questions that ask for one to five criteria, in the language of the micro world."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import Experiment, Profile, value_of
from rtt_lib.worlds.checks import refuse_unread, require_worlds
from rtt_lib.worlds.levels.ladders import WORLDS

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require
    from rtt_lib.worlds.levels.world import LevelsWorld

MODEL = "micro"
THREADS = 1  # of a run: results must not depend on the number of cores
DATA = {"levels": "made on the spot"}
COUNTS_PROMPTS = False  # data.train_prompts has no effect
CONSTRUCTED = ("levels",)  # rules write responses to its prompts
TRAINED_BY_A_PERSON = False  # its discriminators, and not by notebook 03
EQUAL_RUBRICS = False
# Values of a profile that have no effect here.
UNREAD = {
    "data.train_prompts": "a run trains on rl.steps x rl.prompts_per_step prompts or questions",
    "policy.lora_rank": "all weights of the policy are trained",
    "discriminator.checkpoint": "a run makes the discriminator that it reads",
    "evaluation.benchmarks": "no benchmark is in its language",
}


def check(profile: Profile, require: Require) -> None:
    for dotted in ("policy.model", "discriminator.model"):
        require(value_of(profile, dotted) == MODEL, dotted, "data.source = levels needs the micro policy")
    require(
        profile.policy.pretrain_steps > 0, "policy.pretrain_steps", "the policy starts from random weights: at least 1"
    )
    require(not profile.data.path, "data.path", "the worlds of levels are made on the spot: remove the path")
    require(profile.data.responses is None, "data.responses", "rules write them for levels")
    require(
        bool(profile.evaluation.prompts) or not profile.experiments,
        "evaluation.prompts",
        "is missing: on how many test prompts of each level a policy is examined (conifer.yaml: 320)",
    )
    refuse_unread(profile, require, UNREAD, "the worlds of levels")
    require_worlds(profile, require, WORLDS)


def given_files(profile: Profile) -> list[Path]:
    """What a person may replace at any time: nothing, all is made on the spot."""
    return []


def kept_folders(profile: Profile) -> set[Path]:
    """Of the store: base policies, and the discriminators that token credit reads."""
    from rtt_lib.worlds.base import discriminator_number
    from rtt_lib.worlds.levels import discriminators, policy

    bases = {seed[0] for experiment in profile.experiments.values() for seed in experiment.seeds}
    bases |= {discriminators.BACKBONE_BASE}
    folders = {policy.folder_of(base, profile.policy.pretrain_steps) for base in bases}
    return folders | {discriminators.folder_of(profile, discriminator_number(base)) for base in bases}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return experiment.worlds


def open_world(profile: Profile, name: str) -> LevelsWorld:
    from rtt_lib.worlds.levels.world import LevelsWorld  # slow to import

    return LevelsWorld(profile, name)
