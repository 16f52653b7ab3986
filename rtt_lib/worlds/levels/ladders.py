"""Levels by rule: a question asks for one criterion at level 1 and for five at level 5.

The steps of Conifer's pipeline, each by rule. The sampler of the micro world writes the criteria; levels are nested, or
swap one item from level to level. Some questions get a criterion that contradicts an earlier one. A filter removes such
levels, and errs at stated rates. A teacher answers what is left, and errs more often at the higher levels.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.worlds.micro.language import FAMILIES, MAX_WORDS, Dials, Language, construct, sample_criteria
from rtt_lib.worlds.teaching import LEVELS, Ladder, Rung

ASK = "<ask>"  # opens a user's turn
NUMBERS = ("exactly", "at_least", "length")  # families that ask for a count or a length
# No training prompt asks for both families of a pair; the test of unseen combinations does.
HELD_OUT = (("start", "at_least"), ("end", "exactly"))
HONOUR = 0.45  # how often a text of the base policy's pretraining honours a criterion
LANGUAGE = Dials("levels", "all families of the micro world", FAMILIES, HONOUR)
WITHOUT_NUMBERS = Dials("levels", "no counts, no lengths", tuple(f for f in FAMILIES if f not in NUMBERS), HONOUR)


@dataclass(frozen=True)
class Rules:
    """What makes one world of levels.

    nested:  a level keeps all that the level below asks for; else it swaps one item of it
    errors:  how often the teacher's answer at each level breaks a criterion
    planted: share of the questions with a contradiction at some level
    missed, refused: share of the unsatisfiable levels that the filter keeps, of the others that it removes
    """

    name: str
    about: str
    nested: bool = True
    errors: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2)
    planted: float = 0.2
    missed: float = 0.1
    refused: float = 0.05


WORLDS = {
    rules.name: rules
    for rules in (
        Rules("nested", "nested levels, a teacher that errs more at higher levels"),
        Rules("swapped", "the same, an item swapped from level to level", nested=False),
        Rules("exact", "nested levels, a teacher without errors", errors=(0.0,) * 5),
    )
}


def find_rules(name: str) -> Rules:
    if name not in WORLDS:
        raise RTTError(f"unknown world of levels '{name}': choose one of {', '.join(WORLDS)}")
    return WORLDS[name]


# --- criteria ---


def family_of(criterion: Criterion) -> str:
    """The family in the words of the sampler: both bounds of the length are one."""
    return "length" if criterion.family.endswith("_words") else criterion.family


def held_out(criteria: Iterable[Criterion]) -> bool:
    """Do they combine two families that training keeps apart?"""
    families = set(map(family_of, criteria))
    return any(families.issuperset(pair) for pair in HELD_OUT)


def draw(dials: Dials, rng: random.Random, unseen: bool = False) -> tuple[Criterion, ...]:
    """Five criteria that can hold together. unseen: with a held-out combination, else without one."""
    while held_out(criteria := sample_criteria(dials, rng)) != unseen:
        pass
    return criteria


def satisfiable(criteria: Sequence[Criterion], longest: int = MAX_WORDS) -> bool:
    """Is there a response of at most `longest` words that meets them all?"""
    firsts = {c.args["word"] for c in criteria if c.verifier == "micro:start"}
    lasts = {c.args["word"] for c in criteria if c.verifier == "micro:end"}
    if len(firsts) > 1 or len(lasts) > 1:
        return False
    low, high = 1, longest
    for criterion in criteria:
        if criterion.verifier == "micro:at_least_words":
            low = max(low, criterion.args["n"])
        if criterion.verifier == "micro:at_most_words":
            high = min(high, criterion.args["n"])
    return any(_fits(criteria, n, firsts & lasts) for n in range(low, high + 1))


def _fits(criteria: Sequence[Criterion], n: int, both_ends: set[str]) -> bool:
    """In a response of exactly `n` words. A word at both ends of more than one word occurs twice."""
    least, most = Counter(), {}
    for criterion in criteria:
        word, times = criterion.args.get("word"), criterion.args.get("n", 1)
        if word is None:
            continue
        if criterion.verifier == "micro:exclude":
            most[word] = 0
            continue
        least[word] = max(least[word], times)
        if criterion.verifier == "micro:exactly":
            most[word] = min(most.get(word, times), times)
    if n > 1:
        for word in both_ends:
            least[word] = max(least[word], 2)
    return sum(least.values()) <= n and all(least[word] <= bound for word, bound in most.items())


def contradiction(criteria: Sequence[Criterion], rng: random.Random) -> Criterion | None:
    """A criterion that cannot hold together with one of these; None where none of them can be contradicted."""
    found = [each for each in map(_opposite, criteria) if each is not None]
    return rng.choice(found) if found else None


def _opposite(criterion: Criterion) -> Criterion | None:
    n = criterion.args.get("n", 0)
    match criterion.verifier:
        case "micro:no_commas":
            return None
        case "micro:at_most_words":
            return Criterion(f"at least {n + 3} words", "micro:at_least_words", {"n": n + 3})
        case "micro:at_least_words":
            return Criterion(f"at most {n - 1} words", "micro:at_most_words", {"n": n - 1})
        case "micro:exclude":
            word = criterion.args["word"]
            return Criterion(f"include {word}", "micro:include", {"word": word})
    word = criterion.args["word"]
    return Criterion(f"exclude {word}", "micro:exclude", {"word": word})


# --- levels ---


def levels(criteria: Sequence[Criterion], nested: bool, rng: random.Random) -> list[tuple[Criterion, ...]]:
    """The criteria of every level: the first k, or, where levels are not nested, with one item swapped each time."""
    found, current = [], ()
    for criterion in criteria:
        if not nested and current:
            current = _with_one_swapped(current, criteria, rng)
        current = (*current, criterion)
        found.append(current)
    return found


def _with_one_swapped(
    current: tuple[Criterion, ...], criteria: Sequence[Criterion], rng: random.Random
) -> tuple[Criterion, ...]:
    """Another item of the same family for one of them; the words of the whole question stay different.

    `no commas` has no other item. What takes part in a contradiction is kept, so that the contradiction stays.
    """
    fixed = [pair for pair in ((criterion, _opposite(criterion)) for criterion in criteria) if pair[1] in criteria]
    places = [k for k, own in enumerate(current) if own.args and not any(own in pair for pair in fixed)]
    if not places:
        return current
    k = rng.choice(places)
    taken = {c.args.get("word") for c in (*current, *criteria)} - {None}
    only = Dials("one", "one family", (family_of(current[k]),), HONOUR)
    while True:
        (other,) = sample_criteria(only, rng)
        if other != current[k] and other.args.get("word") not in taken:
            return (*current[:k], other, *current[k + 1 :])


def with_contradiction(criteria: tuple[Criterion, ...], rng: random.Random) -> tuple[Criterion, ...]:
    """From a random level on, the question asks for the opposite of what an easier level asks for."""
    k = rng.randrange(1, len(criteria))
    other = contradiction(criteria[:k], rng)
    return criteria if other is None else (*criteria[:k], other, *criteria[k + 1 :])


def passes(criteria: Sequence[Criterion], rules: Rules, rng: random.Random) -> bool:
    """The filter's decision, right but for its stated errors."""
    return rng.random() < (1 - rules.refused if satisfiable(criteria) else rules.missed)


def as_prompt(id: str, criteria: Sequence[Criterion], world: str, rng: random.Random) -> RubricPrompt:
    """The criteria in a random order, which is all that rewording can be in this language."""
    shuffled = tuple(rng.sample(criteria, len(criteria)))
    text = f"{ASK} {' ; '.join(criterion.text for criterion in shuffled)} :"
    return RubricPrompt(id, text, shuffled, source=f"levels:{world}")


# --- the teacher ---


def answerable(criteria: Sequence[Criterion]) -> list[Criterion]:
    """Those that a teacher meets: a criterion that contradicts earlier ones is passed over."""
    kept: list[Criterion] = []
    for criterion in criteria:
        if satisfiable([*kept, criterion]):
            kept.append(criterion)
    return kept


def answer(criteria: Sequence[Criterion], error: float, language: Language, rng: random.Random) -> str:
    """The teacher's answer; with probability `error` it breaks at least one criterion."""
    kept = answerable(criteria)
    if rng.random() >= error:
        return construct(kept, LANGUAGE, language, rng)
    while True:
        without = rng.randrange(len(kept))
        response = construct([c for k, c in enumerate(kept) if k != without], LANGUAGE, language, rng)
        if not all(verify(criterion, "", response) for criterion in kept):
            return response


# --- ladders ---


def make_ladders(rules: Rules, n: int, seed: int | str, numbers: bool = True) -> list[Ladder]:
    """`n` questions of which at least one level passes the filter."""
    rng, language = random.Random(f"ladders {rules.name} {seed} {numbers}"), Language()
    dials = LANGUAGE if numbers else WITHOUT_NUMBERS
    found: list[Ladder] = []
    while len(found) < n:
        id = f"{rules.name}-{seed}-{len(found)}"
        criteria = draw(dials, rng)
        if rng.random() < rules.planted:
            criteria = with_contradiction(criteria, rng)
        rungs = [
            Rung(level, as_prompt(f"{id}-{level}", asked, rules.name, rng), answer(asked, error, language, rng))
            for level, asked, error in zip(LEVELS, levels(criteria, rules.nested, rng), rules.errors, strict=True)
            if passes(asked, rules, rng)
        ]
        if rungs:
            found.append(Ladder(id, tuple(rungs)))
    return found


def prompts_at(level: int, n: int, seed: int | str, unseen: bool = False) -> list[RubricPrompt]:
    """`n` satisfiable prompts of one level, each from a question of its own."""
    rng = random.Random(f"prompts at {level} {seed} {unseen}")
    found: list[RubricPrompt] = []
    while len(found) < n:
        criteria = draw(LANGUAGE, rng, unseen)[:level]
        if held_out(criteria) == unseen:
            found.append(as_prompt(f"level{level}-{seed}-{len(found)}", criteria, f"{level}", rng))
    return found
