"""How often intervals hold the truth, on shapes for which it can be said beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from rtt_lib.analysis.coverage import (
    SHAPES,
    WORST,
    bases,
    coverage,
    coverage_apart,
    page,
)
from rtt_lib.profile import REPOSITORY

FIVE = "one base policy of five without a gain"


@pytest.mark.parametrize("design", ["AAA", "AABB", "AAABB", "ABCDE"])
def test_intervals_hold_the_mean_of_normal_values_as_often_as_they_say(design):
    assert 0.91 < coverage(tuple(design), trials=600) < 0.98


def test_coverage_falls_where_the_strata_differ():
    alike, apart = (coverage_apart("AAABB", between, trials=400) for between in (0.0, 2.0))
    assert apart < alike - 0.2  # the interval is of values within the strata


@pytest.mark.parametrize("shape", SHAPES)
def test_the_true_mean_of_every_shape_is_zero(shape):
    values = SHAPES[shape](np.random.default_rng(0), (20_000, 5))
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize("runs", [5, 8])
def test_an_exception_that_none_of_the_runs_has_is_missed(runs):
    """All gain alike in 0.8^n of the draws; then the interval lies above the mean, and hardly ever otherwise."""
    missed = 1 - coverage(bases(runs), FIVE, trials=600)
    assert missed == pytest.approx(0.8**runs, abs=0.06)


def test_a_higher_level_holds_more():
    assert coverage(bases(5), FIVE, 0.99, trials=300) >= coverage(bases(5), FIVE, 0.95, trials=300)


@pytest.mark.slow
def test_the_committed_page_is_what_the_command_makes():
    made, committed = page(), (REPOSITORY / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert made == committed, "run python -m rtt_lib.analysis.coverage"
    assert min(SHAPES, key=lambda shape: coverage(bases(5), shape)) == WORST
