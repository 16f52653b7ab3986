"""Run by tests in one process and under torchrun in two, with rollouts saved.

    python two_processes.py FOLDER                one step for each setting
    python two_processes.py FOLDER unsharded      four steps, and the last of them again from a checkpoint
    python two_processes.py FOLDER fsdp2          the same with sharded weights; then a step that is not finite in one
                                                  process, and a step on the model's own samples

Twelve responses in three groups of four: with six to a process, the second group sits on both. A response depends on
its place in the global batch alone, and their lengths differ from process to process.
"""

from __future__ import annotations

import math
import os
import random
import sys
from pathlib import Path

import torch
from accelerate import DistributedType, PartialState
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


class BadLossInTheLastProcess(RTTGRPOTrainer):
    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        bad = self.state.global_step == 1 and self.accelerator.is_last_process
        return loss * math.nan if bad else loss


def make(output: Path, cls=RTTGRPOTrainer, rollout_func=rollout, **settings) -> RTTGRPOTrainer:
    tokenizer = micro_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=2, heads=2))
    args = RTTGRPOConfig(
        str(output),
        per_device_train_batch_size=RESPONSES // int(os.environ.get("WORLD_SIZE", "1")),
        num_generations=4,
        max_completion_length=24,
        learning_rate=1e-2,
        response_reward="csr",
        shuffle_dataset=False,
        save_rollouts_every=1,
        **{**ON_CPU, "max_steps": 1, "save_strategy": "no", **settings},
    )
    if args.fsdp:
        let_accelerate_shard_on_cpu()
    data = Dataset.from_list(rubric_dataset(PROMPTS, conversational=False))
    trainer = cls(
        model, Verifier(), Oracle(), args=args, train_dataset=data, processing_class=tokenizer,
        rollout_func=rollout_func,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def let_accelerate_shard_on_cpu() -> None:
    """PyTorch's FSDP2 works on CPUs; accelerate turns it on for accelerators only, so that it is told it has some."""
    PartialState._shared_state |= {"distributed_type": DistributedType.MULTI_GPU, "device": torch.device("cpu")}


def train(output: Path, **settings) -> None:
    trainer = make(output, **settings)
    trainer.train()
    trainer.save_model(str(output / "model"))


def train_and_resume(output: Path, **settings) -> None:
    """Two generation batches of two updates each; the checkpoint falls between the two of the second."""
    settings |= {"max_steps": 4, "num_iterations": 2, "save_strategy": "steps", "save_steps": 3, "logging_steps": 1}
    train(output, **settings)
    again = make(output, **settings)
    again.train(resume_from_checkpoint=str(output / "checkpoint-3"))
    again.save_model(str(output / "resumed"))


FSDP2 = {
    "fsdp": True,
    "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]},
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, *kind = sys.argv[1:]
    if kind == ["fsdp2"]:
        train_and_resume(Path(place), **FSDP2)
        bad = {"cls": BadLossInTheLastProcess, "max_steps": 3, "save_strategy": "steps", "save_steps": 1}
        train(Path(place, "bad"), **bad, logging_steps=1, **FSDP2)
        train(Path(place, "sampled"), rollout_func=None, logging_steps=1, **FSDP2)
    elif kind == ["unsharded"]:
        train_and_resume(Path(place))
    else:
        for name, settings in SETTINGS.items():
            train(Path(place, name), **settings)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # left to the exit, gloo's threads can abort the process
