"""Run by `test_rtt_grpo.py` in one process and under torchrun in two: one step for each setting, rollouts saved.

Twelve responses in three groups of four: with six to a process, the second group sits on both. A response depends on
its place in the global batch alone, and their lengths differ from process to process.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, PrinterCallback

from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.relevance.sources import Oracle
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.micro.language import Language, find_world, partly_honoured, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer
from rtt_lib.worlds.micro.world import ON_CPU

SETTINGS = {
    "intra": {"scheme": "intra"},
    "inter": {"scheme": "inter"},
    "relative": {"scheme": "relative"},
    "inter without EOS": {"scheme": "inter", "credit_eos": False},
}
WORLD = find_world("U")  # unequal lengths
PROMPTS = sample_prompts(WORLD, 3, "two processes")
RESPONSES = 12


def rollout(prompts: list[str], trainer: RTTGRPOTrainer) -> dict:
    tokenizer, first = trainer.processing_class, trainer.accelerator.process_index * len(prompts)
    rubrics = {prompt.prompt: prompt for prompt in PROMPTS}
    responses = []
    for place, prompt in enumerate(prompts, first):
        rng = random.Random(place)
        ids = tokenizer(partly_honoured(rubrics[prompt], WORLD, Language(), rng)).input_ids
        responses.append(ids[: 4 + place] + [tokenizer.eos_token_id] * (place % 3 > 0))
    return {
        "prompt_ids": [tokenizer(prompt).input_ids for prompt in prompts],
        "completion_ids": responses,
        "logprobs": None,
    }


def train(output: Path, settings: dict) -> None:
    tokenizer = micro_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    args = RTTGRPOConfig(
        str(output),
        per_device_train_batch_size=RESPONSES // int(os.environ.get("WORLD_SIZE", "1")),
        num_generations=4,
        max_steps=1,
        max_completion_length=24,
        learning_rate=1e-2,
        response_reward="csr",
        shuffle_dataset=False,
        save_strategy="no",
        save_rollouts_every=1,
        **ON_CPU,
        **settings,
    )
    data = Dataset.from_list(rubric_dataset(PROMPTS, conversational=False))
    trainer = RTTGRPOTrainer(
        model, Verifier(), Oracle(), args=args, train_dataset=data, processing_class=tokenizer, rollout_func=rollout
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if trainer.accelerator.is_main_process:
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(output / "model")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, settings in SETTINGS.items():
        train(Path(sys.argv[1], name), settings)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # left to the exit, gloo's threads can abort the process
