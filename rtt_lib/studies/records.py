"""What the runs of a profile left, as tables; and the small form in which it is published.

    runs.jsonl.gz               one line per run: its scores
    curves.csv.xz               every logged step of every run
    responses/<arm>/<seed>/     responses to benchmarks, gzipped: what notebook 08 grades

`rtt run` reads the store and writes these files at its end. With `RTT_RECORDS_ONLY` set, as `rtt site` sets it, the
same functions read these files instead, and nothing is trained.
"""

from __future__ import annotations

import lzma
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from rtt_lib.files import read_json, read_jsonl, write_bytes, write_jsonl
from rtt_lib.studies.spec import RunSpec

RECORDS_ONLY = "RTT_RECORDS_ONLY"
RUNS, CURVES = "runs.jsonl.gz", "curves.csv.xz"
KEYS = ["arm", "world", "seed"]


def only_records() -> bool:
    return bool(os.environ.get(RECORDS_ONLY))


# --- reading ---


def records_of(specs: Sequence[RunSpec], results: Path) -> list[dict[str, Any]]:
    """The record of every run that is done, in the order of the specs."""
    if only_records():
        found = recorded(results)
        return [found[str(spec.place)] for spec in specs if str(spec.place) in found]
    paths = [spec.evaluation / "result.json" for spec in specs]
    return [read_json(path) for path in paths if path.is_file()]


def recorded(results: Path) -> dict[str, dict[str, Any]]:
    """Place of a run -> its published record."""
    path = results / RUNS
    rows = [row for _, row in read_jsonl(path)] if path.is_file() else []
    return {str(Path(row["world"]) / row["arm"] / row["seed"]): row for row in rows}


def results_table(specs: Sequence[RunSpec], results: Path) -> pd.DataFrame:
    """One row per run that is done: arm, world, seed and the scores, families as columns."""
    rows = [_flat(record) for record in records_of(specs, results)]
    return pd.DataFrame(rows, columns=None if rows else KEYS)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    sampled, outside = record["sampled"], record["out_of_domain"]
    row = {
        **{key: record[key] for key in KEYS},
        "all satisfied": sampled["all_satisfied"],
        "per constraint": sampled["satisfied"],
        "greedy all satisfied": record["greedy"]["all_satisfied"],
        "out of domain": outside["satisfied"],
        "language loss": record["language_loss"],
        "mean words": record["mean_words"],
        "truncated": record["truncated"],
        **{f"{name} wordings": share for name, share in record.get("wordings", {}).items()},  # of the English world
        **sampled["families"],
    }
    return {name: math.nan if value is None else value for name, value in row.items()}  # None: not measured on text


def curves_table(specs: Sequence[RunSpec], results: Path) -> pd.DataFrame:
    """Every logged step of every run that is done, with arm, world and seed."""
    if only_records():
        return _published_curves(specs, results)
    frames = []
    for spec in specs:
        path = spec.folder / "log.csv"
        if path.is_file() and (spec.evaluation / "result.json").is_file():
            frames.append(pd.read_csv(path).assign(arm=spec.arm.name, world=spec.world, seed=spec.seed))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "step"])


def _published_curves(specs: Sequence[RunSpec], results: Path) -> pd.DataFrame:
    """The published steps of these runs, in their order, without the columns that none of them has."""
    if not (results / CURVES).is_file():
        return pd.DataFrame(columns=[*KEYS, "step"])
    by_run = dict(list(_read_curves(results / CURVES).groupby(["world", "arm", "seed"], sort=False)))
    places = [(spec.world, spec.arm.name, spec.seed) for spec in specs]
    frames = [by_run[place].dropna(axis=1, how="all") for place in places if place in by_run]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, "step"])


@lru_cache(maxsize=2)
def _read_curves(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


# --- publishing ---


def publish(specs: Sequence[RunSpec], results: Path) -> None:
    """Leave the small form of these runs in a profile's results."""
    records = records_of(specs, results)
    write_jsonl(results / RUNS, records)
    curves = curves_table(specs, results)
    text = curves.to_csv(index=False, float_format="%.6g")
    write_bytes(results / CURVES, lzma.compress(text.encode("utf-8")))


def collect_responses(spec: RunSpec, results: Path) -> None:
    """Copy a run's responses to benchmarks from the store into a profile's results."""
    for path in sorted((spec.evaluation / "responses" / "benchmarks").glob("*.jsonl")):
        out = results / "responses" / spec.arm.name / spec.seed / f"{path.name}.gz"
        rows = [row for _, row in read_jsonl(path)]
        if not out.is_file() or [row for _, row in read_jsonl(out)] != rows:
            write_jsonl(out, rows)
