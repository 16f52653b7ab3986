"""The plan of a run: commands, models, sizes, and what is missing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from test_cli import PROFILE
from text_toy import spec_of

from rtt_lib import store
from rtt_lib.run.dry_run import describe, disk_needed, launch_commands, missing, trainings
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile

pytestmark = pytest.mark.usefixtures("offline")

LAUNCH = f"accelerate launch --config_file {execute.FSDP2} --num_processes {{}} "


def test_the_plan_of_the_full_replication_names_commands_models_and_what_is_missing():
    profile = load_profile("paper-qwen3-4b")
    results, changed = Path("results/paper-qwen3-4b"), ["rl.steps=7"]
    text = describe(profile, [], results, changed)
    judge, how, *training, last = launch_commands(profile, results, changed)
    assert how.startswith("# each of these on every machine: MACHINE_RANK is its number from 0, MAIN_IP")
    assert judge.startswith("vllm serve deepseek-ai/DeepSeek-V3 --tensor-parallel-size 8 --data-parallel-size 4")
    assert judge.endswith("--port 8001")
    assert last == "rtt run paper-qwen3-4b --results results/paper-qwen3-4b --set rl.steps=7"
    assert all(command.startswith(LAUNCH.format(32)) for command in training)
    assert all(command.endswith(" hir16k A0 --set rl.steps=7") for command in training)
    for part in (
        judge,
        *training,
        "Qwen/Qwen3-4B-Instruct-2507 (8.0 GB)",
        "hir16k",
        "Missing here",
        f"no discriminator in {store.root()}/discriminators/Qwen3-4B-Base: name a folder with one",
        "32 for the policy",
    ):
        assert part in text


def test_the_plan_of_conifer_is_sft_on_one_machine():
    profile, results = load_profile("paper-conifer-mistral-7b"), Path("results/paper-conifer-mistral-7b")
    judge, last = launch_commands(profile, results)
    assert judge.startswith("vllm serve ") and last == f"rtt run {profile.name} --results results/{profile.name}"
    text = describe(profile, [], results)
    for part in ("Mistral-7B-v0.1 (14.0 GB)", "conifer: the hub; 38763 training prompts", "1 trainings of 1211 steps"):
        assert part in text
    assert not [lack for lack in missing(profile) if "discriminator" in lack], "no arm reads one"


def test_the_plan_of_serl_has_a_server_and_no_judge_but_the_policy():
    profile, results = load_profile("paper-serl-qwen3-8b"), Path("results/paper-serl-qwen3-8b")
    server, last = launch_commands(profile, results)
    assert server == "trl vllm-serve --model Qwen/Qwen3-8B" and last.startswith("rtt run paper-serl-qwen3-8b ")
    text = describe(profile, [], results)
    for part in ("ultrafeedback: the hub; 5000 training prompts", "5 trainings of 390 steps", "0 for the judge"):
        assert part in text


def test_a_profile_given_as_a_path_is_named_so_in_commands():
    """By its name nothing would be found: it is in no folder of profiles."""
    profile, results = load_profile("paper-qwen3-4b"), Path("elsewhere")
    *_, training, last = launch_commands(profile, results, typed="../mine.yaml")
    assert last == "rtt run ../mine.yaml --results elsewhere" and " ../mine.yaml " in training
    lack, *_ = [line for line in missing(profile, "../mine.yaml") if "no discriminator" in line]
    assert "make_labels ../mine.yaml" in lack and "train_discriminator ../mine.yaml" in lack


def test_one_machine_starts_its_trainings_itself():
    assert launch_commands(load_profile("smol"), Path("results/smol")) == ["rtt run smol --results results/smol"]


def test_a_profile_for_the_cpu_has_nothing_to_launch():
    profile, results = load_profile("ci"), Path("results/ci")
    assert launch_commands(profile, results) == [] and "GPUs: none needed" in describe(profile, [], results)


def test_the_disk_holds_models_a_checkpoint_and_every_policy():
    # Policy and discriminator of 4 B at two bytes; at four bytes a checkpoint's three copies and the arms' policies.
    profile = load_profile("paper-qwen3-4b")
    arms = {arm for experiment in profile.experiments.values() for arm in experiment.arms} - {"base"}
    assert disk_needed(profile) == 2 * (4 + 4) + 4 * 4 * (3 + len(arms))


def test_a_run_that_several_experiments_share_is_counted_once(write_profile):
    core = "  core: {arms: [base, RL-AON, RTT-AON], seeds: [A0, B1], worlds: [L]}\n"
    more = "  more: {arms: [RL-AON, RTT-CSR], seeds: [A0, B1], worlds: [L, U]}\n"
    path = write_profile(f"{PROFILE}evaluation: {{prompts: 4}}\nexperiments:\n{core}{more}")
    # RL-AON, RTT-AON and RTT-CSR in L, RL-AON and RTT-CSR in U, each twice; the base policy is not trained
    assert trainings(load_profile(path)) == {load_profile(path).rl.steps: 2 * 5}
    longer = load_profile("tuning", {"experiments.core.arms": "[base, RL-AON, RL-AON steps 240, RTT-AON steps 240]"})
    # 36 settings in three worlds from three base policies; of each world its 12, 11 and 12 defaults and chosen settings
    # from eight, its six chosen ones for longer too
    assert trainings(longer) == {80: 324 + 8 * (12 + 11 + 12), 240: 8 * 3 * 6 + 2 * 3 * 3}


def test_the_plan_of_a_gpu_profile_prints_what_runs(text_profile):
    gpus = replace(text_profile, name="toy", compute=replace(text_profile.compute, policy_gpus=4))
    oracle = execute.command_line(spec_of(gpus, "RTT-AON oracle", "A0"), "toy")
    launch, words = oracle.split(" -m ")
    assert launch == f"{LAUNCH.format(4)}--mixed_precision bf16"
    assert shlex.split(words) == [execute.MODULE, "toy", "RTT-AON oracle", "composed", "A0"]
    results = Path("results/toy")
    assert launch_commands(gpus, results) == ["rtt run toy --results results/toy"]
    many = launch_commands(replace(gpus, compute=replace(text_profile.compute, policy_gpus=32)), results)
    assert "--num_machines 4 --machine_rank $MACHINE_RANK" in many[1] and "execute toy base composed A0" in many[1]
