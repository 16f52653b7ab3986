"""Where one fresh run of an arm should fall, and whether runs that no table holds do fall there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import NOT_RUN, SCORES
from rtt_lib.analysis.primary import Fresh
from rtt_lib.profile import RESULTS
from rtt_lib.stats import prediction_interval
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import results_table

COLUMNS = ["world", "arm", "measure", "runs", "mean", "low", "high"]
NO_SHARES = ("language loss", "mean words")
MEASURES = (*SCORES, "out of domain", "truncated", *NO_SHARES)
SOURCE = "micro"  # the profile whose published runs predict where a profile has only fresh ones


def prediction_table(runs: pd.DataFrame, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """One row per world, arm and measure: the mean of its runs, and the 95% interval for one run more.

    A share is never below 0 or above 1, so neither is its interval.
    """
    rows = []
    for measure in measures:
        for (world, arm), group in runs.groupby(["world", "arm"], sort=False):
            values = group[measure].dropna().to_numpy(float)
            if len(values):
                low, high = np.clip(prediction_interval(values), 0, np.inf if measure in NO_SHARES else 1)
                rows.append([world, arm, measure, len(values), values.mean(), low, high])
    return pd.DataFrame(rows, columns=COLUMNS)


def with_runs_before(runs: pd.DataFrame, fresh: Fresh) -> pd.DataFrame:
    """`runs`, and the published ones that predict, where `runs` holds fresh ones but not those."""
    seeds = set(runs["seed"])
    if not seeds & set(fresh.seeds) or seeds & set(fresh.predicted_from):
        return runs
    before = results_table(plan(load_profile(SOURCE), ["core"]), RESULTS / SOURCE)
    return pd.concat([before, runs], ignore_index=True)


def held_out(runs: pd.DataFrame, fresh: Fresh) -> pd.DataFrame:
    """One row per cell: its prediction, how many fresh runs there are, and how many of them fall into the interval."""
    cells = runs[runs["arm"].isin(fresh.arms) & runs["world"].isin(fresh.worlds)]
    predicted = prediction_table(cells[cells["seed"].isin(fresh.predicted_from)], [fresh.measure])
    new = cells[cells["seed"].isin(fresh.seeds)]
    rows = []
    for row in predicted.to_dict("records"):
        here = new.loc[(new["world"] == row["world"]) & (new["arm"] == row["arm"]), fresh.measure]
        inside = int(here.between(row["low"], row["high"]).sum())
        rows.append(row | {"fresh runs": len(here), "inside": inside})
    table = pd.DataFrame(rows, columns=[*COLUMNS, "fresh runs", "inside"])
    return table[table["fresh runs"] > 0].reset_index(drop=True)


def in_words(table: pd.DataFrame, fresh: Fresh) -> str:
    """The figure as it is, beside the one that was asked for."""
    if table.empty:
        return f"*Fresh runs: {NOT_RUN}.*"
    inside, runs = int(table["inside"].sum()), int(table["fresh runs"].sum())
    planned = len(fresh.arms) * len(fresh.worlds) * len(fresh.seeds)
    lacking = "" if runs == planned else f" {planned - runs} of the {planned} planned are missing."
    held = int((table["inside"] >= fresh.share * table["fresh runs"]).sum())
    verdict = "as asked" if inside >= fresh.share * runs else "less than asked"
    return (
        f"{inside} of {runs} fresh runs ({inside / runs:.0%}) fall into the 95% interval that the runs of their cell "
        f"predict; at least {fresh.share:.0%} were asked for: **{verdict}**.{lacking} By cells: {held} of "
        f"{len(table)} hold as many of theirs."
    )
