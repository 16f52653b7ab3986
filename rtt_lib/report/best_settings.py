"""Notebook 11: every method with the paper's settings, with its own best, and with these for longer."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from rtt_lib.analysis.comparison import ENOUGH_RUNS
from rtt_lib.analysis.primary import Tuning, longer
from rtt_lib.report.figures import empty_figure
from rtt_lib.report.theme import arm_color
from rtt_lib.stats import summary

TITLE = "Tuned alike: this project's default, the chosen settings, and these for longer"


def best_figure(runs: pd.DataFrame, arms: dict[str, dict[str, str]], tuning: Tuning) -> Figure:
    """A panel per world, a row per method: open circle, filled circle and square, each with its interval.

    arms: world -> method -> the arm that won.
    """
    here = runs[runs["seed"].isin(tuning.tested_on)].reindex(columns=["world", "arm", "seed", tuning.measure])
    scores = summary(here, tuning.measure).set_index(["world", "arm"])
    if not any((world, arm) in scores.index for world, each in arms.items() for arm in each.values()):
        return empty_figure(TITLE)
    methods = list(tuning.methods)
    size = (4.2 * len(arms) + 2.2, 0.75 * len(methods) + 1.5)
    fig, axes = plt.subplots(1, len(arms), figsize=size, squeeze=False, sharey=True)
    for ax, (world, each) in zip(axes[0], arms.items(), strict=True):
        for place, method in enumerate(methods):
            kinds = ((method, "o", "none"), (each[method], "o", None), (longer(each[method], tuning.long), "s", None))
            for step, (arm, marker, face) in enumerate(kinds):
                if (world, arm) in scores.index:
                    row, y, color = scores.loc[(world, arm)], place + 0.22 * (step - 1), arm_color(method)
                    if row["runs"] >= ENOUGH_RUNS:
                        ax.plot([row["low"], row["high"]], [y, y], color=color, linewidth=1.6)
                    ax.plot(row["mean"], y, marker, color=color, markerfacecolor=face or color, markersize=7)
        ax.set_title(f"World {world}")
        ax.set_xlabel(tuning.measure)
    axes[0][0].set_yticks(range(len(methods)), methods)
    axes[0][0].invert_yaxis()
    fig.suptitle(f"{TITLE} ({tuning.long} steps, squares)", x=0, ha="left", fontsize=12)
    return fig
