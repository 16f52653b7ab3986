"""What the README says came out is what `results/` holds."""

from __future__ import annotations

import re

import pandas as pd

from rtt_lib.bench.stats import coverage
from rtt_lib.profile import REPOSITORY

MICRO = REPOSITORY / "results" / "micro"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FOUND = README[README.index("## What came out") : README.index("## The tree")]


def test_every_interval_stands_in_a_table():
    files = [*REPOSITORY.glob("results/micro/tables/*.md"), *REPOSITORY.glob("results/smol-cpu/tables/*.md")]
    tables = "\n".join(path.read_text(encoding="utf-8") for path in [*files, MICRO / "claims.md"])
    quoted = re.findall(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]", " ".join(FOUND.split()))
    assert len(quoted) >= 15
    assert [interval for interval in quoted if interval not in tables] == []


def test_the_lead_is_early_and_lost():
    table = pd.read_csv(MICRO / "tables" / "core_quarters.csv")
    verdicts = table.groupby("measure")["verdict"].agg(list)
    assert verdicts["first quarter"] == ["better"] * 4 and verdicts["fourth quarter"] == ["worse"] * 4


def test_the_discriminator_errs_in_one_family_only():
    seeds = pd.read_csv(MICRO / "tables" / "03_seeds.csv").set_index("family")["mean F1"]
    assert (seeds.drop("end") > 0.99).all()
    assert "78% of simulations" in (MICRO / "claims.md").read_text(encoding="utf-8")


def test_what_the_intervals_are_worth():
    design = ("A", "A", "A", "B", "B")
    alike, apart = (f"{coverage(design, between):.0%}" for between in (0.0, 1.0))
    assert f"{alike} of simulations in which base policies do not differ, in {apart} where" in " ".join(FOUND.split())
