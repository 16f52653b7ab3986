"""A SERL trainer on a tiny untrained policy whose responses and verdicts a rule decides, for any number of processes.

python serl_toy.py FOLDER    one step, in one process or under torchrun in two; leaves what every row of it was given
"""

from __future__ import annotations

import os
import random
import sys
import zlib
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, PrinterCallback

from rtt_lib.files import write_json
from rtt_lib.methods.serl import SERLConfig, SERLTrainer
from rtt_lib.methods.verification import rubric_dataset
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.judged.language import JUDGE, RATE, partly_honoured, sample_prompts
from rtt_lib.worlds.judged.policy import judged_tokenizer
from rtt_lib.worlds.judged.self_judge import OneToken
from rtt_lib.worlds.micro.language import Language
from rtt_lib.worlds.micro.policy import micro_config
from rtt_lib.worlds.micro.world import ON_CPU

TOKENIZER = judged_tokenizer()
GROUP, GROUPS = 4, 3
PROMPTS = sample_prompts(GROUPS, "serl toy")
ROLES = TOKENIZER.convert_tokens_to_ids([JUDGE, RATE])


class Kept:
    """Keeps the generation batch as it was before it is shuffled, and what was said in it."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.kept = {name: x.clone() for name, x in output.items()}
        return output


class Ruled(Kept, SERLTrainer):
    """What is generated depends on its place in the whole batch and on the question alone."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        if prompt_ids[0][0] in ROLES:
            return [said(ids, place) for place, ids in enumerate(prompt_ids)], None
        first = self.accelerator.process_index * len(prompt_ids)
        return [written(place) for place in range(first, first + len(prompt_ids))], None


def said(ids: list[int], place: int) -> list[int]:
    """1, 2 or something else."""
    word = ("1", "2", "1", "2", "bako")[(zlib.crc32(bytes(ids)) + place % 2) % 5]
    return TOKENIZER(word).input_ids


def written(place: int) -> list[int]:
    rng = random.Random(place)
    text = partly_honoured(PROMPTS[place // GROUP % GROUPS], Language(), rng)
    return [*TOKENIZER(text).input_ids[: 5 + place % 4], TOKENIZER.eos_token_id]


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(micro_config(len(TOKENIZER), width=16, layers=1, heads=2))


def make(folder: Path, cls=Ruled, model=None, extra=None, **changes) -> SERLTrainer:
    settings = {
        "max_steps": 1,
        "per_device_train_batch_size": GROUP * GROUPS // int(os.environ.get("WORLD_SIZE", "1")),
        "num_generations": GROUP,
        "max_completion_length": 10,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "logging_steps": 1,
        "shuffle_dataset": False,
        "objective": "summed",
        "loss_type": "dapo",
        "beta": 0.0,
        **ON_CPU,
    } | changes
    trainer = cls(
        model or tiny_model(),
        OneToken(),
        Verifier(),
        args=SERLConfig(str(folder), **settings),
        train_dataset=Dataset.from_list(rubric_dataset(PROMPTS * 4, conversational=False)),
        processing_class=TOKENIZER,
        **(extra or {}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer = make(Path(sys.argv[1]))
    trainer.train()
    rank, kept = trainer.accelerator.process_index, trainer.kept
    names = ("prompt_ids", "completion_ids", "advantages", "num_items_in_batch")
    write_json(Path(sys.argv[1]) / f"rows{rank}.json", {name: kept[name].tolist() for name in names})
    if rank == 0:
        trainer.save_model(str(Path(sys.argv[1]) / "model"))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
