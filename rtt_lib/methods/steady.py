"""TRL's GRPO trainer, made steady: one bad step does not end a run, and a run that was killed goes on exactly.

- A step whose loss or gradient is not finite is skipped and counted; too many in a row stop the run.
- A checkpoint between two minibatches of a generation batch keeps the rest of it.

Nothing here knows of rubrics or of token credit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate.utils import parse_flag_from_env
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.errors import RTTError
from rtt_lib.files import write_bytes


@dataclass
class SteadyGRPOConfig(GRPOConfig):
    max_skipped_in_a_row: int = field(default=10, metadata={"help": "Stop after so many non-finite steps in a row."})

    def __post_init__(self) -> None:
        if self.deepspeed is not None or parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
            raise RTTError(
                "DeepSpeed's engine updates the weights inside the backward pass, before it can be known whether the "
                "step is finite: it could not be skipped. Use FSDP2 (`accelerate launch --use_fsdp --fsdp_version 2`)"
            )
        super().__post_init__()
        if self.max_skipped_in_a_row < 1:
            raise RTTError(f"max_skipped_in_a_row={self.max_skipped_in_a_row} would stop every run: at least 1")


class SteadyGRPOTrainer(GRPOTrainer):
    """`trl.GRPOTrainer` that skips steps which are not finite and resumes exactly; arguments as in TRL."""

    args: SteadyGRPOConfig

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._skipped_in_a_row = 0
        self._finite = torch.tensor(True, device=self.accelerator.device)

    # --- a loss or a gradient that is not finite ---

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._finite = self._finite & torch.isfinite(loss)
        return loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Between the last backward pass of a step and the optimizer: without gradients, AdamW changes nothing."""
        norm = super()._get_grad_norm(model, grad_norm)
        if isinstance(norm, DTensor):  # under FSDP2 each process holds a part of it
            norm = norm.full_tensor()
        if not self._step_is_finite(norm):
            model.zero_grad(set_to_none=True)
        return norm

    def _step_is_finite(self, norm: Any) -> bool:
        """Every loss of the step and its gradient, on all processes; counted, and an error when too many are not."""
        here = self._finite & torch.isfinite(torch.as_tensor(norm, device=self.accelerator.device))
        finite = bool(self.accelerator.gather(here.reshape(1).int()).all())
        self._finite = torch.tensor(True, device=self.accelerator.device)
        self._metrics["train"]["rtt/skipped_steps"].append(float(not finite))
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        if self._skipped_in_a_row >= self.args.max_skipped_in_a_row:
            raise RTTError(
                f"loss or gradient was not finite {self._skipped_in_a_row} steps in a row (step "
                f"{self.state.global_step}): lower the learning rate, or look at the rewards and at rollouts saved "
                "with save_rollouts_every"
            )
        return finite

    # --- a checkpoint between two minibatches of one generation batch ---

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL would generate anew on resuming: what is left of the generation batch is saved, to go on exactly."""
        generate_every = self.args.steps_per_generation * self.num_iterations
        if self._step % generate_every and not self.args.save_only_model:
            tensors = {
                f"{i}.{name}": x.clone()
                for i, batch in enumerate(self._buffered_inputs)
                for name, x in batch.items()
                if isinstance(x, Tensor)
            }
            tensors["step"] = torch.tensor(self._step)
            checkpoint = Path(self._get_output_dir(trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
            write_bytes(self._generation_batch_file(checkpoint), safetensors.torch.save(tensors))
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not self._generation_batch_file(checkpoint).exists():
            return
        tensors = safetensors.torch.load_file(
            self._generation_batch_file(checkpoint), device=str(self.accelerator.device)
        )
        self._step = int(tensors.pop("step"))
        self._buffered_inputs = [{} for _ in range(self.args.steps_per_generation)]
        for key, x in tensors.items():
            i, name = key.split(".", 1)
            self._buffered_inputs[int(i)][name] = x

    def _generation_batch_file(self, checkpoint: str | Path) -> Path:
        return Path(checkpoint) / f"generation_batch_{self.accelerator.process_index}.safetensors"
