"""A profile that is read and checked: by itself, by its world, and against the arms that there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from rtt_lib import worlds
from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import Arm, find_arm
from rtt_lib.profile import Experiment, Profile, Where, read_profile, require
from rtt_lib.yaml_tree import place


def load_profile(path_or_name: str | Path, overrides: Mapping[str, str] | None = None) -> Profile:
    """See `rtt_lib.profile.read_profile`; what cannot run is an error that names the place in the file."""
    profile, where = read_profile(path_or_name, overrides)
    worlds.check(profile, partial(require, where=where))
    for name, experiment in profile.experiments.items():
        _check_experiment(profile, name, experiment, where)
    return profile


def _arm(name: str, dotted: str, where: Where) -> Arm:
    try:
        return find_arm(name)
    except RTTError as error:
        raise RTTError(f"{place(tuple(dotted.split('.')), where)}: {error}") from error


def _check_experiment(profile: Profile, name: str, experiment: Experiment, where: Where) -> None:
    dotted, data = f"experiments.{name}.arms", profile.data
    given = data.source in worlds.GIVEN
    for named in experiment.arms:
        arm = _arm(named, dotted, where)
        rl = arm.over(profile.rl)
        responses = rl.prompts_per_step * rl.group_size
        require(
            responses % rl.minibatches == 0,
            dotted,
            f"'{named}': {responses} responses do not divide into {rl.minibatches} minibatches",
            where,
        )
        require(
            not given or arm.trainer in ("none", "sft"),
            dotted,
            f"'{named}' needs criteria, and {data.source} has none: base and SFT can learn from it",
            where,
        )
        require(
            data.source not in worlds.BARE or arm.trainer in ("none", "serl"),
            dotted,
            f"'{named}' needs criteria or responses, and {data.source} has prompts alone: base and SERL can use them",
            where,
        )
        if arm.supervised:
            by_rule = worlds.family(profile).CONSTRUCTED
            require(
                given or data.source in by_rule or data.responses is not None,
                dotted,
                f"'{named}' learns from responses: rules do not write them for {data.source}, so name a strong LLM's "
                "as data.responses",
                where,
            )
            require(
                data.responses is not None or rl.prompts_per_step % rl.minibatches == 0,
                "rl.minibatches",
                f"'{named}' learns from one response to each of rl.prompts_per_step = {rl.prompts_per_step} prompts, "
                f"which do not divide into {rl.minibatches} minibatches",
                where,
            )
        require(
            arm.scheme != "released" or worlds.family(profile).EQUAL_RUBRICS,
            dotted,
            f"'{named}' mixes up rows as the released code does, which needs rubrics of one length; those of "
            f"{data.source} differ: leave it to a profile of the micro world",
            where,
        )
    for seed in experiment.seeds:
        require(
            re.fullmatch(r"[A-Z](0|[1-9][0-9]*)", seed) is not None,
            f"experiments.{name}.seeds",
            f"'{seed}' is not a seed: a capital letter for the base model and a number, as A0",
            where,
        )
