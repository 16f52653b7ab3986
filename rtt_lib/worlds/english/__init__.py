"""The English world: composed prompts, and a small policy that is pretrained on the spot to answer them in English."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import Experiment, Profile, value_of
from rtt_lib.worlds.checks import refuse_unread

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require
    from rtt_lib.worlds.english.world import EnglishWorld

MODEL = "english"
THREADS = 1  # of a run: results must not depend on the number of cores
DATA = {"english": "made on the spot"}
COUNTS_PROMPTS = True
CONSTRUCTED = ("english",)  # rules write responses to its prompts
TRAINED_BY_A_PERSON = False  # its discriminators: a run makes the one that it reads
EQUAL_RUBRICS = False
# Values of a profile that have no effect here.
UNREAD = {
    "policy.lora_rank": "all weights of the policy are trained",
    "discriminator.checkpoint": "a run makes the discriminator that it reads",
    "evaluation.benchmarks": "the policy knows the words of its own world only",
}


def check(profile: Profile, require: Require) -> None:
    for dotted in ("policy.model", "discriminator.model"):
        require(value_of(profile, dotted) == MODEL, dotted, f"data.source = english needs the model '{MODEL}'")
    require(
        profile.policy.pretrain_steps > 0, "policy.pretrain_steps", "the policy starts from random weights: at least 1"
    )
    require(not profile.data.path, "data.path", "the English world is made on the spot: remove the path")
    require(profile.data.responses is None, "data.responses", "rules write them for english")
    require(
        bool(profile.evaluation.prompts) or not profile.experiments,
        "evaluation.prompts",
        "is missing: on how many held-out prompts a policy is examined (english.yaml: 1024)",
    )
    refuse_unread(profile, require, UNREAD, "the English world")
    for name, experiment in profile.experiments.items():
        require(not experiment.worlds, f"experiments.{name}.worlds", "data.source = english is one world: remove it")


def given_files(profile: Profile) -> list[Path]:
    """What a person may replace at any time: nothing, all is made on the spot."""
    return []


def kept_folders(profile: Profile) -> set[Path]:
    """Of the store: base policies and discriminators."""
    from rtt_lib.worlds.base import discriminator_number
    from rtt_lib.worlds.english import discriminators, policy

    bases = {seed[0] for experiment in profile.experiments.values() for seed in experiment.seeds}
    bases |= {discriminators.BACKBONE_BASE}
    found = {policy.folder_of(base, profile.policy.pretrain_steps) for base in bases}
    kinds = [(kind, discriminator_number(base)) for kind in discriminators.KINDS for base in bases]
    return found | {discriminators.folder_of(profile, *kind) for kind in kinds}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return (profile.data.source,)


def open_world(profile: Profile, name: str) -> EnglishWorld:
    from rtt_lib.worlds.english.world import EnglishWorld  # slow to import

    return EnglishWorld(profile)
