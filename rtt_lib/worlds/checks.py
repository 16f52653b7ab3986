"""What several families of worlds ask of a profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from rtt_lib.profile import RL, Data, Discriminator, Policy, Profile, value_of

if TYPE_CHECKING:
    from rtt_lib.worlds.base import Require


def refuse_unread(profile: Profile, require: Require, unread: Mapping[str, str], where: str) -> None:
    """`unread`: dotted keys of values that have no effect `where`, and why.

    A resolved profile names every key. So only a value other than its default counts as set by a person.
    """
    data, policy, judge = Data(profile.data.source), Policy(profile.policy.model), Discriminator(profile.policy.model)
    default = Profile("", "", data, policy, judge, RL(steps=1))
    for dotted, instead in unread.items():
        as_default = value_of(profile, dotted) == value_of(default, dotted)
        require(as_default, dotted, f"has no effect in {where}: {instead}; remove it")


def require_worlds(profile: Profile, require: Require, known: Collection[str]) -> None:
    """Every experiment names worlds, and only those that there are."""
    names = ", ".join(known)
    for name, experiment in profile.experiments.items():
        place = f"experiments.{name}.worlds"
        require(bool(experiment.worlds), place, f"name at least one of {names}")
        for world in experiment.worlds:
            require(world in known, place, f"'{world}' is not one of {names}")
