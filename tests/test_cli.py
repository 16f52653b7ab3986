"""The `rtt` command: help at once, failures without a traceback, a plan that starts nothing."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import write_notebook

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.run import cli, pipeline
from rtt_lib.run import dry_run as plan
from rtt_lib.run.dry_run import arms_trained, describe, disk_needed, launch_commands, missing
from rtt_lib.studies.profiles import load_profile

PROFILE = """\
name: tiny
about: Small.
data: {source: micro}
policy: {model: micro, pretrain_steps: 1}
discriminator: {model: micro}
rl: {steps: 2}
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test waits for a hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def profile_file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(PROFILE)
    return path


def test_help_is_readable_and_imports_nothing_heavy():
    code = "import sys, rtt_lib.run.cli as c; c.build_parser().format_help(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=pipeline.REPOSITORY)
    assert done.returncode == 0, done.stderr
    loaded = set(listed(done.stdout))
    assert not loaded & {"torch", "transformers", "pandas", "matplotlib", "numpy", "papermill", "nbconvert"}
    text = cli.build_parser().format_help()
    for word in (
        "rtt run quick",
        "rtt run micro --only",
        "rtt grade ifeval",
        "rtt attribute",
        "rtt doctor",
        "--dry-run",
    ):
        assert word in text


def listed(text: str) -> list[str]:
    return [name.strip(" '[]\n") for name in text.split(",")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "no-such-profile"], "no-such-profile"),
        (["run", "{profile}", "--set", "rl.stepps=3"], "rl.stepps"),
        (["run", "{profile}", "--set", "rl.steps=many"], "rl.steps"),
        (["run", "{profile}", "--set", "rl.steps"], "--set rl.steps: expected key=value"),
        (["run", "{profile}", "--only", "77", "--dry-run"], "--only 77: no such notebook"),
        (["run", "{profile}", "--only", ","], "--only ',': names no notebook; expected numbers"),
        (["run", "{profile}", "--only", ""], "--only '': names no notebook; expected numbers"),
    ],
)
def test_a_mistake_is_named_and_nothing_runs(words, message, profile_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "RESULTS", tmp_path / "results")
    write_notebook(tmp_path / "notebooks", "01_x", "", [])
    monkeypatch.setattr(pipeline, "NOTEBOOKS", tmp_path / "notebooks")
    assert cli.main([word.format(profile=profile_file) for word in words]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.startswith("rtt: ") and said.out == ""
    assert not (tmp_path / "results").exists()


def test_a_failed_notebook_exits_with_1(profile_file, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise pipeline.NotebookFailed("01_x: cell 3 (In [2]) failed: KeyError: 'a'")

    monkeypatch.setattr(pipeline, "run", fail)
    assert cli.main(["run", str(profile_file), "--results", str(tmp_path)]) == 1
    assert "cell 3 (In [2]) failed: KeyError" in capsys.readouterr().err


def test_a_full_disk_is_a_message(profile_file, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/results/tables/x.csv")

    monkeypatch.setattr(pipeline, "run", fail)
    monkeypatch.setattr(plan, "missing", lambda *_, **__: [])
    assert cli.main(["run", str(profile_file), "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "rtt: /results/tables/x.csv: No space left on device\n"


def test_what_is_missing_is_said_at_the_start(profile_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, "missing", lambda *_, **__: ["SmolLM2"])
    monkeypatch.setattr(pipeline, "run", lambda *_, **__: tmp_path / "index.html")
    assert cli.main(["run", str(profile_file), "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "rtt: missing here: SmolLM2\n"


def test_options_reach_the_pipeline(profile_file, tmp_path, monkeypatch, capsys):
    seen = {}

    def record(profile, results, notebooks, only, force):
        seen.update(steps=profile.rl.steps, beta=profile.rl.beta, results=results, only=only, force=force)
        return tmp_path / "index.html"

    monkeypatch.setattr(pipeline, "run", record)
    words = ["--only", "04, 05,", "--set", "rl.steps=3", "rl.beta=0", "--force", "--results", str(tmp_path)]
    assert cli.main(["run", str(profile_file), *words]) == 0
    assert seen == {"steps": 3, "beta": 0.0, "results": tmp_path, "only": ["04", "05"], "force": True}
    assert f"site:    {tmp_path / 'index.html'}" in capsys.readouterr().out


def test_a_dry_run_says_what_force_would_redo(profile_file, tmp_path, capsys):
    for stem in ("01_a", "02_b"):
        write_notebook(tmp_path / "notebooks", stem, "", [])
    words = ["run", str(profile_file), "--results", str(tmp_path / "results")]
    words += ["--notebooks", str(tmp_path / "notebooks"), "--dry-run", "--force"]
    assert cli.main([*words, "--only", "02"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "would run" in line]
    assert line.split() == ["02_b", "would", "run", "(from", "nothing)"]
    assert cli.main(words) == 0 and capsys.readouterr().out.count("would run (from nothing)") == 2
    assert not (tmp_path / "results").exists()


def test_interrupting_says_how_to_go_on(profile_file, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupt)
    assert cli.main(["run", str(profile_file)]) == 130
    assert "the same command carries on" in capsys.readouterr().err


def test_overrides_keep_what_follows_the_first_equals_sign():
    assert cli.parse_overrides(["data.path=a=b", "rl.steps="]) == {"data.path": "a=b", "rl.steps": ""}
    with pytest.raises(RTTError, match="expected key=value"):
        cli.parse_overrides(["=3"])


def test_the_plan_of_the_full_replication_names_commands_models_and_what_is_missing():
    profile = load_profile("paper-qwen3-4b")
    results, changed = Path("results/paper-qwen3-4b"), ["rl.steps=7"]
    text = describe(profile, [], results, changed)
    judge, how, *training, last = launch_commands(profile, results, changed)
    assert how.startswith("# each of these on every machine: MACHINE_RANK is its number from 0, MAIN_IP")
    assert judge.startswith("vllm serve deepseek-ai/DeepSeek-V3 --tensor-parallel-size 8 --data-parallel-size 4")
    assert judge.endswith("--port 8001")
    assert last == "rtt run paper-qwen3-4b --results results/paper-qwen3-4b --set rl.steps=7"
    assert all(
        command.startswith(f"accelerate launch --config_file {FSDP2} --num_processes 32 ") for command in training
    )
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


def test_sizes_are_read_off_the_models_names():
    sizes = {
        "Qwen/Qwen3-4B-Base": 4,
        "Qwen/Qwen2.5-7B-Instruct": 7,
        "meta-llama/Llama-3.2-3B": 3,
        "smollm2-135m": 0.135,
    }
    assert {name: billions_of(name) for name in sizes} == sizes
    assert billions_of("deepseek-ai/DeepSeek-V3") is None
    # Policy and discriminator of 4 B at two bytes; at four bytes a checkpoint's three copies and the arms' policies.
    profile = load_profile("paper-qwen3-4b")
    arms = {arm for experiment in profile.experiments.values() for arm in experiment.arms} - {"base"}
    assert disk_needed(profile) == 2 * (4 + 4) + 4 * 4 * (3 + len(arms))


def test_a_run_that_several_experiments_share_is_counted_once(profile_file):
    core = "  core: {arms: [base, RL-AON, RTT-AON], seeds: [A0, B1], worlds: [L]}\n"
    more = "  more: {arms: [RL-AON, RTT-CSR], seeds: [A0, B1], worlds: [L, U]}\n"
    profile_file.write_text(f"{PROFILE}evaluation: {{prompts: 4}}\nexperiments:\n{core}{more}")
    # RL-AON, RTT-AON and RTT-CSR in L, RL-AON and RTT-CSR in U, each twice; the base policy is not trained
    assert arms_trained(load_profile(str(profile_file))) == 2 * 5
