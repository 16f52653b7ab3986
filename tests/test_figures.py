"""Figures that compare arms show what was given, and say so where nothing was run."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from test_comparison import SEEDS, curves_of, runs_of

from rtt_lib.analysis import comparison
from rtt_lib.report import figures
from rtt_lib.report.theme import apply_theme
from rtt_lib.stats import bootstrap


@pytest.fixture(autouse=True)
def figures_of_the_house():
    apply_theme()
    yield
    plt.close("all")


def test_every_base_policy_is_drawn():
    six = runs_of(seeds=("A0", "B0", "C0", "D0", "E0", "F0"), RL_AON=[0.0] * 6, RTT_AON=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    drawn = figures.paired_figure(six, comparison.SAME_REWARD[:1]).axes[0].collections
    assert sorted(float(x) for marks in drawn for x, _ in marks.get_offsets()) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    )


def test_an_experiment_that_was_not_run_gives_empty_tables_and_says_so():
    nothing = pd.DataFrame(columns=["arm", "world", "seed"])
    curves = pd.DataFrame(columns=["arm", "world", "seed", "step"])
    table = comparison.differences(nothing, comparison.PARTITION)
    families = comparison.family_table(nothing, ["base"])
    for empty in (table, families, comparison.beside_table_1(nothing), comparison.beta_table(nothing)):
        assert empty.empty and len(empty.columns) >= 3
    assert comparison.speed_table(curves, ["RL-AON"]).empty
    assert comparison.pair_table(nothing, "RTT-AON", "RL-AON").empty
    assert comparison.NOT_RUN in comparison.in_words(table).lower()
    drawn = [
        figures.learning_curves(curves, ["RL-AON"], ["entropy"]),
        figures.score_figure(nothing, ["base"]),
        figures.paired_figure(nothing, comparison.PARTITION),
        figures.beta_figure(nothing, 0.5),
        figures.family_figure(families),
    ]
    assert all(comparison.NOT_RUN in [text.get_text() for text in fig.axes[0].texts] for fig in drawn)


class TestFigures:
    def test_labels_of_lines_that_end_together_are_apart(self):
        curves = pd.concat([curves_of([[0.5] * 12] * 3, arm) for arm in ("RL-AON", "RL-CSR", "RTT-AON")])
        fig = figures.learning_curves(curves, ["RL-AON", "RL-CSR", "RTT-AON"], ["verdict/aon"])
        places = sorted(text.xyann[1] for text in fig.axes[0].texts)
        assert len(places) == 3 and min(np.diff(places)) > 0.08

    def test_more_than_four_arms_share_out_over_panels_with_one_scale(self):
        arms = ["RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR", "RTT-AON inter"]
        curves = pd.concat([curves_of([[0.1 * n] * 12] * 3, arm) for n, arm in enumerate(arms)])
        fig = figures.learning_curves(curves, [*arms, "RTT-AON mass"], ["verdict/aon"])
        assert [[text.get_text() for text in ax.texts] for ax in fig.axes] == [arms[:3], arms[3:]]
        first, second = (ax.get_ylim() for ax in fig.axes)
        assert first == second and first[0] >= 0 and first[1] > 0.4

    def test_the_axis_of_a_share_ends_at_zero_and_one(self):
        runs = runs_of(RL_AON=[0.0, 0.0, 1.0], RTT_AON=[1.0, 1.0, 1.0])
        low, high = figures.score_figure(runs, ["RL-AON", "RTT-AON"]).axes[0].get_xlim()
        assert (low, high) == (0, 1)
        fig = figures.learning_curves(curves_of([[0.0] * 6 + [1.0] * 6] * 3, "RL-AON"), ["RL-AON"], ["verdict/aon"])
        assert fig.axes[0].get_ylim()[0] == 0 and fig.axes[0].get_ylim()[1] <= 1

    def test_a_difference_of_shares_is_no_share(self):
        """Its line is above zero, its band is not: the axis shows both."""
        differences = curves_of([[-0.2] * 12, [0.3] * 12, [0.5] * 12], "RTT-AON - RL-AON")
        fig = figures.learning_curves(differences, ["RTT-AON - RL-AON"], ["verdict/aon"])
        assert fig.axes[0].get_ylim()[0] < -0.05

    def test_a_row_without_a_run_in_one_world_says_so(self):
        runs = runs_of(worlds="LM", RL_AON=[0.1, 0.2, 0.3], RTT_AON=[0.2, 0.3, 0.5])
        runs = runs[(runs["world"] == "L") | (runs["arm"] == "RL-AON")]
        left, right = figures.score_figure(runs, ["RL-AON", "RTT-AON"]).axes
        assert [text.get_text() for text in left.texts] == []
        assert [(text.get_text(), text.get_position()[1]) for text in right.texts] == [("not run", 1)]

    def test_band_is_the_bootstrap_interval(self):
        lines = [[0.1], [0.2], [0.6], [0.4], [0.5]]
        _, ax = plt.subplots()
        wide = pd.DataFrame(np.array(lines).T, index=[1], columns=list(SEEDS))
        figures._band(ax, wide, "black")
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        low, high = bootstrap([0.1, 0.2, 0.6, 0.4, 0.5], ["A", "A", "A", "B", "B"])
        assert (drawn.min(), drawn.max()) == pytest.approx((low, high), abs=0.02)

    def test_one_panel_per_world(self):
        runs = runs_of(worlds="LM", RL_AON=[0.1, 0.2, 0.3], RTT_AON=[0.2, 0.3, 0.5])
        assert [ax.get_title(loc="left") for ax in figures.score_figure(runs, ["RL-AON"]).axes] == [
            "World L",
            "World M",
        ]
        assert len(figures.paired_figure(runs, comparison.SAME_REWARD).axes) == 2
