"""The sentences of docs/results.md that hold numbers on Conifer and on SERL, made from the tables."""

from __future__ import annotations

import pandas as pd
from committed import RESULTS, in_points, table

from rtt_lib.analysis.serl_dose import gains
from rtt_lib.studies.records import published_table

FIRM, GAIN = "judge firm accuracy", "actor's gain"
TOKENS = {"S-T1": "undecided", "S-T2": "undecided", "S-T3": "undecided", "S-T4": "undecided", "S-T5": "supported"}


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


def of_serl(against: str, measure: str = "per constraint") -> str:
    place = (measure, "J65", "SERL", against)
    found = table("serl_parts", "serl").set_index(["measure", "world", "arm", "against"]).loc[place]
    assert found["n"] == 8
    return in_points(found)


def serls_claims() -> list[str]:
    found = table("serl_claims", "serl").set_index("claim")
    assert set(found["n"]) == {8}
    verdicts = found["verdict"].to_dict()
    assert {claim for claim, verdict in verdicts.items() if verdict == "supported"} == {"S-C1", "S-C3", "S-C4", "S-C5"}
    assert verdicts["S-C7"] == "contradicted" and verdicts["S-C2"] == verdicts["S-C6"] == "undecided"
    said = {claim: in_points(one) for claim, one in found.iterrows()}
    words = in_points(found.loc["S-C6"], 1)
    return [
        f"SERL ends {said['S-C1']} above its base policy. With true verdicts more can be had: SERL minus RL-CSR is "
        f"{of_serl('RL-CSR')}.",
        f"SERL minus SERL without R_J is {said['S-C3']}. But",
        f"There the same difference is {of_serl('SERL no R_J', FIRM)}, and SERL minus its own start is "
        f"{of_serl('base', FIRM)}.",
        f"SERL minus SERL with a random R_J is {of_serl('SERL random R_J')} in criteria.",
        f"SERL minus SERL without R_J is {of_serl('SERL no R_J')}, and minus SERL with a frozen judge "
        f"{of_serl('SERL frozen judge')}.",
        f"ends {said['S-C4']} above training the judge alone.",
        f"from one half is {said['S-C5']} points off that of SERL with one order.",
        f"rise by another {said['S-C7']} after step 48.",
        f"SERL minus marks of single responses is {said['S-C2']} (S-C2). SERL minus SERL without length control is "
        f"{words} words (S-C6).",
    ]


def range_of(shares: pd.Series) -> str:
    return f"{shares.min():.0%} to {shares.max():.0%}"


def where_serl_turns() -> list[str]:
    worlds = table("serl_by_world", "serl").set_index("world")
    assert set(worlds["n"]) == {8} and set(worlds["runs that lose"].drop("J25")) == {0}
    turning = table("serl_turning_point", "serl").iloc[0]
    assert turning["n"] == 56 and turning.isna()["accuracy"] and turning["rises"] == 1
    found = gains(published_table(RESULTS / "serl"))
    wrong, right = found[found["world"] == "J25"], found[found["world"] != "J25"]
    assert wrong["accuracy before"].max() < 0.5 < right["accuracy before"].min() and len(right) == 48
    gain, low, high = (100 * worlds.loc["J25", name] for name in ("actor's gain", "low", "high"))
    means = 100 * worlds["actor's gain"].drop(["J25", "J45"])
    return [
        "At the start the judges of `J25` give the right verdict with a mean probability of "
        f"{range_of(wrong['accuracy before'])}. Their actors gain "
        f"{gain:+.1f} [{low:+.1f}, {high:+.1f}] points, and {worlds.loc['J25', 'runs that lose']} of 8 lose. "
        f"Of all other judges this probability is {range_of(right['accuracy before'])}, and all 48 actors "
        f"gain: {100 * worlds.loc['J45', GAIN]:+.1f} points in the world `J45` on average and {means.min():+.1f} to "
        f"{means.max():+.1f} in the others (",
        f"their more likely verdict is right in {range_of(right['firm accuracy before'])} of the pairs, that of the "
        f"judges of `J25` in {range_of(wrong['firm accuracy before'])}.",
    ]


def what_a_planted_word_does() -> list[str]:
    worlds = table("serl_by_world", "serl").set_index("world")
    before, after = worlds.loc["word", ["word before", "word after"]]
    ends = worlds["accuracy after"]
    return [
        f"with that word in {before:.0%} of the pairs at the start and in {after:.0%} after training. They end right "
        f"in {ends['word']:.0%} of the pairs; the judges of `J55`, which are told the truth as often and know no such "
        f"word, in {ends['J55']:.0%}."
    ]


def what_was_forecast() -> list[str]:
    found = table("serl_forecast", "serl").set_index(["world", "arm"])
    others = found.loc[[(world, "SERL") for world in ("J65", "J55", "first")]]
    ends = {f"{value:.0%}" for value in others["after"]}
    assert len(ends) == 1 and (others["after high"] < others["forecast after"]).all()
    inverted, word = (found.loc[(world, "SERL")] for world in ("J25", "word"))
    assert word["after low"] < word["forecast after"] < word["after high"] and inverted["after low"] > 0.05
    return [
        f"end right in {others['forecast after'].min():.0%} to {others['forecast after'].max():.0%} of the pairs; they "
        f"end at {ends.pop()}. It said {inverted['forecast after']:.0%} for a judge that starts wrong; it ends at "
        f"{inverted['after']:.0%}. For a judge that prefers a word it said {word['forecast after']:.0%}; it is "
        f"{word['after']:.0%} [{100 * word['after low']:.0f}, {100 * word['after high']:.0f}] (",
    ]


def self_judged_tokens() -> list[str]:
    found = table("serl_tokens", "serl").set_index("claim")
    assert set(found["n"]) == {8} and found["verdict"].to_dict() == TOKENS
    said = {claim: in_points(one) for claim, one in found.iterrows()}
    return [
        f"SERL per criterion minus SERL is {said['S-T1']} in `J65` (S-T1) and {said['S-T4']} in `J80` (S-T4).",
        f"Against as many questions to the judge it is {said['S-T2']} (S-T2), and against the same scores spread "
        f"evenly {said['S-T3']} (S-T3).",
        f"Minus the same credit by true verdicts it is {said['S-T5']} (S-T5;",
    ]
