"""The micro policy's tokenizer and the batches that it is pretrained on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from test_micro_language import LANGUAGE, seeds, worlds

from rtt_lib.worlds.micro.language import partly_honoured, sample_prompts
from rtt_lib.worlds.micro.policy import language_batch, micro_tokenizer


@settings(max_examples=100, deadline=None)
@given(worlds, seeds)
def test_the_tokenizer_knows_every_token(world, seed):
    tokenizer = micro_tokenizer()
    [prompt] = sample_prompts(world, 1, seed)
    for text in (prompt.prompt, partly_honoured(prompt, world, LANGUAGE, random.Random(seed))):
        ids = tokenizer(text).input_ids
        assert tokenizer.convert_ids_to_tokens(ids) == text.split()
        assert tokenizer.decode(ids) == text


def test_a_token_outside_the_language_is_an_error_not_an_unknown_token():
    with pytest.raises(Exception, match="UNK"):
        micro_tokenizer()("perhaps")


def test_only_the_response_and_its_end_are_learned():
    tokenizer = micro_tokenizer()
    ids, attention, labels = language_batch(tokenizer, [("start bako :", "bako lara"), (":", "deko")])
    bako, lara, deko = tokenizer("bako lara deko").input_ids
    assert labels.tolist() == [[-100] * 3 + [bako, lara, 1], [-100, deko, 1, -100, -100, -100]]
    assert attention.sum(1).tolist() == [6, 3] and (ids[attention == 0] == tokenizer.pad_token_id).all()
