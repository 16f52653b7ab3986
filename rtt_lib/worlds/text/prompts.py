"""The prompts of a world of text: for training, held-out ones on other tasks, benchmarks; without a criterion."""

from __future__ import annotations

import logging
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rtt_lib.bench.benchmarks import benchmark_files, prompts_of
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.profile import Profile
from rtt_lib.rubrics import sources
from rtt_lib.rubrics.compose import Task, compose, default_tasks, read_tasks
from rtt_lib.rubrics.decontaminate import decontaminate
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds import GIVEN

log = logging.getLogger(__name__)

HELD_OUT_PROMPTS = 512  # unless `evaluation.prompts` says fewer
HELD_OUT_SEED = 1_000_000  # of the composer: no profile's data.seed
EVERY = 10  # every tenth task is held out


def split_tasks(profile: Profile) -> tuple[list[Task], list[Task]]:
    """The tasks that training prompts are composed of, and those of the held-out prompts."""
    data = profile.data
    own = data.source == "composed" and data.path and Path(data.path).is_file()
    return split(read_tasks(data.path) if own else default_tasks())


def split(tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """Tasks for training, and held-out ones."""
    return [task for n, task in enumerate(tasks) if n % EVERY], list(tasks[::EVERY])


def held_out_prompts(profile: Profile) -> list[RubricPrompt]:
    """Composed prompts on tasks that no training prompt has; the same for every run."""
    n = min(profile.evaluation.prompts or HELD_OUT_PROMPTS, HELD_OUT_PROMPTS)
    return compose(split_tasks(profile)[1], n, HELD_OUT_SEED)


def benchmark_prompts(profile: Profile) -> tuple[dict[str, list[RubricPrompt]], dict[str, str]]:
    """What every benchmark that can be had is evaluated on; why the others cannot be had."""
    found, missing = whole_benchmarks(profile)
    return {name: some(prompts, profile.evaluation.prompts) for name, prompts in found.items()}, missing


def whole_benchmarks(profile: Profile) -> tuple[dict[str, list[RubricPrompt]], dict[str, str]]:
    """All prompts of every benchmark that can be had, from its file or the hub; why the others cannot."""
    files, found, missing = benchmark_files(profile), {}, {}
    for name in profile.evaluation.benchmarks:
        try:
            prompts = prompts_of(name, files)
        except RTTError as error:
            missing[name] = str(error)
            print(f"benchmark {name} is left out: {error}", file=sys.stderr, flush=True)
        else:
            found[name] = prompts
    return found, missing


def some(prompts: Sequence[RubricPrompt], n: int | None) -> list[RubricPrompt]:
    """`n` of them, always the same ones, in their order."""
    if n is None or n >= len(prompts):
        return list(prompts)
    return [prompts[k] for k in sorted(random.Random("benchmark prompts").sample(range(len(prompts)), n))]


def training_prompts(
    profile: Profile, number: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[RubricPrompt], int]:
    """The prompts in the order of training; how many were too long."""
    return in_training_order(prompt_pool(profile), profile, number, tokenizer)


def in_training_order(
    pool: Sequence[RubricPrompt], profile: Profile, number: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[RubricPrompt], int]:
    """As many as a run needs, every epoch shuffled anew by the run's number; how many of the pool were too long."""
    rl = profile.rl
    kept = [prompt for prompt in pool if fits(prompt, rl.max_prompt_tokens, tokenizer)]
    if not kept:
        raise RTTError(
            f"profile {profile.name}: every training prompt is longer than rl.max_prompt_tokens = "
            f"{rl.max_prompt_tokens}"
        )
    wanted, rng, ordered = rl.steps * rl.prompts_per_step, random.Random(f"train {number}"), []
    while len(ordered) < wanted:
        ordered += rng.sample(kept, len(kept))
    return ordered[:wanted], len(pool) - len(kept)


def fits(prompt: RubricPrompt, most: int, tokenizer: PreTrainedTokenizerBase) -> bool:
    return len(prompt_ids(prompt, tokenizer)) <= most


def prompt_pool(profile: Profile) -> list[RubricPrompt]:
    """The prompts to train on. For prompts of other people's data a message says what they share with the benchmarks;
    all are kept.

    A data set made after a benchmark shares its wordings everywhere, and a comparison cannot tell these from its tasks.
    """
    data = profile.data
    if data.source == "composed":
        return compose(split_tasks(profile)[0], data.train_prompts, data.seed)
    if data.source in GIVEN:
        found = [prompt for prompt, _ in given_answers(profile)]
    else:
        found = sources.load(data.source, data.path, seed=data.seed)  # in the file's order, which may be by kind
    pool = random.Random(f"pool {data.seed}").sample(found, min(data.train_prompts, len(found)))
    tested = [prompt for prompts in whole_benchmarks(profile)[0].values() for prompt in prompts]
    print(decontaminate(pool, tested), flush=True)
    return pool


def given_answers(profile: Profile) -> list[tuple[RubricPrompt, str]]:
    """Every answer of the data's conversations with what was said before it."""
    conversations = sources.load(profile.data.source, profile.data.path)
    return [example for conversation in conversations for example in conversation.examples()]


def check_that_criteria_can_be_withheld(prompts: Sequence[RubricPrompt]) -> None:
    """Refuse a prompt that does not state its criteria: it is the same without them, so all credit would be zero."""
    distinct = {prompt.id: prompt for prompt in prompts}.values()
    stated = [criterion.text in prompt.prompt for prompt in distinct for criterion in prompt.criteria]
    if not any(stated):
        raise RTTError(
            f"counterfactual relevance withholds a criterion from its prompt, but none of the {len(stated)} criteria "
            "stands in its prompt word for word: choose another arm, this one would be plain RL"
        )
    if not all(stated):
        log.warning(
            "%d of %d criteria do not stand in their prompts word for word and get no token credit: counterfactual "
            "relevance cannot withhold them",
            stated.count(False),
            len(stated),
        )


def without_criterion(prompt: str, criterion: Criterion) -> str:
    """The prompt that no longer asks for `criterion`, its bullet or number taken away with it."""
    alone = re.compile(rf"^(?:- |\d+\) )?{re.escape(criterion.text)}(?:\n|\Z)", re.MULTILINE)
    shorter, found = alone.subn("", prompt, count=1)
    return shorter if found else prompt.replace(criterion.text, "", 1)
