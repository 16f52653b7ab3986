"""What the README says came out is what `results/` holds: its sentences are put together again from the tables."""

from __future__ import annotations

import re
from functools import cache

import pandas as pd
import yaml

from rtt_lib.profile import REPOSITORY
from rtt_lib.stats import coverage

MICRO, FULL = REPOSITORY / "results" / "micro", REPOSITORY / "results" / "micro-full"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FOUND = " ".join(README[README.index("## What came out") : README.index("## The tree")].split())


@cache
def table(name: str, results=MICRO) -> pd.DataFrame:
    return pd.read_csv(results / "tables" / f"{name}.csv")


def row(name: str, world: str, arm: str, against: str, measure: str = "all satisfied", results=MICRO) -> pd.Series:
    asked = {"world": world, "arm": arm, "against": against, "measure": measure}
    found = table(name, results)
    return found.loc[(found[list(asked)] == pd.Series(asked)).all(axis=1)].iloc[0]


def points(*place, flip: bool = False, **options) -> str:
    """`-7.3 [-18.3, +3.8]`; `flip`: of the table's baseline minus its arm."""
    found = row(*place, **options)
    mean, low, high = 100 * found[["difference", "low", "high"]]
    mean, low, high = (-mean, -high, -low) if flip else (mean, low, high)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def said(*sentences: str) -> None:
    assert [sentence for sentence in sentences if sentence not in FOUND] == []


def verdict(*place, **options) -> str:
    return row(*place, **options)["verdict"]


def test_what_the_intervals_are_worth():
    """Every run starts from a base policy of its own, in the results as in the profile."""
    for results in (MICRO, FULL):
        made = yaml.safe_load((results / "profile.yaml").read_text())["experiments"]["core"]["seeds"]
        asked = yaml.safe_load((REPOSITORY / "params" / f"{results.name}.yaml").read_text())["experiments"]["core"][
            "seeds"
        ]
        assert made == asked == ["A0", "B1", "C2", "D3", "E4"]
    said(f"they hold the true mean in {coverage(tuple('ABCDE')):.0%} of simulations")


def test_every_interval_stands_in_a_table():
    files = [*MICRO.glob("tables/*.md"), *REPOSITORY.glob("results/smol-cpu/tables/*.md"), MICRO / "claims.md"]
    tables = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name, results in (("bases_differences", FULL), ("core_differences", FULL), ("all_differences", MICRO),
                          ("10_differences", MICRO), ("beyond_single_changes", MICRO), ("beyond_differences", MICRO),
                          ("beyond_against_control", MICRO), ("beyond_against_control", FULL),
                          ("beyond_differences", FULL)):  # fmt: skip
        shares = 100 * table(name, results)[["difference", "low", "high"]]
        for sign in (1, -1):
            low, high = ("low", "high") if sign == 1 else ("high", "low")
            tables += "".join(
                f"\n{sign * one['difference']:+.1f} [{sign * one[low]:+.1f}, {sign * one[high]:+.1f}]"
                for one in shares.to_dict("records")
            )
    quoted = re.findall(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]", FOUND)
    assert len(quoted) >= 15
    assert [interval for interval in quoted if interval not in tables] == []


def test_the_lead_is_early_and_lost():
    quarters = table("core_quarters").set_index(["measure", "world", "arm"])
    first, last = (quarters.loc[f"{name} quarter"] for name in ("first", "fourth"))
    assert (first["difference"] > 0).all() and first.index[first["verdict"] != "better"].tolist() == [("M", "RTT-CSR")]
    assert last["verdict"].groupby("world").agg(set).to_dict() == {"L": {"no difference shown"}, "M": {"worse"}}
    led, behind = (100 * part["difference"] for part in (first, last))
    arms = ("RTT-AON", "RTT-CSR")
    l_led, m_led = ([led[world, arm] for arm in arms] for world in "LM")
    l_end, m_end = ([behind[world, arm] for arm in arms] for world in "LM")
    core = [points("core_differences", world, f"RTT-{r}", f"RL-{r}") for r in ("AON", "CSR") for world in "LM"]
    said(
        f"(AON and CSR by {l_led[0]:.1f} and {l_led[1]:.1f} points in world L, {m_led[0]:.1f} and {m_led[1]:.1f} in "
        "world M; the last is not shown)",
        f"it is behind in M (by {-m_end[0]:.1f} and {-m_end[1]:.1f}), and in L nothing is shown "
        f"({l_end[0]:+.1f} and {l_end[1]:+.1f})",
        f"RTT-AON minus RL-AON is {core[0]} points in world L and {core[1]} in world M, RTT-CSR minus RL-CSR {core[2]} "
        f"and {core[3]}",
    )


def test_length_and_global_criteria():
    cut = table("beyond_scores").set_index(["world", "arm"])["truncated"].str.split().str[0].astype(float)
    kept = table("core_families").set_index(["world", "family"]).loc[("M", "at_least")]
    single = [points("beyond_single_changes", "L", f"RTT-AON {change}", "RTT-AON") for change in ("no EOS", "decay")]
    half = points("all_differences", "L", "RTT-AON", "RTT-AON beta 0.25", flip=True)
    said(
        f"of RTT-AON's responses {cut['L', 'RTT-AON']:.0%} are cut at the cap in world L and "
        f"{cut['M', 'RTT-AON']:.0%} in M, of RL-AON's {cut['L', 'RL-AON']:.0%} and {cut['M', 'RL-AON']:.0%}",
        f"it gains {single[0]} points in L, with token credit that fades {single[1]}, with half the beta {half}",
        f"*at least n times* is kept by {kept['RL-AON']:.0%} after RL-AON and {kept['RTT-AON']:.0%} after RTT-AON",
        f"RTT-AON is {points('all_differences', 'U', 'RTT-AON', 'RL-AON')} over RL-AON, and "
        f"{cut['U', 'RTT-AON']:.0%} of its responses never end",
    )


def test_plain_rl_and_where_the_credit_goes():
    rival = [points("core_differences", world, "RTT-AON", "RL-CSR") for world in "LM"]
    weights = {
        (world, other): points("all_differences", world, "RTT-AON", f"RTT-AON {other}")
        for world, other in (("U", "random"), ("L", "random"), ("L", "greedy"), ("L", "oracle"))
    }
    said(
        f"RTT-AON is behind RL-CSR, {rival[0]} points in world L and {rival[1]} in world M",
        f"There the learned relevance is {weights['U', 'random']} over random numbers; in world L it is "
        f"{weights['L', 'random']}, level with greedy labels ({weights['L', 'greedy']}), and ahead of the exact "
        f"ones, to which it is close, by {weights['L', 'oracle']}",
    )


def test_a_baseline_across_responses():
    relative = "RTT-CSR relative"
    best = {world: row("beyond_differences", world, relative, "the best of RL and RTT") for world in "LMU"}
    assert [best[world]["verdict"] for world in "LMU"] == ["better", "no difference shown", "worse"]
    control = [
        points("beyond_against_control", "L", relative, f"RTT-CSR {name}") for name in ("decoupled", "decoupled strong")
    ]
    for name in ("decoupled", "decoupled strong"):
        assert verdict("beyond_against_control", "M", relative, f"RTT-CSR {name}") == "no difference shown"
    said(
        f"It is {points('beyond_differences', 'L', relative, 'the best of RL and RTT')} over the best of the four in "
        f"world L, RL-CSR, and {control[0]} over the same baseline without relevance ({control[1]} where that has "
        "credit as strong)",
        f"in world U behind RTT-AON, by {-100 * best['U']['difference']:.1f}",
    )


def test_more_base_policies_settle_what_five_leave_open():
    found = table("bases_differences", FULL).query("measure == 'all satisfied'").set_index(["world", "arm"])
    assert (found["pairs"] == 8).all()
    shown = {
        ("L", "RTT-AON"): "worse", ("L", "RTT-CSR"): "no difference shown", ("L", "RTT-CSR relative"): "better",
        ("U", "RTT-AON"): "better", ("U", "RTT-CSR"): "better", ("U", "RTT-CSR relative"): "better",
    }  # fmt: skip
    assert found["verdict"].to_dict() == shown
    eight = {
        place: points("bases_differences", *place, row_["against"], results=FULL) for place, row_ in found.iterrows()
    }
    relative = "RTT-CSR relative"
    said(
        f"Over eight base policies the loss with AON is shown in L too, {eight['L', 'RTT-AON']}; with CSR it stays "
        f"open, {eight['L', 'RTT-CSR']}",
        f"over eight base policies {eight['U', 'RTT-AON']}, and RTT-CSR is {eight['U', 'RTT-CSR']} over RL-CSR",
        f"Over eight base policies it is {eight['L', relative]} over RL-CSR in L and {eight['U', relative]} in U",
    )


def test_sparse_rewards():
    sparse = [points("core_differences", "S", f"RTT-{r}", f"RL-{r}", results=FULL) for r in ("AON", "CSR")]
    own = row("core_differences", "S", "RTT-AON", "RL-AON", results=FULL)["by base"]
    assert [part.split()[1][0] for part in own.split(", ")].count("+") == 2
    criteria = points("core_differences", "S", "RL-CSR", "RL-AON", "per constraint", results=FULL)
    relative = points("beyond_differences", "S", "RTT-CSR relative", "the best of RL and RTT", results=FULL)
    said(
        f"RTT-AON minus RL-AON is {sparse[0]} points, RTT-CSR minus RL-CSR {sparse[1]}:",
        f"the simpler answer to sparse rewards, RL-CSR: {criteria}",
        f"in world S nothing is shown ({relative} over the best there, RTT-CSR)",
    )


def test_the_released_code_and_unrounded_relevance():
    changes = ("mixed rows", "truncated", "as released")
    own = [points("10_differences", "L", f"RTT-AON {change}", "RTT-AON") for change in changes]
    assert {verdict("10_differences", "L", f"RTT-AON {c}", "RL-AON") for c in changes} == {"no difference shown"}
    raw = row("beyond_single_changes", "L", "RTT-AON raw", "RTT-AON")
    assert raw["verdict"] == "no difference shown"
    said(
        f"With its mixed-up rows alone RTT-AON ends {own[0]} points higher in world L, with its truncated token "
        f"weights alone {own[1]}; all of it together, {own[2]}, is not shown to differ",
        f"unrounded, RTT-AON ends {-100 * raw['difference']:.1f} points lower",
    )


def test_the_discriminator_errs_in_one_family_only():
    assert (table("03_seeds").set_index("family")["mean F1"].drop("end") > 0.99).all()
