"""TRL's GRPO trainer, made steady: one bad step does not end a run, and a run that was killed goes on exactly.

- A step whose loss or gradient is not finite is skipped and counted; too many in a row stop the run.
- A checkpoint between two minibatches of a generation batch keeps the rest of it.
- A pass that does not fit into memory is done again in halves, and so are those after it; the update is the same.

Nothing here knows of rubrics or of token credit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate.logging import get_logger
from accelerate.utils import parse_flag_from_env
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.training_args import OptimizerNames
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.errors import RTTError
from rtt_lib.files import write_bytes

logger = get_logger(__name__)


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
        optimizer = OptimizerNames(self.optim).value
        if "lomo" in optimizer or optimizer.endswith("_layerwise"):
            raise RTTError(
                f"optim={optimizer!r} updates the weights inside the backward pass, before it can be known whether the "
                "step is finite: it could not be skipped. Use another, 'adamw_torch' say"
            )
        if self.max_skipped_in_a_row < 1:
            raise RTTError(f"max_skipped_in_a_row={self.max_skipped_in_a_row} would stop every run: at least 1")


class SteadyGRPOTrainer(GRPOTrainer):
    """`trl.GRPOTrainer` that skips steps which are not finite and resumes exactly; arguments as in TRL."""

    args: SteadyGRPOConfig

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._rows_per_pass = self.args.per_device_train_batch_size
        self._current: dict[str, Any] | None = None  # the micro-batch of the running pass
        self._is_again = False
        self._accumulated: list[dict[str, Any]] = []  # those whose gradients have been added up since the last step
        self._skipped_in_a_row = 0
        self._finite = torch.tensor(True, device=self.accelerator.device)

    # --- a loss or a gradient that is not finite ---

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss = self._step_that_fits(model, inputs, num_items_in_batch)
        self._finite = self._finite & torch.isfinite(loss)
        return loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Runs after a step's last backward pass. A step that is not finite loses its gradients: AdamW then changes
        nothing."""
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

    # --- a pass that does not fit into memory ---

    def _step_that_fits(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        self._current, self._is_again = None, False
        while True:
            try:
                if self._is_again:
                    self._repeat_accumulated(model)
                loss = super().training_step(model, inputs, num_items_in_batch)
            except RuntimeError as error:
                if self._current is None or not out_of_memory(error):
                    raise
                self._halve_the_pass(error)
                self._is_again = True
            else:
                self._is_again = False
                self._accumulated.append(self._current)
                if self.accelerator.sync_gradients:  # the last pass before the optimizer's step
                    self._accumulated.clear()
                return loss

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """What is done again is not generated again."""
        if not self._is_again:
            self._current = super()._prepare_inputs(generation_batch)
        return self._current

    def _repeat_accumulated(self, model: Any) -> None:
        """The failed pass may have left a part of its gradients: the step begins again."""
        clear_device_cache(garbage_collection=True)
        model.zero_grad(set_to_none=True)
        for batch in self._accumulated:
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, batch)
            self.accelerator.backward(loss)

    def _halve_the_pass(self, error: RuntimeError) -> None:
        size = len(self._current["completion_ids"])
        rows = min(self._rows_per_pass, size)
        advice = f"Set per_device_train_batch_size={max(1, rows // 2)} and accumulate more often"
        reason = self._why_not_in_halves(rows, size)
        if reason:
            raise RTTError(f"out of memory with {rows} responses in a pass, {reason}. {advice}. ({error})") from error
        self._rows_per_pass = rows // 2
        logger.warning(
            f"out of memory with {rows} responses in a pass: going on with {rows // 2}, which leaves the update the "
            f"same. {advice}, to save the failed try."
        )

    def _why_not_in_halves(self, rows: int, size: int) -> str | None:
        if rows == 1:
            return "and there is no half of one: shorten max_completion_length, or train an adapter"
        if self.accelerator.num_processes > 1:
            return "and the other processes would wait for this one's second try"
        if self._entropy_bonus_enabled or self.top_entropy_quantile < 1 or self.aux_loss_enabled:
            return "and a term of the loss (entropy, router) is no sum over responses"
        if not all(isinstance(x, Tensor) and (x.dim() == 0 or len(x) == size) for x in self._current.values()):
            return "and images cannot be split by response"
        return None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """In as many passes as memory asks for; the gradients of all but the last are added up on the way."""
        size = len(inputs["completion_ids"])
        if not self.model.training or size <= self._rows_per_pass:
            return super().compute_loss(model, inputs, *args, **kwargs)
        starts, loss = range(0, size, self._rows_per_pass), torch.zeros((), device=self.accelerator.device)
        for start in starts:
            part = {name: x[start : start + self._rows_per_pass] if x.dim() else x for name, x in inputs.items()}
            loss = loss.detach() + self._share(part, inputs) * super().compute_loss(model, part, *args, **kwargs)
            if start != starts[-1]:
                self.accelerator.backward(loss)
        return loss

    def _share(self, part: dict[str, Tensor], whole: dict[str, Tensor]) -> float:
        """The weight of a part's loss in that of the whole micro-batch: TRL divides by what its loss type says."""
        if self.loss_type in ("dapo", "cispo", "vespo"):  # by the tokens of the generation batch
            return 1.0
        if self.loss_type == "bnpo":  # by the tokens of the micro-batch
            return (own_tokens(part).sum() / own_tokens(whole).sum().clamp(min=1)).item()
        return len(part["completion_ids"]) / len(whole["completion_ids"])

    # --- a checkpoint between two minibatches of one generation batch ---

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """On resuming, TRL would generate new responses. So the rest of the generation batch is saved too."""
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


def own_tokens(batch: dict[str, Tensor]) -> Tensor:
    """[B, T]: 1 on the tokens that the model wrote itself, and not a tool or an environment."""
    return batch["completion_mask"] * batch.get("tool_mask", 1)


def out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)
