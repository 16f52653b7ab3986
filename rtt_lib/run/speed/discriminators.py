"""Each kind of discriminator on more and more criteria a response."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from statistics import median

import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForTokenClassification, PreTrainedTokenizerBase

from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, TEMPLATE_KEY, Discriminator
from rtt_lib.relevance.packed import PackedDiscriminator
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.run.speed.measure import GROUP, in_turn, this_machine
from rtt_lib.tables import markdown_table
from rtt_lib.worlds.micro.language import MAX_WORDS, Language, find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

KINDS = {"per criterion": Discriminator, "packed": PackedDiscriminator}


def relevance(
    rounds: int = 15, counts: Sequence[int] = (1, 2, 5, 10, 20), responses: int = 8 * GROUP, longest: int = MAX_WORDS
) -> None:
    """Prints what each kind of discriminator takes for so many criteria a response, relative to one criterion."""
    tokenizer, language, rng = micro_tokenizer(), Language(), random.Random("speed of relevance")
    texts = [" ".join(language.words(rng.randint(2, longest), rng)) for _ in range(responses)]
    offsets = [token_offsets(tokenizer, [*tokenizer(text)["input_ids"], tokenizer.eos_token_id])[1] for text in texts]
    pool = [criterion for prompt in sample_prompts(find_world("M"), 100, "speed") for criterion in prompt.criteria]
    works = {}
    for count in counts:
        groups = [rng.sample(pool, count) for _ in range(-(-responses // GROUP))]
        rubrics = [rubric for rubric in groups for _ in range(GROUP)][:responses]
        for name, kind in KINDS.items():
            works[name, count] = partial(untrained(kind).predict, rubrics, texts, offsets)
    times = in_turn(works, rounds)
    print(f"micro world, {responses} responses in groups of {GROUP}, median of {rounds}; {this_machine()}\n")
    rows = []
    for name in KINDS:
        row = {"discriminator": name, "ms for one criterion": 1000 * median(times[name, counts[0]])}
        for count in counts:
            pairs = zip(times[name, count], times[name, counts[0]], strict=True)
            row[f"K = {count}"] = median(a / b for a, b in pairs)
        rows.append(row)
    print(markdown_table(pd.DataFrame(rows)))


def untrained(kind: type[Discriminator]) -> Discriminator:
    """Of the micro world's size."""
    tokenizer = micro_tokenizer()
    return of_shape(kind, tokenizer, micro_config(len(tokenizer)), MICRO_TEMPLATE)


def of_shape(
    kind: type[Discriminator], tokenizer: PreTrainedTokenizerBase, config: LlamaConfig, template: str
) -> Discriminator:
    """With random weights, which takes as long."""
    config.num_labels = kind.OUTPUTS
    setattr(config, TEMPLATE_KEY, template)
    torch.manual_seed(0)
    return kind(LlamaForTokenClassification(config), tokenizer)
