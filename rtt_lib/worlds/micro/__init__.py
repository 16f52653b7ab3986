"""The micro worlds: a closed little language in which the tokens responsible for every constraint are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import Experiment, Profile
from rtt_lib.worlds.checks import refuse_unread, require_worlds
from rtt_lib.worlds.micro.language import TRAINED_IN

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require
    from rtt_lib.worlds.micro.world import MicroWorld

MODEL = "micro"
THREADS = 1  # of a run: results must not depend on the number of cores
DATA = {"micro": "made on the spot"}
COUNTS_PROMPTS = False  # data.train_prompts has no effect
CONSTRUCTED = ("micro",)  # rules write responses to its prompts
TRAINED_BY_A_PERSON = False  # its discriminators, and not by notebook 03
EQUAL_RUBRICS = True  # every rubric has the same number of criteria
# Values of a profile that have no effect here.
UNREAD = {
    "data.train_prompts": "a run trains on rl.steps x rl.prompts_per_step prompts",
    "policy.lora_rank": "all weights of the micro policy are trained",
    "discriminator.checkpoint": "notebook 03 trains the discriminators",
    "evaluation.benchmarks": "no benchmark is in its language",
}


def check(profile: Profile, require: Require) -> None:
    require(profile.policy.model == MODEL, "policy.model", "data.source = micro needs the micro policy")
    require(
        profile.policy.pretrain_steps > 0,
        "policy.pretrain_steps",
        "the micro policy starts from random weights: at least 1",
    )
    require(not profile.data.path, "data.path", "the micro world is made on the spot: remove the path")
    require(profile.data.responses is None, "data.responses", "rules write them for micro")
    require(
        bool(profile.evaluation.prompts) or not profile.experiments,
        "evaluation.prompts",
        "is missing: on how many test prompts a policy of the micro world is examined (micro.yaml: 1024)",
    )
    refuse_unread(profile, require, UNREAD, "the micro world")
    require_worlds(profile, require, TRAINED_IN)


def given_files(profile: Profile) -> list[Path]:
    """What a person may replace at any time: nothing, all is made on the spot."""
    return []


def kept_folders(profile: Profile) -> set[Path]:
    """Of the store: base policies and discriminators."""
    from rtt_lib import store
    from rtt_lib.worlds.micro import discriminators
    from rtt_lib.worlds.micro.policy import base_fingerprint

    bases = {(discriminators.BACKBONE_WORLD, discriminators.BACKBONE_BASE)} | {
        (world, seed[0])
        for experiment in profile.experiments.values()
        for world in experiment.worlds
        for seed in experiment.seeds
    }
    steps = profile.policy.pretrain_steps
    found = {store.folder_of("bases", base_fingerprint(*base, steps)) for base in bases}
    return found | {discriminators.folder_of(profile, variant) for variant in discriminators.variants(profile)}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return experiment.worlds


def open_world(profile: Profile, name: str) -> MicroWorld:
    from rtt_lib.worlds.micro.world import MicroWorld  # slow to import

    return MicroWorld(profile, name)
