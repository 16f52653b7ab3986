"""The base policies: their tokens, the conversations they are pretrained on, and that training is repeatable."""

from __future__ import annotations

import random

import pytest
import torch

from rtt_lib.models import load_causal_lm
from rtt_lib.worlds.levels.feedback import account
from rtt_lib.worlds.levels.ladders import WORLDS, make_ladders
from rtt_lib.worlds.levels.policy import (
    LONGEST,
    base_policy,
    batch_of,
    levels_tokenizer,
    pretrain,
    pretraining_conversation,
)
from rtt_lib.worlds.micro.language import Language


def test_every_word_of_prompts_answers_and_feedback_is_a_token():
    tokenizer = levels_tokenizer()
    for rules in WORLDS.values():
        for ladder in make_ladders(rules, 200, "tokens"):
            for rung in ladder.rungs:
                said = account(rung.prompt.criteria, rung.answer, "true", random.Random(0))
                words = f"{rung.prompt.prompt} {rung.answer} {said}".split()
                ids = tokenizer(" ".join(words)).input_ids
                assert tokenizer.convert_ids_to_tokens(ids) == words


def test_the_longest_conversation_fits():
    tokenizer = levels_tokenizer()
    for ladder in make_ladders(WORLDS["nested"], 500, "long"):
        texts = [
            f"{r.prompt.prompt} {r.answer} {account(r.prompt.criteria, r.answer, 'true', random)}" for r in ladder.rungs
        ]
        draft = 2 * 24 + 30  # a draft of the longest length and a reply to it
        assert sum(len(tokenizer(text).input_ids) + 1 for text in texts) + draft < LONGEST


def test_pretraining_shows_levels_in_any_order_and_no_held_out_combination():
    rng, language = random.Random(0), Language()
    orders = set()
    for _ in range(60):
        turns = pretraining_conversation(3, language, rng)
        counts = tuple(prompt.count(" ; ") + 1 for prompt, _ in turns)
        orders.add(tuple(sorted(range(3), key=counts.__getitem__)))
        assert len(set(counts)) == 3
        families = [{part.split()[0] for part in prompt[6:-2].split(" ; ")} for prompt, _ in turns]
        assert not any({"end", "exactly"} <= found for found in families)
    assert len(orders) == 6, "every order of three"


def test_only_answers_and_their_end_tokens_are_learned():
    tokenizer = levels_tokenizer()
    batch = batch_of(
        tokenizer, [[("<ask> start bako :", "bako deko"), ("<ask> no commas :", "fiko")], [("<ask> :", "bako")]]
    )
    tokens = [tokenizer.convert_ids_to_tokens(row.tolist()) for row in batch["input_ids"]]
    learned = [
        [t for t, label in zip(row, labels, strict=True) if label != -100]
        for row, labels in zip(tokens, batch["labels"], strict=True)
    ]
    assert " ".join(tokens[0]) == "<ask> start bako : bako deko <eos> <ask> no commas : fiko <eos>"
    assert learned == [["bako", "deko", "<eos>", "fiko", "<eos>"], ["bako", "<eos>"]]
    assert batch["attention_mask"].sum(1).tolist() == [13, 4]


@pytest.mark.usefixtures("one_thread", "empty_store")
def test_a_base_policy_is_the_same_every_time_and_another_for_another_letter(tmp_path):
    pretrain(2, ord("A"), tmp_path / "again")
    first, again, other = (
        load_causal_lm(f).state_dict() for f in (base_policy("A", 2), tmp_path / "again", base_policy("B", 2))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
