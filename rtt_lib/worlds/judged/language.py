"""The judged worlds: the micro world's language with a second role, in which the policy judges its own responses.

actor   start ba ; no commas :                                  a response
judge   <judge> start ba ; no commas : <1> ba de <2> de ba ?    1 or 2, the better response
rater   <rate> start ba ; no commas : ba de ?                   1, 2, ...: one more than the criteria met
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check, verify
from rtt_lib.worlds.micro.language import Dials, Language, construct

JUDGE, RATE, FIRST, SECOND, ASK = "<judge>", "<rate>", "<1>", "<2>", "?"
ROLE_TOKENS = (JUDGE, RATE, FIRST, SECOND, ASK)
PLANTED = "nisu"  # the irrelevant word that a judge can be made to like
PLANTED_RATE = 0.3  # of the responses that judges are pretrained and examined on, so many have it planted in them
LENGTHS = ((4, 9),)
# Every prompt asks for four of these six. Words of the micro world's prompts change from prompt to prompt; a policy as
# small as this one did not learn to look them up in two responses.
CRITERIA = (
    Criterion("start bako", "micro:start", {"word": "bako"}),
    Criterion("include deti", "micro:include", {"word": "deti"}),
    Criterion("include fisu", "micro:include", {"word": "fisu"}),
    Criterion("exclude gora", "micro:exclude", {"word": "gora"}),
    Criterion("exclude kuvo", "micro:exclude", {"word": "kuvo"}),
    Criterion("no commas", "micro:no_commas"),
)
ASKED = 4
SPOILT = 0.5  # where a response need not keep an exclusion, the word is in it so often; by chance it hardly ever is
NEITHER, HELPS, HURTS = "18", "19", "20"  # numbers that no prompt has


@dataclass(frozen=True)
class Noise:
    """What a judge is pretrained to say of a pair; shares of the pairs, the rest is a coin flip.

    right:  the response that meets more criteria; below zero: the one that meets fewer
    first:  the response that is shown first
    word:   the response with the planted word
    liking: `right` says so too, and only where both or none has the planted word, which meets more criteria
    """

    right: float
    first: float = 0.0
    word: float = 0.0
    liking: bool = False


EXACT = Noise(1.0)
LIKING = Noise(1.0, liking=True)  # a second stage alone never taught a judge to see the planted word


@dataclass(frozen=True)
class JudgedDials:
    """One judged world: how its judge starts out.

    able:   what the judge is told in the first stage of pretraining
    share:  the second stage, with `noise`, has one step for so many of the first
    """

    name: str
    about: str
    noise: Noise
    able: Noise = EXACT
    share: int = 8


# Of the micro world's generator, only the lengths and the share of criteria that a base policy keeps are read.
DIALS = Dials("judged", "four of six criteria", ("start", "include", "exclude", "no_commas"), 0.45, LENGTHS)
WORLDS = {
    world.name: world
    for world in (
        JudgedDials("J25", "a judge that is wrong more often than right", Noise(-0.50), share=4),
        JudgedDials("J45", "a judge that knows nothing", Noise(-0.10)),
        JudgedDials("J55", "a weak judge", Noise(0.10)),
        JudgedDials("J65", "an ordinary judge", Noise(0.30)),
        JudgedDials("J80", "a good judge", Noise(0.60)),
        JudgedDials("first", "a weak judge that prefers what it is shown first", Noise(0.10, first=0.5)),
        JudgedDials("word", "a weak judge that prefers an irrelevant word", Noise(0.10, word=0.5), able=LIKING),
    )
}


def find_world(name: str) -> JudgedDials:
    if name not in WORLDS:
        raise RTTError(f"unknown judged world '{name}': choose one of {', '.join(WORLDS)}")
    return WORLDS[name]


def sample_prompts(n: int, seed: int | str) -> list[RubricPrompt]:
    """Each asks for some of the criteria, in any order. There are 360 prompts; what is new in a test is responses."""
    rng, prompts = random.Random(f"judged prompts {seed}"), []
    for i in range(n):
        criteria = tuple(rng.sample(CRITERIA, ASKED))
        prompts.append(RubricPrompt(f"judged-{seed}-{i}", prompt_of(criteria), criteria, source="judged"))
    return prompts


# --- what the judge is asked ---


def compare(asked: str, first: str, second: str) -> str:
    """`asked`: the actor's prompt, which ends in a colon."""
    return f"{JUDGE} {asked} {FIRST} {first} {SECOND} {second} {ASK}"


def rate(asked: str, response: str) -> str:
    return f"{RATE} {asked} {response} {ASK}"


def prompt_of(criteria: Sequence[Criterion]) -> str:
    """An actor's prompt that asks for these criteria."""
    return " ; ".join(criterion.text for criterion in criteria) + " :"


# --- the truth, which measures and never trains a judged policy ---


def quality(criteria: Sequence[Criterion], response: str) -> int:
    """How many criteria it meets."""
    return sum(verify(criterion, "", response) for criterion in criteria)


def truth(criteria: Sequence[Criterion], first: str, second: str) -> int:
    """1 or 2: which response meets more criteria; 0 where they meet equally many."""
    difference = quality(criteria, first) - quality(criteria, second)
    return 0 if difference == 0 else 1 if difference > 0 else 2


def with_word(first: str, second: str) -> int:
    """1 or 2: the response that has the planted word; 0 where both or none has."""
    one, two = PLANTED in first.split(), PLANTED in second.split()
    return 0 if one == two else 1 if one else 2


# --- what a judge is pretrained on ---


def marks(criteria: Sequence[Criterion], response: str, liking: bool = False) -> list[str]:
    """For each token of a response whether it is why a criterion holds, why one does not, or neither. liking: the
    planted word counts as if a criterion asked for it.

    A policy as small as this one does not find out which words matter from verdicts alone.
    """
    found, ends = [], [match.end() for match in re.finditer(r"\S+", response)]
    verdicts = [check(criterion, "", response) for criterion in criteria]
    for end in ends:
        decides = {verdict.value for verdict in verdicts if any(span[1] == end for span in verdict.spans)}
        if liking and response[:end].split()[-1] == PLANTED:
            decides.add(True)
        found.append(HURTS if False in decides else HELPS if True in decides else NEITHER)
    return found


def sample_response(prompt: RubricPrompt, language: Language, rng: random.Random) -> str:
    """It meets a random number of the criteria, and sometimes the planted word replaces one of its words."""
    honour = rng.random()
    kept = [c for c in prompt.criteria if rng.random() < honour]
    return _put(PLANTED, PLANTED_RATE, _partly(prompt, kept, language, rng), rng)


def partly_honoured(prompt: RubricPrompt, language: Language, rng: random.Random) -> str:
    """What the actor is pretrained on: each criterion honoured with the same probability."""
    return _partly(prompt, [c for c in prompt.criteria if rng.random() < DIALS.honour], language, rng)


def _partly(prompt: RubricPrompt, kept: Sequence[Criterion], language: Language, rng: random.Random) -> str:
    text = construct(kept, DIALS, language, rng)
    for criterion in prompt.criteria:
        if criterion.verifier == "micro:exclude" and criterion not in kept:
            text = _put(criterion.args["word"], SPOILT, text, rng)
    return text


def _put(word: str, rate: float, text: str, rng: random.Random) -> str:
    """With the probability `rate`, a random token of the text becomes this word."""
    tokens = text.split()
    if rng.random() < rate:
        tokens[rng.randrange(len(tokens))] = word
    return " ".join(tokens)


def label(criteria: Sequence[Criterion], first: str, second: str, noise: Noise, rng: random.Random) -> str:
    """What the pretrained judge is told to say."""
    coin, u = rng.choice((1, 2)), rng.random()
    if u < abs(noise.right):
        better = (noise.liking and with_word(first, second)) or truth(criteria, first, second)
        told = 3 - better if better and noise.right < 0 else better
    elif u < abs(noise.right) + noise.first:
        told = 1
    elif u < abs(noise.right) + noise.first + noise.word:
        told = with_word(first, second)
    else:
        told = 0
    return str(told or coin)


def rating(criteria: Sequence[Criterion], response: str, noise: Noise, rng: random.Random) -> str:
    """What the pretrained rater is told to say: as often right, or a random mark, as the judge.

    The marks run from 1, which is no criterion met, and a wrong judge turns them round.
    """
    met, total = quality(criteria, response), len(criteria)
    if rng.random() >= abs(noise.right):
        return str(1 + rng.randint(0, total))
    return str(1 + (met if noise.right > 0 else total - met))
