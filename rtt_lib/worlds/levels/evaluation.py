"""How good is a policy at each level? Single prompts, as in the benchmarks, whatever it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.schema import RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.worlds.levels.feedback import ACCOUNT, without_account
from rtt_lib.worlds.levels.ladders import NUMBERS, family_of, prompts_at
from rtt_lib.worlds.micro.evaluation import grade, respond
from rtt_lib.worlds.teaching import LEVELS

EASY, HARD = (1, 2), (4, 5)
GREEDY = 4  # one prompt in four is also answered greedily
UNSEEN = 5  # the level at which held-out combinations are asked for


def scores_by_level(by_level: dict[int, dict[str, Any]]) -> dict[str, float]:
    """The share of prompts at level k with all criteria met (HSR_k), and what the claims compare."""
    hsr = {level: graded["all_satisfied"] for level, graded in by_level.items()}
    easy, hard = (fmean(hsr[level] for level in some) for some in (EASY, HARD))
    return {
        **{f"level {level}": score for level, score in hsr.items()},
        "levels 1 and 2": easy,
        "levels 4 and 5": hard,
        "hard minus easy": hard - easy,
    }


def share_of_numbers(prompts: Sequence[RubricPrompt], answers: Sequence[str]) -> float:
    """Of the criteria on counts and lengths, how many are met."""
    return fmean(
        verify(criterion, prompt.prompt, answer)
        for prompt, answer in zip(prompts, answers, strict=True)
        for criterion in prompt.criteria
        if family_of(criterion) in NUMBERS
    )


@torch.no_grad()
def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: int, max_tokens: int
) -> dict[str, Any]:
    """Everything the tables need, on prompts that are the same for every arm and seed; `prompts` of each level."""
    model.eval()
    by_level = {level: prompts_at(level, prompts, "evaluation") for level in LEVELS}
    asked = [prompt for level in LEVELS for prompt in by_level[level]]
    unseen = prompts_at(UNSEEN, prompts, "evaluation", unseen=True)
    responses, cut = respond(model, tokenizer, [p.prompt for p in [*asked, *unseen]], max_tokens, greedy=False)
    answers = [without_account(response) for response in responses]
    cut = [one and ACCOUNT not in response.split() for one, response in zip(cut, responses, strict=True)]
    greedily, _ = respond(model, tokenizer, [p.prompt for p in asked[::GREEDY]], max_tokens, greedy=True)
    graded = grade(asked, answers[: len(asked)])
    own = {level: grade(by_level[level], answers[n * prompts : (n + 1) * prompts]) for n, level in enumerate(LEVELS)}
    other = grade(unseen, answers[len(asked) :])
    graded["families"] |= scores_by_level(own) | {
        "numbers": share_of_numbers(asked, answers[: len(asked)]),
        "unseen combinations": other["all_satisfied"],
    }
    return {
        "sampled": graded,
        "greedy": grade(asked[::GREEDY], [without_account(response) for response in greedily]),
        "out_of_domain": other,
        "mean_words": fmean(len([w for w in answer.split() if w != ","]) for answer in answers),
        "truncated": fmean(cut),
        "language_loss": None,
        "examples": [{"prompt": asked[i].prompt, "response": responses[i]} for i in range(0, len(asked), prompts)],
    }
