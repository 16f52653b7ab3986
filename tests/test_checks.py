"""What families of worlds ask of a profile: worlds by name, and no value that nobody reads."""

from __future__ import annotations

from dataclasses import replace

from rtt_lib.profile import Experiment
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.checks import refuse_unread, require_worlds


def asked(check, *given) -> list[tuple[str, str]]:
    """(key, message) of all that does not hold."""
    found = []
    check(*given[:1], lambda holds, key, says: None if holds else found.append((key, says)), *given[1:])
    return found


def test_a_value_that_nobody_reads_is_refused_unless_it_is_the_default():
    profile = load_profile("ci")
    unread = {"policy.lora_rank": "all weights are trained", "rl.steps": "nobody counts"}
    key, says = "rl.steps", "has no effect in a toy: nobody counts; remove it"
    assert asked(refuse_unread, replace(profile, rl=replace(profile.rl, steps=9)), unread, "a toy") == [(key, says)]
    assert asked(refuse_unread, replace(profile, rl=replace(profile.rl, steps=1)), unread, "a toy") == []


def test_worlds_have_to_be_named_and_known():
    experiments = {
        "good": Experiment(("base",), ("A0",), ("L",)),
        "none": Experiment(("base",), ("A0",)),
        "other": Experiment(("base",), ("A0",), ("L", "Q")),
    }
    profile = replace(load_profile("ci"), experiments=experiments)
    assert asked(require_worlds, profile, ("L", "M")) == [
        ("experiments.none.worlds", "name at least one of L, M"),
        ("experiments.other.worlds", "'Q' is not one of L, M"),
    ]
