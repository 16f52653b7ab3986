"""A profile loads as written, or one message names file, line, key and mend."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_profile import SMALL, message

from rtt_lib.errors import RTTError
from rtt_lib.files import plain
from rtt_lib.profile import BENCHMARKS, REPOSITORY
from rtt_lib.studies.profiles import load_profile

PARAMS = sorted((REPOSITORY / "params").glob("*.yaml"))


@pytest.mark.parametrize(
    "path", [path for path in PARAMS if path.stem.startswith("paper-")], ids=lambda path: path.stem
)
def test_every_value_of_a_paper_profile_says_where_it_is_stated(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if not re.match(r"  \w+: \S", line):
            continue
        stated = r"#.*(section \d|App\. [A-Z]|Table \d|release|data card|notes|silent: our choice)"
        assert re.search(stated, line), (
            number,
            line,
        )


def test_the_papers_numbers() -> None:
    qwen, llama = load_profile("paper-qwen3-4b"), load_profile("paper-llama3.2-3b")
    assert (qwen.rl.prompts_per_step, qwen.rl.group_size, qwen.rl.steps, qwen.rl.learning_rate) == (64, 8, 500, 1e-6)
    assert (qwen.rl.clip_low, qwen.rl.clip_high, llama.rl.clip_low, llama.rl.clip_high) == (0.2, 0.27, 0.2, 0.2)
    assert (qwen.discriminator.samples, qwen.discriminator.learning_rate) == (62_714, 9e-6)
    assert load_profile("paper-qwen2.5-7b").discriminator.model == qwen.discriminator.model == "Qwen/Qwen3-4B-Base"


def test_values_arrive_typed(write_profile) -> None:
    profile = load_profile(write_profile())
    assert profile.name == "small"
    assert profile.rl.steps == 150 and type(profile.rl.steps) is int
    assert profile.rl.learning_rate == pytest.approx(1e-6)  # YAML 1.1 would read the text "1e-6"
    assert profile.experiments["core"].seeds == ("A0", "B1")
    assert profile.rl.top_k == 100, "what is not written keeps its default"


def test_a_whole_number_may_stand_for_a_number(write_profile) -> None:
    temperature = load_profile(write_profile(), {"rl.temperature": "1"}).rl.temperature
    assert temperature == 1.0 and type(temperature) is float


def test_off_is_a_word_not_a_boolean(write_profile) -> None:
    assert load_profile(write_profile(), {"compute.vllm": "off"}).compute.vllm == "off"


def test_a_loaded_profile_written_out_loads_the_same(write_profile, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text("{}\n")
    profile = load_profile(
        write_profile(), {"data.source": "composed", "data.path": str(data), "policy.model": "m", "experiments": "{}"}
    )
    assert load_profile(write_profile(yaml.safe_dump(asdict(profile)), "again.yaml")) == profile


@given(st.floats(min_value=1e-12, max_value=1e12), st.integers(min_value=1, max_value=10**9))
def test_numbers_survive_their_text(rate: float, steps: int) -> None:
    profile = load_profile("ci", {"rl.learning_rate": repr(rate), "rl.steps": str(steps)})
    assert (profile.rl.learning_rate, profile.rl.steps) == (rate, steps)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("rl__group_size", "1", "rl.group_size: must be at least 2"),
        ("rl__minibatches", "7", "64 prompts x 8 responses = 512 do not divide into 7 minibatches"),
        ("rl__steps", "0", "rl.steps: must be at least 1, found 0"),
        ("rl__learning_rate", "-1e-3", "rl.learning_rate: must be above 0"),
        ("rl__top_p", "1.5", "rl.top_p: must be above 0 and at most 1"),
        ("rl__learning_rate", "1e999", "rl.learning_rate: must be finite, found inf"),
        ("evaluation__prompts", "0", "evaluation.prompts: must be at least 1"),
        ("discriminator__global_batch", "6", "6 is not a multiple of discriminator.micro_batch = 4"),
        ("discriminator__seeds", "[1, 1]", "discriminator.seeds: stands twice: 1"),
        ("policy__model", "smollm2-135m", "data.source = micro needs the micro policy"),
        ("policy__pretrain_steps", "0", "starts from random weights"),
        ("data__path", "/", "the micro world is made on the spot"),
        ("experiments__core__worlds", "[L, X]", "experiments.core.worlds: 'X' is not one of L, S, M, U"),
        ("experiments__core__worlds", "[]", "name at least one of L, S, M, U"),
        ("experiments__core__worlds", "[L, L]", "experiments.core.worlds: stands twice: L"),
        ("experiments__core__seeds", "[A0, A0]", "experiments.core.seeds: stands twice: A0"),
        ("experiments__core__seeds", "[]", "experiments.core.seeds: is empty"),
        ("experiments__core__seeds", "[a0]", "'a0' is not a seed"),
        ("experiments__core__seeds", "[A01]", "'A01' is not a seed"),
        ("experiments__core__arms", "[]", "experiments.core.arms: is empty"),
        ("experiments__new__arms", "[RL-AON]", "experiments.new: the key 'seeds' is missing"),
        ("evaluation__prompts", "null", "evaluation.prompts: is missing: on how many test prompts"),
        ("data__train_prompts", "64", "data.train_prompts: has no effect in the micro world: a run trains on rl.steps"),
        ("policy__lora_rank", "4", "policy.lora_rank: has no effect in the micro world"),
        ("discriminator__checkpoint", "params", "discriminator.checkpoint: has no effect in the micro world"),
        ("evaluation__benchmarks", "[ifeval]", "evaluation.benchmarks: has no effect in the micro world"),
        ("name", "../x", "'../x' must be letters"),
    ],
)
def test_impossible_values(write_profile, key: str, value: str, says: str) -> None:
    assert says in message(write_profile(), **{key: value})


def test_the_fast_sampler_excludes_vllm_and_lora():
    fast = {"compute.sampler": "fast"}
    assert load_profile("smol-cpu").compute.sampler == "transformers"
    assert load_profile("smol-cpu", fast).compute.sampler == "fast"
    for key, value, says in (("compute.vllm", "colocate", "without vLLM"), ("policy.lora_rank", "8", "knows no LoRA")):
        with pytest.raises(RTTError, match=rf"compute\.sampler.*{says}.*{key}"):
            load_profile("smol-cpu", fast | {key: value})


def test_missing_data_file_is_named(write_profile, tmp_path: Path) -> None:
    path = write_profile(
        SMALL.replace("source: micro", "source: composed\n  path: prompts.jsonl").replace("model: micro", "model: m")
    )
    text = message(path, experiments="{}")
    assert text.startswith(f"{path}:4: data.path: no such file or folder: {tmp_path / 'prompts.jsonl'}")
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    loaded = load_profile(path, {"experiments": "{}"})
    assert loaded.data.path == str(tmp_path / "prompts.jsonl"), "a path in a profile starts at the profile's folder"


def test_unknown_name_lists_the_known_ones() -> None:
    text = message("micr")
    assert "no profile 'micr'" in text and "did you mean 'micro'?" in text and "paper-qwen3-4b" in text


def test_missing_path(tmp_path: Path) -> None:
    assert "no such profile file" in message(tmp_path / "none.yaml")


def test_benchmarks_are_known_by_name() -> None:
    from rtt_lib.bench.benchmarks import TITLES

    assert set(BENCHMARKS) == set(TITLES)
    text = message("smol", evaluation__benchmarks="[ifeval, ifbensh]")
    assert "evaluation.benchmarks: 'ifbensh' is not one of ifeval," in text and "did you mean 'ifbench'?" in text
    assert "evaluation.benchmarks: stands twice: ifeval" in message("smol", evaluation__benchmarks="[ifeval, ifeval]")


def test_a_resolved_profile_names_every_key_and_loads(write_profile) -> None:
    profile = load_profile(write_profile())
    assert load_profile(write_profile(yaml.safe_dump(plain(asdict(profile))), "again.yaml")) == profile


def test_paths_of_overrides_are_those_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    profile = load_profile("smol-cpu", {"data.path": "mine", "policy.model": "mine"})
    assert profile.data.path == profile.policy.model == str(tmp_path / "mine"), "notebooks run elsewhere"
    assert load_profile("smol-cpu", {"policy.model": "owner/name"}).policy.model == "owner/name"
    assert load_profile("smol-cpu", {"discriminator.model": "mine"}).discriminator.model == str(tmp_path / "mine")


def test_models_beside_a_profile_or_in_the_repository(write_profile, tmp_path: Path) -> None:
    """Notebooks run in a folder of their own, where a relative path would be another one."""
    text = "about: x\ndata: {source: composed}\npolicy: {model: MODEL}\ndiscriminator: {model: MODEL}\nrl: {steps: 1}\n"

    def models(name: str) -> set[str]:
        profile = load_profile(write_profile(text.replace("MODEL", name)))
        return {profile.policy.model, profile.discriminator.model}

    for name in ("mine", "owner/name", "smollm2-135m"):
        (tmp_path / name).mkdir(parents=True)
    assert models("mine") == models("./mine") == models(f"../{tmp_path.name}/mine") == {str(tmp_path / "mine")}
    assert models("owner/name") == {str(tmp_path / "owner" / "name")} and models("owner/other") == {"owner/other"}
    assert models("smollm2-135m") == {"smollm2-135m"}, "known by name"
    assert models("tests/faults") == {str(REPOSITORY / "tests" / "faults")}
    path = write_profile(text.replace("MODEL", "./none"))
    assert message(path) == f"{path}:3: policy.model: no such folder or file: {tmp_path / 'none'}"
