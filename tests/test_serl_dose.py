"""Where self-reward turns from help to harm, on runs whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import serl_dose
from rtt_lib.analysis.serl_dose import (
    FORECASTS,
    by_world,
    forecast_table,
    gains,
    turning_point,
    what_consistency_tells,
)
from rtt_lib.methods.arms import ARMS
from rtt_lib.worlds.judged.language import WORLDS


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(serl_dose, "RESAMPLES", 200)


def runs(worlds: int = 4, seeds: int = 5) -> pd.DataFrame:
    """The gain is (accuracy - 0.55) / 2, whatever the order agreement is."""
    rng, rows = np.random.default_rng(0), []
    for w, world in enumerate(("J45", "J55", "J65", "J80")[:worlds]):
        for s in range(seeds):
            accuracy, seed = 0.45 + 0.1 * w + 0.01 * s, f"{'ABCDE'[s]}{s}"
            judge = {"judge accuracy": accuracy, "judge order agreement": 0.5 + 0.1 * rng.random(), "judge word": 0.5}
            rows.append({"arm": "base", "world": world, "seed": seed, "per constraint": 0.4, **judge})
            after = {"judge accuracy": accuracy + 0.1, "judge order agreement": 0.9 + 0.1 * rng.random()}
            after["judge word"] = 0.6 + 0.1 * w
            score = 0.4 + (accuracy - 0.55) / 2
            rows.append({"arm": "SERL", "world": world, "seed": seed, "per constraint": score, **after})
    return pd.DataFrame(rows)


def test_forecasts_are_of_arms_and_worlds_that_there_are():
    assert all(forecast.world in WORLDS and forecast.arm in ARMS for forecast in FORECASTS)


def test_the_forecast_stands_beside_the_runs():
    table = forecast_table(runs()).set_index(["world", "arm"])
    found = table.loc[("J65", "SERL")]
    assert found["before"] == pytest.approx(0.67) and found["after"] == pytest.approx(0.77) and found["n"] == 5
    assert found["after low"] < 0.77 < found["after high"]
    missing = table.loc[("word", "SERL")]
    assert missing["n"] == 0 and pd.isna(missing["after"]) and missing["forecast after"] == 0.64


def test_the_turning_point_is_where_the_gain_is_zero():
    points = gains(runs())
    found = turning_point(points)
    assert found["accuracy"] == pytest.approx(0.55) and found["rises"] == 1 and found["n"] == 20
    assert found["low"] == pytest.approx(0.55) and found["high"] == pytest.approx(0.55)
    assert found["least"] < 0.55 < found["most"] and found["gain"] == pytest.approx(points["actor's gain"].mean())


def test_a_line_says_nothing_beyond_the_accuracies_that_were_measured():
    better = gains(runs()).assign(**{"actor's gain": lambda found: found["actor's gain"] + 10})
    found = turning_point(better)
    assert [found[name] for name in ("accuracy", "low", "high")] == [None] * 3 and found["rises"] == 1
    assert found["gain"] == pytest.approx(better["actor's gain"].mean())


def test_gains_by_world():
    found = gains(runs())
    table = by_world(found).set_index("world")
    for world, rows in found.groupby("world"):
        assert table.loc[world, "actor's gain"] == pytest.approx(rows["actor's gain"].mean())
        assert table.loc[world, "low"] <= rows["actor's gain"].mean() <= table.loc[world, "high"]
        assert table.loc[world, "runs that lose"] == sum(value < 0 for value in rows["actor's gain"])
    assert table["word before"].tolist() == pytest.approx([0.5] * 4)
    assert table["word after"].tolist() == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert set(table["n"]) == {5} and 0 < table["runs that lose"].sum() < len(found)
    assert by_world(gains(runs(seeds=2)))["low"].isna().all()


@pytest.mark.parametrize("size", [{"worlds": 1}, {"seeds": 2}])
def test_too_few_runs_have_none(size):
    assert turning_point(gains(runs(**size)))["accuracy"] is None


def test_the_actors_gain_follows_accuracy_and_not_agreement():
    table = what_consistency_tells(gains(runs())).set_index(["one", "other"])
    assert table.loc[("accuracy before", "actor's gain"), "rank correlation"] == pytest.approx(1)
    assert table.loc[("agreement before", "actor's gain"), "low"] < 0.3
    few = what_consistency_tells(gains(runs(seeds=2)))
    assert few["rank correlation"].isna().all()
