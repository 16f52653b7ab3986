import math
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from rtt_lib.stats import (
    bootstrap,
    holm,
    interquartile_mean,
    p_value,
    paired,
    prediction_interval,
    resampled,
    smooth,
    steps_to_threshold,
    summary,
)


def runs(**arms):
    return pd.DataFrame(
        [
            {"arm": arm, "world": "L", "seed": seed, "score": score}
            for arm, scores in arms.items()
            for seed, score in zip(["A0", "A1", "A2", "B0", "B1"], scores, strict=False)
        ]
    )


def test_interquartile_mean_cuts_a_quarter_at_each_end():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, -50, 5, 6])) == 3.5
    assert interquartile_mean(np.array([1.0, 2, 30])) == 11  # three values: nothing to cut


def test_bootstrap_stays_within_its_strata():
    # Within each stratum all values agree, so every resample has the same mean: the interval is a point.
    assert bootstrap([1, 1, 5, 5], ["A", "A", "B", "B"]) == pytest.approx((3, 3))
    # One stratum: the resampled mean is 0, 1/2 or 1, stretched from 1/2 by sqrt(2) and t(1) / z = 12.706 / 1.960.
    assert bootstrap([0, 1], ["A", "A"]) == pytest.approx((0.5 - 4.584, 0.5 + 4.584), abs=1e-3)


def test_few_values_are_stretched_as_student_says():
    # Two strata, values -1 and 1 in each: resampled sums -4 in 1 of 16, 4 in 1 of 16, both beyond the 2.5% cut off.
    # Two degrees of freedom: t(2) / z = 4.303 / 1.960, times sqrt(2) since each stratum has two values.
    reach = 4.303 / 1.960 * 2**0.5
    assert bootstrap([-1, 1, -1, 1], ["A", "A", "B", "B"]) == pytest.approx((-reach, reach), abs=2e-3)


def test_a_single_run_has_no_spread():
    assert bootstrap([0.3], ["A"]) == (0.3, 0.3)


def test_a_lone_run_of_a_base_model_does_not_make_the_interval_narrow():
    # From 1, 1 and 5 together: all ones in 8 of 27 resamples, all fives in 1 of 27, more than the 2.5% cut off.
    # Their means, 4/3 below and 8/3 above 7/3, are stretched by sqrt(3/2) and t(2) / z = 4.303 / 1.960.
    reach = 1.5**0.5 * 4.303 / 1.960
    low, high = 7 / 3 - 4 / 3 * reach, 7 / 3 + 8 / 3 * reach
    assert bootstrap([1, 1, 5], ["A", "A", "B"]) == pytest.approx((low, high), abs=5e-3)
    table = runs(ours=[0.1, 0.1], theirs=[0.0, 0.2])
    lone = pd.concat([table, pd.DataFrame([("ours", "L", "B0", 0.9), ("theirs", "L", "B0", 0.1)],
                                          columns=["arm", "world", "seed", "score"])])  # fmt: skip
    assert not paired(lone, "ours", "theirs", "score", "L")["better"]  # differences 0.1, -0.1, 0.8


def all_resamples(values, strata):
    """Every resample drawn one by one, as the bootstrap is defined: the same chance for each."""
    strata = list(strata) if min(Counter(strata).values()) > 1 else ["A"] * len(values)
    groups = [[v for v, s in zip(values, strata, strict=True) if s == name] for name in sorted(set(strata))]
    each = [[np.array(drawn) for drawn in product(group, repeat=len(group))] for group in groups]
    mean, means = np.mean(values), []
    for drawn in product(*each):
        moved = [
            len(d) * (np.mean(g) + (d.mean() - np.mean(g)) * np.sqrt(len(g) / (len(g) - 1)))
            for d, g in zip(drawn, groups, strict=True)
        ]
        means.append(sum(moved) / len(values))
    return np.sort(means) - mean, len(values) - len(groups)


@pytest.mark.parametrize("strata", ["AAAAA", "AAABB", "ABCDE", "AABB", "AAB"])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_interval_is_of_all_resamples(strata, level):
    values = np.random.default_rng(3).normal(0.3, 1, len(strata))
    missed, freedom = all_resamples(values, strata)
    tail = (1 - level) / 2
    cut = math.ceil(tail * len(missed) - 1e-9) - 1  # the first with at least `tail` of all at or below it
    stretch = t.ppf(1 - tail, freedom) / norm.ppf(1 - tail)
    expected = values.mean() + stretch * missed[cut], values.mean() + stretch * missed[-1 - cut]
    assert bootstrap(values, list(strata), level) == pytest.approx(expected)


def test_where_resamples_are_too_many_they_are_drawn():
    values = np.random.default_rng(0).normal(size=9)
    drawn, all_of_eight = resampled(values, ["A"] * 9), resampled(values[:8], ["A"] * 8)
    assert len(drawn.weights) == 4000 and len(all_of_eight.weights) == 6435
    assert all_of_eight.weights.sum() == pytest.approx(1)
    reach = t.ppf(0.975, 8) * values.std(ddof=1) / 3  # Student's interval, which it should resemble
    low, high = drawn.interval()
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.25 * reach)


def test_several_means_at_once_are_those_one_by_one():
    values = np.random.default_rng(1).normal(size=(5, 2, 3))
    low, high = resampled(values, list("AAABB")).interval()
    for i, j in product(range(2), range(3)):
        assert bootstrap(values[:, i, j], list("AAABB")) == pytest.approx((low[i, j], high[i, j]))


@pytest.mark.parametrize("values", [[0.4, 0.5, 0.3, 0.45, 0.1], [1, -0.2, 0.3, 0.5, 0.9], [-1, -2, -3, 0.4, -2]])
def test_a_p_value_is_where_the_interval_begins_to_hold_zero(values):
    p = p_value(values, list("ABCDE"))
    below, above = bootstrap(values, list("ABCDE"), 1 - 0.99 * p), bootstrap(values, list("ABCDE"), 1 - 1.01 * p)
    assert below[0] <= 0 <= below[1] and not above[0] <= 0 <= above[1]
    assert p_value([-v for v in values], list("ABCDE")) == pytest.approx(p)


def test_a_difference_without_spread_is_beyond_doubt_and_none_is_no_evidence():
    assert p_value([0.1] * 5, list("ABCDE")) < 1e-9
    assert p_value([-0.2, 0.2, -0.1, 0.1, 0], list("ABCDE")) > 0.9


def test_holm_by_hand():
    # Four comparisons: 0.001 <= 0.05/4, 0.015 <= 0.05/3, 0.03 > 0.05/2, so 0.04 is held against 0.05/2 too.
    assert holm([0.03, 0.001, 0.04, 0.015], of=4) == pytest.approx([0.975, 0.9875, 0.975, 1 - 0.05 / 3])
    # The same with two comparisons missing: 0.001 <= 0.05/6, 0.015 > 0.05/5, and all others against 0.05/5.
    assert holm([0.03, 0.001, 0.04, 0.015], of=6) == pytest.approx([0.99, 1 - 0.05 / 6, 0.99, 0.99])
    assert holm([0.04], of=1) == pytest.approx([0.95]) and holm([], of=3) == []


def test_holm_rarely_sees_a_difference_where_there_is_none():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        rows = rng.normal(size=(4, 5))
        p = [p_value(row, list("ABCDE")) for row in rows]
        wrong += any(value <= 1 - level for value, level in zip(p, holm(p, of=4), strict=True))
    assert wrong / 300 < 0.10  # one in twenty, give or take chance; uncorrected it is one in five


def test_a_fresh_run_by_hand():
    # Mean 0.5, standard deviation 0.1 (n - 1 = 4): 0.5 +- 2.776 x 0.1 x sqrt(1 + 1/5)
    values = 0.5 + 0.1 * np.array([-1, -1, 0, 1, 1])
    reach = 2.7764 * 0.1 * 1.2**0.5
    assert prediction_interval(values) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-4)
    assert all(map(math.isnan, prediction_interval([0.5, 0.6])))


def test_a_fresh_run_of_normal_values_falls_into_its_interval_as_often_as_it_says():
    values = np.random.default_rng(0).normal(size=(2000, 9))
    inside = [low <= row[8] <= high for row in values for low, high in [prediction_interval(row[:8])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_each_base_has_its_own_mean():
    frame = runs(ours=[1.0, 2.0, 3.0, 10.0, 20.0], theirs=[0.0, 0.0, 0.0, 0.0, 0.0])
    assert paired(frame, "ours", "theirs", "score", "L")["by base"] == {"A": 2.0, "B": 15.0}


def test_summary_keeps_order_and_counts():
    table = summary(runs(second=[0.2, 0.4], first=[1.0, 1.0]), "score")
    assert table["arm"].tolist() == ["second", "first"]
    assert table["runs"].tolist() == [2, 2]
    assert table["mean"].tolist() == pytest.approx([0.3, 1.0])


def test_paired_difference_is_by_seed():
    table = runs(ours=[0.5, 0.6, 0.9, 0.1, 0.3], theirs=[0.4, 0.5, 0.8, 0.0, 0.2])
    result = paired(table, "ours", "theirs", "score", "L")
    assert result["difference"] == pytest.approx(0.1)
    assert (result["low"], result["high"]) == pytest.approx((0.1, 0.1))
    assert result["improved"] == 1 and result["better"] and not result["worse"]
    assert paired(table, "theirs", "ours", "score", "L")["worse"]


def test_two_pairs_claim_nothing_and_a_missing_arm_is_missing():
    table = runs(ours=[0.9, 0.9], theirs=[0.1, 0.1])
    assert paired(table, "ours", "theirs", "score", "L")["better"] is False
    missing = paired(table, "ours", "nobody", "score", "L")
    assert missing["pairs"] == 0 and np.isnan(missing["difference"]) and missing["better"] is None


def test_steps_to_threshold_waits_for_a_full_window():
    values = [1.0] + [0.0] * 9 + [1.0] * 10
    assert smooth(values, 2)[:3].tolist() == [1.0, 0.5, 0.0]
    assert steps_to_threshold(values, 0.5, window=2) == 2
    assert steps_to_threshold(values, 0.9, window=4) == 14
    assert steps_to_threshold(values, 2.0, window=4) == float("inf")


def test_one_pair_of_each_base_needs_no_agreement_of_all():
    """The interval is drawn from all bases together, so that it knows how they differ; then one of six may disagree."""
    differences = [0.4, 0.5, 0.3, 0.45, 0.5, -0.02]
    frame = pd.DataFrame(
        [
            {"world": "L", "arm": arm, "seed": f"{base}0", "score": score}
            for base, difference in zip("ABCDEF", differences, strict=True)
            for arm, score in (("ours", difference), ("theirs", 0.0))
        ]
    )
    result = paired(frame, "ours", "theirs", "score", "L")
    # Student's t from the same six: 0.355 +- 2.571 * 0.197 / sqrt(6)
    assert (result["low"], result["high"]) == pytest.approx((0.148, 0.562), abs=0.06)
    assert result["better"] and result["by base"]["F"] < 0
    two_each = pd.concat([frame, frame.assign(seed=frame["seed"].str[0] + "1")])
    assert not paired(two_each, "ours", "theirs", "score", "L")["better"]


def test_a_base_with_one_pair_beside_one_with_several_has_its_say():
    frame = pd.DataFrame(
        [
            {"world": "L", "arm": arm, "seed": seed, "score": score}
            for seed, difference in {"A0": 0.5, "A1": 0.5, "A2": 0.5, "A3": 0.5, "B0": -0.05}.items()
            for arm, score in (("ours", difference), ("theirs", 0.0))
        ]
    )
    result = paired(frame, "ours", "theirs", "score", "L")
    assert result["low"] > 0 and not result["agree"] and not result["better"]
