"""The `rtt` command: help at once, failures without a traceback, a plan that starts nothing."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
from test_pipeline import write_notebook

from rtt_lib.run import cli, pipeline
from rtt_lib.run import dry_run as plan

PROFILE = """\
name: tiny
about: Small.
data: {source: micro}
policy: {model: micro, pretrain_steps: 1}
discriminator: {model: micro}
rl: {steps: 2}
"""
pytestmark = pytest.mark.usefixtures("offline")


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
        "rtt spot-check",
        "rtt score my_rule.py",
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
    monkeypatch.setattr("rtt_lib.profile.RESULTS", tmp_path / "results")
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
