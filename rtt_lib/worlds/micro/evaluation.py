"""How good is a policy in the micro world? Sampled and greedy, per family, and out of domain."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.schema import RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.worlds.micro.language import Dials, Language, find_world, sample_prompts
from rtt_lib.worlds.micro.policy import language_batch


@torch.no_grad()
def respond(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_tokens: int,
    greedy: bool,
    seed: int = 0,
    batch_size: int = 512,
) -> tuple[list[str], list[bool]]:
    """One response per prompt at temperature 1 (or greedy), and whether each was cut at `max_tokens`."""
    responses, truncated = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for start in range(0, len(prompts), batch_size):
            batch = tokenizer(list(prompts[start : start + batch_size]), return_tensors="pt", padding=True)
            sampling = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0}
            ids = model.generate(**batch, max_new_tokens=max_tokens, **sampling)[:, batch["input_ids"].shape[1] :]
            responses += tokenizer.batch_decode(ids, skip_special_tokens=True)
            truncated += (~(ids == tokenizer.eos_token_id).any(1)).tolist()
    return responses, truncated


def grade(prompts: Sequence[RubricPrompt], responses: Sequence[str]) -> dict[str, Any]:
    """Shares in [0, 1]: all constraints satisfied, mean over constraints, and per family."""
    everything, per_prompt, families = [], [], defaultdict(list)
    for prompt, response in zip(prompts, responses, strict=True):
        values = [verify(criterion, prompt.prompt, response) for criterion in prompt.criteria]
        per_prompt.append(all(values))
        everything += values
        for criterion, value in zip(prompt.criteria, values, strict=True):
            families["length" if "words" in criterion.family else criterion.family].append(value)
    return {
        "all_satisfied": fmean(per_prompt),
        "satisfied": fmean(everything),
        "families": {family: fmean(values) for family, values in sorted(families.items())},
    }


@torch.no_grad()
def language_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int = 512) -> float:
    """Mean negative log-likelihood per token of the base language's own sentences after an empty rubric."""
    language, rng = Language(), random.Random("language loss")
    pairs = [(":", language.punctuate(language.words(rng.randint(6, 20), rng), rng)) for _ in range(n)]
    ids, attention, labels = language_batch(tokenizer, pairs)
    return model(input_ids=ids, attention_mask=attention, labels=labels).loss.item()


def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, world: Dials, prompts: int, max_tokens: int
) -> dict[str, Any]:
    """Everything the tables need about one policy, on prompts that are the same for every arm and seed."""
    model.eval()
    questions = sample_prompts(world, prompts, "evaluation")
    texts = [question.prompt for question in questions]
    sampled, truncated = respond(model, tokenizer, texts, max_tokens, greedy=False)
    greedy, _ = respond(model, tokenizer, texts, max_tokens, greedy=True)
    outside = sample_prompts(find_world("O"), prompts // 2, "evaluation")
    foreign, _ = respond(model, tokenizer, [question.prompt for question in outside], max_tokens, greedy=False)
    return {
        "sampled": grade(questions, sampled),
        "greedy": grade(questions, greedy),
        "out_of_domain": grade(outside, foreign),
        "mean_words": fmean(len([w for w in response.split() if w != ","]) for response in sampled),
        "truncated": fmean(truncated),
        "language_loss": language_loss(model, tokenizer),
        "examples": [{"prompt": p, "response": r} for p, r in list(zip(texts, sampled, strict=True))[:5]],
    }
