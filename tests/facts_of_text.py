"""The sentences of docs/results.md that hold numbers on text, made from the tables."""

from __future__ import annotations

import json

import pandas as pd
import yaml
from committed import RESULTS, TEN, logs, over_prompts, table

from rtt_lib.analysis.comparison import WINDOW

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
    answers = table("held_out", TEN).set_index(["arm", "seed"])
    assert set(answers.index.get_level_values("seed")) == {"A0", "A1"} and set(answers["responses"]) == {4 * 512}
    pairs = {
        "RTT-AON minus RL-AON": ("RTT-AON", "RL-AON"),
        "RTT-CSR minus RL-CSR": ("RTT-CSR", "RL-CSR"),
        "RTT-CSR with exact relevance minus RTT-CSR": ("RTT-CSR oracle", "RTT-CSR"),
        "RTT-CSR with exact relevance minus RL-CSR": ("RTT-CSR oracle", "RL-CSR"),
        "`RTT-CSR relative`, our own variant, minus RL-CSR": ("RTT-CSR relative", "RL-CSR"),
    }
    rows = [f"| {name} | {over_prompts(*pair, 'A0')} | {over_prompts(*pair, 'A1')} |" for name, pair in pairs.items()]
    return [
        *rows,
        f"The one with exact relevance ends {over_prompts('RTT-CSR oracle', 'RTT-CSR', 'A1').split()[0][1:]} points",
        *words_and_commas(answers["words"]),
        *kinds_of_criteria(),
        *entropy_at_the_end(),
    ]


def words_and_commas(words: pd.Series) -> list[str]:
    arms = ("base", "RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR")
    base, aon, csr, rtt_aon, rtt_csr = (
        " and ".join(f"{words[arm, seed]:.0f}" for seed in ("A0", "A1")) for arm in arms
    )
    commas = table("held_out_families", TEN).set_index("family").loc["no_commas"].map("{:.0%}".format)
    return [
        f"The base policy writes {base} words, RL-AON {aon}, RL-CSR {csr}, RTT-AON {rtt_aon} and RTT-CSR {rtt_csr}.",
        f"*No commas* holds in {commas['base A0']} and {commas['base A1']} of the cases before training and in "
        f"{commas['RL-CSR A0']} and {commas['RL-CSR A1']} after RL-CSR.",
    ]


def kinds_of_criteria() -> list[str]:
    """The rows of a table: the mean over families of the share satisfied, A0 / A1."""
    tokens = table("core_families", TEN).set_index("family")["responsible tokens"]
    means = table("held_out_families", TEN).set_index("family").groupby(tokens).mean()

    def cell(kind: str, arm: str) -> str:
        found = [means.loc[kind].get(f"{arm} {seed}") for seed in ("A0", "A1")]
        return " / ".join("-" if share is None else f"{share:.0%}" for share in found)

    arms = ("base", "RL-CSR", "RTT-CSR", "RTT-CSR oracle", "RL-AON", "RTT-AON")
    return [
        f"| {what} | {' | '.join(cell(kind, arm) for arm in arms)} |"
        for what, kind in (
            ("ask for something (*local, positive*)", "local, positive"),
            ("forbid something (*local, negative*)", "local, negative"),
        )
    ]


def entropy_at_the_end() -> list[str]:
    last = {(arm, seed): frame["entropy"].tail(WINDOW).mean() for _, arm, seed, frame in logs(TEN)}
    rtt, rl = (" and ".join(f"{last[arm, seed]:.2f}" for seed in ("A0", "A1")) for arm in ("RTT-CSR", "RL-CSR"))
    exact = last["RTT-CSR oracle", "A1"]
    return [f"it is {rtt} nats per token with RTT-CSR, {rl} with RL-CSR, and {exact:.2f} with exact relevance"]


def marked_in_rollouts() -> list[str]:
    found = table("rollout_marks", TEN).query("step == 0 and scope == 'local, positive' and arm != 'RTT-CSR oracle'")
    both = found.groupby(["satisfied", "seed"])[["cases", "relevant", "touched"]]
    assert (both.nunique() == 1).all(axis=None) and set(found["arm"]) == {"RTT-AON", "RTT-CSR"}, "the same rollouts"
    fails, holds = (both.first().loc[value] for value in (False, True))
    assert (fails["relevant"] == 0).all() and (holds["touched"] == 1).all()
    wrong = (fails["touched"] * fails["cases"]).map("{:.0f}".format)
    touched = fails["touched"].map("{:.0%}".format)
    return [
        f"fail {fails['cases']['A0']} times and hold {holds['cases']['A0']} times in A0; in A1 {fails['cases']['A1']} "
        f"and {holds['cases']['A1']} times.",
        f"in {touched['A0']} and {touched['A1']} of these cases the discriminator marks some token",
        f"That is {wrong['A0']} and {wrong['A1']} wrong pushes against {holds['cases']['A0']} and "
        f"{holds['cases']['A1']} right ones",
    ]


def ruled_out_by_the_verdict() -> list[str]:
    found = table("rollout_by_verdict", TEN).query("arm == 'RTT-CSR' and step == 0 and scope == 'local, positive'")
    found = found.set_index("seed")[["precision", "precision by verdict"]].map("{:.0%}".format)
    told, kept = (f"{column['A0']} and {column['A1']}" for _, column in found.items())
    return [
        f"In the first step's rollouts {told} of the marks for criteria that ask for something are right (A0, A1). "
        f"Without the marks that the verdict rules out it is {kept} (",
    ]


def benchmarks_on_a_gpu() -> list[str]:
    graded = table("benchmark_graded", TEN).query("reading in ('strict', 'verdicts')")
    prompts = graded[graded["level"] == "prompt"].set_index(["arm", "seed", "benchmark"])
    assert prompts["prompts"].max() == 400
    names, seeds = ("ifeval", "ifbench", "muldimif"), ("A0", "A1")

    def gain(arm: str, seed: str, name: str) -> str:
        one = 100 * prompts.loc[(arm, seed, name), ["gain", "gain low", "gain high"]].astype(float)
        return f"{one.iloc[0]:+.1f} [{one.iloc[1]:+.1f}, {one.iloc[2]:+.1f}]"

    def accuracy(seed: str, name: str) -> str:
        return f"{100 * prompts.loc[('base', seed, name), 'accuracy']:.1f}"

    arms = {arm: f"{arm} minus base" for arm in ("RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR")}
    arms["RTT-CSR oracle"] = "RTT-CSR with exact relevance minus base"
    base = graded[(graded["arm"] == "base") & (graded["benchmark"] == "ifeval")].groupby("seed")["accuracy"].mean()
    both = [f"{100 * base[seed]:.1f}" for seed in seeds]
    return [
        *(f"| base, {seed} | {' | '.join(accuracy(seed, name) for name in names)} |" for seed in seeds),
        *(
            f"| {what}, {seed} | {' | '.join(gain(arm, seed, name) for name in names)} |"
            for arm, what in arms.items()
            for seed in seeds
            if (arm, seed, "ifeval") in prompts.index
        ),
        f"mean of prompts and instructions on IFEval is {both[0]} in A0 and {both[1]} in A1. Its model card is said to "
        "give 29.9.",
    ]


def cost_on_a_gpu() -> list[str]:
    jobs = {job["seeds"][0]: job for job in json.loads((RESULTS / TEN / "jobs.json").read_text())}
    together = [beside_each_other(jobs[seed]["timing"]) for seed in ("A0", "A1")]
    (mine, theirs, share), (mine1, theirs1, share1) = together
    alone = jobs["A1"]["alone on the card"]
    rtt, rl = (alone[arm]["seconds of a step"] for arm in ("RTT-CSR", "RL-CSR"))
    return [
        f"Alone on the card, a rollout step of RTT-CSR takes {rtt:.2f} s and one of RL-CSR {rl:.2f} s, {rtt / rl:.2f} "
        f"times as long. The discriminator takes {alone['RTT-CSR']['discriminator'] / rtt:.0%} of RTT's step.",
        f"over {alone['RTT-CSR']['rollout steps']} and {alone['RL-CSR']['rollout steps']} steps of A1",
        f"it was {mine:.1f} s against {theirs:.1f} s in A0 and {mine1:.1f} s against {theirs1:.1f} s in A1, "
        f"{mine / theirs:.2f} and {mine1 / theirs1:.2f} times as long, and the discriminator's share {share:.0%} and "
        f"{share1:.0%}",
        "The paper reports 1.085 times and 7.8%",
    ]


def beside_each_other(timing: dict) -> tuple[float, float, float]:
    """Seconds of a rollout step of RTT-CSR and of RL-CSR, and the discriminator's share of the first."""
    rtt, rl = (timing[arm] for arm in ("RTT-CSR", "RL-CSR"))
    mine, theirs = ((one["seconds"] - one["waited"]) / one["steps"] for one in (rtt, rl))
    return mine, theirs, rtt["discriminator"] / (rtt["seconds"] - rtt["waited"])


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
