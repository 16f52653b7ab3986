"""The world of levels offers what the protocol of teaching worlds says, by name and by argument."""

from __future__ import annotations

import inspect

from rtt_lib.worlds.levels.world import LevelsWorld
from rtt_lib.worlds.teaching import LEVELS, TeachingWorld


def test_the_world_of_levels_has_every_member_with_its_arguments():
    named = {name: value for name, value in vars(TeachingWorld).items() if inspect.isfunction(value)}
    own = {name for name in named if not name.startswith("_")}
    assert own == {"ladders", "account", "critique", "worked_example"}
    for name in own:
        assert inspect.signature(getattr(LevelsWorld, name)) == inspect.signature(named[name])


def test_a_ladder_has_at_most_one_rung_a_level_easy_to_hard():
    from levels_toy import spec_of

    for ladder in spec_of("Conifer").home.ladders(50, 0):
        levels = [rung.level for rung in ladder.rungs]
        assert levels == sorted(set(levels)) and set(levels) <= set(LEVELS)
        assert all(len(rung.prompt.criteria) == rung.level for rung in ladder.rungs)
