"""Rollouts of TRL's GRPO trainer by our own loop (`rtt_lib.bench.fast`) instead of `model.generate`."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import DistributedType
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.bench.draw import noise
from rtt_lib.bench.fast import FastSampler, unsupported
from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer
from rtt_lib.profile import Evaluation

WHOLE_ON_EACH = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


class FastRollouts:
    """A class that names this before a GRPO trainer among its bases samples its rollouts by the fast loop.

    They have the distribution of the trainer's own. The random numbers are others, so a run differs from one with
    `model.generate`. They come from torch's global generator, which the trainer seeds, and restores on resuming.
    """

    def __init__(self, *positional: Any, args: GRPOConfig | None = None, **kwargs: Any):
        if args is not None:
            _refuse(unsupported_settings(args))  # before vLLM is loaded
        super().__init__(*positional, args=args, **kwargs)
        _refuse(unsupported_settings(self.args) or unsupported_trainer(self))
        self._fast: FastSampler | None = None

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> tuple:
        """Token ids of a response to each prompt, the end token included; no log-probabilities."""
        seeds = torch.randint(2**63 - 1, (len(prompt_ids),)).tolist()
        ids = self._sampler().sample(prompt_ids, sampling_of(self), noise(seeds, self.max_completion_length))
        return [through_the_end(row, self.eos_token_ids) for row in ids.tolist()], None

    def _sampler(self) -> FastSampler:
        """With the weights of now, in the precision that the trainer computes in."""
        model = self.accelerator.unwrap_model(self.model)
        if self._fast is None:
            dtype = torch.bfloat16 if self.args.bf16 else None
            self._fast = FastSampler(model, self.eos_token_ids, self._tokenizer.pad_token_id, dtype)
        else:
            self._fast.load(model)
        return self._fast


class FastRTTGRPOTrainer(FastRollouts, RTTGRPOTrainer):
    """`RTTGRPOTrainer` with fast rollouts; arguments as there."""


def unsupported_settings(args: GRPOConfig) -> str | None:
    """The first setting that the fast loop does not follow."""
    others = {
        "use_vllm": args.use_vllm,
        "use_transformers_continuous_batching": args.use_transformers_continuous_batching,
        "min_p": args.min_p,
        "repetition_penalty": args.repetition_penalty != 1,
        "generation_kwargs": args.generation_kwargs,
        "cast_lm_head_to_fp32": args.cast_lm_head_to_fp32,
        "fp16": args.fp16,
    }
    return next((f"it does not go together with {name}" for name, is_set in others.items() if is_set), None)


def unsupported_trainer(trainer: GRPOTrainer) -> str | None:
    """What else the fast loop does not do; its model last."""
    if trainer.rollout_func is not None:
        return "a rollout_func samples already"
    if trainer.tools or trainer.environment_factories:
        return "it writes one turn, without tools or an environment"
    if trainer.accelerator.distributed_type not in WHOLE_ON_EACH:
        return "the weights are spread over processes"
    return unsupported(trainer.accelerator.unwrap_model(trainer.model))


def _refuse(reason: str | None) -> None:
    if reason:
        raise RTTError(f"no fast rollouts: {reason}. Choose compute.sampler 'transformers' (RTTGRPOTrainer)")


def sampling_of(trainer: GRPOTrainer) -> Evaluation:
    return Evaluation(
        temperature=trainer.temperature,
        top_p=trainer.top_p,
        top_k=max(0, trainer.top_k or 0),
        max_tokens=trainer.max_completion_length,
    )


def through_the_end(ids: list[int], stops: list[int]) -> list[int]:
    """Up to the first end token, which is kept."""
    end = next((place for place, token in enumerate(ids) if token in stops), len(ids))
    return ids[: end + 1]
