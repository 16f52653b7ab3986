"""A world of text that trains in seconds: a transformer of one layer that reads and writes composed prompts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib import store
from rtt_lib.files import read_jsonl
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.studies import execute
from rtt_lib.studies.spec import RunSpec

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SETTINGS = {
    "about": "a toy",
    "data": {"source": "composed", "train_prompts": 6},
    "discriminator": {"model": "smollm2-135m"},
    "rl": {
        "steps": 2,
        "prompts_per_step": 2,
        "group_size": 4,
        "learning_rate": 0.01,
        "warmup_steps": 0,
        "max_prompt_tokens": 900,
        "max_response_tokens": 16,
        "top_k": 0,
    },
    "experiments": {"core": {"arms": ["base", "RL-CSR", "RTT-AON oracle"], "seeds": ["A0"]}},
    "evaluation": {"benchmarks": ["ifeval"], "prompts": 3, "completions": 2, "max_tokens": 5},
}
IFEVAL = [
    {
        "key": key,
        "prompt": f"Say something about number {key} without any commas.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    }
    for key in range(5)
]


def save_model(folder: Path) -> Path:
    """A random Llama of one layer with a byte-level tokenizer of 600 tokens and a chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator((p.prompt for p in compose(default_tasks(), 40, 5)), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=1024, **size, **ends)
    ).save_pretrained(folder)
    return folder


def spec_of(profile: Profile, arm: str, seed: str) -> RunSpec:
    return RunSpec(find_arm(arm), profile.data.source, seed, profile)


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


def environment(here: Path, place: Path) -> dict[str, str]:
    """Of a process that trains into the store at `place`; here: the folder with model and profile."""
    paths = {"PYTHONPATH": str(REPOSITORY), "RTT_TEST_DATA": str(here / "data"), "HF_HUB_OFFLINE": "1"}
    return os.environ | paths | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", store.STORE: str(place)}


def command(here: Path, arm: str) -> list[str]:
    return [sys.executable, "-m", execute.MODULE, str(here / "toy.yaml"), arm, "composed", "A0"]
