"""Where a method is tried: every family of worlds by the data source that a profile names.

A new family is one package (see `rtt_lib.worlds.base`) and one line here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from rtt_lib.errors import RTTError

if TYPE_CHECKING:
    from rtt_lib.profile import Experiment, Profile
    from rtt_lib.worlds.base import World

FAMILIES = {
    "micro": "rtt_lib.worlds.micro",
    "composed": "rtt_lib.worlds.text",
    "hir16k": "rtt_lib.worlds.text",
    "conifer": "rtt_lib.worlds.text",
    "ultrafeedback": "rtt_lib.worlds.text",
    "english": "rtt_lib.worlds.english",
    "levels": "rtt_lib.worlds.levels",
    "judged": "rtt_lib.worlds.judged",
}
GIVEN = ("conifer",)  # data sources with responses to their prompts and without criteria: SFT alone can learn them
BARE = ("ultrafeedback",)  # data sources of prompts without responses and criteria: for policies that reward themselves


def family(profile: Profile) -> ModuleType:
    source = profile.data.source
    if source not in FAMILIES:
        raise RTTError(f"data.source: '{source}' is not one of {', '.join(FAMILIES)}")
    return importlib.import_module(FAMILIES[source])


def check(profile: Profile, require: Callable[[bool, str, str], None]) -> None:
    """What the family asks of a profile: `require(holds, dotted key, message)`."""
    require(
        profile.data.source in FAMILIES, "data.source", f"'{profile.data.source}' is not one of {', '.join(FAMILIES)}"
    )
    family(profile).check(profile, require)


def world_names(profile: Profile, experiment: Experiment) -> tuple[str, ...]:
    """The worlds of an experiment."""
    return family(profile).names(profile, experiment)


def open_world(profile: Profile, name: str) -> World:
    return family(profile).open_world(profile, name)
