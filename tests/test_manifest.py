"""With what a run was made, and nothing private."""

from __future__ import annotations

import json
import platform

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
