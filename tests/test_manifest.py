"""With what a run was made, and nothing private."""

from __future__ import annotations

import json
import platform
import subprocess

from test_pipeline import PROFILE

from rtt_lib.run import manifest
from rtt_lib.studies.profiles import load_profile


def test_the_manifest_says_with_what_and_nothing_private(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    profile = load_profile(tmp_path / "tiny.yaml")
    collected = manifest.collect(profile, "abc", tmp_path)
    assert collected["parameters"]["rl"]["steps"] == 2 and collected["seeds"]["discriminator"] == [0]
    assert collected["versions"]["papermill"] and collected["hardware"]["cores"] >= 1
    assert collected["git"] == {"commit": None, "dirty": None}  # no checkout there
    text = json.dumps(collected)
    assert "hf_secret" not in text and platform.node() not in text


def test_a_checkout_is_dirty_when_code_differs_but_not_when_results_do(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/table.csv"):
        (tmp_path / name).write_text("1")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "results" / "table.csv").write_text("2")
    state = manifest.git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    assert manifest.git_state(tmp_path)["dirty"] is True
