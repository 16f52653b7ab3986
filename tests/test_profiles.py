"""A profile is checked against its world and against the arms that there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_profile import message
from test_profile import PARAMS

from rtt_lib.studies.profiles import load_profile


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.stem)
def test_every_shipped_profile_loads(path: Path) -> None:
    profile = load_profile(path.stem)
    assert profile.name == path.stem
    assert profile.about and profile.experiments


def test_all_profiles_are_there() -> None:
    own = "ci quick micro micro-full tuning fresh packed english serl conifer smol smol-cpu smol-ten"
    paper = "paper-qwen3-4b paper-qwen2.5-7b paper-llama3.2-3b paper-conifer-mistral-7b paper-serl-qwen3-8b"
    assert {path.stem for path in PARAMS} == {*own.split(), *paper.split()}


REAL = {"data__source": "composed", "policy__model": "smollm2-135m"}


def test_worlds_belong_to_the_micro_world_only(write_profile) -> None:
    assert "only data.source = micro has worlds, here it is composed" in message(
        write_profile(), **REAL, experiments__core__seeds="[A0]"
    )


def test_one_base_model_where_the_policy_is_a_given_one(write_profile) -> None:
    text = message(write_profile(), **REAL, experiments__core__worlds="[]")
    assert "'B1': only the micro policy has more than one base model" in text


def test_micro_policy_cannot_read_real_prompts(write_profile) -> None:
    assert "the micro policy cannot read data.source = composed" in message(write_profile(), data__source="composed")


def test_conversations_train_sft_alone(tmp_path: Path) -> None:
    conifer = "paper-conifer-mistral-7b"
    for arm in ("RL-AON", "RTT-CSR", "DPO"):
        text = message(conifer, experiments__core__arms=f"[base, {arm}]")
        assert f"'{arm}' needs criteria, and conifer has none: base and SFT can learn from it" in text
    (tmp_path / "own.jsonl").write_text("{}\n")
    text = message(conifer, data__responses=str(tmp_path / "own.jsonl"))
    assert "data.responses: conifer holds its own" in text


def test_prompts_alone_train_serl_alone() -> None:
    for arm in ("RL-CSR", "RTT-AON", "SFT", "SERL per criterion"):
        text = message("paper-serl-qwen3-8b", experiments__core__arms=f"[base, {arm}]")
        assert f"'{arm}' needs criteria or responses, and ultrafeedback has prompts alone" in text


def test_soft_criteria_need_a_judge() -> None:
    text = message("paper-qwen3-4b", compute__judge_url="null")
    assert "compute.judge_url: data.source = hir16k has soft criteria, which need a judge" in text


def test_supervised_arms_need_responses(write_profile, tmp_path: Path) -> None:
    assert "data.responses: rules write them for micro" in message(write_profile(), data__responses="some.jsonl")
    arms = {"experiments__core__arms": "[SFT]"}
    assert "rules do not write them for hir16k, so name a strong LLM's as data.responses" in message(
        "paper-qwen3-4b", **arms
    )
    missing = tmp_path / "strong.jsonl"
    assert f"no such file: {missing}" in message("paper-qwen3-4b", **arms, data__responses=str(missing))
    missing.write_text("{}\n")
    changed = {"experiments.core.arms": "[SFT]", "data.responses": str(missing)}
    assert load_profile("paper-qwen3-4b", changed).data.responses == str(missing)


def test_supervised_arms_need_prompts_that_divide_into_minibatches(write_profile) -> None:
    uneven = {"rl__prompts_per_step": "6", "rl__minibatches": "4"}
    for arm in ("SFT", "DPO"):
        says = f"rl.minibatches: '{arm}' learns from one response to each of rl.prompts_per_step = 6 prompts"
        assert says in message(write_profile(), **uneven, experiments__core__arms=f"[RL-AON, {arm}]")
    load_profile(write_profile(), {key.replace("__", "."): value for key, value in uneven.items()})


def test_unknown_arm_names_its_neighbour(write_profile) -> None:
    text = message(write_profile(), experiments__core__arms="[RTT-AOM]")
    assert "experiments.core.arms: unknown arm 'RTT-AOM'; did you mean 'RTT-AON'?" in text


def test_settings_behind_an_arms_name_are_checked(write_profile) -> None:
    text = message(write_profile(), experiments__core__arms="[RTT-AON lr 1e-3]")
    assert "experiments.core.arms: arm 'RTT-AON lr 1e-3': learning_rate must be above zero and written 0.001" in text
    text = message("micro", experiments__core__arms="[RL-AON minibatches 3]")
    assert "experiments.core.arms: 'RL-AON minibatches 3': 128 responses do not divide into 3 minibatches" in text
    assert load_profile("micro", {"experiments.core.arms": "[RL-AON minibatches 4]"})


def test_mixed_rows_need_rubrics_of_one_length() -> None:
    for arm in ("RTT-AON mixed rows", "RTT-CSR as released"):
        text = message("smol", experiments__core__arms=f"[{arm}]")
        assert f"experiments.core.arms: '{arm}' mixes up rows as the released code does" in text
    assert load_profile("smol", {"experiments.core.arms": "[RTT-AON truncated]"})
