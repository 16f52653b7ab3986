"""What the runs of a profile left, as tables; and the small form in which it is published.

    runs.jsonl.gz               one line per run: its scores
    curves.csv.xz               every logged step of every run
    responses/<arm>/<seed>/     responses to benchmarks, gzipped: what notebook 08 grades
    held_out/<arm>/<seed>.jsonl.gz   those to the held-out prompts of a text world: what `analysis.held_out` pairs

`rtt run` writes these files at its end. A run that stands in them counts as done where its fingerprint is that of the
code and settings of now, though its policy may be on another machine: a long study takes several sittings. With
`RTT_RECORDS_ONLY` set, as `rtt site` sets it, only these files are read, whatever the fingerprint, and nothing is
trained.
"""

from __future__ import annotations

import lzma
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from rtt_lib import store
from rtt_lib.files import read_json, read_jsonl, write_bytes, write_jsonl
from rtt_lib.studies.spec import RunSpec

RECORDS_ONLY = "RTT_RECORDS_ONLY"
RUNS, CURVES, HELD_OUT = "runs.jsonl.gz", "curves.csv.xz", "held_out"
KEYS = ["arm", "world", "seed"]


def only_records() -> bool:
    return bool(os.environ.get(RECORDS_ONLY))


# --- one run ---


def stored(spec: RunSpec) -> dict[str, Any] | None:
    """The record of a run that the store has evaluated."""
    path = spec.evaluation / "result.json"
    return read_json(path) if path.is_file() else None


def published(spec: RunSpec, results: Path) -> dict[str, Any] | None:
    """The published record of the same code and settings, if the curve of its training stands beside it."""
    record = recorded(results).get(str(spec.place))
    if record is None or record["fingerprint"] != spec.fingerprint:
        return None
    return record if not spec.trained or _place(spec) in _recorded_curves(results) else None


def recorded(results: Path) -> dict[str, dict[str, Any]]:
    """Place of a run -> its published record, of whichever code and settings."""
    path = results / RUNS
    return _read_runs(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=2)
def _read_runs(path: Path, changed: int) -> dict[str, dict[str, Any]]:
    """changed: when, so that a file that was written anew is read anew."""
    return {str(Path(row["world"]) / row["arm"] / row["seed"]): row for _, row in read_jsonl(path)}


def _recorded_curves(results: Path) -> dict[tuple[str, ...], pd.DataFrame]:
    """World, arm and seed -> every published step, without the columns that this run has not."""
    path = results / CURVES
    return _read_curves(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=2)
def _read_curves(path: Path, changed: int) -> dict[tuple[str, ...], pd.DataFrame]:
    by_run = pd.read_csv(path).groupby(["world", "arm", "seed"], sort=False)
    return {place: steps.dropna(axis=1, how="all") for place, steps in by_run}


def _place(spec: RunSpec) -> tuple[str, ...]:
    return spec.world, spec.arm.name, spec.seed


def _stored_curve(spec: RunSpec) -> pd.DataFrame | None:
    path = spec.folder / "log.csv"
    return read_log(path, spec) if path.is_file() else None


def read_log(path: Path, spec: RunSpec) -> pd.DataFrame:
    """The steps that a run logged, with its arm, world and seed."""
    return pd.read_csv(path).assign(arm=spec.arm.name, world=spec.world, seed=spec.seed)


# --- tables ---


def records_of(specs: Sequence[RunSpec], results: Path) -> list[dict[str, Any]]:
    """The record of every run that is done, in the order of the specs."""
    if only_records():
        found = recorded(results)
        return [found[str(spec.place)] for spec in specs if str(spec.place) in found]
    return [record for spec in specs if (record := stored(spec) or published(spec, results))]


def published_table(results: Path) -> pd.DataFrame:
    """`results_table` of everything that a profile has published."""
    rows = [_flat(record) for record in recorded(results).values()]
    return pd.DataFrame(rows, columns=None if rows else KEYS)


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
        **record.get("actor", {}),  # of a policy that judges itself
        **{f"judge {name}": value for name, value in record.get("judge", {}).items()},
    }
    return {name: math.nan if value is None else value for name, value in row.items()}  # None: not measured on text


def curves_table(specs: Sequence[RunSpec], results: Path) -> pd.DataFrame:
    """Every logged step of every run that is done, with arm, world and seed."""
    frames = []
    for spec in specs:
        if not only_records() and stored(spec):
            frames.append(_stored_curve(spec))
        elif only_records() or published(spec, results):
            frames.append(_recorded_curves(results).get(_place(spec)))
    return _together(frames)


def _together(frames: Sequence[pd.DataFrame | None]) -> pd.DataFrame:
    found = [frame for frame in frames if frame is not None]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*KEYS, "step"])


# --- publishing ---


@dataclass(frozen=True)
class Finished:
    """What is published of a run. curve: the steps of its training; None for a base policy."""

    record: dict[str, Any]
    curve: pd.DataFrame | None


@dataclass(frozen=True)
class Published:
    """How many of a profile's runs its published files hold.

    new:    added now
    before: published before, by the same code and settings
    others: published before, by other code, settings or packages, which stay until they are made anew
    """

    planned: int
    new: int
    before: int
    others: int

    def __str__(self) -> str:
        there = self.new + self.before + self.others
        parts = {"new": self.new, "published before": self.before}
        parts |= {"published before by other code, settings or packages than those here": self.others}
        named = ", ".join(f"{number} {what}" for what, number in parts.items() if number)
        return f"{there} of {self.planned} runs published{f': {named}' if named else ''}"


def locked(results: Path) -> AbstractContextManager[None]:
    """For one process at a time that adds to the published files. `rtt run` holds the results with another lock."""
    return store.locked(results, ".published.lock")


def publish(specs: Sequence[RunSpec], results: Path) -> Published:
    """Leave the small form of these runs in a profile's results."""
    with locked(results):
        finished = {spec.place: Finished(record, _stored_curve(spec)) for spec in specs if (record := stored(spec))}
        return add(specs, results, finished)


def add(specs: Sequence[RunSpec], results: Path, new: Mapping[Path, Finished]) -> Published:
    """Publish these runs, in the order of `specs`; who calls it holds `locked`. What is not among the new ones keeps
    what is published of it, so that nothing is lost before it is made anew.
    """
    old, curves = recorded(results), _recorded_curves(results)
    before = {
        spec.place: Finished(old[str(spec.place)], curves.get(_place(spec)))
        for spec in specs
        if spec.place not in new and str(spec.place) in old
    }
    valid = sum(published(spec, results) is not None for spec in specs if spec.place in before)
    finished = [(before | dict(new))[spec.place] for spec in specs if spec.place in before or spec.place in new]
    write_jsonl(results / RUNS, [each.record for each in finished])
    text = _together([each.curve for each in finished]).to_csv(index=False, float_format="%.6g")
    write_bytes(results / CURVES, lzma.compress(text.encode("utf-8")))
    return Published(len(specs), len(new), valid, len(before) - valid)


def collect_responses(spec: RunSpec, results: Path) -> None:
    """Copy a run's responses from the store into a profile's results."""
    copy_responses(spec.evaluation / "responses", spec, results)


def copy_responses(folder: Path, spec: RunSpec, results: Path) -> None:
    """Copy what `worlds.text.evaluation` left in `folder`; what is there already is left alone."""
    arm, seed = spec.arm.name, spec.seed
    wanted = {path: Path("responses", arm, seed, f"{path.name}.gz") for path in folder.glob("benchmarks/*.jsonl")}
    wanted |= {path: Path(HELD_OUT, arm, f"{seed}.jsonl.gz") for path in folder.glob("sampled.jsonl")}
    for path, place in sorted(wanted.items()):
        out, rows = results / place, [row for _, row in read_jsonl(path)]
        if not out.is_file() or [row for _, row in read_jsonl(out)] != rows:
            write_jsonl(out, rows)
