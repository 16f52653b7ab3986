"""Negatives by rule: each breaks the criterion it is meant to break; a minimal one breaks no other."""

from collections import Counter
from difflib import SequenceMatcher

import pytest

from rtt_lib.relevance.negatives import apply, minimal, omission
from rtt_lib.relevance.responses import construct
from rtt_lib.rubrics.compose import FAMILIES, NEGATIVE, compose, default_tasks
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check, verify

LOCAL_EDIT = 45  # characters: a postscript or a list line at most


@pytest.fixture(scope="module")
def cases() -> list[tuple[RubricPrompt, str]]:
    prompts = compose(default_tasks(), 300, seed=21, min_constraints=2)
    return [(prompt, construct(prompt, 0)) for prompt in prompts]


def verdicts(prompt: RubricPrompt, response: str) -> list[bool | None]:
    return [verify(criterion, prompt.prompt, response) for criterion in prompt.criteria]


def test_minimal_flips_exactly_one_verdict(cases):
    made, asked = Counter(), Counter()
    for prompt, response in cases:
        for k, criterion in enumerate(prompt.criteria):
            asked[criterion.family] += 1
            negative = minimal(prompt, response, k, seed=0)
            if negative is not None:
                made[criterion.family] += 1
                assert verdicts(prompt, negative.response) == [j != k for j in range(len(prompt.criteria))]
                assert (negative.k, negative.strategy) == (k, "minimal")
    assert set(asked) == set(FAMILIES)
    assert sum(made.values()) >= 0.98 * sum(asked.values())
    assert all(made[name] >= 0.85 * asked[name] for name in FAMILIES), {n: (made[n], asked[n]) for n in FAMILIES}


def test_a_prohibition_is_broken_by_a_small_edit(cases):
    """Nothing but the edit differs: what is common to both texts is all the rest of the positive."""
    for prompt, response in cases[:60]:
        for k, criterion in enumerate(prompt.criteria):
            negative = minimal(prompt, response, k, seed=0)
            if criterion.family.startswith("no_") and negative is not None:
                matcher = SequenceMatcher(None, response, negative.response, autojunk=False)
                common = sum(block.size for block in matcher.get_matching_blocks())
                assert max(len(response), len(negative.response)) - common <= LOCAL_EDIT


def test_the_smallest_candidate_wins():
    """By hand: a comma is one character, wherever it goes; for the title the closing mark alone is enough."""
    prompt = RubricPrompt("p", "q", (Criterion("", "composed:no_commas"), Criterion("", "composed:title",
                          {"left": "==", "right": "=="})))  # fmt: skip
    response = "== One ==\nTwo three. Four five."
    comma = minimal(prompt, response, 0, seed=0).response
    assert len(comma) == len(response) + 1 and comma.replace(",", "") == response
    assert minimal(prompt, response, 1, seed=0).response in (
        "One ==\nTwo three. Four five.",
        "== One\nTwo three. Four five.",
    )


def test_the_place_of_the_edit_varies_with_the_seed_and_nothing_else():
    prompt = RubricPrompt("p", "q", (Criterion("", "composed:no_commas"),))
    response = construct(prompt, 0)
    made = [minimal(prompt, response, 0, seed).response for seed in range(8)]
    assert len(set(made)) > 4
    assert made == [minimal(prompt, response, 0, seed).response for seed in range(8)]


def test_a_prohibition_can_be_broken_in_several_places(cases):
    """As many offences as asked for, nearly always, and no other verdict moves; the first one is the same edit."""
    asked, made = 0, Counter()
    for prompt, response in cases[:80]:
        for k, criterion in enumerate(prompt.criteria):
            once, thrice = (minimal(prompt, response, k, 0, offences) for offences in (1, 3))
            if once is None or criterion.family not in NEGATIVE:
                assert once == thrice
                continue
            asked += 1
            found = len(check(criterion, prompt.prompt, thrice.response).spans)
            made[found // 2 if criterion.family == "no_quotes" else found] += 1  # a pair of them is one edit
            assert verdicts(prompt, thrice.response) == [j != k for j in range(len(prompt.criteria))]
    assert asked > 30 and made[3] > 0.8 * asked and min(made) >= 1, made


def test_offences_by_hand():
    prompt = RubricPrompt("p", "q", (Criterion("", "composed:no_commas"),))
    response = "One two three four."
    made = [minimal(prompt, response, 0, 0, offences).response for offences in (1, 2, 9)]
    assert [text.count(",") for text in made] == [1, 2, 4]  # four words, and no place for a fifth
    assert all(text.replace(",", "") == response for text in made)
    short = RubricPrompt("p", "q", (Criterion("", "composed:no_questions"),))
    assert minimal(short, "One. Two.", 0, 0, 9).response == "One? Two?"


def test_what_cannot_be_broken_is_none():
    rubric = (Criterion("Be kind."), Criterion("", "composed:no_commas"))
    prompt = RubricPrompt("p", "q", rubric)
    assert minimal(prompt, "No comma here.", 0, seed=0) is None  # soft: no rule to break it by
    assert minimal(prompt, "One, comma.", 1, seed=0) is None  # violated to begin with
    both = RubricPrompt(
        "p", "q", (Criterion("", "composed:words", {"max": 2}), Criterion("", "composed:words", {"max": 2}))
    )
    assert minimal(both, "Two words.", 0, seed=0) is None  # the twin would flip too


def test_omission_keeps_the_others_and_fails_the_withheld_one(cases):
    made = asked = 0
    for prompt, _ in cases[:60]:
        for k in range(len(prompt.criteria)):
            asked += 1
            negative = omission(prompt, k, seed=0)
            if negative is not None:
                made += 1
                assert verdicts(prompt, negative.response) == [j != k for j in range(len(prompt.criteria))]
    assert made >= 0.75 * asked


def test_edits_are_made_from_the_back():
    assert apply(((0, 1, "X"), (2, 2, "--"), (3, 4, "")), "abcd") == "Xb--c"
