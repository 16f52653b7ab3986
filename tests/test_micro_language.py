"""The micro world: its prompts can be met, its evidence is exact, and everything follows from the seed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify import check, verify
from rtt_lib.worlds.micro.language import (
    MAX_WORDS,
    WORDS,
    WORLDS,
    Language,
    construct,
    find_world,
    partly_honoured,
    sample_prompts,
)

LANGUAGE = Language()
worlds, seeds = st.sampled_from(list(WORLDS.values())), st.integers(0, 10**6)


def words_of(response: str) -> list[str]:
    return [token for token in response.split() if token != ","]


# --- prompts ---


@settings(max_examples=200, deadline=None)
@given(worlds, seeds)
def test_every_prompt_can_be_met_and_the_constructor_meets_it(world, seed):
    [prompt] = sample_prompts(world, 1, seed)
    response = construct(prompt.criteria, world, LANGUAGE, random.Random(seed))
    assert [verify(c, prompt.prompt, response) for c in prompt.criteria] == [True] * len(prompt.criteria)
    assert 1 <= len(words_of(response)) <= MAX_WORDS and set(words_of(response)) <= set(WORDS)


@settings(max_examples=100, deadline=None)
@given(worlds, seeds, st.data())
def test_the_constructor_honours_any_subset(world, seed, data):
    [prompt] = sample_prompts(world, 1, seed)
    kept = [criterion for criterion in prompt.criteria if data.draw(st.booleans())]
    response = construct(kept, world, LANGUAGE, random.Random(seed))
    assert all(verify(c, prompt.prompt, response) for c in kept)


@settings(max_examples=100, deadline=None)
@given(worlds, seeds)
def test_a_prompt_asks_for_different_families_with_different_words(world, seed):
    [prompt] = sample_prompts(world, 1, seed)
    families = ["length" if "words" in c.family else c.family for c in prompt.criteria]
    words = [c.args["word"] for c in prompt.criteria if "word" in c.args]
    assert len(set(families)) == len(families) == min(5, len(world.families)) and set(families) <= set(world.families)
    assert len(set(words)) == len(words)
    assert prompt.prompt == " ; ".join(c.text for c in prompt.criteria) + " :"


def test_the_honour_rate_is_the_sparsity_dial():
    def share(name: str) -> float:
        world, rng = find_world(name), random.Random(0)
        prompts = sample_prompts(world, 300, "honour")
        texts = [(p, partly_honoured(p, world, LANGUAGE, rng)) for p in prompts]
        return fmean(all(verify(c, p.prompt, text) for c in p.criteria) for p, text in texts)

    assert share("S") < share("L") < 0.2


def test_the_lengths_of_world_u_fall_in_two_heaps():
    world, rng = find_world("U"), random.Random(0)
    lengths = [len(words_of(construct((), world, LANGUAGE, rng))) for _ in range(400)]
    (low, short), (long, high) = world.lengths
    assert short + 3 < long and set(lengths) <= {*range(low, short + 1), *range(long, high + 1)}
    assert 0.4 < fmean(n <= short for n in lengths) < 0.6


def test_an_unknown_world_is_named_with_the_choices():
    with pytest.raises(RTTError, match=r"unknown micro world 'X'.*L, "):
        find_world("X")


# --- verdicts and their evidence ---

BAKO = {"word": "bako"}


@pytest.mark.parametrize(
    ("rule", "args", "response", "value", "evidence"),
    [
        ("start", BAKO, "bako miru , bako", True, ["bako"]),
        ("start", BAKO, "tesi bako", False, ["tesi"]),
        ("start", BAKO, ", bako", True, ["bako"]),
        ("start", BAKO, "", False, []),
        ("end", BAKO, "tesi bako", True, ["bako"]),
        ("end", BAKO, "bako tesi ,", False, ["tesi"]),
        ("include", BAKO, "tesi bako , bako", True, ["bako", "bako"]),
        ("include", BAKO, "tesi bakoba", False, []),
        ("exclude", BAKO, "tesi", True, []),
        ("exclude", BAKO, "bako tesi bako", False, ["bako", "bako"]),
        ("no_commas", {}, "bako tesi", True, []),
        ("no_commas", {}, "bako , tesi , bako", False, [",", ","]),
        ("exactly", BAKO | {"n": 2}, "bako tesi bako", True, ["bako", "bako"]),
        ("exactly", BAKO | {"n": 2}, "bako bako bako", False, ["bako"] * 3),
        ("at_least", BAKO | {"n": 2}, "bako tesi bako", True, ["bako", "bako"]),
        ("at_least", BAKO | {"n": 2}, "bako tesi", False, ["bako"]),
        ("at_most_words", {"n": 2}, "bako , tesi", True, []),
        ("at_most_words", {"n": 2}, "bako tesi bako", False, []),
        ("at_least_words", {"n": 2}, "bako tesi", True, []),
        ("at_least_words", {"n": 2}, "bako ,", False, []),
    ],
)
def test_verdicts_point_at_the_words_that_decide(rule, args, response, value, evidence):
    verdict = check(Criterion("c", f"micro:{rule}", args), "", response)
    assert verdict.value is value and [response[a:b] for a, b in verdict.spans] == evidence


def test_start_and_end_point_at_the_place_not_at_the_word():
    response = "bako tesi bako"
    assert check(Criterion("c", "micro:start", BAKO), "", response).spans == ((0, 4),)
    assert check(Criterion("c", "micro:end", BAKO), "", response).spans == ((10, 14),)


# --- determinism ---

SAMPLE = """
import random
from rtt_lib.worlds.micro.corpus import micro_examples
from rtt_lib.worlds.micro.language import WORLDS, Language, construct, sample_prompts
for world in WORLDS.values():
    for prompt in sample_prompts(world, 3, "seed"):
        print(prompt.prompt, "|", construct(prompt.criteria, world, Language(), random.Random("seed")))
for example in micro_examples([WORLDS["L"], WORLDS["M"]], 60, 0):
    print(example)
"""


def test_the_same_seed_gives_the_same_world_in_every_process():
    def output(hash_seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-c", SAMPLE]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = output("1")
    assert first == output("2") and len(first.splitlines()) > 70


def test_different_seeds_give_different_prompts():
    one, two = ({p.prompt for p in sample_prompts(WORLDS["L"], 50, seed)} for seed in (0, 1))
    assert len(one) == 50 and not one & two
