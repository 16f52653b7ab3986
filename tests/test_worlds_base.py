"""Every world has what the protocol asks for, so that no method needs to know which one it is."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from rtt_lib import worlds
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import base
from rtt_lib.worlds.base import World

WORLDS = {"micro": ("ci", "L"), "text": ("smol-cpu", "composed"), "english": ("english", "english")}
METHODS = {name: member for name, member in vars(World).items() if inspect.isfunction(member) and name[0] != "_"}


def lacks(world: object) -> set[str]:
    """What a world has not: a name, or a method with other parameters."""
    found = {name for name in (*World.__annotations__, *METHODS) if not hasattr(world, name)}
    for name, asked in METHODS.items():
        if name not in found:
            here = list(inspect.signature(getattr(world, name)).parameters)
            found |= {name} if here != list(inspect.signature(asked).parameters)[1:] else set()
    return found


def test_the_protocol_is_read():
    assert {"profile", "name", "code", "checkpoint_every"} == set(World.__annotations__)
    assert {"prompts", "verifier", "evaluate", "own_responses"} <= set(METHODS)


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_has_every_member_of_the_protocol(world):
    profile, name = WORLDS[world]
    assert lacks(worlds.open_world(load_profile(profile), name)) == set()


def test_a_member_that_is_missing_or_takes_something_else_would_be_seen():
    class Half:
        profile, name, code, checkpoint_every = None, "half", (), 1

        def chat(self, tokenizer): ...

        def verifier(self, prompts): ...

    assert lacks(Half()) == set(METHODS) - {"chat"}


@pytest.mark.parametrize("family", sorted(set(worlds.FAMILIES.values())))
def test_a_family_has_every_name_that_the_page_lists(family):
    package = __import__(family, fromlist=["check"])
    listed = re.findall(r"^    (\w+)(?:\(([^)]*)\))?(?:, (\w+))?  ", base.__doc__, re.MULTILINE)
    names = {name for first, _, second in listed for name in (first, second) if name}
    assert {"check", "kept_folders", "THREADS", "COUNTS_PROMPTS", "TRAINED_BY_A_PERSON"} <= names
    assert {name for name in names if not hasattr(package, name)} == set()
    for name, parameters, _ in listed:
        if parameters:
            assert list(inspect.signature(getattr(package, name)).parameters) == parameters.split(", "), name


def test_a_world_asks_nobody_for_more_than_the_protocol():
    """Methods and studies call members of `World` alone: what a task's world is asked for is in the protocol."""
    from rtt_lib.methods import dpo, rl, sft, task

    for module in (dpo, rl, sft, task):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("world"):
                assert node.attr in (*METHODS, *World.__annotations__), f"{module.__name__}:{node.lineno}"
