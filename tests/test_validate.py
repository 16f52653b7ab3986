"""Validation figures worked by hand, and against slow obvious versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import micro_tokenizer, tiny

from rtt_lib.relevance import validate
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, TEMPLATE_KEY, Discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.validate import Scored
from rtt_lib.schema import Criterion

START = Criterion("start bako", "micro:start", {"word": "bako"})
COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})


def scored(criterion, p, y, verdict=True) -> Scored:
    return Scored(LabelledExample(criterion, "", Label(), verdict), np.array(p), np.array(y, dtype=bool))


def test_scores_by_hand():
    # marked: tokens 0, 1, 3 (0.5 counts); relevant: 0, 2, 3
    found = validate.counts(np.array([0.9, 0.6, 0.2, 0.5, 0.1]), np.array([1, 0, 1, 1, 0]))
    assert found.tolist() == [2, 1, 1, 1]
    scores = validate.scores_of(found)
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (scores.marked, scores.relevant, scores.tokens) == (0.6, 0.6, 5)
    nothing = validate.scores_of(validate.counts(np.array([0.1]), np.array([0])))
    assert math.isnan(nothing.precision) and math.isnan(nothing.f1) and nothing.marked == 0


def test_auc_by_hand():
    assert validate.auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert validate.auc([0.5, 0.5], [0, 1]) == 0.5
    assert math.isnan(validate.auc([0.5, 0.6], [1, 1]))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_equals_all_pairs(tokens):
    p, y = [a / 5 for a, _ in tokens], [b for _, b in tokens]
    pairs = [(a, b) for a, yes in zip(p, y, strict=True) if yes for b, no in zip(p, y, strict=True) if not no]
    slow = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else math.nan
    assert validate.auc(p, y) == pytest.approx(slow, nan_ok=True)


def test_calibration_by_hand():
    curve = validate.calibration([0.05, 0.15, 0.95, 1.0], [0, 1, 1, 1], bins=10)
    assert [(bin.low, bin.mean_p, bin.share, bin.tokens) for bin in curve] == [
        (0.0, 0.05, 0.0, 1),
        (0.1, 0.15, 1.0, 1),
        (0.9, 0.975, 1.0, 2),
    ]
    assert validate.calibration_error(curve) == pytest.approx((0.05 + 0.85 + 2 * 0.025) / 4)


def test_rows_per_case_of_table_6():
    batch = [
        scored(START, [0.9, 0.1], [1, 0], True),
        scored(START, [0.2, 0.7], [0, 0], False),
        scored(COMMAS, [0.1, 0.9], [0, 1], False),
        scored(COMMAS, [0.1, 0.1], [0, 0], True),
        scored(SHORT, [0.9, 0.4], [1, 1], None),
    ]
    rows = {row["group"]: row for row in validate.table(batch, validate.case)}
    assert list(rows) == [
        "global, unknown",
        "local negative, satisfied",
        "local negative, violated",
        "local positive, satisfied",
        "local positive, violated",
    ]
    assert rows["local positive, violated"]["marked"] == 0.5 and rows["local positive, violated"]["f1"] == 0
    assert rows["global, unknown"]["recall"] == 0.5
    by_family = {row["group"]: row["f1"] for row in validate.table(batch, validate.family)}
    assert by_family == pytest.approx({"start": 2 / 3, "no_commas": 1.0, "at_most_words": 2 / 3})
    assert validate.mean_f1(batch) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert validate.scope(scored(Criterion("be kind"), [0], [0])) == "soft"


def test_thresholding_as_released_keeps_only_certainty():
    batch = [scored(SHORT, [0.999, 0.99, 0.9, 0.6], [1, 1, 1, 1])]
    recall = {row["threshold"]: row["recall"] for row in validate.threshold_effect(batch, validate.scope)}
    assert recall == {0.5: 1.0, 0.998: 0.25}


def test_interval_resamples_examples():
    same = [scored(START, [0.9, 0.9], [1, 0])] * 20
    assert validate.f1_interval(same) == pytest.approx((2 / 3, 2 / 3))
    mixed = [scored(START, [0.9], [1]), scored(START, [0.9], [0])] * 20
    low, high = validate.f1_interval(mixed)
    assert validate.f1_interval(mixed) == (low, high)
    # tp ~ Binomial(40, 1/2) and F1 = 2 tp / (tp + 40): tp = 14 and 26 at 2.5 and 97.5 percent
    assert (low, high) == pytest.approx((28 / 54, 52 / 66), abs=0.03)


def test_score_examples_lines_labels_up_with_predictions():
    tokenizer = micro_tokenizer()
    backbone = tiny("llama", tokenizer)
    setattr(backbone.model.config, TEMPLATE_KEY, MICRO_TEMPLATE)
    discriminator = Discriminator(backbone.model, tokenizer)
    examples = [
        LabelledExample(COMMAS, "bako , desu", Label(((5, 6),)), False),
        LabelledExample(SHORT, "bako", Label(((0, 4),), whole=True), True),
    ]
    first, second = validate.score_examples(discriminator, examples)
    assert first.y.tolist() == [False, True, False, False] and second.y.tolist() == [True, True]
    ids = tokenizer("no commas : bako , desu")["input_ids"] + [tokenizer.eos_token_id]
    with torch.no_grad():
        p = backbone.model(torch.tensor([ids])).logits[0, 3:, 0].sigmoid().numpy()
    np.testing.assert_allclose(first.p, p, atol=1e-5)


def test_bootstrap_of_the_mean_f1_by_hand():
    """Two families: one always right; of the other one example is right and one is wrong, alike in size."""
    right, wrong = scored(START, [0.9, 0.1], [1, 0]), scored(START, [0.1, 0.1], [1, 0])
    other = scored(COMMAS, [0.9, 0.1], [1, 0])
    draws = validate.mean_f1_draws([right, wrong, other])
    # The first family's F1 is 0, 2/3 or 1, with chances 1/4, 1/2, 1/4; the other's is always 1.
    assert set(np.round(draws, 6)) == {0.5, round(5 / 6, 6), 1.0}
    assert np.mean(np.isclose(draws, 5 / 6)) == pytest.approx(0.5, abs=0.06)
    assert (validate.mean_f1_draws([right, wrong, other]) == draws).all()  # the same examples for every discriminator
