"""What every notebook opens with."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from test_pipeline import PROFILE

from rtt_lib.errors import RTTError
from rtt_lib.progress import PROGRESS_FILE
from rtt_lib.run import notebook
from rtt_lib.run.notebook import open_notebook


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
