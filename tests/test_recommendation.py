"""Which arm is recommended: what every world bears out, and nothing where a world speaks against it."""

from __future__ import annotations

import pandas as pd
import pytest
from test_claims import CORE, SEEDS, evidence, scores

from rtt_lib.analysis import recommendation
from rtt_lib.analysis.recommendation import recommendation as recommended


def test_the_strongest_is_another_arm_in_another_world():
    other = scores(world="M", **CORE | {"RTT__AON": 0.3, "RTT__CSR": 0.3, "RL__CSR": 0.7})
    runs = pd.concat([scores(world="L", **CORE | {"RTT__AON": 0.8}), other], ignore_index=True)
    rivals = recommendation.strongest_rivals(runs)
    assert rivals == {"L": "RTT-AON", "M": "RL-CSR"}
    again = recommendation.with_strongest(runs, rivals)
    assert len(again) == len(runs) + 2 * len(SEEDS)
    means = again[again["arm"] == recommendation.STRONGEST].groupby("world")["all satisfied"].mean()
    assert means.to_dict() == pytest.approx({"L": 0.8, "M": 0.7})


ARM = "RTT-CSR relative"


def two_worlds(**in_m) -> pd.DataFrame:
    local = scores(world="L", **CORE, RTT__CSR_relative=0.7, RTT__AON_no_EOS=0.9)
    return pd.concat([local, scores(world="M", **{"RL__CSR": 0.3, "RTT__CSR": 0.2} | in_m)])


def test_recommended_is_what_every_world_bears_out(tmp_path):
    found = recommended(evidence(tmp_path, two_worlds(RTT__CSR_relative=0.35)), [ARM, "RTT-AON no EOS"])
    # "no EOS" is far ahead in L but was not run in M.
    assert found.startswith(f"Recommended: {ARM}.") and "in 2 of 2" in found
    assert f"{ARM} - RL-CSR, all satisfied (points): M +5.0" in found and "RTT-AON" in found


def test_what_reads_exact_labels_is_not_recommended(tmp_path):
    better = {"RTT__CSR_relative_oracle": 0.9, "RTT__CSR_relative_noisy": 0.8}
    runs = two_worlds(RTT__CSR_relative=0.35, **better)
    runs = pd.concat([runs, scores(world="L", **better)])
    arms = ["RTT-CSR relative oracle", ARM, "RTT-CSR relative noisy"]
    assert all(set(runs.loc[runs["arm"] == arm, "world"]) == {"L", "M"} for arm in arms)
    assert recommended(evidence(tmp_path, runs), arms).startswith(f"Recommended: {ARM}.")
    assert recommended(evidence(tmp_path, runs), [arms[0], arms[2]]).startswith("No variant is recommended")


def test_nothing_is_recommended_that_one_world_speaks_against(tmp_path):
    for bad in (0.25, 0.299):
        found = recommended(evidence(tmp_path, two_worlds(RTT__CSR_relative=bad)), [ARM])
        assert found.startswith("No variant is recommended") and "L and M" in found
        assert f"Closest, in 1 of 2: {ARM}. " in found


def test_the_larger_gain_is_recommended_and_a_tie_counts_as_no_worse(tmp_path):
    runs = two_worlds(RTT__CSR_relative=0.3, RTT__AON_no_EOS=0.3)
    assert recommended(evidence(tmp_path, runs), [ARM, "RTT-AON no EOS"]).startswith("Recommended: RTT-AON no EOS.")


def test_without_enough_runs_nothing_is_said(tmp_path):
    assert recommended(evidence(tmp_path), [ARM]).startswith("No recommendation")
    few = scores(seeds=("A0", "B0"), **CORE, RTT__CSR_relative=0.9)
    assert recommended(evidence(tmp_path, few), [ARM]).startswith("No recommendation")
