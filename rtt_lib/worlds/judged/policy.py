"""A policy with two roles: it writes and it judges. It is pretrained on the spot, in two stages.

First it learns to write, to judge without error, and to mark the tokens that decide a criterion. That stage is the same
for all judged worlds but `word`. Then a short second stage makes its verdicts as noisy and as partial as the world
says. So every judge knows more than it says at the start, which a judge that learnt from noisy labels alone would not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib import store
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.models import load_causal_lm
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.judged.language import (
    FIRST,
    ROLE_TOKENS,
    SECOND,
    Noise,
    compare,
    find_world,
    label,
    marks,
    partly_honoured,
    prompt_of,
    rate,
    rating,
    sample_prompts,
    sample_response,
)
from rtt_lib.worlds.micro.language import Language, tokens_of_the_language
from rtt_lib.worlds.micro.policy import EOS, PAD, language_batch, micro_config

WIDTH, LAYERS = 64, 3
BATCH, LEARNING_RATE, NOISE_LEARNING_RATE = 96, 2e-3, 5e-4
PARTS = {"actor": 1, "judge": 3, "rater": 2}  # of six examples


def judged_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, *tokens_of_the_language(), *ROLE_TOKENS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, padding_side="left")


@dataclass(frozen=True)
class Example:
    """A prompt and what is to be said. marks: places of response tokens in a judge's prompt, with their marks."""

    prompt: str
    answer: str
    marks: tuple[tuple[int, str], ...] = ()


def examples(
    prompts: Sequence[RubricPrompt], noise: Noise, language: Language, rng: random.Random
) -> tuple[list[Example], list[Example]]:
    """The actor's, and those of judge and rater. These two are asked about some of the criteria, often one or all: so
    the policy can also judge by a single criterion."""
    actors, judges = (len(prompts) * PARTS[role] // sum(PARTS.values()) for role in ("actor", "judge"))
    acting = [Example(p.prompt, partly_honoured(p, language, rng)) for p in prompts[:actors]]
    judging = []
    for i, prompt in enumerate(prompts[actors:]):
        number = rng.choice((1, len(prompt.criteria), rng.randint(1, len(prompt.criteria))))
        asked = rng.sample(prompt.criteria, number)
        first, second = (sample_response(prompt, language, rng) for _ in range(2))
        if i < judges:
            question, told = compare(prompt_of(asked), first, second), label(asked, first, second, noise, rng)
            shown = [(FIRST, first), (SECOND, second)]
        else:
            question, told = rate(prompt_of(asked), first), rating(asked, first, noise, rng)
            shown = [(":", first)]
        words = question.split()
        found = [
            (place, mark)
            for before, response in shown
            for place, mark in enumerate(marks(asked, response, noise.liking), words.index(before) + 1)
        ]
        judging.append(Example(question, told, tuple(found)))
    return acting, judging


def losses(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Example]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of what is to be said, and of the marks."""
    ids, attention, labels = language_batch(tokenizer, [(row.prompt, row.answer) for row in rows])
    marked = torch.full_like(labels, -100)
    for i, row in enumerate(rows):
        for place, mark in row.marks:
            marked[i, place + 1] = tokenizer.convert_tokens_to_ids(mark)  # said by the token at `place`
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].transpose(1, 2)
    return cross_entropy(logits, labels[:, 1:]), cross_entropy(logits, marked[:, 1:])


def pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    noise: Noise,
    steps: int,
    seed: str,
    learning_rate: float,
) -> None:
    """Responses, verdicts and, where no verdict is noise, marks: each kind's mean loss counts the same."""
    language, rng = Language(), random.Random(f"pretrain judged {seed}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(2, steps))
    model.train()
    for step in range(steps):
        prompts = sample_prompts(BATCH, f"pretrain {seed} {step}")
        acting, judging = examples(prompts, noise, language, rng)
        said, marked = losses(model, tokenizer, judging)
        loss = losses(model, tokenizer, acting)[0] + said + (marked if noise.right == 1 else 0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


# --- kept in the store ---


def base_fingerprint(world: str, base: str, steps: int) -> str:
    """Of the policy that a world's runs start from. Words about a world decide nothing."""
    dials = find_world(world)
    return _fingerprint({"noise": repr(dials.noise), "share": dials.share, "able": repr(dials.able)}, base, steps)


def able_fingerprint(able: Noise, base: str, steps: int) -> str:
    """Of the policy after the first stage, which worlds share."""
    return _fingerprint({"able": repr(able)}, base, steps)


def _fingerprint(told: Mapping[str, Any], base: str, steps: int) -> str:
    code = code_digest("rtt_lib.worlds.judged.policy")
    return short({**told, "base": base, "steps": steps, "code": code})


def able_policy(able: Noise, base: str, steps: int) -> Path:
    """The folder of a base policy that writes, and judges without a coin."""

    def work(folder: Path) -> None:
        torch.manual_seed(ord(base))
        tokenizer = judged_tokenizer()
        model = LlamaForCausalLM(micro_config(len(tokenizer), WIDTH, LAYERS))
        pretrain(model, tokenizer, able, steps, f"exact {base}", LEARNING_RATE)
        _save(model, tokenizer, base, folder)

    kind = "liking a word" if able.liking else "exact"
    return _made(able_fingerprint(able, base, steps), work, f"judged base {base}, {kind}, {steps} steps")


def base_policy(world: str, base: str, steps: int) -> Path:
    """The folder of a world's base policy: pretrained now unless it is there already."""

    def work(folder: Path) -> None:
        torch.manual_seed(ord(base))
        tokenizer, model, second = judged_tokenizer(), load_causal_lm(able), max(1, steps // dials.share)
        pretrain(model, tokenizer, dials.noise, second, f"{world} {base}", NOISE_LEARNING_RATE)
        _save(model, tokenizer, base, folder)

    dials = find_world(world)
    able = able_policy(dials.able, base, steps)
    return _made(base_fingerprint(world, base, steps), work, f"judged world {world}, base {base}, {steps} steps")


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, base: str, folder: Path) -> None:
    """The config keeps the base's letter: an evaluation compares a trained policy with the one it started from."""
    model.config.rtt_base = base
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _made(fingerprint: str, work: Callable[[Path], None], name: str) -> Path:
    def on_one_thread(folder: Path) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the policy is the same on any number of cores
        try:
            work(folder)
        finally:
            torch.set_num_threads(threads)

    return store.make(store.folder_of("bases", fingerprint), on_one_thread, {"name": name})
