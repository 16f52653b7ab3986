"""What the tests of RTTGRPOTrainer share: a small transformer, a language of forty words, short trainings."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from rtt_lib.files import read_jsonl
from rtt_lib.methods.verification import rubric_dataset
from rtt_lib.relevance.sources import Random
from rtt_lib.train import RTTGRPOConfig, RTTGRPOTrainer
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer
from rtt_lib.worlds.micro.world import ON_CPU

HERE = Path(__file__).parent
TOKENIZER = micro_tokenizer()
EOS = TOKENIZER.eos_token_id
DATA = Dataset.from_list(rubric_dataset(sample_prompts(find_world("L"), 24, "trainer"), conversational=False))
GROUP = 4


def tiny_model(vocabulary: int = len(TOKENIZER)) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(micro_config(vocabulary, width=16, layers=1, heads=2))


def settings(folder: Path, **changes) -> dict:
    return {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 2 * GROUP,
        "num_generations": GROUP,
        "max_completion_length": 10,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "linear",
        "save_strategy": "no",
        "logging_steps": 1,
        **ON_CPU,
    } | changes


def make(folder, *, model=None, verifier=None, relevance=None, cls=RTTGRPOTrainer, extra=None, **changes):
    changes = {"response_reward": "csr"} | changes
    trainer = cls(
        model or tiny_model(),
        verifier or Verifier(),
        relevance or Random(),
        args=RTTGRPOConfig(**settings(folder, **changes)),
        processing_class=TOKENIZER,
        **{"train_dataset": DATA, **(extra or {})},
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(folder, **kwargs) -> RTTGRPOTrainer:
    trainer = make(folder, **kwargs)
    trainer.train()
    return trainer


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


def finite(model: torch.nn.Module) -> bool:
    return all(p.isfinite().all() for p in model.parameters())


def logged(trainer, name: str) -> list:
    return [row[name] for row in trainer.state.log_history if name in row]


def rollouts(folder: Path, step: int = 0) -> list[dict]:
    return [row for _, row in read_jsonl(folder / "rollouts" / f"step_{step:05d}.jsonl.gz")]


def padded(rows: list[list[float]], fill: float = 0.0) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, fill)


def fixed(*completions: list[int]):
    """A rollout function: these completions, over and over, as many as there are prompts."""

    def rollout(prompts: list[str], trainer: GRPOTrainer) -> dict:
        return {
            "prompt_ids": [TOKENIZER(prompt).input_ids for prompt in prompts],
            "completion_ids": [list(completions[i % len(completions)]) for i in range(len(prompts))],
            "logprobs": None,
        }

    return {"rollout_func": rollout}


def varied(n: int = 2 * GROUP):
    """Completions of different lengths, some cut, some ended, some with a comma: an untrained policy's are alike."""
    rng = torch.Generator().manual_seed(1)
    words = torch.randint(2, 42, (n, 8), generator=rng).tolist()
    comma = TOKENIZER.convert_tokens_to_ids(",")
    return fixed(*([comma] * (i % 2) + row[: 2 + i] + [EOS] * (i % 3 > 0) for i, row in enumerate(words)))


def run_python(*command: str, cwd: Path) -> None:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONPATH": str(HERE.parent),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte: knows every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


class Advantages(RTTGRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.inputs, self.advantages = inputs, inputs["advantages"]
        return super()._compute_loss(model, inputs)


class Snapshots(TrainerCallback):
    """Parameters and optimizer moments after every step."""

    def __init__(self):
        self.parameters, self.moments = [], []

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.parameters.append([p.detach().clone() for p in model.parameters()])
        self.moments.append(copy.deepcopy(optimizer.state_dict()["state"]))
