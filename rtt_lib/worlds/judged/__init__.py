"""The judged worlds: the micro world's language with a policy that also judges, for methods that reward themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import Experiment, Profile
from rtt_lib.worlds.checks import refuse_unread, require_worlds
from rtt_lib.worlds.judged.language import WORLDS, find_world
from rtt_lib.worlds.micro import UNREAD as UNREAD_IN_MICRO

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require
    from rtt_lib.worlds.judged.world import JudgedWorld

MODEL = "micro"
THREADS = 1  # of a run: results must not depend on the number of cores
DATA = {"judged": "made on the spot"}
COUNTS_PROMPTS = False  # data.train_prompts has no effect
CONSTRUCTED = ()  # no arm learns from given responses here
TRAINED_BY_A_PERSON = True  # its discriminators: there are none
EQUAL_RUBRICS = True  # every rubric has the same number of criteria
UNREAD = UNREAD_IN_MICRO | {"discriminator.checkpoint": "no arm reads a discriminator"}


def check(profile: Profile, require: Require) -> None:
    require(profile.policy.model == MODEL, "policy.model", "data.source = judged needs the micro policy")
    require(
        profile.policy.pretrain_steps > 0,
        "policy.pretrain_steps",
        "the judged policy starts from random weights: at least 1",
    )
    require(not profile.data.path, "data.path", "the judged worlds are made on the spot: remove the path")
    require(
        bool(profile.evaluation.prompts) or not profile.experiments,
        "evaluation.prompts",
        "is missing: on how many test prompts a policy of a judged world is examined (serl.yaml: 512)",
    )
    refuse_unread(profile, require, UNREAD, "the judged worlds")
    require_worlds(profile, require, WORLDS)


def given_files(profile: Profile) -> list[Path]:
    """What a person may replace at any time: nothing, all is made on the spot."""
    return []


def kept_folders(profile: Profile) -> set[Path]:
    """Of the store: base policies, after either stage of their pretraining."""
    from rtt_lib import store
    from rtt_lib.worlds.judged.policy import able_fingerprint, base_fingerprint

    steps = profile.policy.pretrain_steps
    bases = {
        (world, seed[0])
        for experiment in profile.experiments.values()
        for world in experiment.worlds
        for seed in experiment.seeds
    }
    prints = {base_fingerprint(*base, steps) for base in bases}
    prints |= {able_fingerprint(find_world(world).able, base, steps) for world, base in bases}
    return {store.folder_of("bases", found) for found in prints}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return experiment.worlds


def open_world(profile: Profile, name: str) -> JudgedWorld:
    from rtt_lib.worlds.judged.world import JudgedWorld  # slow to import

    return JudgedWorld(profile, name)
