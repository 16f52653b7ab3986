"""With what a result was made."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata

from rtt_lib import origin


def test_a_run_notes_code_and_machine_and_nothing_private(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = origin.here()
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["versions"]["python"] == platform.python_version()
    assert set(found["hardware"]) == {"cpu", "gpus"} and set(found["git"]) == {"commit", "dirty"}
    text = json.dumps(found)
    assert "hf_secret" not in text and platform.node() not in text


def test_a_package_that_is_not_here_has_no_version():
    assert origin.versions(["torch", "no-such-package"])["no-such-package"] is None


def test_a_checkout_is_dirty_when_code_differs_but_not_when_results_do(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/table.csv"):
        (tmp_path / name).write_text("1")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "results" / "table.csv").write_text("2")
    state = origin.git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    assert origin.git_state(tmp_path)["dirty"] is True
