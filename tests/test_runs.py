"""Runs of arms: planned once each, done once, gone on with after a kill, and read back as tables."""

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

from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint
from rtt_lib.methods.arms import ARMS, find_arm
from rtt_lib.profile import RL, load_profile
from rtt_lib.studies import runs
from rtt_lib.studies.runs import RunSpec, curves_table, is_done, plan, results_table, run_all
from rtt_lib.worlds.micro import discriminators as micro_training

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
SPEC = RunSpec(find_arm("RTT-CSR oracle"), "L", "A0", TINY, pretrain_steps=2, evaluation_prompts=16)


# --- what is to be done ---


def test_a_plan_holds_each_run_once(tmp_path):
    specs = plan(load_profile("ci"), ["core", "lengths", "core", "not in this profile"], tmp_path)
    places = [str(spec.place) for spec in specs]
    assert len(set(places)) == len(places) and "L/RTT-AON/A0" in places and "U/RTT-AON inter/A0" in places
    assert plan(load_profile("ci"), ["not in this profile"], tmp_path) == []


def test_arms_that_use_a_discriminator_know_where_it_is(tmp_path):
    def folder(name: str) -> str | None:
        return runs._discriminator_folder(find_arm(name), tmp_path)

    assert folder("RTT-AON") == folder("RTT-AON truncated") == str(tmp_path / "discriminator" / "taxonomy")
    assert folder("RTT-AON greedy") == str(tmp_path / "discriminator" / "greedy")
    assert folder("RL-CSR") is folder("RTT-AON oracle") is folder("RTT-CSR random") is None


def test_an_unknown_arm_is_named_with_the_choices():
    with pytest.raises(RTTError, match="unknown arm 'RTT': choose among base, SFT"):
        find_arm("RTT")
    assert all(name == arm.name for name, arm in ARMS.items())


def test_the_fingerprint_follows_settings_and_discriminator(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    spec = replace(SPEC, discriminator=str(tmp_path))
    prints = [
        SPEC.fingerprint(),
        spec.fingerprint(),
        replace(SPEC, rl=replace(TINY, steps=13)).fingerprint(),
        replace(SPEC, arm=find_arm("RTT-CSR")).fingerprint(),
        replace(SPEC, pretrain_steps=3).fingerprint(),
    ]
    assert len(set(prints)) == len(prints) and replace(SPEC).fingerprint() == prints[0]
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert spec.fingerprint() != prints[1]


@pytest.fixture
def copied_library(tmp_path, monkeypatch):
    """The library's files where they can be changed; fingerprints are computed from there."""
    shutil.copytree(runs._LIBRARY, tmp_path / "rtt_lib", ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    monkeypatch.setattr(runs, "_LIBRARY", tmp_path / "rtt_lib")
    runs.code_fingerprint.cache_clear()
    yield tmp_path / "rtt_lib"
    runs.code_fingerprint.cache_clear()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("credit.py", True),
        ("models.py", True),
        ("train/rtt_grpo.py", True),
        ("verify/batch.py", True),
        ("verify/micro.py", True),
        ("report/theme.py", False),
    ],
)
def test_the_fingerprint_follows_the_code_that_matters(copied_library, file, changes):
    before = SPEC.fingerprint()
    path = copied_library / file
    path.write_text(path.read_text() + "\n# a comment\n")
    runs.code_fingerprint.cache_clear()
    assert SPEC.fingerprint() == before
    path.write_text(path.read_text() + "\nSTD_FLOOR = 0.5\n")
    runs.code_fingerprint.cache_clear()
    assert (SPEC.fingerprint() != before) is changes


def test_the_fingerprint_does_not_follow_the_words_about_an_arm():
    assert replace(SPEC, arm=replace(SPEC.arm, about="in other words")).fingerprint() == SPEC.fingerprint()


# What a training imports and its fingerprint leaves out, and why it decides nothing.
WITHOUT_CODE = {"__init__.py", "bench/__init__.py", "relevance/__init__.py", "rubrics/__init__.py", "train/__init__.py"}
ELSEWHERE = {
    "errors.py",  # what a person reads
    "files.py",  # where and how it is written, not what
    "doctor.py",  # `models` asks it for SmolLM2's file
    "profile.py",
    "yaml_tree.py",  # whose values are in the spec
    "train/arms.py",  # likewise
    "train/runs.py",  # starts it and reads it back
    "relevance/attribute.py",  # for its switch of progress bars
}
OTHER_CRITERIA = {"endpoint.py", "verify/judge.py", "verify/sandbox.py"}  # soft ones and shipped code: not in there
BASE_POLICY = {"train/micro_policy.py"}  # a discriminator's fingerprint holds its weights

A_RUN = """
import rtt_lib.relevance.discriminator  # an arm that needs it loads it
from rtt_lib.profile import load_profile
from rtt_lib.train import runs
rl = load_profile("ci", {"rl.steps": "1"}).rl
runs.ensure_base(runs.Path("runs"), "L", "A", 2)
runs.run(runs.RunSpec(runs.find_arm("RTT-CSR oracle"), "L", "A0", rl, 2, 16), runs.Path("runs"))
"""
A_DISCRIMINATOR = """
from rtt_lib.profile import load_profile
from rtt_lib.relevance import micro_training
profile = load_profile("ci", {"policy.pretrain_steps": "2", "discriminator.samples": "8", "compute.workers": "1"})
base = micro_training.ensure_base(micro_training.Path("runs"), "L", "A", 2)
micro_training.train_for(profile, micro_training.Path("."), micro_training.Variant("taxonomy", ""), base)
"""


@pytest.mark.parametrize(
    ("training", "code", "others"),
    [(A_RUN, runs._CODE, OTHER_CRITERIA), (A_DISCRIMINATOR, micro_training._CODE, BASE_POLICY)],
    ids=["run", "discriminator"],
)
def test_a_fingerprint_knows_the_code_that_a_training_imports(tmp_path, training, code, others):
    shown = "import sys\nprint(*(m.__file__ for n, m in list(sys.modules.items()) if n.split('.')[0] == 'rtt_lib'))"
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"{training}\n{shown}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {Path(file).relative_to(runs._LIBRARY).as_posix() for file in done.stdout.splitlines()[-1].split()}
    assert set(code) <= imported, "a file that no longer matters"
    assert imported - set(code) <= WITHOUT_CODE | ELSEWHERE | others


# --- doing it ---


def test_what_is_done_is_not_done_again_and_reads_back_as_tables(tmp_path):
    specs = [replace(SPEC, rl=replace(TINY, steps=2)), replace(SPEC, arm=find_arm("base"))]
    assert not any(is_done(spec, tmp_path / "runs") for spec in specs)
    assert {spec.place for spec in run_all(specs, tmp_path, workers=1)} == {spec.place for spec in specs}
    assert all(is_done(spec, tmp_path / "runs") for spec in specs)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(run_all(specs, tmp_path, workers=1)) == specs
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert not is_done(replace(SPEC, rl=replace(TINY, steps=3)), tmp_path / "runs")

    results = results_table(specs, tmp_path)
    assert list(results["arm"]) == ["RTT-CSR oracle", "base"]
    assert {"world", "seed", "all satisfied", "per constraint", "greedy all satisfied", "out of domain"} <= set(results)
    assert {"language loss", "mean words", "truncated", "start", "exclude", "length"} <= set(results)
    assert results["per constraint"].between(0, 1).all()
    curves = curves_table(specs, tmp_path)
    assert list(curves["step"]) == [1, 2] and set(curves["arm"]) == {"RTT-CSR oracle"}
    assert {"world", "seed", "reward", "entropy", "verdict/aon", "verdict/csr", "credit/a_tok_abs"} <= set(curves)
    assert not {"step_time", "rtt/verify_seconds"} & set(curves)


def test_a_missing_discriminator_is_said_before_anything_is_trained(tmp_path):
    spec = replace(SPEC, arm=find_arm("RTT-AON greedy"), discriminator=str(tmp_path / "discriminator" / "greedy"))
    with pytest.raises(
        RTTError, match=r"arm RTT-AON greedy: no discriminator in .*: `rtt run PROFILE --only 03` trains"
    ):
        list(run_all([spec], tmp_path, workers=1))
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_is_not_waited_for_by_those_not_begun(tmp_path):
    short = replace(TINY, steps=1)
    fails = replace(SPEC, rl=replace(short, group_size=1))  # TRL wants two
    others = [replace(SPEC, rl=short, seed=f"A{n}") for n in range(1, 9)]
    with pytest.raises(ValueError, match="at least 2 generations"):
        list(run_all([fails, *others], tmp_path, workers=1))
    assert sum(is_done(spec, tmp_path / "runs") for spec in others) < 4, "a pool hands two out ahead"


def test_tables_of_nothing_have_their_columns(tmp_path):
    assert list(results_table([SPEC], tmp_path)) == ["arm", "world", "seed"]
    assert list(curves_table([SPEC], tmp_path)) == ["arm", "world", "seed", "step"]


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((8, "{}"), (10, "{}"), (12, '{"global_st'), (14, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.fixture
def restored_settings():
    import torch

    from rtt_lib.worlds.micro import training as micro_run

    threads, every = torch.get_num_threads(), micro_run.ROLLOUTS_PER_CHECKPOINT
    yield
    torch.set_num_threads(threads)
    micro_run.ROLLOUTS_PER_CHECKPOINT = every


def run_here(folder: str) -> None:
    """SPEC, with a checkpoint every second rollout."""
    import torch

    from rtt_lib.worlds.micro import training as micro_run

    torch.set_num_threads(1)
    micro_run.ROLLOUTS_PER_CHECKPOINT = 2
    runs.run(SPEC, Path(folder))


def start(folder: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"from test_runs import run_here; run_here({str(folder)!r})"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.usefixtures("restored_settings")
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path):
    runs.ensure_base(tmp_path / "whole", "L", "A", SPEC.pretrain_steps)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    killed = start(tmp_path / "killed")
    attempt = tmp_path / "killed" / SPEC.place / "attempt"
    while last_checkpoint(attempt) is None:
        assert killed.poll() is None, killed.stderr.read()[-2000:]
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not is_done(SPEC, tmp_path / "killed") and last_checkpoint(attempt)
    (attempt / "checkpoint-99").mkdir()  # as if killed while writing
    (attempt / "checkpoint-99" / "model.safetensors").write_bytes(b"half")
    again = start(tmp_path / "killed")
    run_here(str(tmp_path / "whole"))
    finish(again)
    for name in ("result.json", "log.csv", "policy/model.safetensors"):
        assert (tmp_path / "killed" / SPEC.place / name).read_bytes() == (
            tmp_path / "whole" / SPEC.place / name
        ).read_bytes(), name
    assert not attempt.exists()
