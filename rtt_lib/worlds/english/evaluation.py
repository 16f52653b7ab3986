"""How good is a policy in the English world? Held-out tasks, known and new wordings, families left out, fluency."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.models import device_for, load_causal_lm, load_tokenizer
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.english.corpus import HELD_OUT, held_out_prompts, new_wordings, plain_sentences
from rtt_lib.worlds.english.policy import Row, encode, loss_of
from rtt_lib.worlds.text.evaluation import Examination, grade, held_out
from rtt_lib.worlds.text.prompts import HELD_OUT_SEED

SENTENCES = 256  # for the language loss
TOGETHER = 64  # of them in one batch


def questions(n: int) -> list[RubricPrompt]:
    """`n` prompts on held-out tasks: the first half in the wordings of training, the rest the same in new ones."""
    known = held_out_prompts(n - n // 2, HELD_OUT_SEED)
    new = held_out_prompts(n // 2, HELD_OUT_SEED, wordings=new_wordings())
    return known + [replace(prompt, id=f"{prompt.id}-new") for prompt in new]


def foreign_questions(n: int) -> list[RubricPrompt]:
    """Held-out tasks with the families that RL leaves out."""
    return held_out_prompts(n, HELD_OUT_SEED + 1, families=HELD_OUT)


def evaluate(examined: Examination) -> dict[str, Any]:
    """The record of one policy."""
    verifier, n = Verifier(), examined.profile.evaluation.prompts
    outside = foreign_questions(max(1, n // 2))
    by_wording = halves(examined, questions(n), verifier)
    return held_out(examined, questions(n), verifier) | {
        "wordings": {name: half["satisfied"] for name, half in by_wording.items()},
        "by_wording": by_wording,
        "out_of_domain": grade(outside, examined.respond(outside, "out_of_domain"), verifier),
        "language_loss": language_loss(load_causal_lm(examined.policy), load_tokenizer(examined.policy)),
    }


def halves(examined: Examination, asked: list[RubricPrompt], verifier: Verifier) -> dict[str, dict[str, Any]]:
    """The scores of the sampled responses to each half of the questions; None where there are none."""
    known = {prompt.id for prompt in asked[: len(asked) - len(asked) // 2]}
    rows = examined.respond(asked, "sampled")  # which are there already
    parts = {
        "known": [row for row in rows if row["id"] in known],
        "new": [row for row in rows if row["id"] not in known],
    }
    return {name: grade(asked, part, verifier) for name, part in parts.items()}


@torch.no_grad()
def language_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int = SENTENCES) -> float:
    """Mean negative log-likelihood per token of the base language: responses by rule to held-out tasks alone."""
    model.eval().to(device_for(model))
    rows: list[Row] = [encode(tokenizer, task, response) for task, response in plain_sentences(n)]
    total = tokens = 0
    for start in range(0, n, TOGETHER):
        batch = rows[start : start + TOGETHER]
        written = sum(len(response) for _, response in batch)
        total += loss_of(model, batch, tokenizer.pad_token_id).item() * written
        tokens += written
    return total / tokens
