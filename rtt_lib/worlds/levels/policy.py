"""The base policies of the worlds of levels: the micro world's transformer, pretrained on conversations too.

A turn is a prompt that ends with a colon, an answer, and the end token; the next turn follows it. Pretraining shows
single turns first, then one to five turns with levels in any order, so that no order of turns is new to a base policy
and none is preferred.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib import store
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.worlds.levels.feedback import ACCOUNT
from rtt_lib.worlds.levels.ladders import ASK, LANGUAGE, as_prompt, draw, levels
from rtt_lib.worlds.micro.language import Language, partly_honoured, tokens_of_the_language
from rtt_lib.worlds.micro.policy import EOS, PAD, micro_config
from rtt_lib.worlds.teaching import LEVELS

LONGEST = 320  # tokens of a conversation: five turns with accounts take some 190, a draft and its reply 80
TURNS = 96  # of a batch in pretraining, in conversations of equally many turns
ALONE = 2 / 3  # of pretraining on single turns, in which a policy learns sooner what a prompt asks for

Turns = list[tuple[str, str]]  # prompt and answer


def levels_tokenizer() -> PreTrainedTokenizerFast:
    """The micro world's, and three tokens: a user's turn, an account, and the number zero."""
    tokens = [PAD, EOS, *tokens_of_the_language(), ASK, ACCOUNT, "0"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, padding_side="left")


def pretraining_conversation(turns: int, language: Language, rng: random.Random) -> Turns:
    """Levels of one question in a random order; each criterion is honoured with the language's probability."""
    asked = levels(draw(LANGUAGE, rng), True, rng)
    prompts = [as_prompt("", asked[level - 1], "pretraining", rng) for level in rng.sample(LEVELS, turns)]
    return [(prompt.prompt, partly_honoured(prompt, LANGUAGE, language, rng)) for prompt in prompts]


def batch_of(tokenizer: PreTrainedTokenizerFast, conversations: list[Turns]) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask, labels, each [B, T]; only the answers and their end tokens are learned."""
    rows = []
    for turns in conversations:
        ids, labels = [], []
        for prompt, answer in turns:
            asked, answered = tokenizer(prompt).input_ids, [*tokenizer(answer).input_ids, tokenizer.eos_token_id]
            ids += asked + answered
            labels += [-100] * len(asked) + answered
        rows.append((ids, labels))
    longest = max(len(ids) for ids, _ in rows)
    shape = (len(rows), longest)
    input_ids, labels = torch.full(shape, tokenizer.pad_token_id), torch.full(shape, -100)
    for i, (ids, learned) in enumerate(rows):
        input_ids[i, : len(ids)], labels[i, : len(ids)] = torch.tensor(ids), torch.tensor(learned)
    return {"input_ids": input_ids, "attention_mask": (input_ids != tokenizer.pad_token_id).long(), "labels": labels}


def pretrain(steps: int, seed: int, output: Path, learning_rate: float = 3e-3) -> None:
    torch.manual_seed(seed)
    tokenizer, language, rng = levels_tokenizer(), Language(), random.Random(f"pretrain levels {seed}")
    config = micro_config(len(tokenizer))
    config.max_position_embeddings = LONGEST
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(2, steps))
    for step in range(steps):
        turns = rng.choice(LEVELS) if step >= ALONE * steps else 1
        conversations = [pretraining_conversation(turns, language, rng) for _ in range(TURNS // turns)]
        loss = model(**batch_of(tokenizer, conversations)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def base_fingerprint(base: str, steps: int) -> str:
    return short({"base": base, "steps": steps, "code": code_digest("rtt_lib.worlds.levels.policy")})


def folder_of(base: str, steps: int) -> Path:
    return store.folder_of("bases", base_fingerprint(base, steps))


def base_policy(base: str, steps: int) -> Path:
    """The folder of base policy A or B or ...: pretrained now unless it is there already. All worlds share them."""

    def work(folder: Path) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the policy is the same on any number of cores
        try:
            pretrain(steps, ord(base), folder)
        finally:
            torch.set_num_threads(threads)

    return store.make(folder_of(base, steps), work, {"name": f"levels, base {base}, {steps} steps"})
