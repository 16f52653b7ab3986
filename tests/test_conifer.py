"""What notebook 13 shows: the pipeline on one question, masks, tables and figures of scores by level."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from rtt_lib.analysis.conifer_claims import CLAIMS, SECONDARY, TWIN
from rtt_lib.analysis.contrasts import Contrast, decide
from rtt_lib.methods.turns import Turn, encode
from rtt_lib.report import conifer
from rtt_lib.worlds.levels.ladders import WORLDS
from rtt_lib.worlds.levels.policy import levels_tokenizer


def scores_of(**arms: list[float]) -> pd.DataFrame:
    """One row per arm and base policy; `arms`: levels 4 and 5 of each base policy; the other columns follow."""
    rows = []
    for arm, values in arms.items():
        for base, value in zip("ABCD", values, strict=False):
            levels = {f"level {k}": value + 0.1 * (5 - k) for k in (1, 2, 3, 4, 5)}
            rest = dict.fromkeys(("all satisfied", "numbers", "unseen combinations", "levels 4 and 5"), value)
            place = {"arm": arm.replace("_", " "), "world": "nested", "seed": f"{base}{'ABCD'.index(base)}"}
            rows.append(place | levels | rest | {"hard minus easy": -0.3})
    return pd.DataFrame(rows)


def test_a_question_with_a_contradiction_shows_what_the_filter_sees():
    table = conifer.one_question(WORLDS["exact"], 3, contradiction=True)
    assert table["level"].tolist() == [1, 2, 3, 4, 5] and table.loc[0, "can hold"] and not table.loc[4, "can hold"]
    held = table[table["can hold"]]
    assert (held["broken by it"] == "-").all() and (table.loc[~table["can hold"], "broken by it"] != "-").all()


def test_the_pipeline_in_numbers_follows_the_rules():
    table = conifer.pipeline_table([WORLDS["nested"], WORLDS["exact"]], 400).set_index(["world", "level"])
    assert table.loc[("nested", 1), "cannot hold"] == 0 == table.loc[("exact", 1), "wrong answers"]
    assert table.loc[("nested", 1), "left by the filter"] == pytest.approx(0.95, abs=0.03)
    nested = table.loc["nested", "wrong answers"]
    assert nested[1] == 0 and nested[5] == pytest.approx(0.2, abs=0.06) and nested[3] < nested[5]


def test_a_mask_token_by_token():
    tokenizer = levels_tokenizer()
    encoded = encode([Turn("user", "<ask> no commas :"), Turn("assistant", "bako", True)], tokenizer, chat=False)
    table = conifer.mask_table(encoded, tokenizer)
    assert table["token"].tolist() == ["<ask>", "no", "commas", ":", "bako", "<eos>"]
    assert table["learned"].tolist() == ["", "", "", "", "yes", "yes"]


def test_scores_by_level_in_percent_and_in_the_order_asked_for():
    scores = scores_of(Conifer=[0.2, 0.4], Conifer_reversed=[0.1, 0.1])
    table = conifer.hsr_table(scores, ["Conifer reversed", "Conifer", "Conifer both"])
    assert table["arm"].tolist() == ["Conifer reversed", "Conifer"] and table["runs"].tolist() == [2, 2]
    assert table.iloc[1]["level 5"] == pytest.approx(30) and table.iloc[1]["level 1"] == pytest.approx(70)


def test_what_was_not_run_gives_empty_tables_and_figures():
    nothing = pd.DataFrame(columns=["arm", "world", "seed"])
    assert conifer.hsr_table(nothing, ["Conifer"]).empty and conifer.secondary_table(SECONDARY, nothing).empty
    results = decide([*CLAIMS, *TWIN], nothing)
    assert {result.verdict for result in results} == {"untested"}
    for figure in (conifer.hsr_figure(nothing, ["Conifer"]), conifer.contrast_figure(results, "none")):
        plt.close(figure)
    other = pd.DataFrame([{"arm": "RL-CSR", "world": "L", "seed": "A0", "all satisfied": 0.5}])
    assert conifer.hsr_table(other, ["RL-CSR"]).empty, "a profile of another world"
    plt.close(conifer.hsr_figure(other, ["RL-CSR"]))


def test_differences_are_shown_in_points_with_their_intervals():
    scores = scores_of(Conifer=[0.2, 0.4, 0.3], Conifer_reversed=[0.1, 0.2, 0.15])
    table = conifer.secondary_table(
        [Contrast("", "", {"Conifer": 1, "Conifer reversed": -1}, "levels 4 and 5")], scores
    )
    # differences 10, 20, 15: mean 15, standard deviation 5, t(0.975, 2) = 4.3027
    half = 4.302653 * 5 / 3**0.5
    assert table.loc[0, ["points", "low", "high"]].tolist() == pytest.approx([15, 15 - half, 15 + half], abs=1e-4)
    claim = Contrast("K", "It helps", {"Conifer": 1, "Conifer reversed": -1}, "levels 4 and 5")
    results = decide([claim], scores)
    assert conifer.in_words(results) == "- K **supported**. +15.0 [+2.6, +27.4] points, n = 3. It helps."
    figure = conifer.contrast_figure(results, "one")
    line, point = figure.axes[0].lines[:2]
    assert list(line.get_xdata()) == pytest.approx([15 - half, 15 + half], abs=1e-4)
    assert list(point.get_xdata()) == pytest.approx([15])
    plt.close(figure)
