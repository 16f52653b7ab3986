"""The micro world: a closed little language in which the tokens responsible for every constraint are known.

Forty words and a comma; a base language (a random Markov chain); prompts of five constraints of different
families; a constructor that writes a response honouring any chosen subset of them. Everything is seeded.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify.micro import COMMA

FIRST = ("ba", "de", "fi", "go", "ku", "la", "me", "ni")
SECOND = ("ko", "ra", "su", "ti", "vo")
WORDS = tuple(a + b for a, b in itertools.product(FIRST, SECOND))
# The words of the criteria's own wordings: with WORDS, the comma and numbers, all that a tokenizer needs.
GRAMMAR = ("start", "end", "include", "exclude", "no", "commas", "exactly", "at", "least", "most", "words", ";", ":")
MAX_WORDS = 20

FAMILIES = ("start", "end", "include", "exclude", "no_commas", "exactly", "at_least", "length")
LOCAL = ("start", "end", "include", "exclude", "no_commas", "length")


@dataclass(frozen=True)
class Dials:
    """What makes one micro world.

    families:  what prompts ask for; five (or all, if fewer) of different families a prompt
    honour: probability that a text of the base policy's pretraining honours a constraint; a low one makes rewards
    sparse
    lengths:   ranges of words of the base language's sentences, one drawn per sentence
    """

    name: str
    about: str
    families: tuple[str, ...]
    honour: float
    lengths: tuple[tuple[int, int], ...] = ((6, 20),)


WORLDS = {
    world.name: world
    for world in (
        Dials("L", "local constraints and one length", LOCAL, 0.45),
        Dials("S", "as L, from a weaker base: sparse AON", LOCAL, 0.30),
        Dials("M", "local and counting constraints", FAMILIES, 0.45),
        Dials("U", "local constraints, very unequal lengths", LOCAL[:5], 0.45, ((3, 5), (16, 20))),
        # The out-of-domain probe: families that L, S and U do not train on (M does).
        Dials("O", "counting constraints only", ("exactly", "at_least"), 0.45),
    )
}


TRAINED_IN = ("L", "S", "M", "U")


def find_world(name: str) -> Dials:
    if name not in WORLDS:
        raise RTTError(f"unknown micro world '{name}': choose one of {', '.join(WORLDS)}")
    return WORLDS[name]


def tokens_of_the_language() -> list[str]:
    """Every token a micro tokenizer must know, the two special ones aside."""
    return [*WORDS, COMMA, *GRAMMAR, *(str(n) for n in range(1, MAX_WORDS + 1))]


class Language:
    """The base language: a Markov chain with a few likely successors per word, and some commas."""

    def __init__(self, seed: int = 0, successors: int = 6, comma_rate: float = 0.12):
        rng = random.Random(f"language {seed}")
        self.comma_rate = comma_rate
        self.successors = {word: rng.sample(WORDS, successors) for word in WORDS}

    def words(self, n: int, rng: random.Random) -> list[str]:
        words = [rng.choice(WORDS)]
        while len(words) < n:
            # One word in ten is drawn at random, so that every word can follow every other.
            words.append(rng.choice(WORDS if rng.random() < 0.1 else self.successors[words[-1]]))
        return words

    def punctuate(self, words: Sequence[str], rng: random.Random) -> str:
        """Join with spaces, a comma after some words but the last."""
        text = [words[0]]
        for word in words[1:]:
            if rng.random() < self.comma_rate:
                text.append(COMMA)
            text.append(word)
        return " ".join(text)


def _criterion(family: str, word: str, rng: random.Random) -> Criterion:
    if family == "no_commas":
        return Criterion("no commas", "micro:no_commas")
    if family == "exactly":
        n = rng.choice((1, 2, 3))
        return Criterion(f"exactly {n} {word}", "micro:exactly", {"word": word, "n": n})
    if family == "at_least":
        n = rng.choice((2, 3))
        return Criterion(f"at least {n} {word}", "micro:at_least", {"word": word, "n": n})
    if family == "length":
        bound, n = rng.choice((("most", 8), ("most", 10), ("most", 12), ("least", 10), ("least", 13), ("least", 16)))
        return Criterion(f"at {bound} {n} words", f"micro:at_{bound}_words", {"n": n})
    return Criterion(f"{family} {word}", f"micro:{family}", {"word": word})


def _needed_words(criteria: Sequence[Criterion]) -> int:
    """The words that the constraints pin: distinct arguments, so they cannot share one."""
    pinned = {"micro:start": 1, "micro:end": 1, "micro:include": 1}
    return sum(pinned.get(c.verifier, c.args.get("n", 0) if "word" in c.args else 0) for c in criteria)


def _length_range(criteria: Sequence[Criterion]) -> tuple[int, int]:
    low, high = max(1, _needed_words(criteria)), MAX_WORDS
    for criterion in criteria:
        if criterion.verifier == "micro:at_most_words":
            high = criterion.args["n"]
        if criterion.verifier == "micro:at_least_words":
            low = max(low, criterion.args["n"])
    return low, high


def sample_criteria(world: Dials, rng: random.Random) -> tuple[Criterion, ...]:
    """Five constraints of different families with different words, drawn again if they cannot all hold."""
    while True:
        families = rng.sample(world.families, min(5, len(world.families)))
        words = rng.sample(WORDS, len(families))
        criteria = tuple(_criterion(family, word, rng) for family, word in zip(families, words, strict=True))
        low, high = _length_range(criteria)
        if low <= high:
            return criteria


def sample_prompts(world: Dials, n: int, seed: int | str) -> list[RubricPrompt]:
    rng = random.Random(f"prompts {world.name} {seed}")
    prompts = []
    for i in range(n):
        criteria = sample_criteria(world, rng)
        text = " ; ".join(criterion.text for criterion in criteria) + " :"
        prompts.append(RubricPrompt(f"{world.name}-{seed}-{i}", text, criteria, source=f"micro:{world.name}"))
    return prompts


def construct(criteria: Sequence[Criterion], world: Dials, language: Language, rng: random.Random) -> str:
    """A sentence of the base language edited so that every one of `criteria` holds.

    Pass a subset of a prompt's constraints and the rest hold by chance alone.
    """
    low, high = _length_range(criteria)
    range_low, range_high = rng.choice(world.lengths)
    n = min(max(rng.randint(range_low, range_high), low), high)
    words = language.words(n, rng)
    pinned: dict[int, str] = {}
    ends = {"micro:start": 0, "micro:end": n - 1}
    for criterion in criteria:
        if criterion.verifier in ends:
            pinned[ends[criterion.verifier]] = criterion.args["word"]
    for criterion in criteria:
        if criterion.verifier in ("micro:include", "micro:exactly", "micro:at_least"):
            free = [place for place in range(n) if place not in pinned]
            for place in rng.sample(free, criterion.args.get("n", 1)):
                pinned[place] = criterion.args["word"]
    banned = {c.args["word"] for c in criteria if c.verifier in ("micro:exclude", "micro:exactly")}
    for place, word in enumerate(words):
        words[place] = pinned.get(place, word)
        while place not in pinned and words[place] in banned:
            words[place] = rng.choice(WORDS)
    commas_allowed = all(criterion.verifier != "micro:no_commas" for criterion in criteria)
    return language.punctuate(words, rng) if commas_allowed else " ".join(words)


def partly_honoured(prompt: RubricPrompt, world: Dials, language: Language, rng: random.Random) -> str:
    """What the base policy is pretrained on: each constraint honoured with the world's probability."""
    kept = [criterion for criterion in prompt.criteria if rng.random() < world.honour]
    return construct(kept, world, language, rng)
