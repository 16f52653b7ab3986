"""What a discriminator on text is trained on, and what is held out of its training."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rtt_lib.relevance.annotate import Label, taxonomy
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.schema import Criterion
from rtt_lib.worlds.text import discriminators as text_training
from rtt_lib.worlds.text.own_responses import OWN


def test_held_out_prompts_are_held_out_with_all_their_examples():
    example = LabelledExample(Criterion("Name a cat."), "A cat.", Label(((2, 5),)))
    rows = [(f"prompt {n % 500}", example) for n in range(1000)]
    training, unseen = text_training.split_off(rows)
    assert len(training) + len(unseen) == 1000 and 20 <= len(unseen) <= 100
    assert len(unseen) % 2 == 0  # a prompt's two examples stay together
    _, again = text_training.split_off([*rows[::-1], ("another", example)])
    assert len(again) - len(unseen) in (0, 1)  # the others stay where they were


def test_a_mixture_has_the_stated_shares_spread_over_families():
    """Ten of each: segments of two families, nowhere of one; what is not there leaves the mixture smaller."""

    def examples(family: str, label: Label) -> list[LabelledExample]:
        return [LabelledExample(Criterion(str(n), f"composed:{family}"), "A cat.", label) for n in range(10)]

    segment, nowhere = Label(((0, 1),)), Label()
    found = [*examples("start", segment), *examples("end", segment), *examples("no_commas", nowhere)]
    shares = {"segments": 0.6, "nowhere": 0.2, "everywhere": 0.2}
    mixture = text_training.mixed(found, 20, 0, shares)
    assert Counter(map(text_training.kind, mixture)) == {"segments": 12, "nowhere": 4}
    by_family = Counter(example.criterion.family for example in mixture)
    assert by_family == {"start": 6, "end": 6, "no_commas": 4}
    assert len(text_training.mixed(found, 1000, 0, shares)) == len(found), "all there are, each once"
    assert mixture == text_training.mixed(found, 20, 0, shares) != text_training.mixed(found, 20, 1, shares)
    assert text_training.kind(LabelledExample(Criterion("x"), "y", Label(((0, 1),), whole=True))) == "everywhere"


def test_a_corpus_has_the_asked_families_and_no_longer_responses():
    found = text_training.corpus(60, 0, text_training.TRAINED, taxonomy, longest=400)
    assert {example.criterion.family for example in found} <= set(text_training.TRAINED)
    assert 40 <= len(found) <= 60 and all(len(example.response) <= 400 for example in found)
    unseen = text_training.held_out(30, text_training.HELD_OUT)
    assert {example.criterion.family for example in unseen} == set(text_training.HELD_OUT)
    assert not {example.response for example in found} & {example.response for example in unseen}


def test_without_a_word_the_corpus_is_the_one_that_the_shipped_one_learnt_from(text_profile):
    how = text_training.Training(longest=400)
    profile = replace(text_profile, discriminator=replace(text_profile.discriminator, samples=40))
    expected = text_training.corpus(40, 0, text_training.TRAINED, taxonomy, text_training.TRAIN_SHARES, 400)
    assert text_training.examples_for(profile, how) == expected
    assert text_training.describe(how) == text_training.CONSTRUCTED and how.balanced
    assert not replace(how, unweighted=True).balanced and not replace(how, labels=Path("labels.jsonl")).balanced


@pytest.mark.usefixtures("without_hub")
def test_a_share_of_the_examples_is_the_policys_own(text_profile):
    profile = replace(text_profile, discriminator=replace(text_profile.discriminator, samples=24))
    found = text_training.examples_for(profile, text_training.Training(own=0.5, offences=3))
    made = Counter(example.split for example in found)
    assert 6 <= made.pop(OWN) <= 12 and 10 <= sum(made.values()) <= 12
    assert {example.criterion.family for example in found} <= set(text_training.TRAINED)
    alone = text_training.examples_for(profile, text_training.Training(own=1.0))
    assert {example.split for example in alone} == {OWN}


def test_negatives_can_have_several_offences():
    shares = {"segments": 1.0, "nowhere": 0.0, "everywhere": 0.0}

    def offences(most: int) -> list[int]:
        found = text_training.corpus(60, 0, ("no_commas", "forbidden"), taxonomy, shares, offences=most)
        return [len(example.label.spans) for example in found if example.split == "minimal"]

    assert set(offences(1)) == {1} and {1, 2, 3} <= set(offences(3))


def test_the_card_says_how_it_was_made_and_what_it_is_worth():
    row = dict.fromkeys(text_training.COLUMNS, 0.25) | {"group": "start", "examples": 7}
    metrics = {
        "settings": {"model": "smollm2-135m", "annotator": "taxonomy"},
        "labels": None,
        "corpus": text_training.CONSTRUCTED,
        "versions": {"torch": "2"},
        "tables": {"trained families": [row]},
    }
    card = text_training.card(metrics)
    assert card.startswith("# Token-level relevance discriminator, smollm2-135m, taxonomy labels")
    assert "labels by rule" in card and "## Trained families" in card and "| start | 7 | 0.250 |" in card
    assert "has one offence, mostly" in card
    half = text_training.describe(text_training.Training(own=0.5, offences=3))
    mixture = text_training.card(metrics | {"corpus": half})
    assert "50% the policy's own responses" in mixture and "has one offence, mostly" not in mixture
    own = text_training.card(metrics | {"labels": {"file": "labels.jsonl"}})
    assert "labels that an annotator wrote" in own and "labels by rule" not in own
