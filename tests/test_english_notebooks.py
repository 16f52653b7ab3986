"""Notebooks that train in the English world, from start to end: policies of full size, pretrained for 10 steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from english_toy import SMALL
from site_check import check_site

from rtt_lib.profile import REPOSITORY

pytestmark = [pytest.mark.notebook, pytest.mark.slow]
NOTEBOOKS = "02,03,06,09"
ONE_RUN = {"experiments.core.arms": "[base, RL-CSR, RTT-CSR]", "experiments.core.seeds": "[A0]"}
ENOUGH = {"evaluation.prompts": "24"}  # for families of every kind
BRIEF = {"policy.pretrain_steps": "10"}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("english notebooks") / "results"
    changes = [f"{key}={value}" for key, value in (SMALL | ONE_RUN | ENOUGH | BRIEF).items()]
    command = [
        sys.executable,
        "-m",
        "rtt_lib",
        "run",
        "english",
        "--only",
        NOTEBOOKS,
        "--results",
        str(out),
        "--set",
        *changes,
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_they_run(results):
    assert check_site(results) == []
    found = {path.stem[:2] for path in (results / "notebooks").glob("*.ipynb")}
    assert set(NOTEBOOKS.split(",")) <= found


def test_its_own_runs_and_discriminators_are_shown(results):
    samples = pd.read_csv(results / "tables" / "base_samples.csv")
    assert len(samples) == 20 and samples["satisfied"].str.fullmatch(r"\d of \d").all()
    others = pd.read_csv(results / "tables" / "core_other_measures.csv")
    assert {"out of domain", "language loss", "new wordings"} <= set(others) and set(others["world"]) == {"english"}
    families = pd.read_csv(results / "tables" / "core_families.csv")
    assert set(families["responsible tokens"]) == {"global", "local, positive", "local, negative"}
    assert set(pd.read_csv(results / "tables" / "03_comparison.csv")["discriminator"]) >= {"taxonomy", "greedy"}
