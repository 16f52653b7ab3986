"""The English policy: its tokenizer loses nothing, its loss is on the response, and it is made twice the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from english_toy import TOY
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from rtt_lib import store
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.worlds.english import corpus, policy

PAIRS = corpus.pretraining_pairs(60, "A")
TOKENIZER = policy.train_tokenizer((text for p in PAIRS for text in (p.prompt.prompt, p.response)), 600)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_every_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER(text, split_special_tokens=True).input_ids) == text


def test_the_worlds_own_texts_take_few_tokens():
    found = [TOKENIZER(pair.response).input_ids for pair in PAIRS]
    assert TOKENIZER.batch_decode(found) == [pair.response for pair in PAIRS]
    assert sum(map(len, found)) < sum(len(pair.response) for pair in PAIRS) / 2
    assert len(TOKENIZER) == 600


def test_a_prompt_ends_where_the_answer_begins():
    text = TOKENIZER.decode(prompt_ids("Name a cat.", TOKENIZER))
    assert text == "<user>Name a cat.<end><assistant>"
    assert TOKENIZER.decode(TOKENIZER.eos_token_id) == "<end>" and TOKENIZER.decode(TOKENIZER.pad_token_id) == "<pad>"


def test_only_the_response_and_its_end_are_learned():
    rows = [([5, 6], [7, 8, 1]), ([5], [9, 1])]
    batch = policy.collate(rows, pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 1], [5, 9, 1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 7, 8, 1], [-100, 9, 1, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]


def test_every_pass_sees_each_row_once():
    rows = [([n], [1]) for n in range(48)]
    seen = list(policy.batches(rows, 3, random.Random(0)))  # 96 rows: two passes
    assert [len(batch) for batch in seen] == [32, 32, 32]
    assert set(Counter(row[0][0] for batch in seen for row in batch).values()) == {2}
    assert seen != list(policy.batches(rows, 3, random.Random(1)))


def test_rows_of_a_batch_are_of_similar_length():
    rows = [([0] * n, [1]) for n in random.Random(0).sample(range(512), 512)]
    seen = list(policy.batches(rows, 16, random.Random(0)))
    spans = [max(lengths) - min(lengths) for lengths in ([len(prompt) for prompt, _ in batch] for batch in seen)]
    assert spans == [31] * 16, "16 batches are drawn together: all rows, sorted"
    firsts = [min(len(prompt) for prompt, _ in batch) for batch in seen]
    assert sorted(firsts) == list(range(0, 512, 32)) != firsts, "short and long ones come in random order"


@pytest.mark.usefixtures("small_english")
def test_echoes_say_the_prompts_tokens_again_in_the_chat_template():
    tokenizer = load_tokenizer(policy.base_policy("A", 1))
    rows = policy.echoes(tokenizer, 50, random.Random(0))
    user, end, assistant = tokenizer.convert_tokens_to_ids([policy.USER, policy.END, policy.ASSISTANT])
    for prompt, response in rows:
        said = response[:-1]
        assert prompt == [user, *said, end, assistant] and response[-1] == end
        assert policy.ECHOED[0] <= len(said) <= policy.ECHOED[1] and not set(said) & set(tokenizer.all_special_ids)
    assert len({tuple(response) for _, response in rows}) == 50


@pytest.mark.usefixtures("small_english")
def test_a_base_is_made_twice_with_the_same_bytes_and_another_letter_is_another_one(tmp_path, monkeypatch):
    folders = []
    for place in ("one", "two"):
        monkeypatch.setenv(store.STORE, str(tmp_path / place))
        folders.append(policy.base_policy("A", 8))
    one, two = folders
    names = sorted(path.name for path in one.iterdir() if path.name not in (store.MADE, ".lock"))
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(names)
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    other = policy.base_policy("B", 8)
    assert (other / "model.safetensors").read_bytes() != (one / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("small_english")
def test_pretraining_learns_the_language():
    folder = policy.base_policy("A", 30)
    model, tokenizer = load_causal_lm(folder).eval(), load_tokenizer(folder)
    torch.manual_seed(0)
    untrained = LlamaForCausalLM(policy.config(tokenizer, TOY)).eval()
    rows = [policy.encode(tokenizer, task, response) for task, response in corpus.plain_sentences(16)]
    before, after = (policy.loss_of(one, rows, tokenizer.pad_token_id).item() for one in (untrained, model))
    assert after < before - 0.2


def test_what_decides_a_base(monkeypatch):
    found = {policy.base_fingerprint(base, steps) for base, steps in (("A", 8), ("B", 8), ("A", 9))}
    monkeypatch.setattr(policy, "SIZE", TOY)
    found.add(policy.base_fingerprint("A", 8))
    monkeypatch.setattr(policy, "DIALS", corpus.Dials(keep=0.5))
    assert len(found | {policy.base_fingerprint("A", 8)}) == 5


def test_the_shipped_size_has_two_million_weights():
    assert policy.Size() == policy.SIZE
    model = LlamaForCausalLM(policy.config(TOKENIZER, policy.Size(vocabulary=600)))
    rows_of_vocabulary = (policy.SIZE.vocabulary - len(TOKENIZER)) * policy.SIZE.width
    assert 1.9e6 < model.num_parameters() + rows_of_vocabulary < 2.2e6
