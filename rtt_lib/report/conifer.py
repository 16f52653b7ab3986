"""Notebook 13: one question at five levels, the filter's errors, masks, scores by level, contrasts."""

from __future__ import annotations

import random
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import PreTrainedTokenizerBase

from rtt_lib.analysis.contrasts import Contrast, Result, compare, values_of
from rtt_lib.methods.turns import UNLEARNED, Encoded
from rtt_lib.report.figures import empty_figure, few_at_a_time
from rtt_lib.report.theme import arm_color
from rtt_lib.stats import ENOUGH_RUNS, bootstrap
from rtt_lib.verify import verify
from rtt_lib.worlds.levels.ladders import (
    LANGUAGE,
    Rules,
    answer,
    as_prompt,
    draw,
    levels,
    make_ladders,
    passes,
    satisfiable,
    with_contradiction,
)
from rtt_lib.worlds.micro.language import Language
from rtt_lib.worlds.teaching import LEVELS

POINTS = 100


def one_question(rules: Rules, seed: int, contradiction: bool = False) -> pd.DataFrame:
    """Every level of one question on its way through the pipeline, before the filter removes any."""
    rng, language = random.Random(seed), Language()
    criteria = draw(LANGUAGE, rng)
    if contradiction:
        criteria = with_contradiction(criteria, rng)
    rows = []
    for level, asked, error in zip(LEVELS, levels(criteria, rules.nested, rng), rules.errors, strict=True):
        response = answer(asked, error, language, rng)
        rows.append(
            {
                "level": level,
                "prompt": as_prompt("", asked, rules.name, rng).prompt,
                "can hold": satisfiable(asked),
                "kept": passes(asked, rules, rng),
                "teacher's answer": response,
                "broken by it": ", ".join(c.text for c in asked if not verify(c, "", response)) or "-",
            }
        )
    return pd.DataFrame(rows)


def pipeline_table(worlds: Sequence[Rules], n: int) -> pd.DataFrame:
    """Of `n` questions: how many levels are left, how many of them cannot hold, how many answers are wrong."""
    rows = []
    for rules in worlds:
        rungs = [rung for ladder in make_ladders(rules, n, "a look at the pipeline") for rung in ladder.rungs]
        for level in LEVELS:
            here = [rung for rung in rungs if rung.level == level]
            wrong = [not all(verify(c, "", rung.answer) for c in rung.prompt.criteria) for rung in here]
            rows.append(
                {
                    "world": rules.name,
                    "level": level,
                    "left by the filter": len(here) / n,
                    "cannot hold": np.mean([not satisfiable(rung.prompt.criteria) for rung in here]),
                    "wrong answers": np.mean(wrong),
                }
            )
    return pd.DataFrame(rows)


def mask_table(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """One row a token: is the loss on it?"""
    learned = ["yes" if label != UNLEARNED else "" for label in encoded.labels]
    return pd.DataFrame({"token": tokenizer.convert_ids_to_tokens(encoded.ids), "learned": learned})


# --- scores ---


def hsr_table(scores: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """HSR_k of every arm that was run: the mean over base policies in percent."""
    columns = [f"level {level}" for level in LEVELS] + ["all satisfied", "numbers", "unseen combinations"]
    if scores.empty or not set(columns) <= set(scores.columns):
        return pd.DataFrame(columns=["world", "arm", "runs", *columns])
    chosen = scores[scores["arm"].isin(arms)]
    means = chosen.groupby(["world", "arm"])[columns].mean() * POINTS
    means.insert(0, "runs", chosen.groupby(["world", "arm"]).size())
    place = {arm: n for n, arm in enumerate(arms)}
    return means.reset_index().sort_values(["world", "arm"], key=lambda c: c.map(place) if c.name == "arm" else c)


def hsr_figure(scores: pd.DataFrame, arms: Sequence[str], title: str = "") -> Figure:
    """A line an arm over the levels of world `nested`, with bootstrap intervals over its n base policies; at most four
    arms a panel."""
    measured = not scores.empty and {f"level {level}" for level in LEVELS} <= set(scores.columns)
    present = set(scores.loc[scores["world"] == "nested", "arm"]).intersection(arms) if measured else set()
    if not present:
        return empty_figure(title)
    parts = few_at_a_time([arm for arm in arms if arm in present])
    fig, axes = plt.subplots(1, len(parts), figsize=(5.2 * len(parts), 4.2), sharey=True, squeeze=False)
    for ax, part in zip(axes[0], parts, strict=True):
        for arm in part:
            _hsr_line(ax, scores[(scores["world"] == "nested") & (scores["arm"] == arm)], arm)
        ax.set_xticks(LEVELS, [f"{level}" for level in LEVELS])
        ax.set_xlabel("level: number of criteria")
        ax.legend(loc="upper right", fontsize=8)
    axes[0, 0].set_ylabel("prompts with all criteria met (%)")
    fig.suptitle(title, x=0, ha="left", fontsize=12)
    return fig


def _hsr_line(ax: Axes, here: pd.DataFrame, arm: str) -> None:
    values = here[[f"level {level}" for level in LEVELS]].to_numpy(float) * POINTS
    ax.plot(LEVELS, values.mean(0), color=arm_color(arm), marker="o", markersize=4, label=f"{arm} (n = {len(here)})")
    if len(here) >= ENOUGH_RUNS:
        bounds = np.array([bootstrap(column, here["seed"].str[0].tolist()) for column in values.T])
        ax.fill_between(LEVELS, bounds[:, 0], bounds[:, 1], color=arm_color(arm), alpha=0.12, linewidth=0)


def contrast_figure(results: Sequence[Result], title: str) -> Figure:
    """Every contrast that was run: the difference in points with its paired t interval."""
    tested = [result for result in results if result.pairs >= ENOUGH_RUNS]
    if not tested:
        return empty_figure(title)
    fig, ax = plt.subplots(figsize=(8, 0.42 * len(tested) + 1.2))
    for row, result in enumerate(reversed(tested)):
        low, high = POINTS * result.low, POINTS * result.high
        ax.plot([low, high], [row, row], color="#444444", linewidth=1.6)
        ax.plot(POINTS * result.difference, row, "o", color="#0072B2")
    ax.axvline(0, color="#555555", linewidth=1)
    names = [f"{r.contrast.id} {r.contrast.in_words()}".strip() for r in reversed(tested)]
    ax.set_yticks(range(len(tested)), names, fontsize=8)
    ax.set_xlabel("points")
    ax.set_title(title)
    return fig


def secondary_table(contrasts: Sequence[Contrast], scores: pd.DataFrame) -> pd.DataFrame:
    """Differences in points with their intervals; nobody claimed them, so they have no verdict."""
    rows = []
    for contrast in contrasts:
        found = compare(contrast, values_of(contrast, scores)) if len(scores) else None
        if found is not None and found.pairs:
            points = {"points": found.difference, "low": found.low, "high": found.high}
            where = {"world": contrast.world, "contrast": contrast.in_words(), "measure": contrast.column}
            rows.append(where | {name: POINTS * value for name, value in points.items()} | {"n": found.pairs})
    return pd.DataFrame(rows, columns=["world", "contrast", "measure", "points", "low", "high", "n"])


def in_words(results: Sequence[Result]) -> str:
    """The verdicts as a list, `K-C1 **supported**: +3.1 [+1.0, +5.2] points, n = 8. ...`."""
    lines = []
    for result in results:
        numbers = ""
        if result.pairs >= ENOUGH_RUNS:
            mean, low, high = (f"{POINTS * value:+.1f}" for value in (result.difference, result.low, result.high))
            numbers = f" {mean} [{low}, {high}] points, n = {result.pairs}."
        lines.append(f"- {result.contrast.id} **{result.verdict}**.{numbers} {result.contrast.statement}.")
    return "\n".join(lines)
