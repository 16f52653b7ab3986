"""SFT and DPO on TRL's trainers: the paper's baselines without reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


def train_sft(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping], output: Path, **settings: Any
) -> list[dict]:
    """Rows of prompt and completion; the loss is on the completion. Returns the log."""
    args = SFTConfig(str(output), completion_only_loss=True, **settings)
    trainer = SFTTrainer(model, args=args, train_dataset=Dataset.from_list(list(rows)), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.state.log_history


def train_dpo(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping], output: Path, **settings: Any
) -> list[dict]:
    """Rows of prompt, chosen and rejected. Returns the log."""
    args = DPOConfig(str(output), **settings)
    trainer = DPOTrainer(model, args=args, train_dataset=Dataset.from_list(list(rows)), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.state.log_history
