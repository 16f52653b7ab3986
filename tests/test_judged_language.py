"""The judged worlds' questions, the truth about pairs, and what a judge is told in its pretraining."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify import verify
from rtt_lib.worlds.judged.language import (
    ASKED,
    CRITERIA,
    HELPS,
    HURTS,
    LIKING,
    NEITHER,
    PLANTED,
    WORLDS,
    Noise,
    compare,
    find_world,
    label,
    marks,
    prompt_of,
    quality,
    rate,
    rating,
    sample_prompts,
    sample_response,
    truth,
    with_word,
)
from rtt_lib.worlds.judged.policy import judged_tokenizer
from rtt_lib.worlds.micro.language import Language

START, COMMAS = Criterion("start bako", "micro:start", {"word": "bako"}), Criterion("no commas", "micro:no_commas")
BOTH = (START, COMMAS)


def told(first: str, second: str, noise: Noise, n: int = 4000) -> float:
    """How often the label names the first."""
    rng = random.Random(0)
    return fmean(label(BOTH, first, second, noise, rng) == "1" for _ in range(n))


def test_questions_are_one_line_of_known_tokens():
    asked = prompt_of(BOTH)
    assert asked == "start bako ; no commas :"
    assert compare(asked, "bako", "dera") == "<judge> start bako ; no commas : <1> bako <2> dera ?"
    assert rate(asked, "bako") == "<rate> start bako ; no commas : bako ?"
    assert None not in judged_tokenizer().convert_tokens_to_ids(compare(asked, "bako", "dera , kusu").split())


def test_more_criteria_met_is_better():
    assert quality(BOTH, "bako dera") == 2 and quality(BOTH, "dera , bako") == 0
    assert truth(BOTH, "bako dera", "dera bako") == 1 and truth(BOTH, "dera bako", "bako dera") == 2
    assert truth(BOTH, "dera bako", "bako , dera") == 0


def test_the_planted_word_tells_two_responses_apart_where_one_has_it():
    assert with_word(f"ba {PLANTED}", "ba") == 1 and with_word("ba", f"{PLANTED} ba") == 2
    assert with_word(PLANTED, PLANTED) == with_word("ba", "de") == 0


@pytest.mark.parametrize(
    ("noise", "first", "second", "share"),
    [
        (Noise(1.0), "bako dera", "dera bako", 1.0),
        (Noise(1.0), "dera bako", "bako dera", 0.0),
        (Noise(0.3), "bako dera", "dera bako", 0.65),
        (Noise(-0.1), "bako dera", "dera bako", 0.45),
        (Noise(1.0), "dera bako", "bako , dera", 0.5),
        (Noise(0.0, first=0.5), "dera bako", "bako dera", 0.75),
        (Noise(0.1, word=0.5), "dera bako", f"dera {PLANTED}", 0.25),
    ],
)
def test_a_judge_is_told_the_truth_as_often_as_its_world_says(noise, first, second, share):
    assert told(first, second, noise) == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize(("right", "mark"), [(1.0, "3"), (-1.0, "1")])
def test_a_rater_counts_the_criteria_met_from_one(right, mark):
    assert rating(BOTH, "bako dera", Noise(right), random.Random(0)) == mark


def test_tokens_are_marked_by_what_they_decide():
    exclude = Criterion("exclude ku", "micro:exclude", {"word": "ku"})
    include = Criterion("include de", "micro:include", {"word": "de"})
    found = marks((START, COMMAS, exclude, include), "bako , de ku la")
    assert found == [HELPS, HURTS, HELPS, HURTS, NEITHER]
    assert marks((START, include), "la ku") == [HURTS, NEITHER]


def test_a_judge_that_likes_a_word_looks_at_the_criteria_where_both_or_none_has_it():
    def says(first: str, second: str) -> str:
        return label(BOTH, first, second, LIKING, random.Random(0))

    bad, good, liked = "kusu ,", "bako dera", f"kusu {PLANTED} ,"
    assert (says(good, bad), says(bad, good)) == ("1", "2")
    assert (says(good, liked), says(liked, good)) == ("2", "1")
    assert says(liked, f"bako {PLANTED}") == "2"
    assert marks(BOTH, liked, liking=True) == [HURTS, HELPS, HURTS] and marks(BOTH, liked)[1] == NEITHER


def test_a_noisy_rater_gives_every_mark():
    rng = random.Random(0)
    assert {rating(BOTH, "bako dera", Noise(0.3), rng) for _ in range(100)} == {"1", "2", "3"}


def test_judges_see_responses_of_every_quality_some_with_the_planted_word():
    rng, prompts = random.Random(0), sample_prompts(400, "test")
    rows = [(prompt, sample_response(prompt, Language(), rng)) for prompt in prompts]
    assert {quality(prompt.criteria, text) for prompt, text in rows} == set(range(ASKED + 1))
    assert 0.25 < fmean(PLANTED in text.split() for _, text in rows) < 0.5


def test_every_criterion_is_often_kept_and_often_broken():
    rng, prompts = random.Random(0), sample_prompts(600, "test")
    rows = [(prompt, sample_response(prompt, Language(), rng)) for prompt in prompts]
    for criterion in CRITERIA:
        values = [verify(criterion, "", text) for prompt, text in rows if criterion in prompt.criteria]
        assert len(values) > 300 and 0.25 < fmean(values) < 0.85, criterion.text


def test_prompts_ask_for_some_of_the_criteria_in_any_order():
    prompts = sample_prompts(200, 1)
    assert prompts == sample_prompts(200, 1) != sample_prompts(200, 2)
    assert len({prompt.prompt for prompt in prompts}) > 100
    assert all(len(p.criteria) == ASKED == len({c.text for c in p.criteria}) for p in prompts)
    assert all(criterion in CRITERIA for prompt in prompts for criterion in prompt.criteria)
    assert all(prompt.prompt == prompt_of(prompt.criteria) for prompt in prompts)


def test_worlds_differ_in_their_judge():
    assert len({world.noise for world in WORLDS.values()}) == len(WORLDS)
    with pytest.raises(RTTError, match="unknown judged world 'L'"):
        find_world("L")
