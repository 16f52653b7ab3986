"""Steps of training, in the micro world and on text: GRPO's against RTT-GRPO's, and where their time goes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rtt_lib.models import SMOLLM2, load_causal_lm, load_tokenizer
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, Discriminator
from rtt_lib.relevance.sources import DiscriminatorSource
from rtt_lib.run.speed.discriminators import KINDS, of_shape, untrained
from rtt_lib.run.speed.measure import seconds, this_machine
from rtt_lib.run.speed.shared_prompts import SMOLLM2_SHAPE
from rtt_lib.tables import markdown_table
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

if TYPE_CHECKING:
    from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer

WARM_UP = 3  # steps that are not counted


def step(steps: int = 50, prompts: int = 16) -> None:
    """Prints the median of the paired ratios of an RTT-GRPO step to a GRPO step, without the relevance source."""
    with tempfile.TemporaryDirectory() as folder:
        rtt, grpo = (_trainer(folder, beta, steps, prompts) for beta in (0.5, 0.0))
        times = {"rtt": [], "grpo": [], "relevance": []}
        for place in range(steps + WARM_UP):
            whole = seconds(lambda place=place: _rollout_step(rtt, place))
            relevance = rtt.state.log_history[-1]["rtt/relevance_seconds"]
            plain = seconds(lambda place=place: _rollout_step(grpo, place))
            if place >= WARM_UP:
                for name, value in (("rtt", whole - relevance), ("grpo", plain), ("relevance", relevance)):
                    times[name].append(value)
    ratio = median(times["rtt"]) / median(times["grpo"])
    paired = median(a / b for a, b in zip(times["rtt"], times["grpo"], strict=True))
    share = median(times["relevance"]) / (median(times["rtt"]) + median(times["relevance"]))
    responses = prompts * rtt.num_generations
    print(
        f"micro world, {responses} responses a step, {torch.get_num_threads()} threads, "
        f"median of {steps} alternating steps"
    )
    print(f"GRPO {1000 * median(times['grpo']):.1f} ms, RTT-GRPO {1000 * median(times['rtt']):.1f} ms")
    print(f"ratio of medians {ratio:.3f}, median of ratios {paired:.3f}; relevance takes {share:.1%} of RTT's step")


@dataclass(frozen=True)
class Place:
    """Where steps are timed: what they train on, and models of its size."""

    about: str
    criteria: str  # of a response, in words
    source: str
    world: str
    policy: str
    sampling: Mapping[str, Any]
    tokenizer: Callable[[], PreTrainedTokenizerBase]
    model: Callable[[], PreTrainedModel]
    discriminator: Callable[[type[Discriminator]], Discriminator]


def micro_model() -> LlamaForCausalLM:
    """Untrained, which takes as long."""
    torch.manual_seed(0)
    return LlamaForCausalLM(micro_config(len(micro_tokenizer())))


def text_discriminator(kind: type[Discriminator]) -> Discriminator:
    """Of SmolLM2-135M's size, untrained."""
    tokenizer = load_tokenizer(SMOLLM2)
    config = LlamaConfig(**SMOLLM2_SHAPE, pad_token_id=tokenizer.pad_token_id)
    return of_shape(kind, tokenizer, config, DEFAULT_TEMPLATE)


SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
MICRO = Place(
    about="micro world",
    criteria="five criteria",
    source="micro",
    world="L",
    policy="micro",
    sampling=SAMPLING | {"max_response_tokens": 24},
    tokenizer=micro_tokenizer,
    model=micro_model,
    discriminator=untrained,
)
TEXT = Place(
    about="SmolLM2-135M on composed prompts, at most 48 tokens a response",
    criteria="one to five criteria",
    source="composed",
    world="composed",
    policy=SMOLLM2,
    sampling=SAMPLING | {"max_response_tokens": 48, "max_prompt_tokens": 256},
    tokenizer=partial(load_tokenizer, SMOLLM2),
    model=partial(load_causal_lm, SMOLLM2),
    discriminator=text_discriminator,
)


def _trainer(folder: str, beta: float, steps: int, prompts: int, place: Place = MICRO) -> RTTGRPOTrainer:
    """A trainer as runs have it, with the fast sampler and a learning rate of 0: all arms answer with the same text at
    every step."""
    from rtt_lib import profile as settings
    from rtt_lib.methods.arms import find_arm
    from rtt_lib.methods.rl import trainer_of
    from rtt_lib.methods.task import Task
    from rtt_lib.worlds import open_world

    rl = settings.RL(steps=steps + WARM_UP, prompts_per_step=prompts, learning_rate=0.0, **place.sampling)
    models = settings.Policy(place.policy), settings.Discriminator(place.policy)
    fast = settings.Compute(sampler="fast")
    profile = settings.Profile("speed", "", settings.Data(place.source), *models, rl, compute=fast)
    tokenizer, world, model = place.tokenizer(), open_world(profile, place.world), place.model()
    arm = replace(find_arm("RTT-CSR oracle"), beta=beta)
    questions, _ = world.prompts(0, tokenizer)
    trainer = trainer_of(Task(arm, rl, profile.compute, "A0", world, model, tokenizer, questions, Path(folder)))
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    trainer.batches = iter(trainer.get_train_dataloader())
    return trainer


def _rollout_step(trainer: RTTGRPOTrainer, seed: int) -> None:
    """Generate, score, two minibatches with their optimizer steps, log: what `trainer.train()` does once a rollout."""
    torch.manual_seed(seed)
    for _ in range(trainer.args.steps_per_generation):
        trainer.training_step(trainer.model, next(trainer.batches), None)
        trainer._get_grad_norm(trainer.model, trainer._clip_grad_norm(trainer.model))
        trainer.optimizer.step()
        trainer.model.zero_grad()
    trainer.log({})


@dataclass
class Clock:
    """Seconds spent in the functions that were wrapped, by name."""

    spent: dict[str, float] = field(default_factory=dict)

    def wrap(self, name: str, work: Callable) -> Callable:
        def timed(*positional: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*positional, **named)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started

        return timed


def whole_step(steps: int = 50, prompts: int = 16, place: Place = MICRO) -> None:
    """Prints where the time of a step goes, for GRPO and for RTT-GRPO with each kind of discriminator.

    The three take each step in turn, on the same responses; a ratio is the median over the steps of one time through
    GRPO's time at that step.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainers = {"GRPO": _trainer(folder, 0.0, steps, prompts, place)}
        for name, kind in KINDS.items():
            trainers[f"RTT, {name}"] = trainer = _trainer(folder, 0.5, steps, prompts, place)
            trainer.relevance = DiscriminatorSource(place.discriminator(kind))
        clocks = {name: watched(trainer) for name, trainer in trainers.items()}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in trainers}
        for number in range(steps + WARM_UP):
            for name, trainer in trainers.items():
                clocks[name].spent = {}
                whole = seconds(partial(_rollout_step, trainer, number))
                if number >= WARM_UP:
                    times[name].append(parts_of(whole, clocks[name].spent))
    responses = prompts * trainers["GRPO"].num_generations
    about = f"{responses} responses a step, {place.criteria} each, median of {steps} steps, parts in % of the step"
    print(f"{place.about}, {about}; {this_machine()}\n")
    print(markdown_table(step_table(times)))


def watched(trainer: RTTGRPOTrainer) -> Clock:
    """The parts of this trainer's step are timed from now on."""
    clock = Clock()
    parts = {"_generate": "generation", "_verify": "verification", "_token_advantage": "credit",
             "relevance": "relevance", "_generate_and_score_completions": "scored"}  # fmt: skip
    for attribute, name in parts.items():
        if getattr(trainer, attribute) is not None:
            setattr(trainer, attribute, clock.wrap(name, getattr(trainer, attribute)))
    return clock


def parts_of(whole: float, spent: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part, `update` and `rest` by difference. The update is what follows the scored rollouts."""
    inner = {name: spent.get(name, 0.0) for name in ("generation", "verification", "relevance", "credit")}
    rest = spent["scored"] - sum(inner.values())
    return {"whole": whole, **inner, "update": whole - spent["scored"], "rest": rest}


def step_table(times: Mapping[str, Sequence[Mapping[str, float]]]) -> pd.DataFrame:
    """One row a trainer, of the seconds of its steps' parts; the first one is what the others are compared with."""
    reference = [step["whole"] for step in next(iter(times.values()))]
    rows = []
    for name, steps in times.items():
        ratio = median(step["whole"] / other for step, other in zip(steps, reference, strict=True))
        row = {"step": name, "ms": 1000 * median(step["whole"] for step in steps), "of GRPO's": ratio}
        parts = (part for part in steps[0] if part != "whole")
        rows.append(row | {part: 100 * median(step[part] / step["whole"] for step in steps) for part in parts})
    return pd.DataFrame(rows)
