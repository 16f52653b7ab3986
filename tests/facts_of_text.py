"""The sentences of docs/results.md that hold numbers on text, made from the tables."""

from __future__ import annotations

import json

import yaml
from committed import RESULTS, TEN, logs, over_prompts, table

SMOL = "smol-cpu"


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
