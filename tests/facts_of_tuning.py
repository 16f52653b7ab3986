"""What docs/results.md says of methods that are tuned alike, from the tables of notebook 11 and the published runs."""

from __future__ import annotations

import re

import pandas as pd
from committed import RESULTS, in_points, table

from rtt_lib.analysis.primary import primary
from rtt_lib.analysis.tuning import FIRST, WORDS
from rtt_lib.studies.records import published_table

SAID = {"lr": "learning rate {}", "beta": "beta {}", "minibatches": "{} minibatches"}
RL, RTT = "RL-CSR minibatches 4 steps 240", "RTT-CSR no EOS lr 0.001 steps 240"  # the best ones of world U, for longer


def in_words(arm: str) -> str:
    """`RL-CSR minibatches 4` as a page says it."""
    method, *settings = re.split(r" (?=(?:lr|beta|minibatches) )", arm)
    return ", ".join([f"`{method}`", *(SAID[word].format(value) for word, value in map(str.split, settings))])


def said(finding: str) -> str:
    return "" if finding == WORDS[0] else " (shown)"


def the_first_question() -> pd.DataFrame:
    """By world and steps, the best RTT against the best RL. One difference is shown: in U, after 80 steps."""
    found = table("tuning_answer", "tuning").query(f"question == {FIRST!r}").set_index(["world", "steps"])
    assert set(found["runs"]) == {8}
    assert [place for place, one in found.iterrows() if one["finding"] != WORDS[0]] == [("U", 80)]
    assert found.loc[("U", 80), "finding"] == WORDS[1]
    return found


def best_against_best() -> list[str]:
    found = the_first_question()
    lines = []
    for world in "LMU":
        arm, rival = found.loc[(world, 80), ["arm", "against"]]
        cells = [
            in_points(found.loc[place]) + said(found.loc[place, "finding"]) for place in ((world, 80), (world, 240))
        ]
        lines.append(f"| {world} | {in_words(arm)} | {in_words(rival)} | {' | '.join(cells)} |")
    return lines


def each_method_against_the_best_rl() -> list[str]:
    """Four methods of RTT after 80 steps, each tuned, with intervals that count the six comparisons of the method."""
    found = table("tuning_answer", "tuning").set_index(["question", "steps", "world"])
    lines = []
    for method in (name for name in primary().tuning.methods if not name.startswith("RL-")):
        rows = [found.loc[(f"{method} against the best RL", 80, world)] for world in "LMU"]
        assert {row["runs"] for row in rows} == {8}
        assert rows[1]["difference"] < 0, "each misses it in M"
        lines.append(f"| `{method}` | {' | '.join(in_points(row) + said(row['finding']) for row in rows)} |")
    assert table("recommendation", "tuning").squeeze().startswith("No method is recommended")
    return lines


def relative_for_longer() -> list[str]:
    asked = "question == 'RTT-CSR relative against the best RL' and steps == 240"
    found = table("tuning_answer", "tuning").query(asked).set_index("world")
    assert set(found["runs"]) == {8} and set(found["finding"]) == {WORDS[0]}
    in_l, in_m, in_u = (in_points(found.loc[world]) for world in "LMU")
    return [f"After 240 steps `RTT-CSR relative` minus the best RL is {in_l} in L, {in_m} in M and {in_u} in U."]


def what_tuning_brings_in_world_m() -> list[str]:
    tested = table("tuning_tested", "tuning").query("world == 'M'").set_index("method")
    before, after = (tested[name].str.split().str[0].astype(float) for name in ("this project's default", "chosen"))
    from_to = {method: f"from {before[method]:.1%} to {after[method]:.1%}" for method in ("RTT-AON", "RTT-CSR")}
    behind = 100 * (after["RL-CSR"] - after["RTT-CSR relative"])
    return [
        f"Each method misses it in M after 80 steps, `relative` by {behind:.1f} points",
        f"In M tuning lifts RTT-AON {from_to['RTT-AON']} and RTT-CSR {from_to['RTT-CSR']} of the prompts.",
    ]


def for_longer_in_world_u() -> list[str]:
    runs = published_table(RESULTS / "tuning").query("world == 'U'").set_index(["arm", "seed"])
    scores = runs["all satisfied"].unstack("seed")[list(primary().tuning.tested_on)]
    early = scores.loc[RL.removesuffix(" steps 240")].mean()
    lost = scores.loc[RTT].idxmin()
    assert runs.loc[(RTT, lost), "start"] == 0 and (runs.drop((RTT, lost)).loc[RTT]["start"] > 0.9).all()
    ahead = 100 * (scores.loc[RTT] - scores.loc[RL]).drop(lost)
    return [
        f"RL-CSR goes from {early:.1%} after 80 steps to {scores.loc[RL].mean():.1%} after 240.",
        f"From base policy {lost[0]} RTT then ends at {scores.loc[RTT, lost]:.1%}",
        f"From the other seven, RTT minus RL-CSR is between {ahead.min():+.1f} and {ahead.max():+.1f} points.",
    ]


def the_settings_that_won() -> list[str]:
    tried = table("tuning_tried", "tuning")
    assert set(tried["runs"]) == {3}
    won = tried[tried["chosen"]]
    of_rl = won["method"].str.startswith("RL-")
    four, highest = won["arm"].str.contains("minibatches 4"), won["at an end"] == "lr highest"
    low = won["arm"].str.contains("beta 0.25")
    one = tried.query("world == 'L' and method == 'RTT-CSR'")["mean"]
    best = won.query("world == 'L'")["mean"]
    return [
        f"In L the six settings of RTT-CSR end between {one.min():.1%} and {one.max():.1%}, and the six methods, each "
        f"at its best, between {best.min():.1%} and {best.max():.1%}.",
        f"RL takes four minibatches in {(four & of_rl).sum()} of {of_rl.sum()} cases, RTT the highest learning rate in "
        f"{(highest & ~of_rl).sum()} of {(~of_rl).sum()} and beta = 0.25 in {(low & ~of_rl).sum()}.",
    ]
