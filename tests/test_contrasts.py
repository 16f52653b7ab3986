"""Contrasts by hand: values, intervals, Holm's p and every verdict."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from rtt_lib.analysis.contrasts import (
    CONTRADICTED,
    NEGLIGIBLE,
    SUPPORTED,
    UNDECIDED,
    UNTESTED,
    Contrast,
    compare,
    decide,
    holm,
    results_table,
    values_of,
)

SEEDS = ("A0", "B1", "C2", "D3")
CLAIM = Contrast("X", "a against the mean of b and c", {"a": 1, "b": -0.5, "c": -0.5}, "score", "w")


def runs(**scores: tuple[float, ...]) -> pd.DataFrame:
    rows = [
        {"arm": arm, "world": "w", "seed": seed, "score": value}
        for arm, values in scores.items()
        for seed, value in zip(SEEDS, values, strict=False)
    ]
    return pd.DataFrame([*rows, {"arm": "a", "world": "another", "seed": "A0", "score": 9.0}])


def test_a_contrast_is_the_weighted_sum_of_each_seed_that_has_all_arms():
    found = values_of(CLAIM, runs(a=(0.5, 0.6, 0.7, 0.8), b=(0.1, 0.2, 0.3), c=(0.3, 0.2, 0.5, 0.9)))
    assert found.index.tolist() == ["A0", "B1", "C2"]
    assert found.tolist() == pytest.approx([0.3, 0.4, 0.3])
    assert values_of(CLAIM, runs(a=(0.5,), b=(0.1,))).empty, "no run of c"
    assert CLAIM.in_words() == "a - 0.5 b - 0.5 c"


def test_the_interval_is_the_paired_t_interval():
    values = pd.Series([0.1, 0.3, 0.2, 0.4], index=SEEDS)
    result = compare(CLAIM, values)
    # mean 0.25, standard deviation sqrt(0.05 / 3), t(0.975, 3) = 3.1824
    half = 3.182446 * math.sqrt(0.05 / 3) / 2
    assert (result.difference, result.low, result.high) == pytest.approx((0.25, 0.25 - half, 0.25 + half), abs=1e-6)
    assert result.p == pytest.approx(2 * stats.t.sf(0.25 / (math.sqrt(0.05 / 3) / 2), 3))
    assert result.resampled[0] < 0.25 < result.resampled[1]


def test_holm_by_hand():
    # in order 0.01 x 4, 0.02 x 3, 0.03 x 2 (not below 0.06), 0.5
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == [] and holm([0.7, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.10, 0.11, 0.12, 0.13), SUPPORTED),
        ((-0.10, -0.11, -0.12, -0.13), CONTRADICTED),
        ((0.004, -0.004, 0.002, -0.001), NEGLIGIBLE),
        ((0.20, -0.10, 0.15, -0.05), UNDECIDED),
        ((0.5, 0.5), UNTESTED),
    ],
)
def test_every_verdict(values, verdict):
    claim = Contrast("X", "", {"a": 1, "b": -1}, "score", "w")
    (result,) = decide([claim], runs(a=values, b=(0.0,) * len(values)))
    assert result.verdict == verdict and result.pairs == len(values)


def test_what_is_shown_alone_may_be_undecided_among_many():
    claim = Contrast("X", "", {"a": 1, "b": -1}, "score", "w")
    noise = [Contrast(f"N{n}", "", {"c": 1, "b": -1}, "score", "w") for n in range(6)]
    frame = runs(a=(0.10, 0.02, 0.08, 0.06), b=(0.0,) * 4, c=(0.2, -0.2, 0.1, -0.1))
    alone, among = decide([claim], frame)[0], decide([claim, *noise], frame)[0]
    assert alone.verdict == SUPPORTED and among.verdict == UNDECIDED
    assert among.adjusted == pytest.approx(7 * alone.p) and among.low == alone.low > 0


def test_a_column_that_was_not_measured_is_untested_and_takes_no_part_in_holm():
    missing = Contrast("M", "", {"a": 1, "b": -1}, "other", "w")
    claim = Contrast("X", "", {"a": 1, "b": -1}, "score", "w")
    found = decide([missing, claim], runs(a=(0.1, 0.2, 0.3, 0.4), b=(0.0,) * 4))
    assert found[0].verdict == UNTESTED and math.isnan(found[0].difference) and math.isnan(found[0].adjusted)
    assert found[1].adjusted == found[1].p
    table = results_table(found)
    assert table["claim"].tolist() == ["M", "X"] and table["n"].tolist() == [0, 4]
    assert table.loc[1, "contrast"] == "a - b (score, w)"
