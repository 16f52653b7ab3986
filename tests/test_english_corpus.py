"""The English world's prompts and pairs: seeded, and as the dials say."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from rtt_lib.rubrics.compose import FAMILIES, default_tasks
from rtt_lib.verify import verify
from rtt_lib.verify.composed import count_words
from rtt_lib.worlds.english import corpus
from rtt_lib.worlds.english.corpus import COPIED, DIALS, HELD_OUT, TRAINED, Pair
from rtt_lib.worlds.text.prompts import split

N = 600


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return corpus.pretraining_pairs(N, "A")


def exercise(pair: Pair) -> bool:
    """Are all its criteria of the families that copy?"""
    return {criterion.family for criterion in pair.prompt.criteria} <= set(COPIED)


def share_kept(pairs: list[Pair], families: set[str]) -> float:
    asked = [(c in p.kept) for p in pairs if not exercise(p) for c in p.prompt.criteria if c.family in families]
    assert len(asked) > 100
    return fmean(asked)


def test_a_corpus_is_seeded_and_every_base_has_its_own(pairs):
    assert pairs == corpus.pretraining_pairs(N, "A")
    other = corpus.pretraining_pairs(N, "B")
    assert not {pair.prompt.prompt for pair in pairs} & {pair.prompt.prompt for pair in other}
    assert len(pairs) == len({pair.prompt.prompt for pair in pairs}) == N


def test_a_response_keeps_what_it_is_built_to_keep_at_the_stated_rate(pairs):
    for pair in pairs:
        assert all(verify(criterion, pair.prompt.prompt, pair.response) for criterion in pair.kept)
    others = set(FAMILIES) - set(COPIED)
    assert share_kept(pairs, others) == pytest.approx(DIALS.keep, abs=0.05)  # more than 2 standard errors
    assert share_kept(pairs, set(COPIED)) == pytest.approx(DIALS.keep_copied, abs=0.12)
    assert {criterion.family for pair in pairs for criterion in pair.prompt.criteria} == set(FAMILIES)


def test_what_is_dropped_is_mostly_violated(pairs):
    """Else the dial would move nothing."""
    positive = ("start", "title", "bullets", "uppercase", "postscript")
    dropped = [(p, c) for p in pairs for c in p.prompt.criteria if c not in p.kept and c.family in positive]
    assert len(dropped) > 30
    assert fmean(verify(c, p.prompt.prompt, p.response) for p, c in dropped) < 0.1


def test_the_dials_turn():
    none, everything = (replace(DIALS, keep=rate, keep_copied=rate, exercises=0) for rate in (0, 1))
    assert not any(pair.kept for pair in corpus.pretraining_pairs(60, "A", none))
    assert all(pair.kept == pair.prompt.criteria for pair in corpus.pretraining_pairs(60, "A", everything))

    def words(low: int, high: int) -> float:
        found = corpus.pretraining_pairs(60, "A", replace(none, words=(low, high)))
        return fmean(count_words(pair.response) for pair in found)

    assert words(12, 20) < 25 < 40 < words(50, 70)


def test_a_part_of_the_pairs_are_exercises_in_copying(pairs):
    whole = [pair for pair in pairs if exercise(pair) and pair.kept == pair.prompt.criteria]
    assert N * DIALS.exercises <= len(whole) < N * (DIALS.exercises + 0.1)
    assert not any(exercise(pair) for pair in corpus.pretraining_pairs(60, "A", replace(DIALS, exercises=0))[:5])


def test_training_and_held_out_prompts_share_no_task_and_new_wordings_are_new():
    trained = corpus.training_prompts(300, 0)
    held_out = corpus.held_out_prompts(100, 0)
    fresh = corpus.held_out_prompts(100, 0, wordings=corpus.new_wordings())
    known_tasks, others = ({task.prompt for task in part} for part in split(default_tasks()))
    assert {p.task for p in trained} <= known_tasks and {p.task for p in held_out + fresh} <= others
    assert not known_tasks & others
    assert {c.family for p in trained for c in p.criteria} == set(TRAINED)
    assert not set(TRAINED) & set(HELD_OUT) and set(TRAINED) | set(HELD_OUT) == set(FAMILIES)
    known, new = corpus.known_wordings(), corpus.new_wordings()
    assert known.keys() == new.keys() and not any(set(known[name]) & set(new[name]) for name in known)
    seen = {c.text for p in trained + held_out for c in p.criteria}
    said = [c.text for p in fresh for c in p.criteria]
    assert not seen & set(said)


def test_a_demonstration_keeps_everything_and_the_base_language_nothing_asked():
    for prompt in corpus.training_prompts(50, 1):
        response = corpus.demonstration(prompt, 0)
        assert all(verify(criterion, prompt.prompt, response) for criterion in prompt.criteria)
    sentences = corpus.plain_sentences(20)
    assert len(set(sentences)) == 20 and all(task.endswith((".", "?")) for task, _ in sentences)
    lengths = [count_words(response) for _, response in sentences]
    assert min(lengths) >= 4 and max(lengths) <= 60 and 15 <= fmean(lengths) <= 40
