"""Conifer's claims and the questions of its RL twin: the contrast that decides each, fixed before the runs.

A *point* is one prompt in a hundred. `all satisfied` is the mean of HSR_1 to HSR_5, `hard minus easy` HSR at levels 4
and 5 minus HSR at levels 1 and 2, `numbers` the share of met criteria on counts and lengths. The published numbers are
of Mistral-7B, from conversations that a strong LLM wrote.
"""

from __future__ import annotations

from rtt_lib.analysis.contrasts import Contrast

ALL, HARD, GAP, NUMBERS = "all satisfied", "levels 4 and 5", "hard minus easy", "numbers"

CLAIMS = (
    Contrast(
        "K-C1",
        "Conversations of five levels are better data for SFT than ordinary requests",
        {"Conifer": 1, "Conifer level 1": -1},
        ALL,
        published="IFEval 50.8 against 43.3, FollowBench 44.9 against 42.9 (ShareGPT)",
        limit="level 1 stands for ShareGPT's requests, which ask for little",
    ),
    Contrast(
        "K-C2",
        "The gain is larger at levels 4 and 5 than at 1 and 2",
        {"Conifer": 1, "Conifer level 1": -1},
        GAP,
        published="FollowBench L4 and L5 +3.4, all levels +2.0",
        limit="the other arm has never seen a hard prompt after pretraining",
    ),
    Contrast(
        "K-C3",
        "The gain survives DPO",
        {"Conifer DPO": 1, "Conifer level 1 DPO": -1},
        ALL,
        published="FollowBench 50.0 against 47.7, IFEval 52.3 against 48.2",
        limit="DPO on pairs of this world stands for UltraFeedback",
    ),
    Contrast(
        "K-C4",
        "Turns from easy to hard are better than shuffled or reversed ones",
        {"Conifer": 1, "Conifer shuffled": -0.5, "Conifer reversed": -0.5},
        ALL,
        published="direction only",
    ),
    Contrast(
        "K-C5",
        "An account of the counts reached helps with counts and lengths",
        {"Conifer internal": 1, "Conifer": -1},
        NUMBERS,
        published="direction only (IFEval)",
        limit="an account of numbers alone, with no words about how they were met",
    ),
    Contrast(
        "K-C6",
        "A weak draft and what it breaks help at hard levels",
        {"Conifer external": 1, "Conifer external no draft": -1},
        HARD,
        published="direction only (hard FollowBench)",
    ),
    Contrast(
        "K-C7",
        "Prompts with counts and lengths help with counts and lengths",
        {"Conifer": 1, "Conifer no numbers": -1},
        NUMBERS,
        published="direction only (IFEval)",
        limit="format and numbers are not taken apart",
    ),
)

# The RL twin. Its claims are ours; Holm's adjustment is over these alone.
TWIN = (
    Contrast(
        "K-R1", "Easy to hard helps RL at hard levels", {"RL-CSR easy to hard": 1, "RL-CSR": -1}, HARD,
        published="a nested curriculum: FollowBench HSR 49.1 against 45.5 (arXiv 2508.02150)",
    ),
    Contrast("K-R2", "A bandit over levels helps RL at hard levels", {"RL-CSR bandit": 1, "RL-CSR": -1}, HARD),
    Contrast("K-R3", "Token credit helps RL at hard levels", {"RTT-CSR": 1, "RL-CSR": -1}, HARD),
    Contrast(
        "K-R4", "A bandit over levels does more than token credit", {"RL-CSR bandit": 1, "RTT-CSR": -1}, HARD
    ),
    Contrast(
        "K-R5",
        "Bandit and token credit together gain more than the sum of what each gains alone",
        {"RTT-CSR bandit": 1, "RTT-CSR": -1, "RL-CSR bandit": -1, "RL-CSR": 1},
        HARD,
        limit="the interaction: zero means that both gains add up, below zero that they overlap",
    ),
)  # fmt: skip


def _against(baseline: str, *arms: str, column: str = ALL, world: str = "nested") -> tuple[Contrast, ...]:
    return tuple(Contrast("", f"{arm} against {baseline}", {arm: 1, baseline: -1}, column, world) for arm in arms)


# Looked at, and claimed by nobody: no verdict.
SECONDARY = (
    *_against("Conifer", "Conifer shuffled", "Conifer reversed", "Conifer separate", "Conifer level 3"),
    *_against("Conifer", "Conifer level 5", "Conifer last turn"),
    *_against("Conifer separate", "Conifer separate easy first", "Conifer separate hard first"),
    *_against("Conifer halves", "Conifer halves reversed", "Conifer halves easy first"),
    *_against("Conifer halves reversed", "Conifer halves reversed easy first"),
    *_against("Conifer", "Conifer internal false", "Conifer internal filler", column=NUMBERS),
    *_against("Conifer external no draft", "Conifer external bare", "Conifer external wrong", column=HARD),
    *_against("Conifer external no draft", "Conifer external draft loss", "Conifer both", column=HARD),
    *_against("Conifer", "Conifer shuffled", "Conifer reversed", world="swapped"),
    *_against("Conifer", "Conifer shuffled", "Conifer reversed", world="exact"),
    *_against("RL-CSR", "RL-CSR reversed", "RL-CSR filter", "RL-CSR scaffold", column=HARD),
    *_against("RTT-CSR", "RTT-CSR easy to hard", "RTT-CSR reversed", "RTT-CSR bandit", column=HARD),
    *_against("RTT-CSR", "RTT-CSR filter", "RTT-CSR scaffold", column=HARD),
)
