"""The fast loop against `model.generate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from transformers import GenerationConfig, LlamaForCausalLM

from rtt_lib.bench.draw import noise
from rtt_lib.bench.fast import FastSampler
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.models import SMOLLM2, device_for, load_causal_lm, load_tokenizer, precision
from rtt_lib.profile import Evaluation
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.run.speed.measure import GROUP, in_turn
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

SAMPLING = Evaluation(temperature=0.99, top_p=0.99, top_k=100)  # as in the paper's rollouts


def sampler(
    models: Sequence[str] = ("micro", SMOLLM2), batches: Sequence[int] = (32, 128), tokens: int = 96, rounds: int = 3
) -> None:
    """Prints tokens a second of both, for responses of `tokens` tokens each in groups of 8, as in a rollout.

    No response ends before, so that both do the same work. Where responses do end, the fast loop saves some more.
    """
    for name in models:
        try:
            model, asked = _model_and_prompts(name)
        except RTTError as error:
            print(f"{name}: left out, {error}")
            continue
        for batch in batches:
            prompts = [ids for ids in asked[: -(-batch // GROUP)] for _ in range(GROUP)][:batch]
            works = {
                "generate": partial(_generate, model, prompts, tokens),
                "fast": partial(_fast, FastSampler(model, [], 0), prompts, tokens),
            }
            rate = {kind: batch * tokens / median(values) for kind, values in in_turn(works, rounds).items()}
            print(
                f"{name}, {model.dtype}, {batch} x {tokens} tokens, {torch.get_num_threads()} threads, {model.device}, "
                f"median of {rounds}: generate {rate['generate']:.0f}, fast {rate['fast']:.0f} tokens/s, "
                f"{rate['fast'] / rate['generate']:.2f} times"
            )


def _model_and_prompts(name: str) -> tuple[LlamaForCausalLM, list[list[int]]]:
    """A model and 16 prompts; the micro one untrained, which takes as long."""
    if name == "micro":
        tokenizer, prompts = micro_tokenizer(), sample_prompts(find_world("L"), 16, "speed")
        model = LlamaForCausalLM(micro_config(len(tokenizer)))
    else:
        tokenizer, prompts = load_tokenizer(name), compose(default_tasks(), 16, 0)
        model = load_causal_lm(name, getattr(torch, precision()))
        model.to(device_for(model))
    return model.eval(), [prompt_ids(prompt, tokenizer) for prompt in prompts]


def _generate(model: LlamaForCausalLM, prompts: list[list[int]], tokens: int) -> None:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    settings = GenerationConfig(
        do_sample=True, max_new_tokens=tokens, eos_token_id=[], pad_token_id=0, temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p, top_k=SAMPLING.top_k,
    )  # fmt: skip
    with torch.inference_mode():
        model.generate(ids, attention_mask=mask, generation_config=settings)


def _fast(sampler: FastSampler, prompts: list[list[int]], tokens: int) -> None:
    sampler.sample(prompts, replace(SAMPLING, max_tokens=tokens), noise(range(len(prompts)), tokens))
