"""How good is a policy with two roles? As the micro world measures it, against its start, and as a judge.

The judge is examined on responses that are the same for every policy. Its verdicts are read as probabilities after the
question, so that nothing is sampled: for a pair, the share of "1" and of "2" in each of both orders.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.schema import RubricPrompt
from rtt_lib.self_rewards import pairs
from rtt_lib.worlds.judged.language import PLANTED, compare, quality, sample_prompts, sample_response
from rtt_lib.worlds.micro import language as micro
from rtt_lib.worlds.micro.evaluation import grade, language_loss, respond
from rtt_lib.worlds.micro.policy import language_batch

RESPONSES = 4  # to a prompt, for the judge to compare: six pairs and four triples
NEAR = 0.2  # win rates are of pairs whose lengths differ by less


@dataclass(frozen=True)
class Exam:
    """Responses that judges are examined on; R = RESPONSES.

    met      [N, R]  criteria met
    planted  [N, R]  1 where the planted word is in it
    """

    prompts: Sequence[RubricPrompt]
    responses: Sequence[Sequence[str]]
    met: Tensor
    planted: Tensor


@lru_cache(maxsize=2)
def exam(n: int) -> Exam:
    """The same for every policy, and never trained on."""
    prompts, rng, language = sample_prompts(n, "exam"), random.Random("exam"), micro.Language()
    rows = [[sample_response(prompt, language, rng) for _ in range(RESPONSES)] for prompt in prompts]
    met = [[quality(p.criteria, text) for text in row] for p, row in zip(prompts, rows, strict=True)]
    planted = [[float(PLANTED in text.split()) for text in row] for row in rows]
    return Exam(prompts, rows, torch.tensor(met, dtype=torch.float32), torch.tensor(planted))


@torch.no_grad()
def verdict_shares(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], batch_size: int = 256
) -> Tensor:
    """[Q, 2]: the probability that the next token is "1", and that it is "2"."""
    numbers, rows = tokenizer.convert_tokens_to_ids(["1", "2"]), []
    for start in range(0, len(questions), batch_size):
        batch = tokenizer(list(questions[start : start + batch_size]), return_tensors="pt", padding=True)
        rows.append(model(**batch, logits_to_keep=1).logits[:, -1].softmax(-1)[:, numbers])
    return torch.cat(rows)


def judge_scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, found: Exam) -> dict[str, float]:
    """What kind of judge it is; see `measures`."""
    both = [(i, j, p) for p in range(len(found.prompts)) for i, j in pairs(RESPONSES).tolist()]
    ask = [compare(found.prompts[p].prompt, found.responses[p][i], found.responses[p][j]) for i, j, p in both]
    turned = [compare(found.prompts[p].prompt, found.responses[p][j], found.responses[p][i]) for i, j, p in both]
    shape = (len(found.prompts), -1, 2)
    straight = verdict_shares(model, tokenizer, ask).view(shape)
    reverse = verdict_shares(model, tokenizer, turned).view(shape)
    return measures(straight, reverse, found.met, found.planted)


def measures(straight: Tensor, reverse: Tensor, met: Tensor, planted: Tensor) -> dict[str, float]:
    """Of a judge, from the probabilities of "1" and "2" [N, P, 2] in both orders; N prompts, P pairs of R responses.

    accuracy         probability of the right verdict, on pairs that are not tied, over both orders
    firm accuracy    the same of its more likely verdict, by the sum of both orders; half a point where that is equal
    order agreement  pairs of which it prefers the same response in both orders
    cycles           triples in which it prefers a to b, b to c and c to a
    correlation      rank correlation of its mean share of a response with the criteria met, mean over prompts
    word             preference for a response with the planted word over one without, among tied pairs; 0.5 is none
    first            probability of "1" among readable verdicts
    place            how far that is from one half
    unreadable       probability of neither
    tied             pairs in which both meet equally many criteria; no verdict on them is right
    """
    i, j = pairs(met.shape[1]).unbind(1)
    share = (straight + reverse.flip(-1)) / 2  # [N, P, 2]: of the pair's first response, and of its second
    difference = met[:, i] - met[:, j]
    right = torch.where(difference > 0, share[..., 0], share[..., 1])
    lead = share[..., 0] - share[..., 1]
    firm = torch.where(lead == 0, 0.5, (lead.sign() == difference.sign()).float())
    agrees = (straight[..., 0] > straight[..., 1]) == (reverse[..., 1] > reverse[..., 0])
    worded = planted[:, i] - planted[:, j]
    toward = torch.where(worded > 0, share[..., 0], share[..., 1]) / share.sum(-1)
    readable = torch.cat([straight, reverse])
    first = _mean(readable[..., 0] / readable.sum(-1))
    untied, tied_word = difference != 0, (difference == 0) & (worded != 0)
    return {
        "accuracy": _mean(right[untied]),
        "firm accuracy": _mean(firm[untied]),
        "order agreement": _mean(agrees.float()),
        "cycles": _cycles(lead, met.shape[1]),
        "correlation": _correlation(share, met),
        "word": _mean(toward[tied_word]),
        "first": first,
        "place": abs(first - 0.5),
        "unreadable": 1 - _mean(readable.sum(-1)),
        "tied": _mean((~untied).float()),
    }


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if values.numel() else None


def _cycles(lead: Tensor, n: int) -> float:
    """Share of triples that go in a circle: a over b, b over c, c over a.

    lead [N, P]: how far the pair's first is preferred to its second.
    """
    place = {pair: p for p, pair in enumerate(itertools.combinations(range(n), 2))}
    found = []
    for a, b, c in itertools.combinations(range(n), 3):
        ab, bc, ac = (lead[:, place[pair]] > 0 for pair in ((a, b), (b, c), (a, c)))
        found.append((ab & bc & ~ac) | (~ab & ~bc & ac))
    return _mean(torch.stack(found).float())


def _correlation(share: Tensor, met: Tensor) -> float | None:
    n = met.shape[1]
    i, j = pairs(n).unbind(1)
    score = torch.zeros_like(met).index_add(1, i, share[..., 0]).index_add(1, j, share[..., 1])
    rows = [(s, m) for s, m in zip(score.tolist(), met.tolist(), strict=True) if len(set(m)) > 1 and len(set(s)) > 1]
    return fmean(spearmanr(*row).statistic for row in rows) if rows else None


# --- the actor ---


def against_start(prompts: Sequence[RubricPrompt], own: Sequence[str], start: Sequence[str]) -> dict[str, Any]:
    """Wins over the responses of the start, ties half, among pairs of nearly the same length; how many these are."""
    points = []
    for prompt, text, before in zip(prompts, own, start, strict=True):
        words, were = len(text.split()), len(before.split())
        if (1 - NEAR) * were < words < (1 + NEAR) * were:
            difference = quality(prompt.criteria, text) - quality(prompt.criteria, before)
            points.append(0.5 if difference == 0 else float(difference > 0))
    return {"win rate": fmean(points) if points else None, "near in length": len(points) / len(prompts)}


@torch.no_grad()
def entropy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs_of: Sequence[tuple[str, str]]) -> float:
    """Mean entropy of the next token over the policy's own responses, in nats."""
    ids, attention, labels = language_batch(tokenizer, list(pairs_of))
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].log_softmax(-1)
    own = labels[:, 1:] != -100
    return (-(logits.exp() * logits).sum(-1)[own]).mean().item()


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    start: str | Path,
    prompts: int,
    max_tokens: int,
) -> dict[str, Any]:
    """Everything the tables need about one policy. start: the folder of the policy that its training began with"""
    model.eval()
    questions = sample_prompts(prompts, "evaluation")
    texts = [question.prompt for question in questions]
    sampled, truncated = respond(model, tokenizer, texts, max_tokens, greedy=False)
    greedy, _ = respond(model, tokenizer, texts, max_tokens, greedy=True)
    before, _ = respond(load_causal_lm(start).eval(), load_tokenizer(start), texts, max_tokens, greedy=False, seed=1)
    outside = micro.sample_prompts(micro.find_world("O"), prompts // 2, "evaluation")
    foreign, _ = respond(model, tokenizer, [question.prompt for question in outside], max_tokens, greedy=False)
    actor = against_start(questions, sampled, before)
    actor["entropy"] = entropy(model, tokenizer, list(zip(texts, sampled, strict=True))[:256])
    return {
        "sampled": grade(questions, sampled),
        "greedy": grade(questions, greedy),
        "out_of_domain": grade(outside, foreign),
        "mean_words": fmean(len([w for w in response.split() if w != ","]) for response in sampled),
        "truncated": fmean(truncated),
        "language_loss": language_loss(model, tokenizer),
        "actor": actor,
        "judge": judge_scores(model, tokenizer, exam(max(1, prompts // 4))),
        "examples": [{"prompt": p, "response": r} for p, r in list(zip(texts, sampled, strict=True))[:5]],
    }
