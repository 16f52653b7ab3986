"""README.md and docs/results.md say what `results/` holds: their numbers are computed again from the tables.

Each function of `FACTS` makes the sentences of docs/results.md that hold numbers. A number in the page that none of
them makes is an error.
"""

from __future__ import annotations

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
FULL, SMOL = "micro-full", "smol-cpu"
RELATIVE = "RTT-CSR relative"
OPEN = "no difference shown"
A_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+|(?<![\w.])\d+%|\d+ to \d+%")


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def row(name: str, world: str, arm: str, against: str, measure: str = "all satisfied", profile=FULL) -> pd.Series:
    asked = {"world": world, "arm": arm, "against": against, "measure": measure}
    found = table(name, profile)
    return found.loc[(found[list(asked)] == pd.Series(asked)).all(axis=1)].iloc[0]


def difference(*place, flip: bool = False, factor: float = 100, digits: int = 1, **options) -> str:
    """`-7.3 [-18.3, +3.8]`; `flip`: of the table's baseline minus its arm."""
    mean, low, high = factor * row(*place, **options)[["difference", "low", "high"]]
    mean, low, high = (-mean, -high, -low) if flip else (mean, low, high)
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def verdict(*place, **options) -> str:
    return row(*place, **options)["verdict"]


def by_base(found: pd.Series) -> list[float]:
    """`A +0.100, B +0.104` in points."""
    return [100 * float(part.split()[1]) for part in found["by base"].split(", ")]


def scores() -> pd.Series:
    """Mean share of prompts with all criteria satisfied, by world and arm."""
    found = table("beyond_scores", FULL).set_index(["world", "arm"])["all satisfied"]
    return found.str.split().str[0].astype(float)


# --- the facts of docs/results.md ---


def how_to_read_it() -> list[str]:
    for profile in ("micro", FULL):
        made = yaml.safe_load((RESULTS / profile / "profile.yaml").read_text())["experiments"]["core"]["seeds"]
        assert made == ["A0", "B1", "C2", "D3", "E4"], "every run starts from a base policy of its own"
    rl = yaml.safe_load((REPOSITORY / "params" / "paper-qwen3-4b.yaml").read_text())["rl"]
    ours = yaml.safe_load((REPOSITORY / "params" / "micro.yaml").read_text())["rl"]
    assert float(ours["learning_rate"]) / float(rl["learning_rate"]) == pytest.approx(300)
    base = {world: f"| {scores()[world, 'base']:.1%} |" for world in "LMSU"}
    return [
        f"Such intervals from five runs hold the true mean in {coverage(bases(5)):.0%} of simulations if differences "
        f"over base policies are normal, and in {coverage(bases(5), WORST):.0%} in the worst shape that was tried",
        f"and the length (global) {base['L']}",
        f"a word at least n times {base['M']}",
        f"so that all-or-nothing rewards are sparse {base['S']}",
        f"very short and very long texts {base['U']}",
    ]


def the_lead_is_early() -> list[str]:
    quarters = table("core_quarters", FULL).set_index(["measure", "world", "arm"])
    first = quarters.loc["first quarter"]
    led = 100 * first["difference"]
    assert (first["difference"] > 0).all()
    assert [place for place in first.index[first["verdict"] != "better"] if place[0] in "LM"] == [("M", "RTT-CSR")]
    lasting = quarters.xs(("U", "RTT-AON"), level=("world", "arm"))
    assert len(lasting) == 4 and set(lasting["verdict"]) == {"better"}
    u = (100 * lasting["difference"]).tolist()
    return [
        f"With AON the lead is {led['L', 'RTT-AON']:.1f} points in world L and {led['M', 'RTT-AON']:.1f} in M. With "
        f"CSR it is {led['L', 'RTT-CSR']:.1f} points in L and {led['M', 'RTT-CSR']:.1f} in M. "
        "All but the last are shown.",
        f"It is {u[0]:.1f} points in the first quarter, then {u[1]:.1f}, {u[2]:.1f} and {u[3]:.1f}.",
    ]


def the_lead_is_lost() -> list[str]:
    last = table("core_quarters", FULL).query("measure == 'fourth quarter'").set_index(["world", "arm"])
    assert last.loc[["L", "M"], "verdict"].groupby("world").agg(set).to_dict() == {"L": {OPEN}, "M": {"worse"}}
    end = (100 * last["difference"]).to_dict()
    core = [difference("core_differences", world, f"RTT-{r}", f"RL-{r}") for r in ("AON", "CSR") for world in "LM"]
    more = {(w, arm): eight(w, arm) for w, arm in (("L", "RTT-AON"), ("L", "RTT-CSR"))}
    return [
        f"by {-end['M', 'RTT-AON']:.1f} points with AON and {-end['M', 'RTT-CSR']:.1f} with CSR. In world L nothing is "
        f"shown: the differences are {end['L', 'RTT-AON']:+.1f} and {end['L', 'RTT-CSR']:+.1f} points.",
        f"RTT-AON minus RL-AON is {core[0]} points in L and {core[1]} in M. RTT-CSR minus RL-CSR is {core[2]} in L and "
        f"{core[3]} in M.",
        f"RTT-AON is behind RL-AON there, by {more['L', 'RTT-AON']} points. RTT-CSR minus RL-CSR stays open, at "
        f"{more['L', 'RTT-CSR']}.",
    ]


def eight(world: str, arm: str) -> str:
    """The difference to RL with the same reward over eight base policies."""
    found = row("bases_differences", world, arm, f"RL-{arm.split()[0][-3:]}", profile=FULL)
    shown = {
        ("L", "RTT-AON"): "worse", ("L", "RTT-CSR"): OPEN, ("L", RELATIVE): "better",
        ("U", "RTT-AON"): "better", ("U", "RTT-CSR"): "better", ("U", RELATIVE): "better",
    }  # fmt: skip
    assert found["pairs"] == 8 and found["verdict"] == shown[world, arm]
    return difference("bases_differences", world, arm, found["against"], profile=FULL)


def ahead_in_u() -> list[str]:
    assert verdict("core_differences", "U", "RTT-AON", "RL-AON", profile=FULL) == "better"
    assert verdict("core_differences", "U", "RTT-CSR", "RL-CSR", profile=FULL) == OPEN
    five = {r: difference("core_differences", "U", f"RTT-{r}", f"RL-{r}", profile=FULL) for r in ("AON", "CSR")}
    lowest, second, *_ = sorted(by_base(row("bases_differences", "U", "RTT-AON", "RL-AON", profile=FULL)))
    return [
        f"RTT-AON minus RL-AON is {five['AON']} points over five base policies and {eight('U', 'RTT-AON')} over eight.",
        f"RTT-CSR minus RL-CSR is {five['CSR']} over five, which is open, and {eight('U', 'RTT-CSR')} over eight",
        f"From seven of eight it is {second:.1f} points or more, from one it is {lowest:.1f}.",
    ]


def length_and_global_criteria() -> list[str]:
    cut = table("beyond_scores", FULL).set_index(["world", "arm"])["truncated"].str.split().str[0].astype(float)
    assert yaml.safe_load((REPOSITORY / "params" / "micro.yaml").read_text())["evaluation"]["max_tokens"] == 24
    kept = table("core_families", FULL).set_index(["world", "family"]).loc[("M", "at_least")]
    single = [difference("beyond_single_changes", "L", f"RTT-AON {c}", "RTT-AON") for c in ("no EOS", "decay")]
    half = difference("all_differences", "L", "RTT-AON", "RTT-AON beta 0.25", flip=True)
    return [
        f"In world L {cut['L', 'RTT-AON']:.0%} of RTT-AON's responses are cut at the limit of 24 tokens, and "
        f"{cut['M', 'RTT-AON']:.0%} in M. Of RL-AON's responses {cut['L', 'RL-AON']:.0%} and "
        f"{cut['M', 'RL-AON']:.0%} are.",
        f"{cut['U', 'RTT-AON']:.0%} of RTT-AON's responses never end there",
        f"RTT-AON gains {single[0]} points. With token credit that fades during training it gains {single[1]}. With "
        f"half the beta it gains {half}.",
        f"*at least n times* holds in {kept['RL-AON']:.0%} of the cases after RL-AON and in {kept['RTT-AON']:.0%} "
        "after RTT-AON.",
    ]


def sparse_rewards() -> list[str]:
    sparse = [row("core_differences", "S", f"RTT-{r}", f"RL-{r}", profile=FULL) for r in ("AON", "CSR")]
    assert [one["verdict"] for one in sparse] == [OPEN, OPEN]
    said = [difference("core_differences", "S", f"RTT-{r}", f"RL-{r}", profile=FULL) for r in ("AON", "CSR")]
    bases = by_base(sparse[0])
    ahead = [one for one in bases if one > 0]
    assert len(bases) == 5 and len(ahead) == 2 and all(-1 < one < 0 for one in bases if one not in ahead)
    quarters = table("core_quarters", FULL).query("world == 'S' and arm == 'RTT-AON'")
    assert quarters["verdict"].tolist() == ["better", "better", OPEN, OPEN]
    first, second = (100 * quarters["difference"]).tolist()[:2]
    assert verdict("core_differences", "S", "RL-CSR", "RL-AON", profile=FULL) == OPEN
    criteria = difference("core_differences", "S", "RL-CSR", "RL-AON", "per constraint", profile=FULL)
    return [
        f"RTT-AON minus RL-AON is {said[0]} points and RTT-CSR minus RL-CSR is {said[1]}.",
        f"RTT-AON ends {ahead[0]:.1f} and {ahead[1]:.1f} points ahead.",
        f"in the first two quarters, by {first:.1f} and {second:.1f} points; both are shown.",
        f"it satisfies more single criteria, by {criteria} points.",
    ]


def plain_rl_and_where_the_credit_goes() -> list[str]:
    rival = {w: difference("core_differences", w, "RTT-AON", "RL-CSR", profile=FULL) for w in "LMUS"}
    shown = {w: verdict("core_differences", w, "RTT-AON", "RL-CSR", profile=FULL) for w in "LMUS"}
    assert shown == {"L": "worse", "M": "worse", "U": "better", "S": OPEN}
    places = (("U", "random"), ("L", "random"), ("L", "greedy"), ("L", "oracle"))
    weights = {(w, other): difference("all_differences", w, "RTT-AON", f"RTT-AON {other}") for w, other in places}
    in_m = difference("table_4_differences", "M", "RTT-AON", "RTT-AON random", profile=FULL)
    assert verdict("table_4_differences", "M", "RTT-AON", "RTT-AON random", profile=FULL) == "worse"
    assert {verdict("table_4_differences", w, "RTT-AON", "RTT-AON greedy", profile=FULL) for w in "LMU"} == {OPEN}
    shown = [verdict("all_differences", w, "RTT-AON", f"RTT-AON {other}") for w, other in places]
    assert shown == ["better", OPEN, OPEN, "better"]
    return [
        f"by {rival['L']} points in L and {rival['M']} in M. In U it is ahead, by {rival['U']}. In S nothing is shown.",
        f"In world U the learned relevance is {weights['U', 'random']} points ahead of it. In world M it is behind it, "
        f"by {in_m}. In world L nothing is shown ({weights['L', 'random']}).",
        f"in L it is {weights['L', 'greedy']}. In L the learned relevance is ahead of the exact one, by "
        f"{weights['L', 'oracle']},",
    ]


def a_baseline_across_responses() -> list[str]:
    best = {w: row("beyond_differences", w, RELATIVE, "the best of RL and RTT", profile=FULL) for w in "LMUS"}
    assert {w: one["verdict"] for w, one in best.items()} == {"L": "better", "M": OPEN, "U": "worse", "S": OPEN}
    four = [arm for arm in scores().index.levels[1] if re.fullmatch("(RL|RTT)-(AON|CSR)", arm)]
    strongest = {w: scores()[w][four].idxmax() for w in "LUS"}
    assert len(four) == 4 and strongest == {"L": "RL-CSR", "U": "RTT-AON", "S": "RTT-CSR"}
    for profile in ("micro", FULL):
        assert table("recommendation", profile)["recommendation"].iloc[0].startswith("No variant is recommended")
    controls = ("decoupled", "decoupled strong")
    own = [difference("beyond_against_control", "L", RELATIVE, f"RTT-CSR {name}") for name in controls]
    assert {verdict("beyond_against_control", "M", RELATIVE, f"RTT-CSR {name}") for name in controls} == {OPEN}
    against = {w: difference("beyond_differences", w, RELATIVE, "the best of RL and RTT", profile=FULL) for w in "LS"}
    return [
        f"In world L it is {against['L']} points ahead of RL-CSR, the best of RL and RTT there. It is {own[0]} ahead "
        f"of the same baseline without relevance, and {own[1]} ahead of it where its credit is as strong.",
        f"it is {eight('L', RELATIVE)} ahead of RL-CSR in L and {eight('U', RELATIVE)} in U.",
        f"In U it is {-100 * best['U']['difference']:.1f} points behind RTT-AON. In S nothing is shown against "
        f"RTT-CSR, the best of the four there ({against['S']}).",
    ]


def the_released_code_and_unrounded_relevance() -> list[str]:
    changes = ("mixed rows", "truncated", "as released")
    own = [difference("10_differences", "L", f"RTT-AON {change}", "RTT-AON") for change in changes]
    shown = [verdict("10_differences", "L", f"RTT-AON {change}", "RTT-AON") for change in changes]
    assert shown == ["better", "better", OPEN]
    every = (*changes, "sequence mean")
    assert {verdict("10_differences", "L", f"RTT-AON {c}", "RL-AON") for c in every} == {OPEN}
    assert verdict("beyond_single_changes", "L", "RTT-AON raw", "RTT-AON") == OPEN
    raw = difference("beyond_single_changes", "L", "RTT-AON raw", "RTT-AON")
    lost = sorted(-one for one in by_base(row("beyond_single_changes", "U", "RTT-AON raw", "RTT-AON", profile=FULL)))
    assert len(lost) == 5 and lost[2] < 20
    assert verdict("beyond_single_changes", "U", "RTT-CSR raw", "RTT-CSR", profile=FULL) == "worse"
    with_csr = difference("beyond_single_changes", "U", "RTT-CSR raw", "RTT-CSR", profile=FULL)
    return [
        f"With its mixed-up rows alone RTT-AON ends {own[0]} points higher. With its truncated token weights alone it "
        f"ends {own[1]} higher. All departures together make a difference of {own[2]}, which is open.",
        "In all these numbers the relevance is rounded at 0.5.",  # the threshold of `RTT-AON`, see tests/test_arms.py
        f"In world L unrounded minus rounded is {raw} points for RTT-AON, which is open. In world U two of the five "
        f"unrounded runs of RTT-AON end {lost[3]:.1f} and {lost[4]:.1f} points lower",
        f"For RTT-CSR the loss in U is shown, {with_csr}.",
    ]


def the_discriminator() -> list[str]:
    assert (table("03_seeds").set_index("family")["mean F1"].drop("end") > 0.99).all()
    own = table("09_rollouts").set_index("family")["F1"]
    assert set(own.drop("end")) == {"1.000 [1.000, 1.000]"}
    return [
        "Its F1 is above 0.99 in every kind of criterion but one.",
        f"the F1 is 1 in every kind but that one, where it is {own['end']}.",
    ]


def the_other_claims() -> list[str]:
    ahead = [difference("table_1_differences", "L", "RL-AON", name, profile=FULL) for name in ("SFT", "DPO")]
    assert {verdict("table_1_differences", "L", "RL-AON", name, profile=FULL) for name in ("SFT", "DPO")} == {"better"}
    sparse = table("table_1_differences", FULL).query("world == 'S' and measure == 'all satisfied'")
    assert set(sparse.loc[sparse["against"].isin(["SFT", "DPO"]), "verdict"]) == {OPEN}
    judged = {name: table("claims", name).set_index("claim").loc["C2"] for name in ("micro", FULL)}
    shown = {name: re.match(r"shown in (\d+ of \d+)", row["reason"])[1] for name, row in judged.items()}
    worlds = {name: set(re.findall(r"(?:: |\| )([A-Z]) [+-]", row["ours"])) for name, row in judged.items()}
    assert worlds == {"micro": {"L"}, FULL: {"L", "M", "S", "U"}}
    place = {"measure": "language loss", "factor": 1, "digits": 2}
    loss = [difference("table_2_differences", "L", f"RTT-{reward}", "base", **place) for reward in ("AON", "CSR")]
    inter = difference("table_3_differences", "L", "RTT-AON", "RTT-AON inter")
    assert verdict("table_3_differences", "L", "RTT-AON", "RTT-AON inter") == "worse"
    assert {verdict("table_3_differences", w, "RTT-AON", "RTT-AON inter", profile=FULL) for w in "MU"} == {OPEN}
    smaller = ("RTT-AON", "RTT-AON beta 0.25")
    assert {verdict("figure_3_differences", w, *smaller, profile=FULL) for w in "LM"} == {"worse"}
    beta = [difference("figure_3_differences", w, *smaller, flip=True, profile=FULL) for w in "LM"]
    return [
        f"RL-AON is {ahead[0]} points ahead of SFT and {ahead[1]} ahead of DPO",
        f"supervised runs in L only, where the claim is shown in {shown['micro']} comparisons, and `micro-full` has "
        f"them in all four worlds, where it is shown in {shown[FULL]}.",
        f"rises by {loss[0]} nats per token with RTT-AON and by {loss[1]} with RTT-CSR.",
        f"intra minus inter is {inter} points. In M and U it is open.",
        "The paper finds beta = 0.5 the best of five values. In worlds L and M beta = 0.25 is better, by "
        f"{beta[0]} and {beta[1]} points.",
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
    the_lead_is_lost,
    ahead_in_u,
    length_and_global_criteria,
    sparse_rewards,
    plain_rl_and_where_the_credit_goes,
    a_baseline_across_responses,
    the_released_code_and_unrounded_relevance,
    the_discriminator,
    the_other_claims,
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
    assert A_NUMBER.findall(rest.replace("95% bootstrap interval", "")) == []


# --- README.md ---


def test_what_came_out_in_six_lines():
    quarters = table("core_quarters", FULL).query("measure == 'first quarter'")
    led = 100 * quarters.set_index(["world", "arm"])["difference"]
    core = {w: difference("core_differences", w, "RTT-AON", "RL-AON", profile=FULL) for w in "MS"}
    rival = {w: difference("core_differences", w, "RTT-AON", "RL-CSR") for w in "LM"}
    sentences = [
        f"by {led['L', 'RTT-AON']:.1f} points (AON) and {led['L', 'RTT-CSR']:.1f} (CSR) in the first quarter of "
        "training",
        f"by {led['M', 'RTT-AON']:.1f} (AON).",
        f"RTT-AON minus RL-AON is {eight('L', 'RTT-AON')} in L (eight) and {core['M']} in M.",
        f"RTT-AON minus RL-AON is {eight('U', 'RTT-AON')} (eight).",
        f"no gain is shown**: {core['S']}.",
        f"RTT-AON minus RL-CSR is {rival['L']} in L and {rival['M']} in M.",
    ]
    text = " ".join(section("What came out").partition(readme.BEGIN)[0].split())
    assert text.count("- **") == 6
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
    for profile, column in (("micro", 2), (FULL, 3)):
        assert [cells[column] for cells in rows] == table("claims", profile)["verdict"].tolist()


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
