"""What every notebook opens with."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
import yaml
from test_pipeline import PROFILE

from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import tree_digest
from rtt_lib.profile import REPOSITORY, RESULTS
from rtt_lib.progress import PROGRESS_FILE
from rtt_lib.run import notebook
from rtt_lib.run.notebook import open_notebook
from rtt_lib.studies import records
from rtt_lib.studies.execute import run_all
from rtt_lib.studies.plan import plan
from rtt_lib.studies.records import RECORDS_ONLY, curves_table, results_table


def test_open_notebook_gives_profile_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(PROFILE)
    profile, results = open_notebook("./tiny.yaml", "results/tiny")
    assert profile.name == "tiny" and results == tmp_path / "results" / "tiny" and results.is_dir()


def test_a_kernel_waits_for_that_of_a_killed_run(tmp_path, monkeypatch):
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress"))
    monkeypatch.setattr(notebook, "_ORPHAN_PATIENCE", 0.3)
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    orphan = os.open(tmp_path / ".kernel.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(orphan, fcntl.LOCK_EX)
    with pytest.raises(RTTError, match="a kernel of an earlier run still works here"):
        open_notebook(tmp_path / "tiny.yaml", tmp_path)
    os.close(orphan)  # as when it dies
    open_notebook(tmp_path / "tiny.yaml", tmp_path)
    os.close(notebook._kernel_locks.pop())


def test_a_person_reads_the_published_runs_and_trains_none(tmp_path, monkeypatch, empty_store):
    monkeypatch.setenv(RECORDS_ONLY, "")
    published = RESULTS / "micro"
    before = tree_digest(published)
    profile, results = open_notebook(published / "profile.yaml", tmp_path / "lab")
    assert records.only_records()
    specs = plan(profile, ["core"])
    assert len(specs) == len(list(run_all(specs, results, workers=1))) > 20 and not empty_store.exists()
    assert len(results_table(specs, results)) == len(specs)
    assert set(curves_table(specs, results)["arm"]) == {"RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR"}
    (results / records.RUNS).unlink()
    assert tree_digest(published) == before


@pytest.mark.parametrize(
    ("profile", "overrides"), [("micro", "rl: {steps: 3}"), ("ci", "rl: {steps: 3}"), ("micro", "policy: {}")]
)
def test_other_runs_than_the_published_ones_are_trained(tmp_path, monkeypatch, profile, overrides):
    monkeypatch.setenv(RECORDS_ONLY, "")
    tree = yaml.safe_load((REPOSITORY / "params" / f"{profile}.yaml").read_text())
    for part, changes in yaml.safe_load(overrides).items():
        tree[part] |= changes or {"pretrain_steps": 3}
    (tmp_path / f"{profile}.yaml").write_text(yaml.safe_dump(tree))
    _, results = open_notebook(tmp_path / f"{profile}.yaml", tmp_path / "lab")
    assert not records.only_records() and list(results.iterdir()) == []


def test_a_run_of_the_pipeline_trains_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv(RECORDS_ONLY, "")
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress"))
    _, results = open_notebook(RESULTS / "micro" / "profile.yaml", tmp_path / "lab")
    os.close(notebook._kernel_locks.pop())
    assert not records.only_records() and not (results / records.RUNS).exists()
