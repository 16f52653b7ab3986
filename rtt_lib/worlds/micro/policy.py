"""The micro world's policy: a small causal transformer with its own tokenizer, pretrained on the spot."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib import store
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.worlds.micro.language import (
    Dials,
    Language,
    find_world,
    partly_honoured,
    sample_prompts,
    tokens_of_the_language,
)

PAD, EOS = "<pad>", "<eos>"
PIECE = 32  # sequences of nearly one length a pass: a batch as one has a third more tokens, all padding


def micro_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, *tokens_of_the_language()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, padding_side="left")


def micro_config(vocabulary: int, width: int = 64, layers: int = 2, heads: int = 4) -> LlamaConfig:
    """About 0.1 M parameters."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )


def language_batch(
    tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """input_ids, attention_mask, labels, each [B, T]: prompt + response + EOS; only the response is learned."""
    asked, said = (tokenizer(list(texts)).input_ids for texts in zip(*pairs, strict=True))
    rows = [(p, [*r, tokenizer.eos_token_id]) for p, r in zip(asked, said, strict=True)]
    length = max(len(p) + len(r) for p, r in rows)
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for i, (p, r) in enumerate(rows):
        ids[i, : len(p) + len(r)] = torch.tensor(p + r)
        labels[i, len(p) : len(p) + len(r)] = torch.tensor(r)
    return ids, (ids != tokenizer.pad_token_id).long(), labels


def pretrain(world: Dials, steps: int, seed: int, output: Path, batch: int = 128, learning_rate: float = 3e-3) -> None:
    """Pretrain a base policy on sentences in which each constraint is honoured with the world's probability.

    Its weights are kept in half precision, so that the package can bring those of the published runs.
    """
    torch.manual_seed(seed)
    tokenizer, language, rng = micro_tokenizer(), Language(), random.Random(f"pretrain {world.name} {seed}")
    model = LlamaForCausalLM(micro_config(len(tokenizer)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(2, steps))
    for step in range(steps):
        prompts = sample_prompts(world, batch, f"pretrain {seed} {step}")
        pairs = [(prompt.prompt, partly_honoured(prompt, world, language, rng)) for prompt in prompts]
        optimizer.zero_grad()
        accumulate(model, tokenizer, pairs)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)


def accumulate(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> None:
    """Add the gradient of the mean loss over all learned tokens of the batch."""
    pairs = sorted(pairs, key=lambda pair: sum(map(len, map(str.split, pair))))
    learned = sum(len(response.split()) + 1 for _, response in pairs)
    for start in range(0, len(pairs), PIECE):
        ids, attention, labels = language_batch(tokenizer, pairs[start : start + PIECE])
        model(input_ids=ids, attention_mask=attention, labels=labels, num_items_in_batch=learned).loss.backward()


def base_fingerprint(world: str, base: str, steps: int) -> str:
    return short({"world": world, "base": base, "steps": steps, "code": code_digest("rtt_lib.worlds.micro.policy")})


def base_policy(world: str, base: str, steps: int) -> Path:
    """The folder of a world's base policy, A or B or ...: pretrained now unless it is there already."""

    def work(folder: Path) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # also in a notebook's own process: the policy is the same on any number of cores
        try:
            pretrain(find_world(world), steps, ord(base), folder)
        finally:
            torch.set_num_threads(threads)

    folder = store.folder_of("bases", base_fingerprint(world, base, steps))
    return store.make(folder, work, {"name": f"world {world}, base {base}, {steps} steps"})
