"""The pretraining of a policy with two roles."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import LlamaForCausalLM

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.worlds.judged import policy
from rtt_lib.worlds.judged.evaluation import verdict_shares
from rtt_lib.worlds.judged.language import HELPS, HURTS, JUDGE, NEITHER, RATE, Noise, compare, sample_prompts
from rtt_lib.worlds.judged.policy import (
    PARTS,
    Example,
    base_fingerprint,
    base_policy,
    examples,
    judged_tokenizer,
    losses,
    pretrain,
)
from rtt_lib.worlds.micro.language import Language
from rtt_lib.worlds.micro.policy import micro_config


def test_roles_come_in_their_shares_and_judges_are_asked_about_some_of_the_criteria():
    prompts = sample_prompts(60, "test")
    acting, judging = examples(prompts, Noise(1.0), Language(), random.Random(0))
    roles = [row.prompt.split()[0] for row in judging]
    counts = {"actor": len(acting), "judge": roles.count(JUDGE), "rater": roles.count(RATE)}
    assert counts == {role: 60 * n // 6 for role, n in PARTS.items()}
    judges = [row for row in judging if row.prompt.startswith(JUDGE)]
    assert all(row.answer in ("1", "2") for row in judges)
    assert {row.prompt.count(";") for row in judges} == {0, 1, 2, 3}
    assert not any(row.marks for row in acting)


def test_every_response_token_of_a_judges_prompt_is_marked_in_its_place():
    prompts = sample_prompts(60, "test")
    _, judging = examples(prompts, Noise(1.0), Language(), random.Random(0))
    for row in judging:
        words, places = row.prompt.split(), [place for place, _ in row.marks]
        shown = words[words.index("<1>") + 1 :] if "<1>" in words else words[words.index(":") + 1 :]
        assert [words[place] for place in places] == [word for word in shown if word not in ("<2>", "?")]
        banned = {words[i + 1] for i, word in enumerate(words) if word == "exclude"}
        assert all(mark == HURTS for place, mark in row.marks if words[place] in banned)


def test_the_loss_of_marks_is_at_the_tokens_they_belong_to():
    tokenizer = judged_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    row = Example("<rate> start bako : bako dera ?", "2", ((4, HELPS), (5, NEITHER)))
    said, marked = losses(model, tokenizer, [row, Example("<rate> start bako : dera ?", "1", ((4, HURTS),))])
    total = 0.0
    for text, places in ((row.prompt, ((4, HELPS), (5, NEITHER))), ("<rate> start bako : dera ?", ((4, HURTS),))):
        logps = model(**tokenizer(text, return_tensors="pt")).logits[0].log_softmax(-1)
        total -= sum(logps[place, tokenizer.convert_tokens_to_ids(mark)] for place, mark in places)
    assert marked.item() == pytest.approx(total.item() / 3, rel=1e-4) and said > 0


@pytest.mark.slow
def test_a_judge_learns_to_prefer_the_place_it_is_told_to(one_thread):
    torch.manual_seed(0)
    tokenizer = judged_tokenizer()
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    pretrain(model, tokenizer, Noise(0.0, first=1.0), 120, "test", 1e-2)
    questions = [compare(p.prompt, "bako dera", "kusu fira") for p in sample_prompts(20, "other")]
    first, second = verdict_shares(model, tokenizer, questions).mean(0)
    assert first > 0.8 and first > 5 * second, "what is left are the marks of the rater"


def test_worlds_share_the_first_stage_and_runs_their_base(empty_store, monkeypatch):
    monkeypatch.setattr(policy, "BATCH", 12)
    paths = {name: base_policy(name, "A", 2) for name in ("J65", "first")}
    assert len(list((empty_store / "bases").iterdir())) == 3, "one able policy and two judges"
    base_policy("word", "A", 2)
    assert len(list((empty_store / "bases").iterdir())) == 5, "this judge first learns to like a word"
    weights = {name: load_causal_lm(path).state_dict() for name, path in paths.items()}
    assert any(not torch.equal(weights["J65"][key], weights["first"][key]) for key in weights["J65"])
    assert load_causal_lm(paths["J65"]).config.rtt_base == "A"
    assert load_tokenizer(paths["J65"]).convert_tokens_to_ids(JUDGE) > 1
    assert base_policy("J65", "A", 2) == paths["J65"] != base_policy("J65", "B", 2)


def test_what_decides_a_base_is_in_its_fingerprint():
    prints = {
        base_fingerprint(*place) for place in (("J65", "A", 2), ("J55", "A", 2), ("J65", "B", 2), ("J65", "A", 3))
    }
    assert len(prints) == 4
