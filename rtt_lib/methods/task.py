"""What every method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from rtt_lib.files import last_checkpoint, read_json
from rtt_lib.methods.arms import Arm
from rtt_lib.profile import RL, Compute
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.base import World

Message = str | list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """A policy, what it learns from, and where the attempt is kept.

    seed:    its letter names the base policy whose discriminator is read, its number is the seed of the run
    prompts: in the order of training
    attempt: the folder of checkpoints; a run that was killed goes on from the last one
    """

    arm: Arm
    rl: RL
    compute: Compute
    seed: str
    world: World
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompts: Sequence[RubricPrompt]
    attempt: Path

    @property
    def number(self) -> int:
        return int(self.seed[1:])

    @property
    def chat(self) -> bool:
        return self.world.chat(self.tokenizer)

    def asked(self, prompt: RubricPrompt) -> Message:
        return prompt.chat() if self.chat else prompt.prompt

    def answered(self, response: str) -> Message:
        return [{"role": "assistant", "content": response}] if self.chat else f" {response}"

    def supervised_settings(self) -> dict[str, Any]:
        """For TRL's SFT and DPO trainers."""
        how = self.world.supervised(self.arm.trainer)
        batch, accumulate = self.world.passes(how.responses, how.tokens, how.being)
        return {
            **how.settings,
            "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": accumulate,
            "logging_steps": self.rl.minibatches,
            "save_strategy": "steps",
            "save_steps": self.world.checkpoint_every * self.rl.minibatches,
            "save_total_limit": 1,
            "seed": self.number,
            **self.world.trainer_settings(self.model),
        }

    def demonstrations(self) -> list[tuple[RubricPrompt, str]]:
        return self.world.demonstrations(self.prompts, self.number, self.tokenizer)


def train_on(trainer: Trainer, attempt: Path) -> None:
    """Train, or go on from the last checkpoint; TRL's count of the tokens seen goes on too, which it does not save."""
    checkpoint = last_checkpoint(attempt)
    if checkpoint is not None:
        history = read_json(Path(checkpoint) / "trainer_state.json")["log_history"]
        trainer._total_train_tokens = max((row["num_tokens"] for row in history if "num_tokens" in row), default=0)
    trainer.train(resume_from_checkpoint=checkpoint)


def save_policy(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """An ordinary checkpoint, adapters merged; weights that are spread over processes are gathered."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        if PartialState().is_main_process:
            model.merge_and_unload().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return
    trainer.save_model(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle


def per_rollout_step(log: list[dict[str, Any]], steps_per_rollout: int) -> list[dict[str, Any]]:
    """The training rows of a trainer's log, counted in rollout steps; wall times stay out of the record."""
    timed = ("step_time", "train_runtime", "rtt/verify_seconds", "rtt/relevance_seconds")
    rows = [row for row in log if "loss" in row]
    # A checkpoint sorts its log by name. We always sort, so that a resumed run leaves the same record.
    return [
        {"step": row["step"] // steps_per_rollout} | {k: row[k] for k in sorted(row) if k not in ("step", *timed)}
        for row in rows
    ]
