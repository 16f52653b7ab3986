"""SFT on TRL: supervised training on responses that are meant to keep every criterion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from rtt_lib.methods.task import Task, per_rollout_step, save_policy, train_on


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """The loss is on the response. Leaves the policy in `folder`; returns the log."""
    rows = [
        {"prompt": task.asked(prompt), "completion": task.answered(response)}
        for prompt, response in task.demonstrations()
    ]
    args = SFTConfig(str(task.attempt), completion_only_loss=True, **task.supervised_settings())
    trainer = SFTTrainer(task.model, args=args, train_dataset=Dataset.from_list(rows), processing_class=task.tokenizer)
    trainer.remove_callback(PrinterCallback)
    train_on(trainer, task.attempt)
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)
