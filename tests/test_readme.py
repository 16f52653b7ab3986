"""README.md and docs/results.md say what `results/` holds: their numbers are computed again from the tables.

Each function of `FACTS` makes the sentences of docs/results.md that hold numbers. A number in the page that none of
them makes is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pandas as pd
import pytest
import yaml
from committed import RESULTS, logs, table

from rtt_lib.analysis.coverage import WORST, bases, coverage
from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.report import readme

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGE = " ".join((REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8").split())
SMOL = "smol-cpu"
OPEN = "no difference shown"
A_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+|(?<![\w.])\d+%|\d+ to \d+%")


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def row(name: str, world: str, arm: str, against: str, measure: str = "all satisfied", profile="micro") -> pd.Series:
    asked = {"world": world, "arm": arm, "against": against, "measure": measure}
    found = table(name, profile)
    return found.loc[(found[list(asked)] == pd.Series(asked)).all(axis=1)].iloc[0]


def in_points(found: pd.Series, factor: float = 100, digits: int = 1) -> str:
    """`-7.3 [-18.3, +3.8]`"""
    mean, low, high = (factor * found[name] for name in ("difference", "low", "high"))
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def by_base(found: pd.Series) -> dict[str, float]:
    """`A +0.100, B +0.104` in points."""
    return {part.split()[0]: 100 * float(part.split()[1]) for part in found["by base"].split(", ")}


def means() -> pd.DataFrame:
    """By world and arm, of measures like `0.026 [0.022, 0.029]` the first number."""
    found = table("beyond_scores").set_index(["world", "arm"]).drop(columns="runs")
    return found.apply(lambda column: column.str.split().str[0].astype(float))


def core(world: str, arm: str, against: str = "") -> pd.Series:
    """The difference to RL with the same reward, or to `against`, over eight base policies."""
    found = row("core_differences", world, arm, against or f"RL-{arm[-3:]}")
    assert found["pairs"] == 8
    return found


def verdicts(arm: str, against: str = "") -> dict[str, str]:
    return {world: core(world, arm, against)["verdict"] for world in "LMSU"}


# --- the facts of docs/results.md ---


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


PAIR = ("RTT-AON", "RTT-CSR")


def the_lead_is_early() -> list[str]:
    quarters = table("core_quarters").set_index(["measure", "arm", "world"])
    first, last = quarters.loc["first quarter"], quarters.loc["fourth quarter"]
    shown = {arm: {world for world in "LMSU" if first["verdict"][arm, world] == "better"} for arm in PAIR}
    assert shown == {"RTT-AON": set("LMSU"), "RTT-CSR": set("LU")}
    assert {place for place, word in last["verdict"].items() if word == "worse"} == {(arm, "M") for arm in PAIR}
    assert "better" not in set(last["verdict"])
    led = {arm: [f"{100 * first['difference'][arm, world]:+.1f}" for world in "LMSU"] for arm in PAIR}
    end = {arm: in_points(last.loc[(arm, "M")]) for arm in PAIR}
    return [
        f"With AON the differences are {', '.join(led['RTT-AON'])} points in the worlds L, M, S and U. All four are "
        f"shown. With CSR they are {', '.join(led['RTT-CSR'])} points, shown in L and U.",
        f"In world M RTT is behind RL by then: the differences are {end['RTT-AON']} points with AON and "
        f"{end['RTT-CSR']} with CSR.",
    ]


def after_training() -> list[str]:
    assert verdicts("RTT-AON") == {"L": OPEN, "M": "worse", "S": OPEN, "U": OPEN} == verdicts("RTT-CSR")
    lines = {arm: [in_points(core(world, arm)) for world in "LMSU"] for arm in PAIR}
    u, low = by_base(core("U", "RTT-AON")), by_base(core("U", "RTT-CSR"))
    ahead = [value for value in u.values() if value > 10]
    assert len(ahead) == 5 and min(u, key=u.get) == "A" == min(low, key=low.get)
    return [
        *(f"| {world} | {aon} | {csr} |" for world, aon, csr in zip("LMSU", *lines.values(), strict=True)),
        f"from five of the eight base policies RTT-AON ends {min(ahead):.1f} to {max(ahead):.1f} points ahead, and "
        f"from one {-u['A']:.1f} points behind.",
    ]


def wrongly_marked(arm: str) -> tuple[float, float]:
    """As *last word* in world U: tokens of a response by the policies of an arm, and how many tokens it has."""
    found = table("09_after_training").set_index(["world", "arm", "family"]).loc[("U", arm, "end")]
    assert found["runs"] == 8
    return found["wrong"], found["tokens"]


def the_last_word() -> list[str]:
    assert (table("03_seeds").set_index("family")["mean F1"].drop("end") > 0.97).all()
    base, rl, rtt = (wrongly_marked(arm) for arm in ("base", "RL-AON", "RTT-AON"))
    return [
        "On new constructed examples their mean F1 is above 0.97 in every kind of criterion but one.",
        f"In world U they wrongly mark {base[0]:.1f} tokens of a base policy's response, {rl[0]:.1f} of a response by "
        f"RL-AON's policies and {rtt[0]:.1f} of one by RTT-AON's.",
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
    loss = [in_points(row("table_2_differences", "L", arm, "base", "language loss"), 1, 2) for arm in PAIR]
    inter = {w: row("table_3_differences", w, "RTT-AON", "RTT-AON inter") for w in "LMU"}
    assert {one["verdict"] for one in inter.values()} == {OPEN}
    smaller = {w: row("figure_3_differences", w, "RTT-AON", "RTT-AON beta 0.25") for w in "LU"}
    assert {one["verdict"] for one in smaller.values()} == {OPEN}
    return [
        f"In world L, RL-AON is {in_points(ahead['L', 'SFT'])} points ahead of SFT and {in_points(ahead['L', 'DPO'])} "
        f"ahead of DPO. In U it is {in_points(ahead['U', 'SFT'])} and {in_points(ahead['U', 'DPO'])} ahead.",
        f"rises by {loss[0]} nats per token with RTT-AON and by {loss[1]} with RTT-CSR.",
        f"Intra minus inter is {in_points(inter['L'])} points in L, {in_points(inter['M'])} in M and "
        f"{in_points(inter['U'])} in U.",
        "The paper finds beta = 0.5 the best of five values. Here beta = 0.5 minus beta = 0.25 is "
        f"{in_points(smaller['L'])} points in L and {in_points(smaller['U'])} in U.",
    ]


def text_runs() -> list[str]:
    graded = table("benchmark_graded", SMOL).query("level == 'prompt' and reading in ('strict', 'verdicts')")
    assert graded["arm"].nunique() == 5 and set(graded["prompts"]) == {64}
    spread = graded.groupby("benchmark")["accuracy"].agg(["min", "max"])
    words = {name: f"{100 * low:.0f} to {100 * high:.0f}%" for name, low, high in spread.itertuples()}
    widest = 100 * (graded["high"] - graded["low"]).max()
    gains = graded.dropna(subset=["gain"])
    clear = gains[(gains["gain low"] > 0) | (gains["gain high"] < 0)]
    assert len(gains) == 12 and clear[["arm", "benchmark"]].values.tolist() == [["RTT-CSR", "ifeval"]]
    log = {arm: frame for _, arm, _, frame in logs(SMOL)}["RTT-AON"]
    assert len(log) == 8
    silent, credited = (log[f"credit/silent_groups{name}"].mean() for name in ("", "_with_token_credit"))
    return [
        f"They satisfy {words['ifeval']} of IFEval's prompts, {words['ifbench']} of IFBench's and {words['muldimif']} "
        "of MulDimIF's",
        f"The intervals are up to {widest:.0f} points wide.",
        f"RTT-CSR loses {-100 * clear['gain'].iloc[0]:.1f} points on IFEval.",
        f"On {silent:.0%} of the training prompts all eight responses have the same AON reward, so RL-AON learns "
        f"nothing from them. On {credited:.0%} of all training prompts RTT-AON has token credit although the rewards "
        "are equal.",
    ]


def of_conifer(name: str, measure: str) -> str:
    found = table("conifer_secondary", "conifer").set_index(["world", "contrast"]).loc[("nested", name)]
    assert (found["measure"], found["n"]) == (measure, 4)
    return f"{found['points']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"


def conifers_claims() -> list[str]:
    found = table("conifer_claims", "conifer").set_index("claim")
    assert set(found["n"]) == {8} and len(table("conifer_secondary", "conifer")) == 29
    verdicts = found["verdict"].to_dict()
    assert {claim for claim, verdict in verdicts.items() if verdict == "supported"} == {"K-C1", "K-C3", "K-C7"}
    assert {claim for claim, verdict in verdicts.items() if verdict == "contradicted"} == {"K-C5"}
    negligible = {claim for claim, verdict in verdicts.items() if verdict == "negligible"}
    assert negligible == {"K-C4", "K-C6", "K-R1", "K-R2"}
    said = {claim: in_points(one) for claim, one in found.iterrows()}
    early, late = (f"Conifer separate {first} first - Conifer separate" for first in ("easy", "hard"))
    return [
        f"SFT on five levels ends {said['K-C1']} above SFT on level 1. After DPO the lead is still {said['K-C3']}",
        f"is undecided: {said['K-C2']}",
        f"Easy to hard minus the mean of shuffled and reversed is {said['K-C4']}, within",
        f"fewer criteria on counts and lengths: {said['K-C5']}.",
        f"(K-C6): {said['K-C6']} at levels 4 and 5.",
        f"(K-C7): {said['K-C7']} in criteria on counts and lengths.",
        f"easy to hard minus mixed levels is {said['K-R1']} (K-R1)",
        f"minus mixed levels {said['K-R2']} (K-R2)",
        f"RTT-CSR minus RL-CSR is {said['K-R3']} there (K-R3)",
        f"easy ones first ends {of_conifer(early, 'all satisfied')} above mixed ones, and hard ones first "
        f"{of_conifer(late, 'all satisfied')} (",
    ]


TEN = "smol-ten"


def over_prompts(arm: str, against: str) -> str:
    found = table("held_out_pairs", TEN).set_index(["arm", "against", "measure"]).loc[(arm, against, "all satisfied")]
    assert found["prompts"] == 512 and found["seed"] == "A0"
    return in_points(found)


def on_text_on_a_gpu() -> list[str]:
    profile = yaml.safe_load((RESULTS / TEN / "profile.yaml").read_text())
    assert profile["rl"]["steps"] == 58
    answers = table("held_out", TEN).set_index("arm")
    assert set(answers["seed"]) == {"A0"} and set(answers["responses"]) == {4 * 512}
    words = answers["words"].map("{:.0f}".format)
    families = table("core_families", TEN)
    commas = families.set_index("family").loc["no_commas"]
    kinds = families.groupby("responsible tokens")[["base", "RL-CSR", "RTT-CSR", "RTT-AON"]].mean()
    asks, forbids = (kinds.loc[f"local, {kind}"].map("{:.0%}".format).tolist() for kind in ("positive", "negative"))
    entropy = table("core_speed", TEN).set_index("arm")["entropy at the end"]
    return [
        f"RTT-AON minus RL-AON is {over_prompts('RTT-AON', 'RL-AON')} points and RTT-CSR minus RL-CSR is "
        f"{over_prompts('RTT-CSR', 'RL-CSR')}.",
        f"is open against RL-CSR: {over_prompts('RTT-CSR relative', 'RL-CSR')} (",
        f"The base policy writes {words['base']} words, RL-AON {words['RL-AON']}, RL-CSR {words['RL-CSR']} and RTT-AON "
        f"{words['RTT-AON']}.",
        f"*No commas* holds in {commas['base']:.0%} of the cases before training and in {commas['RL-CSR']:.0%} after "
        "RL-CSR.",
        f"the mean share satisfied is {asks[0]} for the base policy, {asks[1]} after RL-CSR, {asks[2]} after RTT-CSR "
        f"and {asks[3]} after RTT-AON.",
        f"it is {forbids[0]}, {forbids[1]}, {forbids[2]} and {forbids[3]} (",
        f"At the end it is {entropy['RTT-CSR']:.2f} nats per token with RTT-CSR and {entropy['RL-CSR']:.2f} with "
        "RL-CSR.",
    ]


def marked_in_rollouts() -> list[str]:
    found = table("rollout_marks", TEN).query("step == 0 and scope == 'local, positive'")
    fails, holds = (found[found["satisfied"] == value].iloc[0] for value in (False, True))
    assert set(found["arm"]) == {"RTT-AON", "RTT-CSR"} and len(found) == 4, "both arms begin with the same rollouts"
    assert fails["relevant"] == 0 and holds["touched"] == 1
    return [
        f"fail {fails['cases']} times and hold {holds['cases']} times.",
        f"in {fails['touched']:.0%} of these cases the discriminator marks some token",
        f"That is {fails['touched'] * fails['cases']:.0f} wrong pushes against {holds['cases']} right ones",
    ]


def benchmarks_on_a_gpu() -> list[str]:
    graded = table("benchmark_graded", TEN).query("reading in ('strict', 'verdicts')")
    prompts = graded[graded["level"] == "prompt"].set_index(["arm", "benchmark"])
    assert prompts["prompts"].max() == 400
    names = ("ifeval", "ifbench", "muldimif")

    def gain(arm: str, name: str) -> str:
        one = 100 * prompts.loc[(arm, name), ["gain", "gain low", "gain high"]].astype(float)
        return f"{one.iloc[0]:+.1f} [{one.iloc[1]:+.1f}, {one.iloc[2]:+.1f}]"

    base = " | ".join(f"{100 * prompts.loc[('base', name), 'accuracy']:.1f}" for name in names)
    both = graded[(graded["arm"] == "base") & (graded["benchmark"] == "ifeval")]["accuracy"].mean()
    arms = ("RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR")
    return [
        f"| base | {base} |",
        *(f"| {arm} minus base | {' | '.join(gain(arm, name) for name in names)} |" for arm in arms),
        f"mean of prompts and instructions on IFEval is {100 * both:.1f}. Its model card is said to give 29.9.",
    ]


def cost_on_a_gpu() -> list[str]:
    [job] = json.loads((RESULTS / TEN / "jobs.json").read_text())
    rtt, rl = (job["timing"][arm] for arm in ("RTT-CSR", "RL-CSR"))
    mine, theirs = ((one["seconds"] - one["waited"]) / one["steps"] for one in (rtt, rl))
    share = rtt["discriminator"] / (rtt["seconds"] - rtt["waited"])
    return [
        f"A rollout step of RTT-CSR takes {mine:.1f} s and one of RL-CSR {theirs:.1f} s, {mine / theirs:.2f} times as "
        f"long. The discriminator takes {share:.0%} of RTT's step.",
        "The paper reports 1.085 times and 7.8%",
    ]


def the_discriminator_on_text() -> list[str]:
    fresh = table("03_comparison", SMOL).set_index("discriminator")["mean F1 over families"]
    assert len(table("03_families", SMOL)) == 27
    written = table("03_written", SMOL)
    own = written[written["discriminator"] == "taxonomy"].set_index("responses of")
    f1 = own["mean F1 over families"]
    mean = written.assign(mean=written["mean F1 over families"].str.split().str[0].astype(float))
    best = mean.loc[mean.groupby("responses of")["mean"].idxmax(), "discriminator"]
    assert set(best) == {"taxonomy"}
    ifeval, ifbench = ([name for name in f1.index if name.startswith(start)] for start in ("ifeval.", "ifbench."))
    auc = own["AUC"]
    return [
        f"its mean F1 over 27 kinds of criteria is {fresh['taxonomy']}. A discriminator that learned from greedy "
        f"labels has {fresh['greedy']}, and marking the words that the criterion names has {fresh['keyword rule']}.",
        f"There the F1 falls to {f1['the base policy']}",
        f"it is {f1[ifeval[0]]} and {f1[ifeval[1]]}.",
        f"it is {f1[ifbench[0]]} and {f1[ifbench[1]]}.",
        f"its AUC on IFBench is {auc[ifbench[0]]:.2f} and {auc[ifbench[1]]:.2f}, where a coin has 0.5.",
    ]


FACTS: tuple[Callable[[], list[str]], ...] = (
    how_to_read_it,
    the_lead_is_early,
    after_training,
    the_last_word,
    length_and_global_criteria,
    sparse_rewards_and_the_rival,
    where_the_credit_goes,
    the_other_claims,
    conifers_claims,
    on_text_on_a_gpu,
    marked_in_rollouts,
    benchmarks_on_a_gpu,
    cost_on_a_gpu,
    text_runs,
    the_discriminator_on_text,
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
    assert A_NUMBER.findall(re.sub("95% (bootstrap|paired t) interval", "", rest)) == []


# --- README.md ---


def test_what_came_out_in_seven_lines():
    quarters = table("core_quarters").query("measure == 'first quarter'").set_index(["world", "arm"])
    led = {place: f"{100 * value:.1f}" for place, value in quarters["difference"].items()}
    aon = {world: in_points(core(world, "RTT-AON")) for world in "LMSU"}
    early = [led[world, "RTT-AON"] for world in "LMSU"]
    conifer = {claim: in_points(one) for claim, one in table("conifer_claims", "conifer").set_index("claim").iterrows()}
    sentences = [
        f"by {', '.join(early[:3])} and {early[3]} points in L, M, S and U with AON",
        f"RTT-AON minus RL-AON is {aon['M']} there.",
        f"{aon['L']} in L, {aon['S']} in S and {aon['U']} in U.",
        f"In U it wrongly marks {wrongly_marked('base')[0]:.1f} tokens of a response as the last word before training "
        f"and {wrongly_marked('RTT-AON')[0]:.1f} after it.",
        f"RTT-AON minus RL-CSR is {in_points(core('M', 'RTT-AON', 'RL-CSR'))} in M and "
        f"{in_points(core('S', 'RTT-AON', 'RL-CSR'))} in S.",
        f"RTT-AON minus RL-AON is {over_prompts('RTT-AON', 'RL-AON')}, this time over prompts.",
        f"SFT on prompts of one to five criteria ends {conifer['K-C1']} above SFT on prompts of one.",
        f"Turns from easy to hard differ by {conifer['K-C4']} from others.",
    ]
    text = " ".join(section("What came out").partition(readme.BEGIN)[0].split())
    assert text.count("- **") == 7
    assert [sentence for sentence in sentences if sentence not in text] == []
    for sentence in sentences:
        text = text.replace(sentence, "")
    assert A_NUMBER.findall(text.replace("95% intervals", "")) == []


def in_readme(text: str, table: str) -> str:
    return readme.between(text, readme.BEGIN, readme.END, table, "README.md")


def test_the_table_of_claims_is_what_the_command_makes():
    made = readme.verdicts_table(RESULTS)
    assert in_readme(README, made) == README, "run python -m rtt_lib.report.readme"
    rows = [line.strip("| ").split(" | ") for line in made.split("\n\n")[0].splitlines()[2:]]
    assert [cells[0] for cells in rows] == [f"C{n}" for n in range(1, 12)]
    assert [cells[2] for cells in rows] == table("claims")["verdict"].tolist()


def test_verdicts_of_two_profiles_stand_side_by_side(tmp_path):
    for profile, verdicts in (("small", "partly"), ("large", "replicates")):
        (tmp_path / profile / "tables").mkdir(parents=True)
        rows = f'claim,statement,verdict,paper\nC1,"a, b|c",{verdicts},5\n'
        (tmp_path / profile / "tables" / "claims.csv").write_text(rows)
    made = readme.verdicts_table(tmp_path, ("small", "not yet run", "large"))
    assert made.splitlines() == [
        "| claim | statement | `small` | `large` |",
        "| --- | --- | --- | --- |",
        "| C1 | a, b\\|c | partly | replicates |",
    ]
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert in_readme(text, made) == f"before\n{readme.BEGIN}\n{made}{readme.END}\nafter\n"


def test_claims_of_other_papers_have_tables_of_their_own(tmp_path):
    """A profile's own claims come before RTT's, which a whole run of it leaves too."""
    for profile, name, claim in (
        ("micro", "claims", "C1"),
        ("micro", "serl_claims", "S-C1"),  # of notebook 12, which runs nothing there
        ("serl", "serl_claims", "S-C1"),
        ("serl", "claims", "C1"),
        ("conifer", "conifer_claims", "K-C1"),
    ):
        (tmp_path / profile / "tables").mkdir(parents=True, exist_ok=True)
        rows = f"claim,statement,verdict,low\n{claim},s,undecided,0.1\n"
        (tmp_path / profile / "tables" / f"{name}.csv").write_text(rows)
    tables = [text.splitlines() for text in readme.verdicts_table(tmp_path).split("\n\n")]
    assert [lines[0] for lines in tables] == [
        f"| claim | statement | `{profile}` |" for profile in ("micro", "serl", "conifer")
    ]
    assert [lines[2:] for lines in tables] == [[f"| {n} | s | undecided |"] for n in ("C1", "S-C1", "K-C1")]


def test_a_readme_without_the_marks_and_other_claims_are_errors(tmp_path):
    with pytest.raises(RTTError, match="belongs between the lines"):
        in_readme(f"before\n{readme.END}\n{readme.BEGIN}\n", "table\n")
    for profile, rows in (("small", "C1,s,partly\n"), ("large", "C1,s,partly\nC2,s,partly\n")):
        (tmp_path / profile / "tables").mkdir(parents=True)
        (tmp_path / profile / "tables" / "claims.csv").write_text(f"claim,statement,verdict\n{rows}")
    with pytest.raises(RTTError, match="judge different claims"):
        readme.verdicts_table(tmp_path, ("small", "large"))


def test_it_fits_150_lines():
    assert len(README.splitlines()) <= 150


LIBRARY = REPOSITORY / "rtt_lib"


def modules() -> set[str]:
    """`verify/judge` for every module of the library, `verify/` for every folder of modules."""
    found = [path for path in LIBRARY.rglob("*.py") if path.name != "__main__.py"]
    places = {path.relative_to(LIBRARY).with_suffix("").as_posix() for path in found if path.name != "__init__.py"}
    folders = {path.parent.relative_to(LIBRARY).as_posix() + "/" for path in found if path.name == "__init__.py"}
    return places | folders - {"./"}


def named_in_the_tree() -> set[str]:
    """A line `- **`verify/`** ...` and those below it name the modules of one folder in backticks."""
    found = set()
    for item in (REPOSITORY / "docs" / "tree.md").read_text(encoding="utf-8").split("\n- ")[1:]:
        folder, *names = re.findall(r"`([\w/]+)`", item)
        place = "" if folder == "rtt_lib/" else folder
        found |= {place} | {place + name for name in names}
    return found - {""}


def folders_of(text: str) -> list[str]:
    return re.findall(r"^- \*\*`(\w+/)`", text, re.MULTILINE)


def test_the_readme_names_every_folder_in_the_order_of_the_tree():
    folders = folders_of(section("The tree"))
    assert [*folders, "rtt_lib/"] == folders_of((REPOSITORY / "docs" / "tree.md").read_text(encoding="utf-8"))
    assert set(folders) == {name for name in modules() if re.fullmatch(r"\w+/", name)}


def test_the_tree_names_every_module():
    assert modules() - named_in_the_tree() == set()


def test_the_tree_names_nothing_else():
    assert named_in_the_tree() - modules() == set()
