"""Notebook 05: the length bias of inter-sample normalisation as figures."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from rtt_lib.analysis.length_bias import SCENARIOS
from rtt_lib.report.theme import VARIANT_COLORS

INTRA, INTER = "#0072B2", VARIANT_COLORS["inter"]


def draw_simulation(simulated: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Mean and spread of the shortest response's advantage against its length: curve, points, one column a scenario."""
    fig, axes = plt.subplots(2, len(SCENARIOS), figsize=(10.5, 5.6), sharex=True, sharey="row")
    for column, scenario in zip(axes.T, SCENARIOS, strict=True):
        points = simulated[simulated["scenario"] == scenario.name]
        curve = curves[curves["scenario"] == scenario.name]
        for axis, quantity in zip(column, ("mean", "spread"), strict=True):
            axis.plot(curve["ratio"], curve[quantity], color=INTER, label="inter: Eq. 12 and 17")
            for scheme, color, marker in (("inter", INTER, "o"), ("intra", INTRA, "x")):
                some = points[points["scheme"] == scheme]
                axis.plot(some["ratio"], some[quantity], marker, color=color, alpha=0.5, markersize=4,
                          label=f"{scheme}: simulated")  # fmt: skip
        column[0].set_title(scenario.name)
        column[1].set_xscale("log", base=2)
        column[1].set_xlabel("length of the shortest / of the others")
    axes[0, 0].set_ylabel("mean of its A_tok")
    axes[1, 0].set_ylabel("spread of its A_tok")
    axes[0, -1].legend(fontsize=8)
    return fig


def draw_shortest(shortest: pd.DataFrame) -> Figure:
    """Mean advantage of every group's shortest response against its length ratio, one point per criterion."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0))
    for scheme, color, marker in (("inter", INTER, "o"), ("intra", INTRA, "x")):
        left.plot(shortest["ratio"], shortest[scheme], marker, color=color, alpha=0.45, markersize=4, label=scheme)
    left.axhline(0, color="#555555", linewidth=0.8)
    left.set(xlabel="its length / mean length of the others", ylabel="mean A_k of the shortest response")
    left.legend()
    right.plot(shortest["predicted"], shortest["inter"], "o", color=INTER, alpha=0.45, markersize=4)
    ends = [shortest["predicted"].min(), shortest["predicted"].max()]
    right.plot(ends, ends, color="#555555", linewidth=0.8)
    right.set(xlabel="predicted from Eq. 12 and 17", ylabel="measured, inter")
    left.set_title("every group's shortest response")
    right.set_title("the identity on real groups")
    return fig
