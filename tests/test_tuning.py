"""Best against best, on runs whose answer is known."""

from __future__ import annotations

import runpy
import sys
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml

from rtt_lib.analysis import tuning as best
from rtt_lib.analysis.judging import corrected
from rtt_lib.analysis.primary import longer, primary
from rtt_lib.files import plain
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import RESULTS
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import RECORDS_ONLY, results_table

TUNING = primary().tuning
RL = load_profile("tuning").rl
NOISE = dict(zip("ABCDEFGHIJK", np.random.default_rng(1).normal(0, 0.01, 11), strict=True))


def a_run(arm: str, world: str, seed: str, score: float) -> dict:
    own = NOISE[seed[0]] * (2 if arm.startswith("RTT") else 1)
    return {"arm": arm, "world": world, "seed": seed, "all satisfied": score + own, "per constraint": score}


def tuning_runs(scores: dict[str, float], worlds=TUNING.worlds) -> pd.DataFrame:
    """All settings score 0.3 but those that are named."""
    arms = [arm for method in TUNING.methods for arm in TUNING.arms(method)]
    places = product(worlds, arms, TUNING.chosen_on)
    return pd.DataFrame([a_run(arm, world, seed, scores.get(arm, 0.3)) for world, arm, seed in places])


def runs_to_test(scores: dict[str, float], worlds=TUNING.worlds) -> pd.DataFrame:
    places = product(worlds, scores, TUNING.tested_on)
    return pd.DataFrame([a_run(arm, world, seed, scores[arm]) for world, arm, seed in places])


WON = {"RL-CSR minibatches 4": 0.5, "RL-AON lr 0.001": 0.4, "RTT-CSR relative beta 0.25 lr 0.001": 0.6, "RTT-CSR": 0.35}
RTT, RIVAL = "RTT-CSR relative beta 0.25 lr 0.001", "RL-CSR minibatches 4"


def test_the_highest_mean_wins_and_of_equals_the_first():
    table = best.tried(tuning_runs(WON), TUNING, RL)
    assert len(table) == 3 * 6 * 6 and table.groupby(["world", "method"])["chosen"].sum().eq(1).all()
    assert best.chosen(table)["M"] == {
        "RL-AON": "RL-AON lr 0.001",
        "RL-CSR": RIVAL,
        "RTT-AON": "RTT-AON",
        "RTT-CSR": "RTT-CSR",
        "RTT-CSR relative": RTT,
        "RTT-CSR no EOS": "RTT-CSR no EOS",
    }
    assert best.best_of_each(table) == [best.Best(world, RIVAL, RTT) for world in "LMU"]


def test_each_world_chooses_for_itself_and_other_base_policies_have_no_say():
    in_u = tuning_runs({"RL-AON lr 0.0001": 0.9}, ["U"])
    runs = pd.concat([tuning_runs(WON, ["L", "M"]), in_u, runs_to_test({"RL-AON minibatches 4": 1.0})])
    found = best.chosen(best.tried(runs, TUNING, RL))
    assert [found[world]["RL-AON"] for world in "LMU"] == ["RL-AON lr 0.001", "RL-AON lr 0.001", "RL-AON lr 0.0001"]


def test_without_a_run_of_a_setting_nothing_is_chosen():
    runs = tuning_runs(WON)
    lacking = runs[~((runs["arm"] == "RL-AON") & (runs["world"] == "L") & (runs["seed"] == "K10"))]
    table = best.tried(lacking, TUNING, RL)
    assert list(best.chosen(table)) == ["M", "U"] and [one.world for one in best.best_of_each(table)] == ["M", "U"]
    assert best.chosen(best.tried(runs.iloc[:0], TUNING, RL)) == {}


def test_values_at_the_end_of_their_range_are_named():
    said = best.tried(tuning_runs(WON), TUNING, RL).query("world == 'L'").set_index("arm")["at an end"]
    assert said["RTT-CSR relative beta 0.25 lr 0.001"] == "lr highest"
    assert said["RTT-AON"] == said["RL-AON minibatches 4"] == "", "of two values each is an end"
    assert said["RL-AON lr 0.0001 minibatches 4"] == "lr lowest"


def with_tests(rtt=0.6, rl=0.5, rtt_long=0.7, rl_long=0.5, worlds=TUNING.worlds) -> pd.DataFrame:
    scores = {RTT: rtt, RIVAL: rl, longer(RTT, 240): rtt_long, longer(RIVAL, 240): rl_long}
    return pd.concat([tuning_runs(WON), runs_to_test(scores, worlds)], ignore_index=True)


def test_the_answer_is_of_six_comparisons_between_the_best():
    runs = with_tests(rtt_long=0.3)
    found = best.primary_comparisons(runs, best.best_of_each(best.tried(runs, TUNING, RL)), TUNING)
    assert [(one.world, one.arm, one.baseline) for one in found[:2]] == [
        ("L", RTT, RIVAL),
        ("L", f"{RTT} steps 240", f"{RIVAL} steps 240"),
    ]
    assert len(found) == 6 and all(one.complete for one in found)
    assert found[0].mean == pytest.approx(0.1 + np.mean([NOISE[base] for base in "ABCDEFGH"]))
    said = best.answer(found, 6)
    assert "above the best RL in 3 of 6 comparisons and below it in 3" in said
    lines = best.by_world(found, 6)
    assert lines.count("**RTT is worth it**") == 3 and lines.count("**RL is better**") == 3
    assert best.by_world([], 6) == ""
    assert "for 6; 4 are missing or incomplete)." in best.answer(
        found[:2], 6
    ) and "not run in this profile" in best.answer([], 6)


def test_a_test_of_some_seeds_is_said_to_be_incomplete():
    runs = with_tests()
    runs = runs[~((runs["world"] == "L") & runs["seed"].isin(["G6", "H7"]))]
    found = best.primary_comparisons(runs, best.best_of_each(best.tried(runs, TUNING, RL)), TUNING)
    assert "for 6; 2 are missing or incomplete)." in best.answer(found, 6)


def test_the_answer_in_a_table_is_corrected_within_each_question():
    runs = with_all_tests(**{longer(RTT, 240): 0.2})
    table = best.tried(runs, TUNING, RL)
    arms = best.chosen(table)
    found = best.answer_table(runs, arms, best.best_of_each(table), TUNING, RL).set_index(
        ["question", "world", "steps"]
    )
    first = found.loc[best.FIRST]
    assert len(found) == 7 * 6 and first["runs"].eq(8).all() and set(first.index.get_level_values("steps")) == {80, 240}
    noise = np.mean([NOISE[base] for base in "ABCDEFGH"])
    assert first.loc[("L", 80), "difference"] == pytest.approx(0.1 + noise)
    assert first.loc[("L", 240), "difference"] == pytest.approx(-0.3 + noise)
    assert (first["low"] < first["difference"]).all() and (first["high"] > first["difference"]).all()
    assert first["finding"].tolist() == ["RTT is worth it", "RL is better"] * 3
    pairs = best.primary_comparisons(runs, best.best_of_each(table), TUNING)
    assert first["level"].tolist() == corrected(pairs) and first["level"].max() == pytest.approx(1 - 0.05 / 6)
    same = found.loc["RTT-CSR against RL-CSR"]
    assert set(same["against"]) == {RIVAL, longer(RIVAL, 240)} and same["finding"].eq("RL is better").all()
    relative = found.loc["RTT-CSR relative against the best RL"]
    assert relative.drop(columns="finding").equals(first.drop(columns="finding")), "here the best RTT is this one"
    assert best.answer_table(runs.iloc[:0], {}, [], TUNING, RL).empty


def test_a_difference_within_the_noise_is_no_answer():
    runs = with_tests(rtt=0.5, rtt_long=0.5)
    found = best.primary_comparisons(runs, best.best_of_each(best.tried(runs, TUNING, RL)), TUNING)
    assert best.by_world(found, 6).count("**no difference shown**") == 6


def advised(runs) -> str:
    table = best.tried(runs, TUNING, RL)
    return best.advice(runs, best.chosen(table), best.best_of_each(table), TUNING)


def with_all_tests(**changes) -> pd.DataFrame:
    arms = best.chosen(best.tried(tuning_runs(WON), TUNING, RL))["L"]
    scores = {name: 0.45 for arm in arms.values() for name in (arm, longer(arm, 240))}
    scores |= {RIVAL: 0.5, longer(RIVAL, 240): 0.5}
    return pd.concat([tuning_runs(WON), runs_to_test(scores | {RTT: 0.6, longer(RTT, 240): 0.6} | changes)])


def test_one_method_is_recommended_or_none():
    said = advised(with_all_tests())
    assert said.startswith("Recommended: RTT-CSR relative. Tuned, its mean") and "shown in 6 of 6" in said
    assert advised(with_all_tests(**{longer(RTT, 240): 0.2})).startswith("No method is recommended")
    level = {name: 0.5 for name in (RTT, longer(RTT, 240))}
    assert advised(with_all_tests(**level)).startswith("No method is recommended"), "nothing is shown"
    none = with_all_tests(**{RIVAL: 0.9})
    said = "No method is recommended: tuned, none has a mean at or above the best RL's in L and M and U at both lengths"
    assert advised(none).startswith(said)
    lacking = "not all tests of the tuned RTT-AON and RTT-CSR and RTT-CSR no EOS are there."
    assert advised(with_tests()) == f"No recommendation: {lacking}"
    none = with_all_tests(**{RTT: 0.4})
    some = none[~none["arm"].str.endswith("steps 240")]
    assert advised(some).startswith("No method is recommended"), "each has a mean below already"
    assert advised(tuning_runs(WON, ["L"])).startswith("No recommendation: the tuned methods are not run")


def test_the_table_sets_default_chosen_and_longer_beside_one_another():
    runs = pd.concat([with_tests(), runs_to_test({"RTT-CSR relative": 0.5})])
    table = best.tested(runs, best.chosen(best.tried(runs, TUNING, RL)), TUNING)
    row = table[(table["world"] == "L") & (table["method"] == "RTT-CSR relative")].iloc[0]
    noise = 2 * np.mean([NOISE[base] for base in "ABCDEFGH"])
    cells = [row["this project's default"], row["chosen"], row["chosen, 240 steps"]]
    expected = np.array([0.5, 0.6, 0.7]) + noise
    assert [float(cell.split()[0]) for cell in cells] == pytest.approx(expected, abs=1e-3)
    assert row["settings"] == RTT and all(cell.endswith("n = 8") for cell in cells)
    assert table.loc[table["method"] == "RTT-AON", "chosen"].eq("not run in this profile").all()
    gained = best.paired_with_default(runs, best.chosen(best.tried(runs, TUNING, RL)), TUNING)
    shown = gained[(gained["arm"] == RTT) & (gained["measure"] == "all satisfied")]
    assert shown["difference"].tolist() == pytest.approx([0.1] * 3) and set(shown["against"]) == {"RTT-CSR relative"}


def test_the_experiments_are_lines_of_a_profile():
    arms = best.chosen(best.tried(tuning_runs(WON), TUNING, RL))
    read = yaml.safe_load(best.experiments(arms, TUNING))
    assert list(read) == ["best-L", "best-M", "best-U"]
    assert read["best-U"]["worlds"] == ["U"] and tuple(read["best-U"]["seeds"]) == TUNING.tested_on
    assert len(read["best-L"]["arms"]) == len({*TUNING.methods, *arms["L"].values()}) + 6
    assert {*TUNING.methods, RTT, longer(RTT, 240)} <= set(read["best-L"]["arms"]), "the default beside the chosen"
    assert all(find_arm(name) for name in read["best-L"]["arms"])


def test_before_the_tuning_is_done_the_command_says_so(tmp_path, empty_store, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tuning", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(best.__file__, run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "rtt: 0 of 324 runs of the tuning are there: rtt run tuning\n"


def test_a_smaller_budget_is_the_same_rule():
    small = replace(TUNING, methods={"RL-AON": ("default", "lr 0.001"), "RTT-AON": ("default", "beta 0.25")})
    table = best.tried(tuning_runs({"RTT-AON beta 0.25": 0.4}), small, RL)
    assert best.chosen(table)["L"] == {"RL-AON": "RL-AON", "RTT-AON": "RTT-AON beta 0.25"}


@pytest.mark.parametrize("name", ["tuning", "micro-full"])
def test_the_settings_that_a_profile_tests_are_those_that_won(name, monkeypatch):
    """By the committed runs of the tuning."""
    monkeypatch.setenv(RECORDS_ONLY, "1")
    profile = load_profile(name)
    won = best.chosen(best.tried(results_table(plan(profile, ["tuning"]), RESULTS / "tuning"), TUNING, RL))
    asked = {name: made for name, made in profile.experiments.items() if name.startswith("best-")}
    lines = yaml.safe_load(best.experiments(won, TUNING))
    assert {name: plain(asdict(made)) for name, made in asked.items()} == lines
