"""Discriminators side by side: the numbers by hand on predictions that are known."""

from __future__ import annotations

import numpy as np
import pytest

from rtt_lib.analysis.discriminator_comparison import digest, families, summary
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.validate import Scored
from rtt_lib.schema import Criterion

COMMA, LENGTH = Criterion("No commas.", "composed:no_commas"), Criterion("Ten words.", "composed:words", {"max": 10})
LOCAL = LabelledExample(COMMA, "a, b", Label(((1, 2),)), False)
WHOLE = LabelledExample(LENGTH, "a, b", Label(((0, 4),), whole=True), True)


def scored(example: LabelledExample, p: list[float], y: list[int]) -> Scored:
    return Scored(example, np.array(p), np.array(y, dtype=bool))


@pytest.fixture(scope="module")
def found():
    """The first marks a word too many and half of the global tokens; the second is right."""
    before = [scored(LOCAL, [0.9, 0.8, 0.1, 0.2], [0, 1, 0, 0]), scored(WHOLE, [0.6, 0.95, 0.3, 0.3], [1, 1, 1, 1])]
    after = [scored(LOCAL, [0.1, 0.8, 0.1, 0.2], [0, 1, 0, 0]), scored(WHOLE, [0.9, 0.9, 0.9, 0.9], [1, 1, 1, 1])]
    return {"the base policy": {"before": before, "after": after}}


def test_the_summary_by_hand(found):
    before, after = summary(found).to_dict("records")
    assert (before["discriminator"], before["examples"], before["gain"]) == ("before", 2, 0)
    assert before["mean F1 over families"] == pytest.approx(2 / 3)  # 2/3 where one mark of two is right, and 2/3
    assert before["AUC, local criteria"] == pytest.approx(2 / 3) and before["marked, global criteria"] == 0.5
    assert before["AUC"] == pytest.approx(11 / 15)  # of five relevant and three irrelevant tokens
    assert after["mean F1 over families"] == after["AUC"] == after["marked, global criteria"] == 1
    assert after["gain"] == pytest.approx(1 / 3) and after["gain low"] == pytest.approx(1 / 3)  # one example a family


def test_families_stand_beside_each_other(found):
    table = families(found)
    assert list(table["family"]) == ["no_commas", "no_commas", "words", "words"]
    assert list(table["discriminator"]) == ["before", "after"] * 2
    assert list(table["recall"]) == [1, 1, 0.5, 1] and np.isnan(table["auc"][2])


def test_no_local_criterion_is_no_error():
    only = {"x": {"before": [scored(WHOLE, [0.6], [1])]}}
    (row,) = summary(only).to_dict("records")
    assert np.isnan(row["AUC, local criteria"]) and row["marked, global criteria"] == 1


def test_the_digest_tells_examples_apart():
    one, other = ({"a": [LOCAL]}, {"a": [WHOLE]})
    assert digest(one) == digest({"a": [LOCAL]}) != digest(other) and digest(one) != digest({"b": [LOCAL]})
