"""A world of text: arms trained for two steps on a transformer of one layer that reads and writes composed prompts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import yaml
from text_toy import CHAT, command, environment, spec_of

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_json
from rtt_lib.models import load_causal_lm, load_tokenizer, precision
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_done, is_trained
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import curves_table, results_table
from rtt_lib.worlds.text import prompts as text_prompts
from rtt_lib.worlds.text import world as text_world

pytestmark = pytest.mark.usefixtures("without_hub")


def test_an_evaluation_of_other_size_does_not_train_anew(text_profile, monkeypatch):
    here = spec_of(text_profile, "RL-CSR", "A0").training_fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(text_world, "precision", lambda: "bfloat16" if precision() == "float32" else "float32")
        other = spec_of(text_profile, "RL-CSR", "A0").training_fingerprint
        assert other != here, "a run does not go on in another precision"
    longer = replace(text_profile, evaluation=replace(text_profile.evaluation, max_tokens=9))
    slower = replace(text_profile, rl=replace(text_profile.rl, learning_rate=0.02))
    quicker = replace(text_profile, compute=replace(text_profile.compute, sampler="fast"))
    assert spec_of(quicker, "RL-CSR", "A0").training_fingerprint != here, "nor with other random numbers"
    specs = [spec_of(one, "RL-CSR", "A0") for one in (text_profile, longer, slower)]
    assert specs[0].training_fingerprint == specs[1].training_fingerprint == here != specs[2].training_fingerprint
    assert len({spec.fingerprint for spec in specs}) == 3


def test_responses_are_split_into_passes_that_fit(monkeypatch):
    monkeypatch.setattr(text_world, "TOKENS_PER_PASS", {"cpu": 1000, "cuda": 1000})
    assert text_world.passes(16, 100, "") == (8, 2)
    assert text_world.passes(6, 300, "") == (3, 2)
    assert text_world.passes(7, 300, "") == (1, 7)
    assert text_world.passes(4, 5000, "") == (1, 4)


def test_a_counterfactual_arm_looks_for_its_criteria_first(text_profile, empty_store, monkeypatch):
    unstated = [replace(p, prompt=p.task) for p in compose(default_tasks(), 6, 0)]
    monkeypatch.setattr(text_prompts, "prompt_pool", lambda profile: unstated)
    with pytest.raises(RTTError, match="stands in its prompt word for word"):
        execute.train(spec_of(text_profile, "RTT-AON counterfactual", "A0"))


# --- training and evaluating ---


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["RL-CSR", "RTT-AON oracle", "RTT-AON counterfactual", "RTT-CSR greedy", "SFT", "DPO"])
def test_an_arm_trains_and_leaves_a_policy(text_profile, text_folder, empty_store, arm):
    spec = spec_of(text_profile, arm, "A0")
    folder = spec.folder
    execute.train(spec)
    assert is_trained(spec) and not (folder / "attempt").exists()
    log = (folder / "log.csv").read_text().splitlines()
    assert log[0].startswith("step,") and [line.split(",")[0] for line in log[1:]] == ["1", "2"]
    assert ("credit/a_tok_abs" in log[0]) is arm.startswith("RTT")
    policy, base = load_causal_lm(folder / "policy"), load_causal_lm(text_folder / "model")
    moved = [not torch.equal(a, b) for a, b in zip(policy.parameters(), base.parameters(), strict=True)]
    assert any(moved) and all(p.isfinite().all() for p in policy.parameters())
    assert load_tokenizer(folder / "policy").chat_template == CHAT and not list(folder.glob("policy/*.bin"))
    before = (folder / store.MADE).stat().st_mtime_ns
    execute.train(spec)
    assert (folder / store.MADE).stat().st_mtime_ns == before


@pytest.mark.usefixtures("one_thread")
def test_an_arm_trains_and_answers_with_the_fast_sampler(text_profile, empty_store):
    profile = replace(text_profile, compute=replace(text_profile.compute, sampler="fast"))
    spec = spec_of(profile, "RTT-AON oracle", "A0")
    execute.train(spec)
    assert is_trained(spec) and len((spec.folder / "log.csv").read_text().splitlines()) == 3
    execute.evaluate(spec)
    assert is_done(spec)
    made = [read_json(path) for path in spec.evaluation.rglob("*.jsonl.json")]
    assert made and {about["backend"] for about in made} == {"fast"}


@pytest.mark.usefixtures("one_thread")
def test_lora_leaves_an_ordinary_checkpoint(text_profile, text_folder, empty_store):
    lora = replace(text_profile, policy=replace(text_profile.policy, lora_rank=2))
    spec = spec_of(lora, "RL-CSR", "A0")
    execute.train(spec)
    policy = load_causal_lm(spec.policy)
    base = load_causal_lm(text_folder / "model")
    assert policy.state_dict().keys() == base.state_dict().keys()
    assert torch.equal(policy.model.embed_tokens.weight, base.model.embed_tokens.weight)
    assert not torch.equal(policy.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)


@pytest.mark.slow
def test_the_notebooks_way_trains_and_evaluates_in_a_process_of_its_own(text_profile, empty_store, tmp_path):
    specs, results = [spec_of(text_profile, "RL-CSR", "A0")], tmp_path / "results"
    assert list(execute.run_all(specs, results, workers=2)) == specs
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(execute.run_all(specs, results, workers=2)) == specs
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(results_table(specs, results)["arm"]) == ["RL-CSR"]
    assert list(curves_table(specs, results)["step"]) == [1, 2]
    assert (results / "responses" / "RL-CSR" / "A0" / "ifeval.jsonl.gz").exists()
    assert not (specs[0].folder / "output.log").exists()


@pytest.mark.slow
def test_a_failure_names_the_run(text_profile, empty_store, tmp_path):
    broken = replace(text_profile, rl=replace(text_profile.rl, max_prompt_tokens=3))
    with pytest.raises(RTTError, match=r"run composed/RL-CSR/A0: (.|\n)*longer than rl\.max_prompt_tokens = 3"):
        list(execute.run_all([spec_of(broken, "RL-CSR", "A0")], tmp_path, workers=1))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_ends_as_an_undisturbed_one(text_profile, text_folder, tmp_path, monkeypatch):
    settings = yaml.safe_load((text_folder / "toy.yaml").read_text())
    settings["rl"]["steps"] = 12
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    whole, disturbed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv(store.STORE, str(whole))
    spec = spec_of(load_profile(tmp_path / "toy.yaml"), "RTT-AON oracle", "A0")
    start = command(tmp_path, spec.arm.name)
    killed = subprocess.Popen(
        start, env=environment(text_folder, disturbed), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    folder = disturbed / spec.folder.relative_to(whole)
    while last_checkpoint(folder / "attempt") is None:
        assert killed.poll() is None, killed.stderr.read()[-2000:]
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (folder / store.MADE).exists() and last_checkpoint(folder / "attempt")
    execute.train(spec)
    monkeypatch.setenv(store.STORE, str(disturbed))
    execute.train(spec)
    for name in ("log.csv", "policy/model.safetensors"):
        paths = [side / "runs" / spec.training_fingerprint / name for side in (whole, disturbed)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["RTT-AON oracle", "DPO"])
def test_two_processes_train_one_policy(text_profile, text_folder, empty_store, arm):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    ports = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, *ports, *command(text_folder, arm)[1:]],
        env=environment(text_folder, empty_store), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert is_done(spec_of(text_profile, arm, "A0"))
