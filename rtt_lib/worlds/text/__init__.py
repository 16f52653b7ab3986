"""Worlds of text: a language model, composed prompts or a data set of others, benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.profile import REPOSITORY, Experiment, Profile
from rtt_lib.worlds import GIVEN
from rtt_lib.worlds.text.sources import CONSTRUCTED, SOFT

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require
    from rtt_lib.worlds.text.world import TextWorld

THREADS = None  # of a run: its share of the cores
DATA = {"composed": "ships with the package"}
COUNTS_PROMPTS = True
TRAINED_BY_A_PERSON = True  # its discriminators, and not by notebook 03
EQUAL_RUBRICS = False


def check(profile: Profile, require: Require) -> None:
    data, source = profile.data, profile.data.source
    require(profile.policy.model != "micro", "policy.model", f"the micro policy cannot read data.source = {source}")
    checkpoint = profile.discriminator.checkpoint
    require(
        checkpoint is None or (REPOSITORY / checkpoint).is_dir(),
        "discriminator.checkpoint",
        f"no such folder: {REPOSITORY / (checkpoint or '')}",
    )
    require(data.responses is None or source not in CONSTRUCTED, "data.responses", f"rules write them for {source}")
    require(data.responses is None or source not in GIVEN, "data.responses", f"{source} holds its own")
    require(
        data.responses is None or Path(data.responses).is_file(),
        "data.responses",
        f"no such file: {data.responses} (rtt_lib.run.make_labels leaves one)",
    )
    require(
        source not in SOFT or bool(profile.compute.judge_url),
        "compute.judge_url",
        f"data.source = {source} has soft criteria, which need a judge: give the address of an "
        "OpenAI-compatible server",
    )
    for name, experiment in profile.experiments.items():
        place = f"experiments.{name}"
        require(
            not experiment.worlds,
            f"{place}.worlds",
            f"only data.source = micro has worlds, here it is {source}",
        )
        for seed in experiment.seeds:
            require(seed[0] == "A", f"{place}.seeds", f"'{seed}': only the micro policy has more than one base model")


def given_files(profile: Profile) -> list[Path]:
    """What a person may replace at any time: the weights of the discriminators."""
    from rtt_lib.worlds.text.checkpoints import KINDS, discriminator_folder, weight_files

    return [file for kind in KINDS for file in weight_files(discriminator_folder(profile, kind))]


def kept_folders(profile: Profile) -> set[Path]:
    """Of the store: the places of discriminators that a person trains."""
    from rtt_lib.worlds.text.checkpoints import KINDS, beside, own_folder

    return {beside(own_folder(profile), kind) for kind in KINDS}


def names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    return (profile.data.source,)


def open_world(profile: Profile, name: str) -> TextWorld:
    from rtt_lib.worlds.text.world import TextWorld  # slow to import

    return TextWorld(profile)
