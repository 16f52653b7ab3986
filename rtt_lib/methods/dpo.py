"""DPO on TRL: responses that are meant to keep every criterion, preferred to the policy's own.

In the paper they are preferred to those of Qwen2.5-7B-Instruct.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from rtt_lib.methods.task import Task, per_rollout_step, save_policy, train_on


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log."""
    preferred = task.demonstrations()
    prompts = [prompt for prompt, _ in preferred]
    own = task.world.own_responses(prompts, task.model, task.tokenizer, task.number, task.attempt)
    rows = [
        {"prompt": task.asked(prompt), "chosen": task.answered(chosen), "rejected": task.answered(rejected)}
        for (prompt, chosen), rejected in zip(preferred, own, strict=True)
    ]
    args = DPOConfig(str(task.attempt), **task.supervised_settings())
    trainer = DPOTrainer(task.model, args=args, train_dataset=Dataset.from_list(rows), processing_class=task.tokenizer)
    trainer.remove_callback(PrinterCallback)
    train_on(trainer, task.attempt)
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)
