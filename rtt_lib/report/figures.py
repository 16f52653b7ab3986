"""Figures that set arms beside one another. Lines and points are labelled where they are, intervals are drawn.

Bands and whiskers are 95% bootstrap intervals over runs (`bench.stats`); below three runs there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, product, zip_longest

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rtt_lib.analysis.comparison import (
    ENOUGH_RUNS,
    NOT_RUN,
    UNITS,
    WINDOW,
    beta_table,
    differences,
    ordered,
    pair_table,
)
from rtt_lib.report.theme import arm_color, credit_colors, ink_on, readable, shade
from rtt_lib.stats import resampled, smooth, summary

# What a column of the training log shows, in a reader's words.
MEASURES = {
    "verdict/aon": "all constraints satisfied",
    "verdict/csr": "constraints satisfied",
    "entropy": "entropy (nats per token)",
    "completions/mean_length": "tokens per response",
    "rtt/kl_to_old_policy": "KL to the step's old policy",
    "clip_ratio/region_mean": "share of tokens clipped",
    "credit/eos": "token credit of EOS",
    "credit/silent_groups": "groups with equal rewards",
    "frac_reward_zero_std": "share of prompts with equal rewards",
    "credit/a_tok_abs": "mean |A_tok|",
}
MOST_ARMS = 4  # whose curves can be told apart in one panel
QUIET = "#666666"  # of a remark
SHARES = ("verdict/aon", "verdict/csr", "clip_ratio/region_mean", "credit/silent_groups", "frac_reward_zero_std")
PANELS_IN_A_ROW = 3  # more would be unreadable on a page
BASE_MARKS = "os^v<>DP"  # one for each base policy
BAND_POINTS, BAND_RESAMPLES = 40, 500  # places along a curve at which its interval is computed, and how well


def empty_figure(title: str) -> Figure:
    """It says that nothing was run; so does its label, which `save_figure` takes for what the figure shows."""
    fig, ax = plt.subplots(figsize=(7, 1.6))
    fig.set_label(f"{title}: {NOT_RUN}.")
    ax.set_axis_off()
    ax.set_title(title)
    ax.text(0, 0.5, NOT_RUN, transform=ax.transAxes, color=QUIET)
    return fig


def learning_curves(
    curves: pd.DataFrame, arms: Sequence[str], measures: Sequence[str], title: str = "Training curves"
) -> Figure:
    """A panel per world (row) and measure (column): each arm's mean over runs with its band, smoothed over steps.

    More than four arms are shared out over further rows, with one scale for a world and a measure.
    """
    chosen = ordered(curves, arms)
    measures = [measure for measure in measures if measure in chosen and chosen[measure].notna().any()]
    if chosen.empty or not measures:
        return empty_figure(title)
    worlds = chosen["world"].unique()
    parts = few_at_a_time([arm for arm in arms if arm in set(chosen["arm"])])
    lines = -(-len(measures) // PANELS_IN_A_ROW)  # of panels for one world and part
    columns, rows = -(-len(measures) // lines), len(worlds) * len(parts) * lines
    fig, axes = plt.subplots(rows, columns, figsize=(4.6 * columns + 0.6, 3.1 * rows + 0.4), squeeze=False)
    drawn: dict[tuple[str, str], list[tuple[Axes, list]]] = {}  # by world and measure: panels with their lines' ends
    for n, (world, part) in enumerate(product(worlds, parts)):
        panels = axes[n * lines : (n + 1) * lines].flat
        for ax, measure in zip_longest(panels, measures):
            if measure is None:
                ax.set_axis_off()
                continue
            ax.set_title(f"World {world}: {MEASURES.get(measure, measure)}")
            here = chosen[(chosen["world"] == world) & chosen["arm"].isin(part)]
            if here[measure].notna().any():
                drawn.setdefault((world, measure), []).append((ax, _curves(ax, here, part, measure)))
            else:
                ax.set_axis_off()
                ax.text(0, 0.5, NOT_RUN, transform=ax.transAxes, color=QUIET)
    for (_, measure), panels in drawn.items():
        _same_scale(panels, measure)
    for ax in axes[-1]:
        ax.set_xlabel("rollout step")
    fig.suptitle(f"{title} ({_runs_an_arm(chosen)})", x=0, ha="left", fontsize=12)
    return fig


def few_at_a_time(arms: Sequence[str]) -> list[Sequence[str]]:
    """Parts of at most four arms, as equal in size as can be."""
    parts = -(-len(arms) // MOST_ARMS)
    size = -(-len(arms) // parts)
    return [arms[n : n + size] for n in range(0, len(arms), size)]


def _runs_an_arm(curves: pd.DataFrame) -> str:
    runs = curves.groupby(["world", "arm"])["seed"].nunique()
    fewest, most = int(runs.min()), int(runs.max())
    return (
        f"{fewest} to {most} runs an arm" if fewest < most else "one run an arm" if most == 1 else f"{most} runs an arm"
    )


def _same_scale(panels: Sequence[tuple[Axes, list]], measure: str) -> None:
    """One scale for the panels of a world and a measure, a share's within 0 and 1; then the names of the lines.

    The difference of two arms is no share, also where its line stays above zero: its band need not.
    """
    lows, highs = zip(*(ax.get_ylim() for ax, _ in panels), strict=True)
    differences = any(" - " in name for _, ends in panels for *_, name in ends)
    negative = differences or any(y < 0 for ax, _ in panels for line in ax.lines for y in line.get_ydata())
    low, high = min(lows), max(highs)
    if measure in SHARES and not differences:
        low, high = max(0, low), min(1, high)
    for ax, ends in panels:
        ax.set_ylim(low, high)
        if negative:
            ax.axhline(0, color="#555555", linewidth=1)
        _label_ends(ax, ends)


def _curves(ax: Axes, curves: pd.DataFrame, arms: Sequence[str], measure: str) -> list[tuple[float, float, str]]:
    """Draw the arms; returns where their lines end."""
    ends = []
    for arm in arms:
        wide = curves[curves["arm"] == arm].pivot_table(index="step", columns="seed", values=measure)
        if wide.empty:
            continue
        wide = wide.apply(lambda line: pd.Series(smooth(line, WINDOW), line.index))
        mean = wide.mean(axis=1)
        twin = arm.replace("AON", "CSR", 1)  # a variant has one colour, whatever its reward
        dashes = "--" if " " in arm and twin != arm and twin in arms else "-"
        # Not clipped: a line along the end of the scale stays in sight.
        ax.plot(mean.index, mean, color=arm_color(arm), linewidth=1.8, linestyle=dashes, clip_on=False, zorder=3)
        _band(ax, wide, arm_color(arm))
        ends.append((mean.index[-1], mean.iloc[-1], arm))
    return ends


def _band(ax: Axes, wide: pd.DataFrame, color: str) -> None:
    """wide: [steps, runs]. The bootstrap's resamples are drawn once for the whole curve."""
    if wide.shape[1] < ENOUGH_RUNS:
        return
    places = np.unique(np.linspace(0, len(wide) - 1, BAND_POINTS).round().astype(int))
    low, high = resampled(wide.to_numpy()[places].T, wide.columns.str[0], BAND_RESAMPLES).interval()
    ax.fill_between(wide.index[places], low, high, color=color, alpha=0.16, linewidth=0)


def _label_ends(ax: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Names beside the ends of their lines, pushed apart where they would overlap."""
    if not ends:
        return
    low, high = ax.get_ylim()
    ends, gap = sorted(ends, key=lambda end: end[1]), 0.085 * (high - low)
    places = np.array([y for _, y, _ in ends], float)
    for _ in range(100):  # neighbours that overlap share the move
        overlap = np.clip(gap - np.diff(places), 0, None) / 2
        places[:-1] -= overlap
        places[1:] += overlap
    for (x, y, arm), place in zip(ends, places, strict=True):
        ax.annotate(
            arm,
            xy=(x, y),
            xytext=(1.03, (place - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=readable(arm_color(arm)),
            annotation_clip=False,
        )
    ax.set_ylim(low, high)


def score_figure(runs: pd.DataFrame, arms: Sequence[str], column: str = "all satisfied", title: str = "") -> Figure:
    """A panel per world: each arm's mean with interval, its runs as dots."""
    chosen = ordered(runs, arms)
    if chosen.empty:
        return empty_figure(title or column)
    worlds = chosen["world"].unique()
    present = [arm for arm in arms if arm in set(chosen["arm"])]
    size = (4.2 * len(worlds) + 1.6, 0.42 * len(present) + 1.3)
    fig, axes = plt.subplots(1, len(worlds), figsize=size, squeeze=False, sharey=True)
    for ax, world in zip(axes[0], worlds, strict=True):
        here = chosen[chosen["world"] == world]
        for row in summary(here, column).to_dict("records"):
            values = here[here["arm"] == row["arm"]].set_index("seed")[column]
            _interval(ax, present.index(row["arm"]), row | {"count": row["runs"]}, values, arm_color(row["arm"]))
        if column not in UNITS:  # a share
            ax.set_xlim(max(0, ax.get_xlim()[0]), min(1, ax.get_xlim()[1]))
        _say_not_run(ax, present, here["arm"])
        ax.set_title(f"World {world}")
        ax.set_xlabel(column)
    _name_rows(axes[0][0], present)
    fig.suptitle(title, x=0, ha="left", fontsize=12)
    return fig


def paired_figure(
    runs: pd.DataFrame, pairs: Iterable[tuple[str, str]], column: str = "all satisfied", title: str = ""
) -> Figure:
    """A panel per world: each pair's mean difference with interval, its seeds as dots, zero as a line."""
    table = differences(runs, pairs, [column])
    if table.empty:
        return empty_figure(title or f"Paired differences in {column}")
    names = list(dict.fromkeys(table["arm"] + " - " + table["against"]))
    worlds = table["world"].unique()
    size = (4.2 * len(worlds) + 2.6, 0.5 * len(names) + 1.5)
    fig, axes = plt.subplots(1, len(worlds), figsize=size, squeeze=False, sharey=True, sharex=True)
    for ax, world in zip(axes[0], worlds, strict=True):
        ax.axvline(0, color="#555555", linewidth=1)
        for row in table[table["world"] == world].to_dict("records"):
            seeds = pair_table(runs[runs["world"] == world], row["arm"], row["against"], column)
            seeds = seeds.set_index("seed")["difference"]
            drawn = {"mean": row["difference"], "count": row["pairs"], "low": row["low"], "high": row["high"]}
            place = names.index(f"{row['arm']} - {row['against']}")
            clear = row["verdict"] in ("better", "worse")
            _interval(ax, place, drawn, seeds, arm_color(row["arm"]) if clear else QUIET)
            ax.annotate(
                row["verdict"],
                (row["difference"], place - 0.28),
                ha="center",
                va="center",
                fontsize=8,
                color="#444444",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
        here = table[table["world"] == world]
        _say_not_run(ax, names, here["arm"] + " - " + here["against"])
        ax.set_title(f"World {world}")
        ax.set_xlabel(f"difference in {column}")
        ax.xaxis.set_major_locator(MaxNLocator(5))
    _name_rows(axes[0][0], names)
    fig.suptitle(title, x=0, ha="left", fontsize=12)
    return fig


def _interval(ax: Axes, place: int, row: Mapping, values: pd.Series, color: str) -> None:
    """Runs as open marks, one kind for each base policy, their mean as a filled diamond, the interval as a bar where
    there are enough of them. values: by seed."""
    for marker, (_, runs) in zip(cycle(BASE_MARKS), values.groupby(values.index.str[0]), strict=False):
        y = np.full(len(runs), place + 0.17)
        ax.scatter(runs, y, s=14, marker=marker, facecolors="none", edgecolors=color, linewidths=0.9)
    if row["count"] >= ENOUGH_RUNS:
        ax.plot([row["low"], row["high"]], [place, place], color=color, linewidth=3, solid_capstyle="butt", alpha=0.6)
    ax.plot([row["mean"]], [place], marker="D", markersize=6, color=color, clip_on=False, zorder=3)


def _say_not_run(ax: Axes, names: Sequence[str], run: Iterable[str]) -> None:
    """A row without a run in this world says so."""
    for place, name in enumerate(names):
        if name not in set(run):
            ax.text(0.02, place, "not run", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=QUIET)


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


def beta_figure(runs: pd.DataFrame, profile_beta: float) -> Figure:
    """Figure 3: ours by world on the left, the paper's read-off points on the right, each on its own scale."""
    title = "How much token-level credit? beta of Eq. 7"
    table = beta_table(runs, profile_beta)
    if table.empty:
        return empty_figure(title)
    worlds = table["world"].unique()
    fig, axes = plt.subplots(1, len(worlds) + 1, figsize=(3.7 * (len(worlds) + 1), 3.4), squeeze=False)
    for ax, world in zip(axes[0], worlds, strict=False):
        here = table[table["world"] == world].sort_values("beta")
        ax.plot(here["beta"], here["mean"], color=arm_color("RTT-AON"), marker="o")
        ax.vlines(here["beta"], here["low"], here["high"], color=arm_color("RTT-AON"), linewidth=3, alpha=0.5)
        ax.set_title(f"World {world}: all satisfied")
    published = table[["beta", "paper (read off)"]].drop_duplicates().sort_values("beta")
    axes[0][-1].plot(*published.to_numpy().T, color="#444444", marker="s", linestyle="--")
    axes[0][-1].set_title("The paper, Qwen3-4B (%, another scale)")
    for ax in axes[0]:
        ax.set_xlabel("beta (0: RL-AON)")
        ax.set_xticks(published["beta"])
    fig.suptitle(title, x=0, ha="left", fontsize=12)
    return fig


def family_figure(table: pd.DataFrame) -> Figure:
    """`comparison.family_table` as a heat map a world: rows are families, local ones first, columns are arms."""
    title = "Share satisfied by criterion family"
    if table.empty:
        return empty_figure(title)
    worlds, arms = table["world"].unique(), list(table.columns[3:])
    rows = max((table["world"] == world).sum() for world in worlds)
    size = ((0.75 * len(arms) + 2.6) * len(worlds), 0.42 * rows + 1.9)
    fig, axes = plt.subplots(1, len(worlds), figsize=size, squeeze=False)
    for ax, world in zip(axes[0], worlds, strict=True):
        here = table[table["world"] == world]
        shares = here[arms].to_numpy(float)
        ax.imshow(shares, cmap=credit_colors(), vmin=-1, vmax=1, aspect="auto")  # the blue half
        for (i, j), share in np.ndenumerate(shares):
            ink = ink_on(shade(np.nan_to_num(share)))
            ax.text(j, i, f"{share:.2f}", ha="center", va="center", color=ink, fontsize=9)
        ax.set_xticks(range(len(arms)), arms, rotation=40, ha="right")
        ax.set_yticks(range(len(here)), here["family"] + " (" + here["responsible tokens"] + ")")
        ax.grid(False)
        ax.set_title(f"World {world}")
    fig.suptitle(title, x=0, ha="left", fontsize=12)
    return fig
