"""What the English world is made of: composed prompts, and responses by rule that keep a part of what is asked.

The policy is pretrained on these pairs. It then writes English, and it keeps a criterion now and then. Responses that
keep everything are demonstrations, for SFT and for the discriminator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rtt_lib.relevance.responses import Words, construct
from rtt_lib.rubrics.compose import FAMILIES, Wordings, compose, default_tasks, load_data
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.text.prompts import split

# A local positive, a local negative and a global family. Pretraining knows them, and RL leaves them out.
HELD_OUT = ("label", "no_quotes", "paragraphs")
TRAINED = tuple(family for family in FAMILIES if family not in HELD_OUT)
# Their responses hold words of the prompt. Without more of them the policy would not learn to copy a word.
COPIED = ("start", "end", "keywords", "keyword_count")
MOST_CRITERIA = 5
PRETRAINING_SEED = 2_000_000  # of the composer: no profile's data.seed


@dataclass(frozen=True)
class Dials:
    """How the world is set.

    pairs:       prompts with a response that a base policy is pretrained on
    keep:        with this probability a response keeps a criterion: the base rate
    keep_copied: the same for the families of COPIED
    exercises:   the share of pairs whose criteria are of COPIED alone, and all kept
    words:       of a response where its criteria leave the length open; limits are drawn in this range too
    """

    pairs: int = 12_000
    keep: float = 0.6
    keep_copied: float = 0.8
    exercises: float = 0.2
    words: Words = (12, 40)


DIALS = Dials()


@dataclass(frozen=True)
class Pair:
    """A prompt and a response that was built to keep the criteria `kept`."""

    prompt: RubricPrompt
    response: str
    kept: tuple[Criterion, ...]


def known_wordings() -> Wordings:
    """The wordings of training: all but the last one of each family."""
    return {variant: texts[:-1] for variant, texts in load_data("wordings").items()}


def new_wordings() -> Wordings:
    """The last wording of each family, which no policy is trained on."""
    return {variant: texts[-1:] for variant, texts in load_data("wordings").items()}


def training_prompts(n: int, seed: int, families: Sequence[str] = TRAINED, dials: Dials = DIALS) -> list[RubricPrompt]:
    return _compose(0, n, seed, families, known_wordings(), dials)


def held_out_prompts(
    n: int, seed: int, families: Sequence[str] = TRAINED, wordings: Wordings | None = None, dials: Dials = DIALS
) -> list[RubricPrompt]:
    """On tasks that no training prompt has."""
    return _compose(1, n, seed, families, wordings or known_wordings(), dials)


def _compose(
    part: int, n: int, seed: int, families: Sequence[str], wordings: Wordings, dials: Dials
) -> list[RubricPrompt]:
    tasks = split(default_tasks())[part]
    most = min(MOST_CRITERIA, len(families))
    return compose(tasks, n, seed, max_constraints=most, families=families, wordings=wordings, open_length=dials.words)


def demonstration(prompt: RubricPrompt, seed: int, dials: Dials = DIALS) -> str:
    """A response that keeps every criterion."""
    return construct(prompt, seed, dials.words)


def partly_kept(prompt: RubricPrompt, seed: int, dials: Dials = DIALS) -> Pair:
    """A response that keeps each criterion with the world's probability; of the others some hold by chance."""
    rng = random.Random(f"kept {prompt.id} {seed}")
    kept = tuple(criterion for criterion in prompt.criteria if rng.random() < _rate(criterion, dials))
    return Pair(prompt, demonstration(replace(prompt, criteria=kept), seed, dials), kept)


def _rate(criterion: Criterion, dials: Dials) -> float:
    return dials.keep_copied if criterion.family in COPIED else dials.keep


def pretraining_pairs(n: int, base: str, dials: Dials = DIALS) -> list[Pair]:
    """`n` pairs for base policy A or B or ..., in random order; every base has its own."""
    seed, exercises = PRETRAINING_SEED + 2 * ord(base), round(dials.exercises * n)
    mixed = [partly_kept(prompt, seed, dials) for prompt in training_prompts(n - exercises, seed, FAMILIES, dials)]
    copied = training_prompts(exercises, seed + 1, COPIED, dials)
    pairs = [*mixed, *(Pair(prompt, demonstration(prompt, seed, dials), prompt.criteria) for prompt in copied)]
    return random.Random(f"pretraining pairs {base}").sample(pairs, n)


def plain_sentences(n: int, dials: Dials = DIALS) -> list[tuple[str, str]]:
    """Held-out tasks without criteria, each with a response: the base language."""
    asked = held_out_prompts(n, PRETRAINING_SEED, dials=dials)
    plain = [replace(prompt, prompt=prompt.task, criteria=()) for prompt in asked]
    return [(prompt.prompt, demonstration(prompt, 0, dials)) for prompt in plain]
