"""The micro policy's tokenizer and the batches that it is pretrained on."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from test_micro_language import LANGUAGE, seeds, worlds
from transformers import LlamaForCausalLM

from rtt_lib.worlds.micro.language import find_world, partly_honoured, sample_prompts
from rtt_lib.worlds.micro.policy import PIECE, accumulate, language_batch, micro_config, micro_tokenizer


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


def test_the_gradient_in_pieces_is_that_of_the_batch_as_one():
    torch.manual_seed(0)
    tokenizer, world, rng = micro_tokenizer(), find_world("U"), random.Random(0)  # U has short and long responses
    model = LlamaForCausalLM(micro_config(len(tokenizer)))
    prompts = sample_prompts(world, 2 * PIECE + 3, 0)
    pairs = [(prompt.prompt, partly_honoured(prompt, world, LANGUAGE, rng)) for prompt in prompts]
    ids, attention, labels = language_batch(tokenizer, pairs)
    model(input_ids=ids, attention_mask=attention, labels=labels).loss.backward()
    expected = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    accumulate(model, tokenizer, pairs)
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, atol=1e-6, rtol=1e-4)
