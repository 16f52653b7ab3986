import numpy as np
import pandas as pd
import pytest

from rtt_lib.stats import bootstrap, coverage, interquartile_mean, paired, smooth, steps_to_threshold, summary


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


@pytest.mark.parametrize("design", ["AAA", "AABB", "AAABB", "AAAAAAAAAA"])
def test_intervals_hold_the_mean_as_often_as_they_say(design):
    assert 0.91 < coverage(list(design), trials=600) < 0.98


def test_coverage_falls_where_the_strata_differ():
    alike, apart = (coverage(("A", "A", "A", "B", "B"), between, trials=400) for between in (0.0, 2.0))
    assert apart < alike - 0.2  # the interval is of values within the strata


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
    assert result["low"] > 0 and not result["better"]
