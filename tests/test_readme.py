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
    quarters = pd.read_csv(MICRO / "tables" / "core_quarters.csv").set_index(["world", "arm", "measure"])
    first, last = (quarters.xs(f"{name} quarter", level="measure") for name in ("first", "fourth"))
    assert (first["difference"] > 0).all() and (last["difference"] < 0).all()
    assert first.index[first["verdict"] != "better"].tolist() == [("M", "RTT-CSR")]
    assert last["verdict"].groupby("world").agg(set).to_dict() == {"L": {"no difference shown"}, "M": {"worse"}}


def test_unrounded_relevance_is_not_settled():
    table = pd.read_csv(MICRO / "tables" / "beyond_single_changes.csv").set_index(["arm", "measure"])
    raw = table.loc[("RTT-AON raw", "all satisfied")]
    assert raw["verdict"] == "no difference shown" and f"{-100 * raw['difference']:.1f} points lower" in FOUND


def test_the_discriminator_errs_in_one_family_only():
    seeds = pd.read_csv(MICRO / "tables" / "03_seeds.csv").set_index("family")["mean F1"]
    assert (seeds.drop("end") > 0.99).all()
    assert "94% of simulations" in (MICRO / "claims.md").read_text(encoding="utf-8")


def test_what_the_intervals_are_worth():
    design = ("A", "A", "A", "B", "B")
    alike, apart = (f"{coverage(design, between):.0%}" for between in (0.0, 1.0))
    assert f"{alike} of simulations in which base policies do not differ, in {apart} where" in " ".join(FOUND.split())
