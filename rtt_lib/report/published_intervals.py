"""How far the paper's own table can be trusted: are its cells single passes, and which gains could be noise?

The paper gives no seeds and no intervals. The sizes of the benchmarks are public, and they alone say a lot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtri

from rtt_lib.analysis.published import SAME_REWARD, arithmetic, best_gains, gains, instruction_level, table1, table4
from rtt_lib.report.theme import arm_color
from rtt_lib.stats import LEVEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PASSES = 5  # completions per prompt, of which section 5 says that the mean is printed
PROMPTS = {"IFEval Prompt": 541, "IFBench Prompt": 294, "MulDimIF Acc": 1200}
CASES = PROMPTS | {"IFEval Instruct": 834, "IFBench Instruct": 335}  # what each column counts


# -------------------------------------------------------------------------------------------------- one pass or five


def printed(n: int) -> set[int]:
    """Every figure, in hundredths of a per cent, that k of n can be printed as; rounded or cut off."""
    exact = [10_000 * k / n for k in range(n + 1)]
    return {int(value) for value in exact} | {int(value + 0.5) for value in exact}


def is_count(percent: float, n: int) -> bool:
    """Can this figure be k of n, for a whole k?"""
    return round(100 * percent) in printed(n)


def chance_for_a_mean(n: int) -> float:
    """The share of means over five passes that look like k of n in a single pass."""
    single = printed(n)
    means = [round(10_000 * k / (n * PASSES)) for k in range(n * PASSES + 1)]
    return float(np.mean([mean in single for mean in means]))


def single_pass_table() -> pd.DataFrame:
    """By column of Table 1: how many cells are k of n, and how many would be if they were means of five passes."""
    scores = table1()
    rows = []
    for column, n in CASES.items():
        fits = [is_count(value, n) for value in scores[column]]
        expected = chance_for_a_mean(n)
        rows.append((column, n, len(fits), sum(fits), expected * len(fits)))
    return pd.DataFrame(rows, columns=["column", "n", "cells", "k of n", "expected of means of five"])


def single_pass_exceptions() -> pd.DataFrame:
    """The cells that no single pass can give."""
    scores = table1()
    rows = [
        (model, arm, column, row[column])
        for (model, arm), row in scores.iterrows()
        for column, n in CASES.items()
        if not is_count(row[column], n)
    ]
    return pd.DataFrame(rows, columns=["model", "arm", "column", "printed"])


def single_pass_sentence() -> str:
    table = single_pass_table()
    cells, fits, expected = (table[name].sum() for name in ("cells", "k of n", "expected of means of five"))
    verdict = "single passes explain the table" if fits > (cells + expected) / 2 else "means of five explain it as well"
    return (
        f"{fits} of {cells} cells are k of n for a whole k; of means of {PASSES} passes about {expected:.0f} would be: "
        f"{verdict}."
    )


# --------------------------------------------------------------------------------------------------- gains and noise


def gain_intervals() -> pd.DataFrame:
    """RTT minus RL with the same reward at the level of prompts, with what n prompts allow to say about it.

    low, high: 95% interval if the two accuracies were binomial and independent, in points.
    best case: p of the two-sided sign test if RTT satisfied every prompt that RL satisfies. No comparison prompt by
    prompt can give this gain a smaller p.
    """
    scores, found = table1(), gains()
    rows = []
    for (model, arm), row in found.iterrows():
        for column, n in PROMPTS.items():
            shares = [scores.loc[(model, name), column] / 100 for name in (arm, SAME_REWARD[arm])]
            half = 100 * ndtri((1 + LEVEL) / 2) * np.sqrt(sum(p * (1 - p) / n for p in shares))
            more = round(row[column] / 100 * n)
            rows.append((model, arm, column, n, row[column], row[column] - half, row[column] + half, more))
    columns = ["model", "arm", "column", "n", "gain", "low", "high", "prompts more"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["best case p"] = np.minimum(1.0, 2 * 0.5 ** frame["prompts more"].abs())
    return frame.assign(**{"excludes zero": (frame["low"] > 0) | (frame["high"] < 0)})


def gain_sentence() -> str:
    frame = gain_intervals()
    clear, never = int(frame["excludes zero"].sum()), int((frame["best case p"] > 1 - LEVEL).sum())
    positive = int((frame["gain"] > 0).sum())
    return (
        f"Of the paper's {len(frame)} gains over RL with the same reward, {positive} are positive. With one pass each "
        f"over n prompts, {clear} of them would be distinguishable from zero if the two passes were independent; "
        f"{never} could not be so even in the best case, where RTT loses no prompt that RL had."
    )


def gains_figure() -> Figure:
    """One panel per benchmark: every gain over RL with its binomial interval."""
    import matplotlib.pyplot as plt

    frame = gain_intervals()
    figure, axes = plt.subplots(1, len(PROMPTS), figsize=(11, 4.2), sharey=True)
    for axis, (column, n) in zip(axes, PROMPTS.items(), strict=True):
        cells = frame[frame["column"] == column].reset_index(drop=True)
        for place, cell in cells.iterrows():
            _draw_gain(axis, len(cells) - 1 - place, cell)
        axis.axvline(0, color="#555555", linewidth=1)
        axis.set(title=f"{column} (n = {n})", xlabel="gain over RL, points")
        axis.set_yticks(range(len(cells)), [f"{c['model']}, {c['arm']}" for _, c in cells[::-1].iterrows()])
        axis.set_ylim(-0.5, len(cells) - 0.4)
    figure.suptitle("The paper's gains, with the interval that one pass over n prompts would have", fontsize=12)
    return figure


def _draw_gain(axis, height: float, cell: pd.Series) -> None:
    """A point with its interval: filled if zero is excluded, hollow if not."""
    color = arm_color(cell["arm"])
    axis.plot([cell["low"], cell["high"]], [height, height], color=color, linewidth=2)
    face = color if cell["excludes zero"] else "white"
    axis.plot(cell["gain"], height, "o", color=color, markerfacecolor=face, markersize=8, markeredgewidth=1.8)
    label = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 9}
    axis.annotate(f"{cell['gain']:+.2f}", (cell["gain"], height), **label)


# ---------------------------------------------------------------------------------------------------- means of means


def arithmetic_sentence() -> str:
    same, best = gains(), best_gains()
    level = instruction_level()
    rubric = [column for column in same if column not in level]
    return (
        f"RTT minus RL with the same reward: {same[level].to_numpy().mean():.2f} points at the level of instructions, "
        f"{same[rubric].to_numpy().mean():.2f} at the level of rubrics; the better RTT minus the better RL in each "
        f"cell: {best[level].to_numpy().mean():.2f} and {best[rubric].to_numpy().mean():.2f}."
    )


def disagreements() -> pd.DataFrame:
    """Statements of the text that differ from its tables in the printed digits."""
    frame = arithmetic().dropna()
    digits = [len(f"{text:g}".partition(".")[2]) for text in frame["the paper's text"]]
    again = [round(value, places) for value, places in zip(frame["recomputed"], digits, strict=True)]
    return frame[frame["the paper's text"] != again]


def weights_order() -> pd.DataFrame:
    """Table 4 from best to worst by the mean of its seven cells, and in how many of them uniform is beaten."""
    frame = table4()
    uniform = frame.loc["uniform (RL-AON)"].drop("mean")
    beats = (frame.drop(columns="mean") > uniform).sum(axis=1)
    equals = (frame.drop(columns="mean") == uniform).sum(axis=1)
    return (
        pd.DataFrame({"mean": frame["mean"], "cells above uniform": beats, "cells equal to uniform": equals})
        .sort_values("mean", ascending=False)
        .rename_axis("weights")
        .reset_index()
    )


def weights_sentence() -> str:
    order = weights_order()
    chain = " > ".join(f"{row.weights} {row.mean:.2f}" for row in order.itertuples())
    return f"By the mean of the seven cells: {chain}."
