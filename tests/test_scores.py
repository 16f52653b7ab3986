"""Accuracies and their intervals, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.bench.scores import Scores, difference, interval, scores
from rtt_lib.errors import RTTError


def test_hits_and_cases_by_hand():
    ids = ["b", "a", "b"]
    verdicts = [[True, True], [True, None], [False, None, True]]
    prompt = scores(ids, verdicts, "prompt")  # with an unknown it is no case, whatever the rest: not failures alone
    assert prompt.hits.tolist() == [[0, 0], [1, 0]] and prompt.cases.tolist() == [[0, 0], [1, 0]]
    assert prompt.accuracy == 1
    instruction = scores(ids, verdicts, "instruction")
    assert instruction.hits.tolist() == [[1, 0], [2, 1]] and instruction.cases.tolist() == [[1, 0], [2, 2]]
    assert instruction.accuracy == pytest.approx(4 / 5)
    assert math.isnan(scores(["a"], [[None]], "prompt").accuracy)


def all_known(hits: np.ndarray) -> Scores:
    return Scores(hits, np.ones_like(hits), tuple(f"p{n}" for n in range(len(hits))))


def test_the_interval_of_single_passes_is_the_binomial_one():
    hits = np.array([1.0] * 120 + [0.0] * 80)[:, None]
    low, high = interval(all_known(hits))
    half = 1.96 * math.sqrt(0.6 * 0.4 / 200)
    assert low == pytest.approx(0.6 - half, abs=0.015) and high == pytest.approx(0.6 + half, abs=0.015)


@pytest.mark.parametrize("rates", [np.full(150, 0.5), np.linspace(0, 1, 150)], ids=["one rate", "all rates"])
def test_the_interval_of_several_passes_is_as_wide_as_accuracies_spread(rates):
    """Prompts with rates p, C passes each: the accuracy's variance is (var(p) + mean(p (1 - p)) / C) / P."""
    rng, passes, widths, gains = np.random.default_rng(5), 4, [], []
    for _ in range(20):
        drawn = rng.permutation(rates)[:, None]
        ours, base = (all_known((rng.random((150, passes)) < drawn).astype(float)) for _ in range(2))
        low, high = interval(ours)
        _, less, more = difference(ours, base)
        widths.append(high - low)
        gains.append(more - less)
    within = np.mean(rates * (1 - rates)) / passes
    assert np.mean(widths) == pytest.approx(2 * 1.96 * math.sqrt((np.var(rates) + within) / 150), rel=0.07)
    assert np.mean(gains) == pytest.approx(2 * 1.96 * math.sqrt(2 * within / 150), rel=0.07)  # of the same prompts


def test_the_paired_difference_is_sharper_than_two_intervals():
    base = np.array([1.0, 0.0] * 100)[:, None]
    better = base.copy()
    better[1:21:2] = 1.0  # ten prompts more, none lost
    gain, low, high = difference(all_known(better), all_known(base))
    assert gain == pytest.approx(0.05) and 0.02 < low < 0.05 < high < 0.09
    assert difference(all_known(base), all_known(base)) == (0.0, 0.0, 0.0)
    with pytest.raises(RTTError, match="200 prompts cannot be paired with the 100 of the base model: 'p100' is not"):
        difference(all_known(base), all_known(base[:100]))
    with pytest.raises(RTTError, match="'p0' is not among both"):
        difference(all_known(base), replace(all_known(base), ids=tuple(f"q{n}" for n in range(200))))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_interval_holds_the_accuracy_or_nothing_is_known(verdicts):
    own = scores([str(n) for n in range(len(verdicts))], verdicts, "instruction")
    known = [value for row in verdicts for value in row if value is not None]
    if not known:
        assert math.isnan(own.accuracy) and math.isnan(interval(own)[0])
        return
    assert own.accuracy == pytest.approx(sum(known) / len(known))
    low, high = interval(own)
    assert 0 <= low <= own.accuracy + 1e-9 and own.accuracy - 1e-9 <= high <= 1
