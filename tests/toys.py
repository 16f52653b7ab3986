"""Small real things that several tests share: tokenizers of a few dozen words and models of a few thousand weights."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2ForTokenClassification,
    LlamaConfig,
    LlamaForTokenClassification,
    PreTrainedTokenizerFast,
)

from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, Backbone
from rtt_lib.worlds.micro.language import tokens_of_the_language


def micro_tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "<eos>", *tokens_of_the_language()]
    backend = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["bako desu miru, commas and words"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")


def tiny(architecture: str, tokenizer, template: str = MICRO_TEMPLATE, window: int = 128, outputs: int = 1) -> Backbone:
    torch.manual_seed(0)
    common = {"vocab_size": len(tokenizer), "num_labels": outputs, "pad_token_id": tokenizer.pad_token_id}
    wide = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    if architecture == "llama":
        model = LlamaForTokenClassification(LlamaConfig(**common, **wide, max_position_embeddings=window))
    elif architecture == "bert":
        model = BertForTokenClassification(BertConfig(**common, **wide, max_position_embeddings=window))
    else:
        model = GPT2ForTokenClassification(GPT2Config(**common, n_embd=32, n_layer=2, n_head=4, n_positions=window))
    return Backbone(model, tokenizer, template)
