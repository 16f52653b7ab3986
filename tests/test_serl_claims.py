"""SERL's claims: verdicts on differences that are known, and the numbers behind them against scipy's and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rtt_lib.analysis.serl_claims import (
    BASES,
    CLAIMS,
    CONTRADICTED,
    NEGLIGIBLE,
    SUPPORTED,
    UNDECIDED,
    UNTESTED,
    claims_table,
    compare,
    decide,
    gain_after,
    what_parts_do,
)
from rtt_lib.methods.arms import ARMS
from rtt_lib.worlds.judged.language import WORLDS

BY_ID = {claim.id: claim for claim in CLAIMS}


def around(mean: float, spread: float, n: int = 8) -> pd.Series:
    return pd.Series(mean + spread * np.linspace(-1, 1, n), index=list(BASES[:n]))


def verdict(claim: str, values: pd.Series) -> str:
    result = compare(BY_ID[claim], values)
    return replace(result, adjusted=result.p).verdict


def test_claims_speak_of_arms_and_worlds_that_there_are():
    assert [claim.id for claim in CLAIMS] == [f"S-C{n}" for n in range(1, 8)]
    assert all(claim.arm in ARMS and claim.baseline in ARMS and claim.world in WORLDS for claim in CLAIMS)


@pytest.mark.parametrize(
    ("claim", "mean", "spread", "expected"),
    [
        ("S-C1", 0.1, 0.05, SUPPORTED),
        ("S-C1", -0.1, 0.05, CONTRADICTED),
        ("S-C1", 0.0, 0.005, NEGLIGIBLE),
        ("S-C1", 0.0, 0.3, UNDECIDED),
        ("S-C6", -1.0, 0.3, SUPPORTED),
        ("S-C6", 1.0, 0.3, CONTRADICTED),
        ("S-C6", 0.0, 0.3, NEGLIGIBLE),
        ("S-C7", 0.0, 0.005, SUPPORTED),
        ("S-C7", 0.1, 0.01, CONTRADICTED),
        ("S-C7", -0.1, 0.01, CONTRADICTED),
        ("S-C7", 0.0, 0.1, UNDECIDED),
    ],
)
def test_the_verdict_is_where_the_interval_lies(claim, mean, spread, expected):
    assert verdict(claim, around(mean, spread)) == expected


def test_two_runs_test_nothing():
    assert verdict("S-C1", around(0.1, 0.01, n=2)) == UNTESTED


def test_the_interval_is_students():
    values = around(0.03, 0.02)
    result = compare(BY_ID["S-C1"], values)
    expected = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values))
    assert (result.low, result.high) == pytest.approx(expected)
    assert result.p == pytest.approx(2 * stats.t.sf(values.mean() / stats.sem(values), 7))


def test_an_adjusted_p_value_can_take_a_verdict_back():
    result = compare(BY_ID["S-C1"], around(0.04, 0.06))
    assert result.low > 0 and replace(result, adjusted=0.2).verdict == UNDECIDED


def test_the_gain_after_step_48_is_the_last_ten_steps_over_those_before():
    steps = np.arange(1, 101)
    rows = pd.DataFrame({"seed": "A0", "step": steps, "verdict/csr": np.where(steps <= 48, 0.25, 0.75)})
    short = pd.DataFrame({"seed": "B1", "step": steps[:50], "verdict/csr": 0.5})
    assert gain_after(pd.concat([rows, short])).to_dict() == {"A0": 0.5}


def test_from_runs_to_the_table():
    runs = pd.DataFrame(
        [
            {"arm": arm, "world": world, "seed": seed, "per constraint": score + 0.01 * n, "judge place": place,
             "judge accuracy": 0.6 + score / 10 + 0.001 * n * score, "mean words": 9.0}
            for n, seed in enumerate(BASES)
            for world in ("J65", "first")
            for arm, score, place in (
                ("base", 0.4, 0.3), ("SERL", 0.6 + 0.002 * n, 0.1 + 0.001 * n), ("SERL one order", 0.6, 0.4),
                ("SERL no R_J", 0.5, 0.2), ("SERL no R_A", 0.4 + 0.003 * n, 0.2),
            )
        ]
    )  # fmt: skip
    curves = pd.DataFrame({"arm": [], "world": [], "seed": [], "step": [], "verdict/csr": []})
    table = claims_table(decide(runs, curves)).set_index("claim")
    assert table["verdict"].to_dict() == {
        "S-C1": SUPPORTED,
        "S-C2": UNTESTED,
        "S-C3": SUPPORTED,
        "S-C4": SUPPORTED,
        "S-C5": SUPPORTED,
        "S-C6": UNTESTED,
        "S-C7": UNTESTED,
    }
    assert table.loc["S-C1", "difference"] == pytest.approx(0.207) and table.loc["S-C5", "difference"] < 0


def test_what_parts_do_is_the_mean_of_paired_differences():
    scores = {"SERL": (0.8, 0.9, 0.7), "SERL no R_J": (0.7, 0.7, 0.7), "base": (0.5, 0.5)}
    runs = pd.DataFrame(
        [
            {"world": "J65", "arm": arm, "seed": seed, "per constraint": value, "mean words": 10 * value}
            for arm, values in scores.items()
            for seed, value in zip(BASES, values, strict=False)
        ]
    )
    found = what_parts_do(runs).set_index(["measure", "against"])
    met = found.loc[("per constraint", "SERL no R_J")]
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert met["difference"] == pytest.approx(0.1) and met["n"] == 3
    assert (met["low"], met["high"]) == (pytest.approx(0.1 - half), pytest.approx(0.1 + half))
    assert found.loc[("mean words", "SERL no R_J"), "difference"] == pytest.approx(1)
    two = found.loc[("per constraint", "base")]
    assert two["n"] == 2 and two["difference"] == pytest.approx(0.35) and pd.isna(two["low"])
    assert found.loc[("judge accuracy", "base"), "n"] == 0
