"""docs/results.md says what `results/` holds: its numbers are computed again from the tables.

Each function of `FACTS` makes the sentences of the page that hold numbers. A number in the page that none of them makes
is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import facts_of_neighbours
import facts_of_text
import facts_of_tuning
import pytest
import yaml
from committed import (
    A_NUMBER,
    OPEN,
    RESULTS,
    by_base,
    core,
    fresh_difference,
    in_points,
    means,
    row,
    table,
    wrongly_marked,
)

from rtt_lib.analysis.coverage import WORST, bases, coverage
from rtt_lib.analysis.primary import primary
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.records import published_table

PAGE = " ".join((REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8").split())
PAIR = ("RTT-AON", "RTT-CSR")


def verdicts(arm: str, against: str = "") -> dict[str, str]:
    return {world: core(world, arm, against)["verdict"] for world in "LMSU"}


def how_to_read_it() -> list[str]:
    made = yaml.safe_load((RESULTS / "micro" / "profile.yaml").read_text())["experiments"]
    assert made["core"]["seeds"] == ["A0", "B1", "C2", "D3", "E4", "F5", "G6", "H7"], "a base policy for every run"
    assert {len(one["seeds"]) for name, one in made.items() if name != "core"} == {5}
    rl = yaml.safe_load((REPOSITORY / "params" / "paper-qwen3-4b.yaml").read_text())["rl"]
    ours = yaml.safe_load((REPOSITORY / "params" / "micro.yaml").read_text())["rl"]
    assert float(ours["learning_rate"]) / float(rl["learning_rate"]) == pytest.approx(300)
    base = {world: f"| {means()['all satisfied'][world, 'base']:.1%} |" for world in "LMSU"}
    return [
        f"Such intervals from eight runs hold the true mean in {coverage(bases(8)):.0%} of simulations if differences "
        f"over base policies are normal, and in {coverage(bases(8), WORST):.0%} in the worst shape that was tried",
        f"and the length (global) {base['L']}",
        f"a word at least n times {base['M']}",
        f"so that all-or-nothing rewards are sparse {base['S']}",
        f"very short and very long texts {base['U']}",
    ]


def the_lead_is_early() -> list[str]:
    quarters = table("core_quarters").set_index(["measure", "arm", "world"])
    first, second, last = (quarters.loc[f"{name} quarter"] for name in ("first", "second", "fourth"))
    shown = {arm: {world for world in "LMSU" if first["verdict"][arm, world] == "better"} for arm in PAIR}
    assert shown == {"RTT-AON": set("LMSU"), "RTT-CSR": set("LU")}
    for quarter in (second, last):
        assert {place for place, word in quarter["verdict"].items() if word == "worse"} == {(arm, "M") for arm in PAIR}
    assert "better" not in set(last["verdict"])
    led = {arm: [f"{100 * first['difference'][arm, world]:+.1f}" for world in "LMSU"] for arm in PAIR}
    end = {arm: in_points(last.loc[(arm, "M")]) for arm in PAIR}
    return [
        f"With AON the differences are {', '.join(led['RTT-AON'])} points in the worlds L, M, S and U. All four are "
        f"shown. With CSR they are {', '.join(led['RTT-CSR'])} points, shown in L and U.",
        f"In the last quarter the differences there are {end['RTT-AON']} points with AON and {end['RTT-CSR']} with "
        "CSR.",
    ]


def after_training() -> list[str]:
    assert verdicts("RTT-AON") == {"L": OPEN, "M": "worse", "S": OPEN, "U": OPEN} == verdicts("RTT-CSR")
    lines = {arm: [in_points(core(world, arm)) for world in "LMSU"] for arm in PAIR}
    u, low = by_base(core("U", "RTT-AON")), by_base(core("U", "RTT-CSR"))
    ahead = [value for value in u.values() if value > 10]
    c1 = table("claims").set_index("claim").loc["C1"]
    assert c1["verdict"] == "does not replicate"
    assert c1["reason"].endswith(
        "Without RTT-AON - RL-AON in M or without RTT-CSR - RL-CSR in M: cannot be tested at this size."
    )
    assert len(ahead) == 5 and min(u, key=u.get) == "A" == min(low, key=low.get)
    return [
        *(f"| {world} | {aon} | {csr} |" for world, aon, csr in zip("LMSU", *lines.values(), strict=True)),
        f"from five of the eight base policies RTT-AON ends {min(ahead):.1f} to {max(ahead):.1f} points ahead, and "
        f"from one {-u['A']:.1f} points behind.",
    ]


def ten_more_runs() -> list[str]:
    held = table("predictions_held_out", "fresh").set_index(["world", "arm"])
    fresh, seeds = primary().fresh, len(primary().fresh.seeds)
    assert set(held.index) == {(world, arm) for world in "LU" for arm in fresh.arms} and set(held["runs"]) == {8}
    made, planned = held["fresh runs"].sum(), len(fresh.arms) * len(fresh.worlds) * seeds
    assert set(held["fresh runs"]) == {seeds} and held["inside"].sum() == made == planned - made
    reach = {arm: f"from {held['low']['L', arm]:.0%} to {held['high']['L', arm]:.0%}" for arm in fresh.arms}
    new = {(world, arm): fresh_difference(world, arm) for world in "LU" for arm in PAIR}
    assert [place for place, one in new.items() if one["verdict"] == OPEN] == [("L", "RTT-CSR")]
    assert all(one["difference"] * core(*place)["difference"] > 0 for place, one in new.items())
    before, after = (lowest_in_u(profile) for profile in ("micro", "fresh"))
    return [
        f"The {made} runs in L and U are made, the {planned - made} in M and S are not. **All {made} (100%) fall into "
        f"their interval**; at least {fresh.share:.0%} were asked for.",
        f"in L {reach['RTT-AON']} for RTT-AON and {reach['RL-CSR']} for RL-CSR",
        *(
            f"| {world} | "
            + " | ".join(in_points(new[world, arm]) + " (shown)" * (new[world, arm]["verdict"] != OPEN) for arm in PAIR)
            + " |"
            for world in "LU"
        ),
        f"The worst of the twenty satisfies all criteria of {min(after.values()):.1%} of the prompts. Above, one run "
        f"of RTT-AON ends at {before['RTT-AON']:.1%} and one of RTT-CSR at {before['RTT-CSR']:.1%}.",
    ]


def lowest_in_u(profile: str) -> dict[str, float]:
    """The lowest of the runs of each arm in world U, from the base policies of the main comparison or fresh ones."""
    runs = published_table(RESULTS / profile).query("world == 'U'")
    seeds = primary().fresh.seeds if profile == "fresh" else primary().fresh.predicted_from
    found = runs[runs["seed"].isin(seeds)].groupby("arm")["all satisfied"]
    assert {len(scores) for arm, scores in found if arm in PAIR} == {len(seeds)}
    return {arm: scores.min() for arm, scores in found if arm in PAIR}


def the_last_word() -> list[str]:
    assert (table("03_seeds").set_index("family")["mean F1"].drop("end") > 0.97).all()
    base, rl, rtt = (wrongly_marked(arm) for arm in ("base", "RL-AON", "RTT-AON"))
    wrong = table("09_after_training").set_index(["world", "arm", "family"])["wrong"].sort_index().loc["M", "RTT-AON"]
    return [
        "On new constructed examples their mean F1 is above 0.97 in every kind of criterion but one.",
        f"In world U they wrongly mark {base[0]:.1f} tokens of a base policy's response, {rl[0]:.1f} of a response by "
        f"RL-AON's policies and {rtt[0]:.1f} of one by RTT-AON's.",
        f"In M after RTT-AON they wrongly mark {wrong['end']:.1f} tokens for *last word*, {wrong['no_commas']:.1f} for "
        f"*no commas* and {wrong['exclude']:.1f} for a word to exclude",
    ]


def length_and_global_criteria() -> list[str]:
    cut = means()["truncated"]
    assert yaml.safe_load((REPOSITORY / "params" / "micro.yaml").read_text())["evaluation"]["max_tokens"] == 24
    kept = table("core_families").set_index(["world", "family"]).loc[("M", "at_least")]
    return [
        f"In world L {cut['L', 'RTT-AON']:.0%} of RTT-AON's responses are cut at the limit of 24 tokens, and "
        f"{cut['M', 'RTT-AON']:.0%} in M. Of RL-AON's responses {cut['L', 'RL-AON']:.0%} and "
        f"{cut['M', 'RL-AON']:.0%} are.",
        f"{cut['U', 'RTT-AON']:.0%} of RTT-AON's responses never end there",
        f"*at least n times* holds in {kept['RL-AON']:.0%} of the cases after RL-AON and in {kept['RTT-AON']:.0%} "
        "after RTT-AON.",
    ]


def sparse_rewards_and_the_rival() -> list[str]:
    quarters = table("core_quarters").query("world == 'S' and arm == 'RTT-AON'")
    assert quarters["verdict"].tolist() == ["better", "better", "better", OPEN]
    first, second, third = (100 * quarters["difference"]).tolist()[:3]
    rival = {world: core(world, "RL-CSR", "RL-AON") for world in "MS"}
    assert {found["verdict"] for found in rival.values()} == {"better"}
    against = {world: core(world, "RTT-AON", "RL-CSR") for world in "LMSU"}
    assert {w: found["verdict"] for w, found in against.items()} == {"L": OPEN, "M": "worse", "S": "worse", "U": OPEN}
    said = {world: in_points(found) for world, found in against.items()}
    return [
        f"in the first three quarters of training, by {first:.1f}, {second:.1f} and {third:.1f} points.",
        f"Against RL-AON it is {in_points(rival['S'])} points ahead in S and {in_points(rival['M'])} in M.",
        f"RTT-AON minus RL-CSR is {said['M']} points in M and {said['S']} in S. In L ({said['L']}) and U "
        f"({said['U']}) nothing is shown.",
    ]


def where_the_credit_goes() -> list[str]:
    kinds = ("random", "greedy")
    found = {(w, k): row("table_4_differences", w, "RTT-AON", f"RTT-AON {k}") for w in "LU" for k in kinds}
    assert {one["verdict"] for one in found.values()} == {OPEN}
    said = {place: in_points(one) for place, one in found.items()}
    return [
        f"The learned relevance minus it is {said['L', 'random']} points in L and {said['U', 'random']} in U.",
        f"Against a discriminator that learned from greedy labels it is {said['L', 'greedy']} in L and "
        f"{said['U', 'greedy']} in U.",
    ]


def the_other_claims() -> list[str]:
    ahead = {(w, n): row("table_1_differences", w, "RL-AON", n) for w in "LU" for n in ("SFT", "DPO")}
    assert {one["verdict"] for one in ahead.values()} == {"better"}
    arms = (*PAIR, "RL-AON", "RL-CSR")
    loss = [in_points(row("table_2_differences", "L", arm, "base", "language loss"), 1, 2) for arm in arms]
    inter = {w: row("table_3_differences", w, "RTT-AON", "RTT-AON inter") for w in "LMU"}
    assert {one["verdict"] for one in inter.values()} == {OPEN}
    smaller = {w: row("figure_3_differences", w, "RTT-AON", "RTT-AON beta 0.25") for w in "LU"}
    assert {one["verdict"] for one in smaller.values()} == {OPEN}
    counted = table("claim_comparisons").query("finding == 'shown'").set_index("claim")
    beta = counted.loc["C6"].rename({"mean": "difference"})  # one row
    assert (beta["arm"], beta["baseline"], beta["world"]) == ("RTT-AON", "RTT-AON beta 1", "L")
    assert set(counted.loc["C7", "measure"]) == {"final entropy"} and set(counted.loc["C7", "world"]) == {"L", "M"}
    return [
        f"In world L, RL-AON is {in_points(ahead['L', 'SFT'])} points ahead of SFT and {in_points(ahead['L', 'DPO'])} "
        f"ahead of DPO. In U it is {in_points(ahead['U', 'SFT'])} and {in_points(ahead['U', 'DPO'])} ahead.",
        f"rises by {loss[0]} nats per token with RTT-AON and by {loss[1]} with RTT-CSR.",
        f"RL forgets too: {loss[2]} with RL-AON and {loss[3]} with RL-CSR.",
        f"Intra minus inter is {in_points(inter['L'])} points in L, {in_points(inter['M'])} in M and "
        f"{in_points(inter['U'])} in U.",
        "The paper finds beta = 0.5 the best of five values. Here beta = 0.5 minus beta = 0.25 is "
        f"{in_points(smaller['L'])} points in L and {in_points(smaller['U'])} in U.",
        f"beta = 0.5 minus beta = 1 in L, {in_points(beta)}, corrected",
    ]


FACTS: tuple[Callable[[], list[str]], ...] = (
    how_to_read_it,
    the_lead_is_early,
    after_training,
    ten_more_runs,
    the_last_word,
    length_and_global_criteria,
    sparse_rewards_and_the_rival,
    where_the_credit_goes,
    facts_of_tuning.best_against_best,
    facts_of_tuning.each_method_against_the_best_rl,
    facts_of_tuning.relative_for_longer,
    facts_of_tuning.what_tuning_brings_in_world_m,
    facts_of_tuning.for_longer_in_world_u,
    facts_of_tuning.the_settings_that_won,
    the_other_claims,
    facts_of_neighbours.conifers_claims,
    facts_of_neighbours.serls_claims,
    facts_of_neighbours.where_serl_turns,
    facts_of_neighbours.what_a_planted_word_does,
    facts_of_neighbours.what_was_forecast,
    facts_of_neighbours.self_judged_tokens,
    facts_of_text.on_text_on_a_gpu,
    facts_of_text.marked_in_rollouts,
    facts_of_text.ruled_out_by_the_verdict,
    facts_of_text.benchmarks_on_a_gpu,
    facts_of_text.cost_on_a_gpu,
    facts_of_text.text_runs,
    facts_of_text.the_discriminator_on_text,
)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_the_results_are_those_of_the_tables(fact):
    assert [sentence for sentence in fact() if sentence not in PAGE] == []


def test_no_other_number_is_said():
    rest = PAGE
    for fact in FACTS:
        for sentence in fact():
            rest = rest.replace(sentence, "")
    assert A_NUMBER.findall("It is -6.6 [-12.9, +0.3], 76% and 3 to 14%") == [
        "-6.6",
        "-12.9",
        "+0.3",
        "76%",
        "3 to 14%",
    ]
    assert A_NUMBER.findall(re.sub("95% (bootstrap |paired t )?interval", "", rest)) == []
