"""What was fixed before the runs is what the profiles train and what the rules read."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from itertools import product

import pytest

from rtt_lib.analysis.primary import longer, named, primary, sets_table
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile


def places(profile: str, *experiments: str) -> set[tuple[str, str, str]]:
    return {(s.world, s.arm.name, s.seed) for s in plan(load_profile(profile), experiments or None)}


def trained(profile: str) -> set[tuple[str, str, str]]:
    return {place for place in places(profile) if place[1] != "base"}


def test_base_policies_for_choosing_for_testing_and_for_predicting_are_others():
    fixed = primary()
    eight = {seed[0] for claim in fixed.claims.values() for seed in claim.seeds}
    groups = [eight, {seed[0] for seed in fixed.tuning.chosen_on}, {seed[0] for seed in fixed.fresh.seeds}]
    assert [len(group) for group in groups] == [8, 3, 10] and len(set.union(*groups)) == 8 + 3 + 10
    assert {seed[0] for seed in fixed.tuning.tested_on} == {seed[0] for seed in fixed.fresh.predicted_from} == eight


def test_a_comparison_is_read_as_it_is_written():
    c1, c5 = primary().claims["C1"], primary().claims["C5"]
    assert c1.pairs == [("RTT-AON", "RL-AON"), ("RTT-CSR", "RL-CSR")]
    assert c5.arms == ["RTT-AON", "RTT-AON greedy", "RL-AON", "RTT-AON random"]
    assert list(primary().claims) == [f"C{n}" for n in range(1, 9)]


def test_every_method_has_the_same_budget_and_every_setting_one_name():
    tuning = primary().tuning
    assert {len(set(settings)) for settings in tuning.methods.values()} == {6}
    for method in tuning.methods:
        arms = [find_arm(name) for name in tuning.arms(method)]
        assert arms[0].name == method, "this project's default is among them, and first"
        assert all(arm.reward == arms[0].reward and arm.scheme == arms[0].scheme for arm in arms)
    assert named("RTT-AON", "beta 0.25 lr 0.001") == "RTT-AON beta 0.25 lr 0.001"
    assert find_arm(longer("RTT-AON beta 0.25 lr 0.001", 240)).settings == (("learning_rate", 0.001), ("steps", 240))


def test_the_profiles_of_the_tuning_and_of_the_fresh_runs_train_what_was_fixed():
    tuning, fresh = primary().tuning, primary().fresh
    tried = [arm for method in tuning.methods for arm in tuning.arms(method)]
    asked = set(product(tuning.worlds, tried, tuning.chosen_on))
    assert places("tuning", "tuning") == asked and len(asked) == 324
    assert {place[2] for place in trained("tuning") - asked} == set(tuning.tested_on)
    asked = set(product(fresh.worlds, fresh.arms, fresh.seeds))
    assert places("fresh", "fresh") == trained("fresh") == asked and len(asked) == 160


@pytest.mark.parametrize("name", ["tuning", "fresh"])
def test_their_profiles_are_micro_but_for_the_experiments(name):
    micro, other = load_profile("micro"), load_profile(name)
    assert replace(other, name="micro", about=micro.about, experiments=micro.experiments) == micro


def test_a_longer_run_keeps_the_settings():
    rl = load_profile("micro").rl
    assert find_arm(longer("RL-AON", 240)).over(rl) == replace(rl, steps=240)


def needed() -> set[tuple[str, str, str]]:
    """Every run of a primary set."""
    sets = primary().claims.values()
    return {place for each in sets for place in product(each.worlds, each.arms, each.seeds)}


def test_micro_trains_the_primary_sets_and_nothing_else():
    assert places("micro") == needed()
    assert len(trained("micro")) == 213


def test_micro_full_trains_the_primary_sets_the_tuning_and_the_fresh_runs_too():
    assert needed() | trained("tuning") | trained("fresh") <= places("micro-full")


def test_the_table_of_sets_says_what_the_file_says():
    table = sets_table().set_index("claim")
    assert table.loc["C7"].tolist() == [
        "RL-CSR - RTT-CSR",
        "steps half way, final entropy",
        "L M S U",
        "A0 B1 C2 D3 E4 F5 G6 H7",
    ]


# --- the file is older than the runs it governs ---

FILE = "rtt_lib/analysis/data/primary.yaml"
OLDER_RULE = "follow the rule before"  # said in README.md and docs/results.md of results that no set governed


def git(*words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("profile", ["micro"])
def test_results_say_by_which_rule_they_were_made(profile):
    """The commit that made the results has the same primary sets as this one, or the documents say that it had none."""
    commit = json.loads((REPOSITORY / "results" / profile / "manifest.json").read_text())["git"]["commit"]
    if git("cat-file", "-t", commit) is None:
        pytest.skip("not in a clone with its history")
    documents = [(REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md")]
    then = git("show", f"{commit}:{FILE}")
    assert [OLDER_RULE in text for text in documents] == [then is None] * 2
    assert then in (None, (REPOSITORY / FILE).read_text(encoding="utf-8")), "the sets were changed after the runs"
