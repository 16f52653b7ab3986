"""Training one arm in the micro world: the same trainers a real model uses, on a tiny one."""

from __future__ import annotations

import random
from pathlib import Path

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback

from rtt_lib.files import last_checkpoint
from rtt_lib.methods.baselines import train_dpo, train_sft
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.methods.settings import grpo_settings, per_rollout_step
from rtt_lib.relevance.base import RelevanceSource
from rtt_lib.relevance.sources import Counterfactual, DiscriminatorSource, Noisy, Oracle, Random, Threshold, Uniform
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies.runs import RunSpec
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.micro.language import Language, construct, find_world, sample_prompts

# SFT and DPO see as many prompts as RL, once; their learning rates suit the tiny policy (silent in the paper).
SFT_LEARNING_RATE = 1e-3
DPO_LEARNING_RATE = 1e-4
ROLLOUTS_PER_CHECKPOINT = 50
ON_CPU = {
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
}


def train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: RunSpec, folder: Path) -> list[dict]:
    """Train `model` in place; returns the log, one row per rollout step (empty for the base)."""
    world, number = find_world(spec.world), int(spec.seed[1:])
    prompts = sample_prompts(world, spec.rl.steps * spec.rl.prompts_per_step, f"train {number}")
    if spec.arm.trainer == "none":
        return []
    if spec.arm.trainer == "rtt-grpo":
        return _train_rl(model, tokenizer, spec, prompts, folder / "attempt")
    language, rng = Language(), random.Random(f"supervised {number}")
    rows = [{"prompt": p.prompt, "completion": " " + construct(p.criteria, world, language, rng)} for p in prompts]
    updates = spec.rl.minibatches
    settings = {
        "max_steps": updates * spec.rl.steps,
        "per_device_train_batch_size": spec.rl.prompts_per_step // updates,
        "logging_steps": updates,
        "save_strategy": "no",
        "seed": number,
        "lr_scheduler_type": "constant",
        **ON_CPU,
    }
    if spec.arm.trainer == "sft":
        log = train_sft(model, tokenizer, rows, folder / "attempt", learning_rate=SFT_LEARNING_RATE, **settings)
    else:
        from rtt_lib.worlds.micro.evaluation import respond

        own, _ = respond(model, tokenizer, [p.prompt for p in prompts], spec.rl.max_response_tokens, greedy=False)
        pairs = [
            {"prompt": row["prompt"], "chosen": row["completion"], "rejected": " " + response}
            for row, response in zip(rows, own, strict=True)
        ]
        log = train_dpo(model, tokenizer, pairs, folder / "attempt", learning_rate=DPO_LEARNING_RATE, **settings)
    return per_rollout_step(log, updates)


def _train_rl(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    spec: RunSpec,
    prompts: list[RubricPrompt],
    folder: Path,
) -> list[dict]:
    trainer = RTTGRPOTrainer(
        model,
        verifier=Verifier(),
        relevance=None if spec.arm.response_only else relevance_source(spec, model, tokenizer),
        args=rl_config(spec, folder),
        train_dataset=Dataset.from_list(rubric_dataset(prompts, conversational=False)),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    return per_rollout_step(trainer.state.log_history, spec.rl.minibatches)


def rl_config(spec: RunSpec, folder: Path) -> RTTGRPOConfig:
    rl = spec.rl
    return RTTGRPOConfig(
        str(folder),
        **grpo_settings(spec.arm, rl),
        per_device_train_batch_size=rl.prompts_per_step * rl.group_size // rl.minibatches,
        save_steps=ROLLOUTS_PER_CHECKPOINT * rl.minibatches,
        seed=int(spec.seed[1:]),
        **ON_CPU,
    )


def relevance_source(spec: RunSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> RelevanceSource:
    seed = int(spec.seed[1:])
    match spec.arm.relevance:
        case "oracle":
            return Oracle()
        case "uniform":
            return Uniform()
        case "random":
            return Random(seed)
        case "noisy":
            return Noisy(Oracle(), rate=0.2, seed=seed)
        case "counterfactual":
            return Counterfactual(model, tokenizer, without_criterion, batch_size=256)
    from rtt_lib.relevance.discriminator import Discriminator

    source = DiscriminatorSource(Discriminator.load(spec.discriminator), raw=spec.arm.relevance in ("raw", "truncated"))
    return Threshold(source) if spec.arm.relevance == "truncated" else source


def without_criterion(prompt: str, criterion: Criterion) -> str:
    """The micro prompt that no longer asks for `criterion`."""
    parts = prompt.removesuffix(" :").split(" ; ")
    parts.remove(criterion.text)
    return " ; ".join(parts) + " :"
