"""What the README says came out is what `results/` holds."""

from __future__ import annotations

import re

import pandas as pd

from rtt_lib.bench.stats import coverage
from rtt_lib.files import read_json
from rtt_lib.profile import REPOSITORY

MICRO, FULL = REPOSITORY / "results" / "micro", REPOSITORY / "results" / "micro-full"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FOUND = README[README.index("## What came out") : README.index("## The tree")]


def test_every_interval_stands_in_a_table():
    files = [*REPOSITORY.glob("results/micro/tables/*.md"), *REPOSITORY.glob("results/smol-cpu/tables/*.md")]
    files += [MICRO / "claims.md", FULL / "claims.md"]
    bases = pd.read_csv(FULL / "tables" / "bases_differences.csv")
    over_bases = (100 * bases[["difference", "low", "high"]]).itertuples(index=False)
    tables = "\n".join(path.read_text(encoding="utf-8") for path in files)
    tables += "\n".join(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" for mean, low, high in over_bases)
    quoted = re.findall(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]", " ".join(FOUND.split()))
    assert len(quoted) >= 15
    assert [interval for interval in quoted if interval not in tables] == []


def test_the_lead_is_early_and_lost():
    quarters = pd.read_csv(MICRO / "tables" / "core_quarters.csv").set_index(["world", "arm", "measure"])
    first, last = (quarters.xs(f"{name} quarter", level="measure") for name in ("first", "fourth"))
    assert (first["difference"] > 0).all() and (last["difference"] < 0).all()
    assert first.index[first["verdict"] != "better"].tolist() == [("M", "RTT-CSR")]
    assert last["verdict"].groupby("world").agg(set).to_dict() == {"L": {"no difference shown"}, "M": {"worse"}}


def test_over_base_policies_one_loss_and_two_gains_are_shown():
    table = pd.read_csv(FULL / "tables" / "bases_differences.csv").set_index(["world", "arm"])["verdict"]
    assert set(table.index[table == "worse"]) == {("M", "RTT-AON"), ("M", "RTT-CSR")}
    assert set(table.index[table == "better"]) == {("U", "RTT-AON"), ("L", "RTT-CSR relative")}


def test_sparse_rewards_are_learnt_from_one_base_only():
    def shares(arm: str, base: str) -> list[float]:
        records = (FULL / "runs" / "S" / arm).glob(f"{base}*/result.json")
        return [read_json(path)["sampled"]["all_satisfied"] for path in records]

    arms = ("base", "RL-AON", "RTT-AON", "RL-CSR", "RTT-CSR")
    from_b = [f"{pd.Series(shares(arm, 'B')).mean():.0%}" for arm in arms]
    assert from_b == ["1%", "5%", "14%", "11%", "19%"] and f"to {from_b[-2]} with RL-CSR and {from_b[-1]}" in FOUND
    assert max(share for arm in arms for share in shares(arm, "A")) < 0.015


def test_relative_helps_in_world_s_too():
    tables = [pd.read_csv(FULL / "tables" / f"{name}.csv") for name in ("beyond_differences", "beyond_against_control")]
    rows = pd.concat(tables).query("world == 'S' and arm == 'RTT-CSR relative' and measure == 'all satisfied'")
    verdicts = rows.drop_duplicates("against").set_index("against")["verdict"]
    assert (verdicts[["RL-CSR", "RTT-CSR decoupled", "RTT-CSR decoupled strong"]] == "better").all()


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
