"""How an arm and a profile's `rl` section become the trainer's settings, in the micro world and on text alike."""

from __future__ import annotations

from typing import Any

from rtt_lib.methods.arms import Arm
from rtt_lib.profile import RL


def grpo_settings(arm: Arm, rl: RL, accumulate: int = 1) -> dict[str, Any]:
    """Arguments of `RTTGRPOConfig`. TRL counts optimizer steps, each of `accumulate` passes; a rollout step is
    `rl.minibatches` of them."""
    return {
        "token_beta": rl.beta if arm.beta is None else arm.beta,
        "token_beta_schedule": arm.beta_schedule,
        "scheme": arm.scheme,
        "response_reward": arm.reward,
        "credit_eos": arm.credit_eos,
        "per_group_token_mean": not arm.sequence_mean,
        "loss_type": "grpo" if arm.sequence_mean else "dapo",
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
        "save_rollouts_every": 0,
    }


def per_rollout_step(log: list[dict[str, Any]], steps_per_rollout: int) -> list[dict[str, Any]]:
    """The training rows of a trainer's log, counted in rollout steps; wall times stay out of the record."""
    timed = ("step_time", "train_runtime", "rtt/verify_seconds", "rtt/relevance_seconds")
    rows = [row for row in log if "loss" in row]
    # A checkpoint's log comes back sorted by name: sorted always, a resumed run's record equals an undisturbed one's.
    return [
        {"step": row["step"] // steps_per_rollout} | {k: row[k] for k in sorted(row) if k not in ("step", *timed)}
        for row in rows
    ]
