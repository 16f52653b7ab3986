"""Which runs a profile's experiments need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import Profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds import world_names


def plan(profile: Profile, experiments: Sequence[str] | None = None) -> list[RunSpec]:
    """Every run that the named experiments need, once (None: all experiments). A name the profile lacks is passed
    over."""
    specs: dict[Path, RunSpec] = {}
    for name in profile.experiments if experiments is None else experiments:
        if name not in profile.experiments:
            continue
        experiment = profile.experiments[name]
        for world in world_names(profile, experiment):
            for arm in map(find_arm, experiment.arms):
                for seed in experiment.seeds:
                    spec = RunSpec(arm, world, seed, profile)
                    specs[spec.place] = spec
    return list(specs.values())
