"""RL with a say in which prompts come when: fixed orders, a bandit over levels, a value filter, a scaffold.

The trainer is that of the other arms. A *chooser* names the prompts of each rollout step and is told how they went. The
level of a prompt is the number of its criteria. A run is short, so one that was killed starts again.

    bandit    a level is drawn by softmax of the mean absolute advantage that it gave lately (Self-Evolving Curriculum)
    filter    of four times as many prompts those that a value model puts nearest to one half (Prompt Curriculum
              Learning); the model is a logistic regression on the families of the criteria and their number
    scaffold  responses are sampled after a worked example, a part of the criteria with an answer that meets them, and
              learned without it (after RuscaRL); the part differs within a group and is gone after a fifth of the run
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from scipy.special import expit
from torch.utils.data import Sampler
from transformers import PrinterCallback

from rtt_lib.methods.conversations import teaching
from rtt_lib.methods.fast_rollouts import FastRTTGRPOTrainer
from rtt_lib.methods.records import REWARDS
from rtt_lib.methods.rl import config, relevance_source
from rtt_lib.methods.rtt_grpo import RTTGRPOTrainer, rubric_dataset
from rtt_lib.methods.task import Task, per_rollout_step, save_policy
from rtt_lib.methods.turns import Turn, encode
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.teaching import LEVELS

RATE, TEMPERATURE = 0.5, 0.2  # of the bandit, our choice: how fast it forgets, how much it explores
CANDIDATES = 4  # our choice: prompts a value model chooses from for each that it takes
STEP_SIZE, PASSES = 0.5, 4  # of the value model, our choice
STEEPNESS, MIDDLE = 125, 0.2  # RuscaRL's: how fast the scaffold goes, and at which part of the run


class Chooser(Protocol):
    def choose(self, n: int) -> list[int]:
        """The places of the next `n` prompts."""

    def learn(self, places: Sequence[int], rewards: Sequence[Sequence[float]], met: Sequence[float]) -> None:
        """rewards: of each response to each of these prompts; met: the share of them that meets every criterion."""


class InOrder:
    """Every prompt once, in a given order."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = iter(order)

    def choose(self, n: int) -> list[int]:
        return list(itertools.islice(self._order, n))

    def learn(self, places: Sequence[int], rewards: Sequence[Sequence[float]], met: Sequence[float]) -> None:
        pass


class Bandit:
    """values: level -> how much it taught lately."""

    def __init__(self, prompts: Sequence[RubricPrompt], number: int) -> None:
        self._levels = [level_of(prompt) for prompt in prompts]
        places = {level: [n for n, own in enumerate(self._levels) if own == level] for level in set(self._levels)}
        self._pools = {level: itertools.cycle(places[level]) for level in sorted(places)}
        self._rng = random.Random(f"bandit {number}")
        self.values = dict.fromkeys(self._pools, 0.0)

    def choose(self, n: int) -> list[int]:
        weights = [np.exp(value / TEMPERATURE) for value in self.values.values()]
        return [next(self._pools[level]) for level in self._rng.choices(list(self.values), weights, k=n)]

    def learn(self, places: Sequence[int], rewards: Sequence[Sequence[float]], met: Sequence[float]) -> None:
        taught = defaultdict(list)
        for place, group in zip(places, rewards, strict=True):
            taught[self._levels[place]].append(absolute_advantage(group))
        for level, found in taught.items():
            self.values[level] += RATE * (fmean(found) - self.values[level])


class ValueFilter:
    """weights [F]: of the value model, a logistic regression."""

    def __init__(self, prompts: Sequence[RubricPrompt], number: int) -> None:
        self._features = features(prompts)
        self._stream = itertools.cycle(range(len(prompts)))
        self.weights = np.zeros(self._features.shape[1])

    def values(self, places: Sequence[int]) -> np.ndarray:
        """The chance that a response meets every criterion, of each of these prompts."""
        return expit(self._features[list(places)] @ self.weights)

    def choose(self, n: int) -> list[int]:
        seen = list(itertools.islice(self._stream, CANDIDATES * n))
        nearest = np.argsort(np.abs(self.values(seen) - 0.5), kind="stable")[:n]
        return [seen[k] for k in nearest]

    def learn(self, places: Sequence[int], rewards: Sequence[Sequence[float]], met: Sequence[float]) -> None:
        x, target = self._features[list(places)], np.asarray(met)
        for _ in range(PASSES):
            self.weights += STEP_SIZE * x.T @ (target - self.values(places)) / len(target)


def level_of(prompt: RubricPrompt) -> int:
    return len(prompt.criteria)


def features(prompts: Sequence[RubricPrompt]) -> np.ndarray:
    """[N, F]: one, the number of criteria, and which families they are of."""
    families = sorted({criterion.family for prompt in prompts for criterion in prompt.criteria})
    rows = []
    for prompt in prompts:
        own = {criterion.family for criterion in prompt.criteria}
        rows.append([1.0, level_of(prompt) / len(LEVELS), *(float(family in own) for family in families)])
    return np.array(rows)


def absolute_advantage(rewards: Sequence[float]) -> float:
    """The mean size of GRPO's advantage in a group."""
    group = np.asarray(rewards, float)
    return float(np.abs((group - group.mean()) / (group.std(ddof=1) + 1e-4)).mean())


def chooser_of(kind: str, prompts: Sequence[RubricPrompt], number: int) -> Chooser:
    match kind:
        case "bandit":
            return Bandit(prompts, number)
        case "filter":
            return ValueFilter(prompts, number)
    places = list(range(len(prompts)))
    if kind != "scaffold":
        places.sort(key=lambda place: level_of(prompts[place]), reverse=kind == "reversed")
    return InOrder(places)


class ChosenPrompts(Sampler[int]):
    """The places that a chooser names, `steps` times `n` of them, repeated as GRPO's sampler repeats them.

    A batch is chosen when the trainer asks for it, which is after the responses of the batch before have been judged.
    """

    def __init__(self, chooser: Chooser, steps: int, n: int, group: int, times: int) -> None:
        self._chooser, self._steps, self._n, self._group, self._times = chooser, steps, n, group, times

    def __iter__(self) -> Iterator[int]:
        for _ in range(self._steps):
            batch = [place for place in self._chooser.choose(self._n) for _ in range(self._group)]
            for _ in range(self._times):
                yield from batch

    def __len__(self) -> int:
        return self._steps * self._n * self._group * self._times


class Curriculum:
    """A class that names this before an RTT-GRPO trainer among its bases trains on what a chooser names."""

    def __init__(self, *positional: Any, task: Task, **kwargs: Any) -> None:
        self._task, self._chooser = task, chooser_of(task.arm.curriculum, task.prompts, task.number)
        self._places: list[int] = []
        super().__init__(*positional, **kwargs)

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        times = self.num_iterations * self.args.steps_per_generation
        n = self.args.generation_batch_size // self.num_generations
        return ChosenPrompts(self._chooser, self._task.rl.steps, n, self.num_generations, times)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._places = [row["place"] for row in inputs]
        output = super()._generate_and_score_completions(inputs)
        self._tell_the_chooser()
        return output

    def _tell_the_chooser(self) -> None:
        size, score = self.num_generations, REWARDS[self.args.response_reward]
        verdicts = [[verdict.value for verdict in row] for row in self._verified["verdicts"]]
        rewards, met = ([how(row) for row in verdicts] for how in (score, REWARDS["aon"]))
        groups = range(0, len(verdicts), size)
        places = self._places[::size]
        self._chooser.learn(places, [rewards[i : i + size] for i in groups], [fmean(met[i : i + size]) for i in groups])
        self._log_metrics({"curriculum/level": fmean(level_of(self._task.prompts[place]) for place in places)})

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any) -> tuple:
        """Sampled with the scaffold; the trainer keeps the ids of the bare prompts, on which it learns."""
        if self._task.arm.curriculum == "scaffold":
            prompt_ids = [self._scaffolded(n, ids) for n, ids in enumerate(prompt_ids)]
        return super()._generate_single_turn(prompt_ids, *rest)

    def _scaffolded(self, n: int, ids: list[int]) -> list[int]:
        share = shown(self.state.global_step / self.state.max_steps, n % self.num_generations, self.num_generations)
        prompt = self._task.prompts[self._places[n]]
        example = teaching(self._task.world).worked_example(prompt, share, self._task.number)
        if example is None:
            return ids
        turns = [Turn("user", example[0]), Turn("assistant", example[1])]
        return encode(turns, self._task.tokenizer, chat=False).ids + ids


def shown(progress: float, place: int, size: int) -> float:
    """The share of the criteria in the example before response number `place` of a group: all for the first, none for
    the last, and for all of them none soon after a fifth of the run."""
    return float(expit(-STEEPNESS * (progress - MIDDLE))) * (size - 1 - place) / (size - 1)


class CurriculumTrainer(Curriculum, RTTGRPOTrainer):
    """`RTTGRPOTrainer` on chosen prompts."""


class FastCurriculumTrainer(Curriculum, FastRTTGRPOTrainer):
    """The same with fast rollouts."""


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log, one row per rollout step."""
    trainer = trainer_of(task)
    trainer.train()
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)


def trainer_of(task: Task) -> RTTGRPOTrainer:
    kind = FastCurriculumTrainer if task.compute.sampler == "fast" else CurriculumTrainer
    rows = [row | {"place": place} for place, row in enumerate(rubric_dataset(task.prompts, task.chat))]
    args = config(task)
    args.save_strategy = "no"
    trainer = kind(
        task.model,
        task=task,
        verifier=task.world.verifier(),
        relevance=None if task.arm.response_only else relevance_source(task),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=task.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
