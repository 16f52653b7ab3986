"""A criterion says how it is verified, and survives its JSON."""

from __future__ import annotations

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.schema import JUDGE, Criterion, criterion_from_json


@pytest.mark.parametrize(
    ("verifier", "hard", "family"),
    [
        ("ifeval:punctuation:no_comma", True, "punctuation:no_comma"),
        ("micro:start", True, "start"),
        ("code:python", True, "python"),
        (JUDGE, False, "judge"),
    ],
)
def test_only_what_a_judge_decides_is_soft(verifier, hard, family):
    criterion = Criterion("Be brief.", verifier)
    assert (criterion.hard, criterion.family) == (hard, family)


def test_without_a_verifier_it_is_for_the_judge():
    assert Criterion("Be kind.") == criterion_from_json({"text": "Be kind."}, "here")
    assert not Criterion("Be kind.").hard


def test_a_criterion_survives_its_json():
    criterion = Criterion("Two maps.", "composed:keyword_count", {"word": "map", "n": 2})
    assert criterion_from_json(criterion.to_json(), "here") == criterion


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("Be kind.", "here: a criterion must be an object, found str"),
        ({}, "here: field 'text' is missing"),
        ({"text": None}, "here: field 'text' is missing"),
        ({"text": 3}, "here: field 'text' must be str, found int"),
        ({"text": "x", "verifier": ["micro:start"]}, "here: field 'verifier' must be str, found list"),
        ({"text": "x", "args": [1]}, "here: field 'args' must be dict, found list"),
    ],
)
def test_what_is_no_criterion_is_named(row, says):
    with pytest.raises(RTTError) as caught:
        criterion_from_json(row, "here")
    assert str(caught.value) == says
