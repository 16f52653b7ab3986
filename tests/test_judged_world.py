"""A judged world as methods and studies see it, from its profile to the record of a run."""

from __future__ import annotations

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import ARMS
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import results_table
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds import family, open_world
from rtt_lib.worlds.judged.self_judge import OneToken

SMALL = {
    "policy.pretrain_steps": "4",
    "rl.steps": "2",
    "rl.prompts_per_step": "2",
    "evaluation.prompts": "8",
}


def spec(arm: str, world: str = "J65", seed: str = "A0", **changes: str) -> RunSpec:
    return RunSpec(ARMS[arm], world, seed, load_profile("serl", SMALL | changes))


def test_what_decides_a_run():
    runs = [spec("SERL"), spec("SERL summed"), spec("SERL", "J55"), spec("SERL", seed="B0"), spec("RL-CSR")]
    assert len({run.training_fingerprint for run in runs}) == len(runs)
    assert spec("SERL", **{"evaluation.prompts": "9"}).training_fingerprint == runs[0].training_fingerprint


@pytest.mark.parametrize(
    ("answer", "picked", "mark"),
    [("1", 1, 1), (" 2 ", 2, 2), ("5", 0, 5), ("6", 0, 0), ("bako", 0, 0), ("", 0, 0), ("1 1", 0, 0)],
)
def test_one_token_is_read_as_a_verdict_or_as_a_mark(answer, picked, mark):
    assert OneToken().picked(answer) == picked and OneToken().mark(answer) == mark


def test_other_worlds_and_useless_values_are_refused():
    with pytest.raises(RTTError, match=r"experiments\.serl\.worlds.*'L' is not one of J25"):
        load_profile("serl", {"experiments.serl.worlds": "[L]"})
    with pytest.raises(RTTError, match="has no effect in the judged worlds"):
        load_profile("serl", {"data.train_prompts": "4"})
    with pytest.raises(RTTError, match="no discriminator"):
        open_world(load_profile("serl", SMALL), "J65").discriminator("taxonomy", "A0")


def test_the_store_is_asked_for_both_stages_of_every_base():
    profile = load_profile("serl", SMALL)
    worlds = {world for experiment in profile.experiments.values() for world in experiment.worlds}
    assert len(family(profile).kept_folders(profile)) == 8 * (2 + len(worlds))


@pytest.mark.slow
def test_a_run_from_profile_to_record(empty_store, tmp_path):
    specs = [spec("base"), spec("SERL")]
    list(execute.run_all(specs, tmp_path, workers=1))
    table = results_table(specs, tmp_path).set_index("arm")
    assert table["judge tied"].nunique() == 1, "judges are examined on the same pairs"
    assert table["judge accuracy"].between(0, 1).all() and table["entropy"].gt(0).all()
    assert table.loc["base", "judge accuracy"] != table.loc["SERL", "judge accuracy"]
    rows = execute.pd.read_csv(specs[1].folder / "log.csv")
    assert rows["step"].tolist() == [1, 2] and rows["serl/actor_weight"].tolist() == [0, 0.5]
    assert {"serl/unreadable", "serl/first_picked", "verdict/csr"} <= set(rows)
