"""RL: how an arm and a profile's `rl` section become an `RTTGRPOTrainer`, in every world alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback

from rtt_lib.files import last_checkpoint
from rtt_lib.methods.arms import Arm
from rtt_lib.methods.fast_rollouts import FastRTTGRPOTrainer
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.methods.task import Task, per_rollout_step, save_policy
from rtt_lib.models import on_gpu, stays_on_cpu
from rtt_lib.profile import RL, Compute
from rtt_lib.relevance.base import RelevanceSource
from rtt_lib.relevance.packed import load_discriminator
from rtt_lib.relevance.sources import DiscriminatorSource, Noisy, Oracle, Random, Threshold, Uniform


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log, one row per rollout step."""
    trainer = trainer_of(task)
    trainer.train(resume_from_checkpoint=last_checkpoint(task.attempt))
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)


def trainer_of(task: Task) -> RTTGRPOTrainer:
    kind = FastRTTGRPOTrainer if task.compute.sampler == "fast" else RTTGRPOTrainer
    trainer = kind(
        task.model,
        verifier=task.world.verifier(),
        relevance=None if task.arm.response_only else relevance_source(task),
        args=config(task),
        train_dataset=Dataset.from_list(rubric_dataset(task.prompts, task.chat)),
        processing_class=task.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def relevance_source(task: Task) -> RelevanceSource:
    """The arm's source of relevance. A discriminator's p is rounded at 0.5, unless the arm says otherwise."""
    match task.arm.relevance:
        case "oracle":
            return Oracle()
        case "uniform":
            return Uniform()
        case "random":
            return Random(task.number)
        case "noisy":
            return Noisy(Oracle(), rate=0.2, seed=task.number)
        case "counterfactual":
            return task.world.counterfactual(task.model, task.tokenizer, task.prompts)
        case "contrast":
            return replace(task.world.counterfactual(task.model, task.tokenizer, task.prompts), together=True)
    discriminator = load_discriminator(task.world.discriminator(task.arm.discriminator, task.seed))
    if on_gpu() and not stays_on_cpu(discriminator.model):
        discriminator.model.to(torch.bfloat16)  # half the memory of the card, on which the policy trains too
    source = DiscriminatorSource(discriminator, raw=task.arm.relevance in ("raw", "truncated"))
    return Threshold(source) if task.arm.relevance == "truncated" else source


def config(task: Task) -> RTTGRPOConfig:
    rl, longest = task.rl, task.rl.max_prompt_tokens + task.rl.max_response_tokens
    responses = rl.prompts_per_step * rl.group_size // rl.minibatches
    batch, accumulate = task.world.passes(responses, longest, "rl.prompts_per_step x rl.group_size / rl.minibatches")
    return RTTGRPOConfig(
        str(task.attempt),
        per_device_train_batch_size=batch,
        save_steps=task.world.checkpoint_every * rl.minibatches,
        seed=task.number,
        share_prompts=task.compute.share_prompts,
        **arm_settings(task.arm, rl),
        **step_settings(rl, accumulate),
        **vllm_settings(task.compute, longest),
        **task.world.trainer_settings(task.model),
    )


def arm_settings(arm: Arm, rl: RL) -> dict[str, Any]:
    """What an arm changes."""
    return {
        "token_beta": rl.beta if arm.beta is None else arm.beta,
        "token_beta_schedule": arm.beta_schedule,
        "scheme": arm.scheme,
        "response_reward": arm.reward,
        "credit_eos": arm.credit_eos,
        "per_group_token_mean": not arm.sequence_mean,
        "loss_type": "grpo" if arm.sequence_mean else "dapo",
    }


def step_settings(rl: RL, accumulate: int) -> dict[str, Any]:
    """TRL counts optimizer steps, each of `accumulate` passes; a rollout step is `rl.minibatches` of them."""
    return {
        "max_steps": rl.steps * rl.minibatches,
        "gradient_accumulation_steps": accumulate,
        "steps_per_generation": rl.minibatches * accumulate,
        "num_generations": rl.group_size,
        "max_completion_length": rl.max_response_tokens,
        "learning_rate": rl.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": rl.warmup_steps,
        "epsilon": rl.clip_low,
        "epsilon_high": rl.clip_high,
        "temperature": rl.temperature,
        "top_p": rl.top_p,
        "top_k": rl.top_k,
        "shuffle_dataset": False,
        "logging_steps": rl.minibatches,
        "save_strategy": "steps",
        "save_total_limit": 1,
    }


def vllm_settings(compute: Compute, longest: int) -> dict[str, Any]:
    """TRL's correction is off. It would multiply a response's loss by exp(sum of log Z), where Z is the mass that top-p
    keeps. Eq. 6 has no such factor, and it shrinks with length."""
    return {
        "use_vllm": compute.vllm != "off",
        "vllm_importance_sampling_correction": False,
        "vllm_mode": "server" if compute.vllm == "server" else "colocate",
        "vllm_max_model_length": longest if compute.vllm == "colocate" else None,
    }
