"""Levels by rule: what each level adds, contradictions and the filter that removes them, the teacher's errors."""

from __future__ import annotations

import itertools
import random

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify import verify
from rtt_lib.worlds.levels import ladders
from rtt_lib.worlds.levels.ladders import (
    LANGUAGE,
    WORLDS,
    answer,
    answerable,
    contradiction,
    draw,
    family_of,
    held_out,
    levels,
    make_ladders,
    passes,
    prompts_at,
    satisfiable,
    with_contradiction,
)
from rtt_lib.worlds.micro.language import Language


def by_hand(*texts: str) -> tuple[Criterion, ...]:
    """`exactly 2 ba` and the like as criteria."""
    found = []
    for text in texts:
        match text.split():
            case ["at", ("least" | "most") as bound, n, "words"]:
                found.append(Criterion(text, f"micro:at_{bound}_words", {"n": int(n)}))
            case ["at", "least", n, word]:
                found.append(Criterion(text, "micro:at_least", {"n": int(n), "word": word}))
            case ["exactly", n, word]:
                found.append(Criterion(text, "micro:exactly", {"n": int(n), "word": word}))
            case ["no", "commas"]:
                found.append(Criterion(text, "micro:no_commas"))
            case [family, word]:
                found.append(Criterion(text, f"micro:{family}", {"word": word}))
    return tuple(found)


ITEMS = by_hand(
    *("start ba", "start de", "end ba", "end de", "include ba", "include de", "exclude ba", "exclude de"),
    *("exactly 1 ba", "exactly 2 ba", "exactly 2 de", "at least 2 ba", "at least 3 de"),
    *("at most 1 words", "at most 2 words", "at most 3 words", "at least 2 words", "at least 4 words", "no commas"),
)
RESPONSES = [" ".join(words) for n in range(1, 5) for words in itertools.product(("ba", "de", "x"), repeat=n)]


def test_satisfiable_agrees_with_trying_every_response():
    """All pairs, and a thousand triples, among 19 criteria; responses of up to four of three words."""
    meets = [{text for text in RESPONSES if verify(item, "", text)} for item in ITEMS]
    triples = random.Random(0).sample(list(itertools.combinations(range(len(ITEMS)), 3)), 900)
    sets = [*itertools.combinations(range(len(ITEMS)), 2), *triples]
    found = {False: 0, True: 0}
    for places in sets:
        criteria = [ITEMS[k] for k in places]
        truth = bool(set.intersection(*(meets[k] for k in places)))
        assert satisfiable(criteria, longest=4) == truth, [item.text for item in criteria]
        found[truth] += 1
    assert min(found.values()) > 200


def test_one_word_can_be_both_first_and_last():
    assert satisfiable(by_hand("start ba", "end ba", "exactly 1 ba"))
    assert not satisfiable(by_hand("start ba", "end ba", "exactly 1 ba", "at least 2 words"))


def test_nested_levels_add_one_criterion_and_drop_none():
    for seed in range(50):
        found = levels(draw(LANGUAGE, random.Random(seed)), True, random.Random(seed))
        assert [len(criteria) for criteria in found] == [1, 2, 3, 4, 5]
        assert all(harder[:-1] == easier for easier, harder in itertools.pairwise(found))


def test_swapped_levels_add_one_and_swap_one_of_the_same_family():
    swaps = 0
    for seed in range(50):
        found = levels(draw(LANGUAGE, random.Random(seed)), False, random.Random(seed))
        assert [len(criteria) for criteria in found] == [1, 2, 3, 4, 5]
        for easier, harder in itertools.pairwise(found):
            assert [family_of(c) for c in harder[:-1]] == [family_of(c) for c in easier]
            changed = [old for old, new in zip(easier, harder, strict=False) if old != new]
            only_commas = {c.verifier for c in easier} == {"micro:no_commas"}
            assert len(changed) == (0 if only_commas else 1)
            swaps += len(changed)
            words = [c.args["word"] for c in harder if "word" in c.args]
            assert len(set(words)) == len(words) and satisfiable(harder)
    assert swaps > 150


def test_a_contradiction_cannot_hold_with_what_it_contradicts():
    for item in ITEMS:
        other = contradiction([item], random.Random(0))
        if item.text == "no commas":
            assert other is None
        else:
            assert not satisfiable([item, other]) and satisfiable([other])


@pytest.mark.parametrize("nested", [True, False])
def test_a_planted_contradiction_stays_at_all_higher_levels(nested):
    planted = 0
    for seed in range(60):
        rng = random.Random(seed)
        found = [satisfiable(c) for c in levels(with_contradiction(draw(LANGUAGE, rng), rng), nested, rng)]
        assert found[0] and found == sorted(found, reverse=True), "once it is there, it stays"
        planted += not found[-1]
    assert planted >= 55, "only `no commas` alone has no contradiction"


@pytest.mark.parametrize(("criteria", "rate"), [(("start ba", "exclude ba"), 0.1), (("start ba", "exclude de"), 0.95)])
def test_the_filter_errs_at_its_stated_rates(criteria, rate):
    rng = random.Random(0)
    kept = sum(passes(by_hand(*criteria), WORLDS["nested"], rng) for _ in range(10_000)) / 10_000
    assert kept == pytest.approx(rate, abs=0.01)


def test_the_filter_removes_the_planted_levels_of_ladders():
    """One question in five has a contradiction; of these levels one in ten is left, of the others 95 in 100."""
    rungs = [rung for ladder in make_ladders(WORLDS["nested"], 3000, "a test") for rung in ladder.rungs]
    left = [satisfiable(rung.prompt.criteria) for rung in rungs]
    # A contradiction comes in at level 2 to 5, so 2.5 of the five levels of such a question are unsatisfiable.
    assert 1 - sum(left) / len(rungs) == pytest.approx(0.2 * 2.5 * 0.1 / 5, abs=0.003)
    assert len(rungs) / 3000 == pytest.approx(0.95 * (5 - 0.2 * 2.5) + 0.1 * 0.2 * 2.5, abs=0.06)


def test_the_teacher_errs_as_often_as_its_dial_says():
    language, rng = Language(), random.Random(0)
    criteria = draw(LANGUAGE, rng)
    answers = [answer(criteria, 0.3, language, rng) for _ in range(2000)]
    broken = [not all(verify(c, "", text) for c in criteria) for text in answers]
    assert sum(broken) / 2000 == pytest.approx(0.3, abs=0.03)
    right = [answer(criteria, 0.0, language, rng) for _ in range(200)]
    assert all(verify(c, "", text) for text in right for c in criteria)


def test_the_teacher_errs_more_often_at_higher_levels():
    rungs = [rung for ladder in make_ladders(WORLDS["nested"], 2000, "dial") for rung in ladder.rungs]
    for level, error in zip((1, 2, 3, 4, 5), WORLDS["nested"].errors, strict=True):
        here = [rung for rung in rungs if rung.level == level and satisfiable(rung.prompt.criteria)]
        wrong = [not all(verify(c, "", rung.answer) for c in rung.prompt.criteria) for rung in here]
        assert sum(wrong) / len(wrong) == pytest.approx(error, abs=0.025)
    exact = [rung for ladder in make_ladders(WORLDS["exact"], 200, "dial") for rung in ladder.rungs]
    right = [rung for rung in exact if satisfiable(rung.prompt.criteria)]
    assert all(verify(c, "", rung.answer) for rung in right for c in rung.prompt.criteria)


def test_what_contradicts_an_earlier_criterion_is_passed_over():
    criteria = by_hand("start ba", "exclude ba", "include de", "at most 8 words", "at least 11 words")
    assert [c.text for c in answerable(criteria)] == ["start ba", "include de", "at most 8 words"]


def test_a_prompt_is_its_criteria_in_some_order_and_says_so():
    for ladder in make_ladders(WORLDS["swapped"], 20, "text"):
        for rung in ladder.rungs:
            assert rung.prompt.prompt == f"<ask> {' ; '.join(c.text for c in rung.prompt.criteria)} :"
            assert len(rung.prompt.criteria) == rung.level


def test_more_ladders_begin_with_the_same_ones():
    few, many = (make_ladders(WORLDS["nested"], n, "same") for n in (5, 20))
    assert many[:5] == few and few != make_ladders(WORLDS["nested"], 5, "another")


def test_training_keeps_some_families_apart_and_the_test_joins_them():
    rungs = [rung for ladder in make_ladders(WORLDS["nested"], 300, "apart") for rung in ladder.rungs]
    assert not any(held_out(rung.prompt.criteria) for rung in rungs if satisfiable(rung.prompt.criteria))
    assert all(held_out(prompt.criteria) for prompt in prompts_at(5, 50, "apart", unseen=True))
    seen = prompts_at(3, 50, "apart")
    assert not any(held_out(prompt.criteria) for prompt in seen)
    assert all(len(prompt.criteria) == 3 and satisfiable(prompt.criteria) for prompt in seen)


def test_without_numbers_no_prompt_counts():
    rungs = [rung for ladder in make_ladders(WORLDS["exact"], 100, 0, numbers=False) for rung in ladder.rungs]
    families = {family_of(c) for rung in rungs for c in rung.prompt.criteria}
    assert families == {"start", "end", "include", "exclude", "no_commas"}


def test_an_unknown_world_is_named_with_the_choices():
    with pytest.raises(RTTError, match="'steep': choose one of nested, swapped, exact"):
        ladders.find_rules("steep")
