"""The judged worlds: the micro world's language with a policy that also judges, for methods that reward themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import RL, Data, Discriminator, Experiment, Policy, Profile, value_of
from rtt_lib.worlds.judged.language import WORLDS
from rtt_lib.worlds.micro import UNREAD

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
    default = Profile("", "", Data("judged"), Policy(MODEL), Discriminator(MODEL), RL(steps=1))
    for dotted in UNREAD:
        as_default = value_of(profile, dotted) == value_of(default, dotted)
        require(as_default, dotted, "has no effect in the judged worlds; remove it")
    for name, experiment in profile.experiments.items():
        place, known = f"experiments.{name}.worlds", ", ".join(WORLDS)
        require(bool(experiment.worlds), place, f"name at least one of {known}")
        for world in experiment.worlds:
            require(world in WORLDS, place, f"'{world}' is not one of {known}")


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
    prints = {base_fingerprint(*base, steps) for base in bases} | {able_fingerprint(base, steps) for _, base in bases}
    return {store.folder_of("bases", found) for found in prints}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return experiment.worlds


def open_world(profile: Profile, name: str) -> JudgedWorld:
    from rtt_lib.worlds.judged.world import JudgedWorld  # slow to import

    return JudgedWorld(profile, name)
