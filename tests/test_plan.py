"""Which runs a profile needs."""

from __future__ import annotations

from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile


def test_a_plan_holds_each_run_once():
    specs = plan(load_profile("ci"), ["core", "partition", "core", "not in this profile"])
    places = [str(spec.place) for spec in specs]
    assert len(set(places)) == len(places) and "L/RTT-AON/A0" in places and "U/RTT-AON inter/A0" in places
    assert plan(load_profile("ci"), ["not in this profile"]) == []


def test_without_names_all_experiments_are_planned():
    profile = load_profile("ci")
    assert plan(profile) == plan(profile, list(profile.experiments))
