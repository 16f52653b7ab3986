"""Notebook 08: the micro benchmark as a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtt_lib.report.theme import arm_color


def micro_figure(table: pd.DataFrame) -> Figure:
    """One panel per world and score of Table 1: every arm's mean with its interval, labelled with its value."""
    table = table[table["score"].isin(["all satisfied", "per constraint", "out of domain"])]
    panels = list(table.groupby(["world", "score"], sort=False))
    columns = max(1, table["score"].nunique())
    lines = max(1, -(-len(panels) // columns))
    figure, axes = plt.subplots(lines, columns, figsize=(4 * columns, 0.9 + 2.3 * lines), squeeze=False, sharey="row")
    if not panels:
        axes[0, 0].text(0.5, 0.5, "not run in this profile", ha="center", va="center")
        axes[0, 0].set_axis_off()
    by_world = table["world"].drop_duplicates().tolist()
    for (world, score), rows in panels:
        axis = axes[by_world.index(world), table["score"].drop_duplicates().tolist().index(score)]
        _draw_arms(axis, rows[::-1].reset_index(drop=True))
        axis.set(title=f"World {world}: {score}", xlabel="per cent")
    return figure


def _draw_arms(axis: Axes, rows: pd.DataFrame) -> None:
    for place, row in rows.iterrows():
        color = arm_color(row["arm"])
        axis.plot([100 * row["low"], 100 * row["high"]], [place, place], color=color, linewidth=2.5)
        axis.plot(100 * row["mean"], place, "o", color=color)
        label = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axis.annotate(f"{100 * row['mean']:.1f}", (100 * row["mean"], place), **label)
    axis.set_yticks(range(len(rows)), rows["arm"])
    axis.set_ylim(-0.5, len(rows) - 0.3)
    axis.set_xlim(0, max(1.0, 112 * rows[["mean", "high"]].max(axis=None)))
