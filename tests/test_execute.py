"""Runs of arms: done once, gone on with after a kill, found again whichever profile asks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_json
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import RL, Data, Discriminator, Evaluation, Policy, Profile
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_done, run_all
from rtt_lib.studies.records import curves_table, results_table
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.micro.world import MicroWorld

HERE = Path(__file__).parent
TINY = RL(
    steps=12,
    prompts_per_step=2,
    group_size=2,
    learning_rate=1e-3,
    warmup_steps=1,
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    max_response_tokens=8,
)
PROFILE = Profile(
    "tiny", "", Data("micro"), Policy("micro", 2), Discriminator("micro"), TINY, evaluation=Evaluation(prompts=16)
)
SPEC = RunSpec(find_arm("RTT-CSR oracle"), "L", "A0", PROFILE)


def of(arm: str = SPEC.arm.name, seed: str = "A0", **rl) -> RunSpec:
    return RunSpec(find_arm(arm), "L", seed, replace(PROFILE, rl=replace(TINY, **rl)))


def files_of(*folders: Path) -> dict[Path, int]:
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_reads_back_as_tables(empty_store, tmp_path):
    specs, results = [of(steps=2), of("base")], tmp_path / "results"
    assert not any(map(is_done, specs))
    assert {spec.place for spec in run_all(specs, results, workers=1)} == {spec.place for spec in specs}
    assert all(map(is_done, specs))
    files = files_of(empty_store, results)
    assert list(run_all(specs, results, workers=1)) == specs
    assert files == files_of(empty_store, results)
    assert not is_done(of(steps=3))

    table = results_table(specs, results)
    assert list(table["arm"]) == ["RTT-CSR oracle", "base"]
    assert {"world", "seed", "all satisfied", "per constraint", "greedy all satisfied", "out of domain"} <= set(table)
    assert {"language loss", "mean words", "truncated", "start", "exclude", "length"} <= set(table)
    assert table["per constraint"].between(0, 1).all()
    curves = curves_table(specs, results)
    assert list(curves["step"]) == [1, 2] and set(curves["arm"]) == {"RTT-CSR oracle"}
    assert {"world", "seed", "reward", "entropy", "verdict/aon", "verdict/csr", "credit/a_tok_abs"} <= set(curves)
    assert not {"step_time", "rtt/verify_seconds"} & set(curves)


@pytest.mark.slow
def test_an_arm_with_settings_of_its_own_trains_with_them(empty_store, tmp_path):
    tuned = of("RTT-CSR oracle lr 0.002 minibatches 1 steps 3")
    list(run_all([tuned], tmp_path, workers=1))
    curves = curves_table([tuned], tmp_path)
    assert list(curves["step"]) == [1, 2, 3] and set(curves["learning_rate"]) == {0.0, 0.002}  # a step of warmup
    assert results_table([tuned], tmp_path)["arm"].tolist() == ["RTT-CSR oracle lr 0.002 minibatches 1 steps 3"]
    assert execute.command_line(tuned, "tiny").endswith("tiny 'RTT-CSR oracle lr 0.002 minibatches 1 steps 3' L A0")


@pytest.mark.slow
def test_another_profile_finds_what_is_done(empty_store, tmp_path):
    spec = of("base")
    list(run_all([spec], tmp_path / "one", workers=1))
    other = replace(spec, profile=replace(spec.profile, name="other", about="in other words", experiments={}))
    assert is_done(other) and list(run_all([other], tmp_path / "two", workers=1)) == [other]
    longer = replace(spec, profile=replace(spec.profile, evaluation=Evaluation(prompts=17)))
    assert execute.is_trained(longer) and not is_done(longer), "another evaluation does not train anew"


@pytest.mark.slow
def test_two_processes_that_ask_at_once_train_once(empty_store, tmp_path):
    execute.make_base(SPEC)
    both = [start() for _ in range(2)]
    for process in both:
        finish(process)
    assert is_done(SPEC)
    assert sorted(path.name for path in (empty_store / "runs").iterdir()) == [SPEC.training_fingerprint]
    assert read_json(SPEC.folder / store.MADE)["name"] == "L/RTT-CSR oracle/A0"


@pytest.mark.slow
def test_a_run_that_fails_is_not_waited_for_by_those_not_begun(empty_store, tmp_path):
    fails = of(steps=1, group_size=1)  # TRL wants two
    others = [of(seed=f"A{n}", steps=1) for n in range(1, 9)]
    with pytest.raises(ValueError, match="at least 2 generations"):
        list(run_all([fails, *others], tmp_path, workers=1))
    assert sum(map(is_done, others)) < 4, "a pool hands two out ahead"


def run_here(arm: str = SPEC.arm.name) -> None:
    """SPEC, or another arm in its place, with a checkpoint every second rollout."""
    torch.set_num_threads(1)
    MicroWorld.checkpoint_every = 2
    execute.run(of(arm))


def start(arm: str = SPEC.arm.name, place: Path | None = None) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent}", "OMP_NUM_THREADS": "1"}
    environment |= {store.STORE: str(place)} if place else {}
    command = [sys.executable, "-c", f"from test_execute import run_here; run_here({arm!r})"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["RTT-CSR oracle", "SFT", "DPO"])
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, monkeypatch, arm):
    spec, whole, disturbed = of(arm), tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv(store.STORE, str(whole))
    execute.make_base(spec)
    shutil.copytree(whole, disturbed)
    killed = start(arm, disturbed)
    folder = disturbed / spec.folder.relative_to(whole)
    while last_checkpoint(folder / "attempt") is None:
        assert killed.poll() is None, killed.stderr.read()[-2000:]
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (folder / store.MADE).exists() and last_checkpoint(folder / "attempt")
    (folder / "attempt" / "checkpoint-99").mkdir()  # as if killed while writing
    (folder / "attempt" / "checkpoint-99" / "model.safetensors").write_bytes(b"half")
    again = start(arm, disturbed)
    monkeypatch.setattr(MicroWorld, "checkpoint_every", 2)
    execute.run(spec)
    finish(again)
    evaluation = spec.evaluation.relative_to(spec.folder)
    for name in (evaluation / "result.json", "log.csv", "policy/model.safetensors"):
        assert (folder / name).read_bytes() == (spec.folder / name).read_bytes(), name
    assert not (folder / "attempt").exists()


def test_a_run_that_fails_says_what_was_printed(empty_store, tmp_path, monkeypatch):
    def fail(spec):
        os.write(1, b"as far as this\n")
        raise RTTError("no further")

    monkeypatch.setattr(execute, "train", fail)
    with pytest.raises(RTTError, match=r"run L/RTT-CSR oracle/A0: no further; .*output.log ends with\nas far as this"):
        execute.run(SPEC)


def test_one_option_changes_several_values(capsys):
    """As in `rtt run`."""
    assert execute.main(["micro", "base", "L", "A0", "--set", "rl.steps=3", "nonsense"]) == 2
    assert "--set nonsense: expected key=value" in capsys.readouterr().err
