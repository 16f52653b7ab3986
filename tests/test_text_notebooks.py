"""The notebooks under a profile on text: a toy policy and a toy discriminator, all of them from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from site_check import check_site
from text_toy import IFEVAL, SETTINGS, save_model
from toys import byte_tokenizer, tiny

from rtt_lib.files import write_json, write_jsonl
from rtt_lib.profile import REPOSITORY
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, TEMPLATE_KEY, TRAINING_LOG, Discriminator


def save_discriminator(folder: Path) -> Path:
    """Random weights that read any text, with the log that a training would leave."""
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=4096)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    Discriminator(parts.model, parts.tokenizer).save(folder)
    log = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.5}]
    write_json(folder / TRAINING_LOG, {"examples": 4, "pos_weight": 1.0, "log": log})
    write_json(folder / "metrics.json", {"held out": ["no_quotes"]})
    return folder


pytestmark = [pytest.mark.notebook, pytest.mark.slow]
NOTEBOOKS = "02,03,06,07,08,09"  # what these train, examine and show is of the text world


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    here = tmp_path_factory.mktemp("text notebooks")
    save_model(here / "model")
    for name in ("judge of tokens", "judge of tokens-greedy"):
        save_discriminator(here / name)
    write_jsonl(here / "data" / "benchmarks" / "ifeval.jsonl", IFEVAL)
    settings = SETTINGS | {
        "policy": {"model": str(here / "model")},
        "discriminator": {"model": "smollm2-135m", "checkpoint": str(here / "judge of tokens"), "samples": 80},
        "experiments": {"core": {"arms": ["base", "RL-CSR", "RTT-CSR"], "seeds": ["A0"]}},
    }
    (here / "toy.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "rtt_lib", "run", str(here / "toy.yaml"), "--only", NOTEBOOKS]
    command += ["--results", str(here / "results")]
    environment = os.environ | {"RTT_TEST_DATA": str(here / "data"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return here / "results"


def test_all_run(results):
    assert check_site(results) == []
    assert {path.name[:2] for path in (results / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS.split(","))


def test_the_discriminators_of_the_profile_are_examined(results):
    table = pd.read_csv(results / "tables" / "03_comparison.csv")
    assert set(table["discriminator"]) == {"taxonomy", "greedy", "keyword rule"}
