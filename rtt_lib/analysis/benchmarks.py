"""Tables 1 and 2 from stored responses and from micro runs, with intervals, beside the paper's rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import OWN_FAMILIES
from rtt_lib.analysis.published import SAME_REWARD, table1, table2
from rtt_lib.bench.benchmarks import DATA_SETS, TITLES
from rtt_lib.bench.scores import Scores, difference, grade_data_set, grade_file, interval, scores
from rtt_lib.errors import RTTError
from rtt_lib.stats import ENOUGH_RUNS, paired, summary
from rtt_lib.verify.batch import Verifier

# What Table 1 prints of each benchmark: its column, how the verdicts are read, and the level.
COLUMNS = {
    "ifeval": (("IFEval Prompt", "strict", "prompt"), ("IFEval Instruct", "strict", "instruction")),
    "ifbench": (("IFBench Prompt", "strict", "prompt"), ("IFBench Instruct", "strict", "instruction")),
    "muldimif": (("MulDimIF Acc", "verdicts", "prompt"),),
    "advancedif": (("AdvancedIF Overall", "verdicts", "prompt"), ("AdvancedIF Rubric", "verdicts", "instruction")),
}
QUESTION_COLUMNS = {name: ((TITLES[name], "answer", "prompt"),) for name in ("math500", "gpqa", "mmlu-pro")}  # Table 2


def stored_responses(results: Path) -> list[tuple[str, str, str, Path]]:
    """(arm, seed, benchmark, file) of every `responses/<arm>/<seed>/<benchmark>.jsonl[.gz]` of a results folder."""
    found = []
    for path in sorted(results.glob("responses/*/*/*.jsonl*")):
        benchmark = path.name.removesuffix(".gz").removesuffix(".jsonl")
        if benchmark not in TITLES:
            raise RTTError(f"{path}: the file's name must be a benchmark's ({', '.join(TITLES)})")
        found.append((path.parts[-3], path.parts[-2], benchmark, path))
    return sorted(found, key=lambda place: (place[0] != "base", *place[:3]))


def graded_table(
    results: Path,
    files: Mapping[str, Path],
    verifier: Verifier | None = None,
    runs: Collection[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Every reading and level of every stored benchmark: accuracy with its interval and the difference to `base`.

    `runs`: the (arm, seed) to look at; responses of others, left by an earlier profile, say, are not. None: all.
    The interval says how sure the accuracy of this one policy is, not how far another training seed would be off.
    `verifier` has the judge, without which a benchmark of soft criteria stays undecided. The column `undecided` counts
    what the accuracy leaves out: responses at the level of prompts, verdicts at the level of instructions.
    """
    cells: dict[tuple[str, ...], Scores] = {}
    about: dict[tuple[str, ...], dict[str, Any]] = {}
    for arm, seed, benchmark, path in stored_responses(results):
        if runs is not None and (arm, seed) not in runs:
            continue
        if benchmark in DATA_SETS:
            graded = grade_data_set(benchmark, path, files, verifier or Verifier())
        else:
            try:
                graded = grade_file(benchmark, path, files)
            except RTTError as error:
                raise RTTError(f"{path}: {error}") from error
        for reading, verdicts in graded.readings.items() or {"": []}.items():
            for level in graded.levels if reading else [""]:
                place = (arm, seed, benchmark, reading, level)
                cells[place] = scores(graded.ids, verdicts, level)
                unknown = [values.count(None) for values in verdicts]
                undecided = sum(map(bool, unknown)) if level == "prompt" else sum(unknown)
                about[place] = {"undecided": undecided, "unanswered": graded.unanswered, "note": graded.note}
    return pd.DataFrame(
        [_graded_row(place, cells) | about[place] for place in cells],
        columns=["arm", "seed", "benchmark", "reading", "level", "prompts", "completions", "undecided", "unanswered",
                 "accuracy", "low", "high", "gain", "gain low", "gain high", "note"],
    )  # fmt: skip


def _graded_row(place: tuple[str, ...], cells: dict[tuple[str, ...], Scores]) -> dict[str, Any]:
    own, base = cells[place], cells.get(("base", *place[1:])) or _only_base(place, cells)
    compared = base is not None and place[0] != "base" and own.cases.size and base.cases.size
    names = ("arm", "seed", "benchmark", "reading", "level", "prompts", "completions", "accuracy")
    row = dict(zip(names, (*place, *own.cases.shape, own.accuracy), strict=True))
    row |= dict(zip(("low", "high"), interval(own), strict=True))
    gain = difference(own, base) if compared else (np.nan,) * 3
    return row | dict(zip(("gain", "gain low", "gain high"), gain, strict=True))


def _only_base(place: tuple[str, ...], cells: dict[tuple[str, ...], Scores]) -> Scores | None:
    """The base model's scores on the same benchmark, if it was run with one seed only; they then serve all arms."""
    bases = [key for key in cells if key[0] == "base" and key[2:] == place[2:]]
    return cells[bases[0]] if len(bases) == 1 else None


def beside_the_paper(graded: pd.DataFrame) -> pd.DataFrame:
    """Table 1's columns in per cent: our arms, each figure with its interval, above the paper's rows."""
    return _beside(graded, COLUMNS, table1())


def questions_beside_the_paper(graded: pd.DataFrame) -> pd.DataFrame:
    """As `beside_the_paper` for Table 2, with the share of responses to each benchmark that state no answer."""
    frame = _beside(graded, QUESTION_COLUMNS, table2())
    for benchmark in QUESTION_COLUMNS:
        rows = graded[graded["benchmark"].eq(benchmark) & graded["unanswered"].notna()]
        shares = {f"{row['arm']} {row['seed']}": 100 * row["unanswered"] for row in rows.to_dict("records")}
        ours = frame["arm"].where(frame["model"].eq("ours"))
        frame[f"{TITLES[benchmark]} no answer"] = ours.map(shares)
    return frame


def _beside(graded: pd.DataFrame, wanted: Mapping[str, Sequence], published: pd.DataFrame) -> pd.DataFrame:
    ours: dict[tuple[str, str], dict[str, str]] = {}
    for benchmark, columns in wanted.items():
        for column, reading, level in columns:
            chosen = graded["benchmark"].eq(benchmark) & graded["reading"].eq(reading) & graded["level"].eq(level)
            for row in graded[chosen].to_dict("records"):
                text = _with_interval(100 * row["accuracy"], 100 * row["low"], 100 * row["high"], 1)
                ours.setdefault(("ours", f"{row['arm']} {row['seed']}"), {})[column] = text
    columns = [column for each in wanted.values() for column, _, _ in each]
    paper = {place: {c: f"{row[c]:.2f}" for c in columns} for place, row in published.iterrows()}
    frame = pd.DataFrame([{"model": m, "arm": a} | cells for (m, a), cells in (ours | paper).items()])
    return frame.reindex(columns=["model", "arm", *columns])


def _with_interval(value: float, low: float, high: float, digits: int) -> str:
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" if value == value else ""


# The micro world's scores, and what they stand for.
MICRO_COLUMNS = {
    "all satisfied": "Table 1, Prompt",
    "per constraint": "Table 1, Instruct",
    "out of domain": "Table 2",
    "language loss": "Table 2 (lower is better)",
}
AGAINST = ("over base", "over RL, same reward")


def micro_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The micro benchmark, one row per score, world and arm: mean over runs, paired differences to base and to RL."""
    rows = []
    for column, like in MICRO_COLUMNS.items() if len(runs) else ():
        asked = runs[~runs["world"].isin(OWN_FAMILIES)] if column == "out of domain" else runs
        for row in summary(asked, column).drop(columns="iqm").to_dict("records"):
            baselines = ("base", SAME_REWARD.get(row["arm"]))
            for name, baseline in zip(AGAINST, baselines, strict=True):
                row |= _against(runs, row["arm"], baseline, column, row["world"], name)
            if row["runs"] < ENOUGH_RUNS:
                row |= dict.fromkeys(("low", "high"), float("nan"))
            rows.append({"score": column, "stands for": like} | row)
    columns = ["score", "stands for", "world", "arm", "runs", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns + [f"{name}{end}" for name in AGAINST for end in ("", " low", " high")])


def _against(runs: pd.DataFrame, arm: str, baseline: str | None, column: str, world: str, name: str) -> dict:
    found = paired(runs, arm, baseline, column, world) if baseline not in (None, arm) else {"pairs": 0}
    if not found["pairs"]:
        return dict.fromkeys((name, f"{name} low", f"{name} high"), float("nan"))
    if found["pairs"] < ENOUGH_RUNS:  # too few for an interval
        return {name: found["difference"], f"{name} low": float("nan"), f"{name} high": float("nan")}
    return {name: found["difference"], f"{name} low": found["low"], f"{name} high": found["high"]}


def stored_sentence(graded: pd.DataFrame) -> str:
    """What the stored responses are, or that there are none."""
    if graded.empty:
        return "No stored responses in this profile: nothing of a real model was graded here."
    policies = graded[["arm", "seed"]].drop_duplicates()
    benchmarks = ", ".join(TITLES[name] for name in TITLES if name in set(graded["benchmark"]))
    undecided = _most_undecided(graded[graded["level"].eq("instruction") | graded["reading"].eq("answer")])
    without = _most_undecided(graded[graded["level"].eq("prompt")])
    compared = graded[
        (graded["level"] == "prompt")
        & graded["gain"].notna()
        & graded["reading"].isin(["strict", "verdicts", "answer"])
    ]
    clear = int(((compared["gain low"] > 0) | (compared["gain high"] < 0)).sum())
    notes = graded.loc[graded["note"].ne(""), ["benchmark", "note"]].drop_duplicates()
    return (
        f"{len(policies)} policies on {benchmarks}; at most {undecided} verdicts undecided under one reading"
        f"{f', which leaves {without} responses out of the accuracies over prompts' if without else ''}. "
        f"{clear} of {len(compared)} differences to the base model at the level of prompts exclude zero."
    ) + "".join(f"\n{TITLES[row.benchmark]} is not graded: {row.note}." for row in notes.itertuples())


def _most_undecided(rows: pd.DataFrame) -> int:
    """Of all readings, the most that are undecided."""
    return int(rows.groupby("reading")["undecided"].sum().max()) if len(rows) else 0


def left_out(records: Iterable[Mapping[str, Any]]) -> str:
    """Which benchmarks the runs could not be evaluated on, and why; they are tried again when they can be had."""
    reasons = {}
    for record in records:
        for name, found in record.get("benchmarks", {}).items():
            if "missing" in found:
                reasons[name] = found["missing"]
    return "\n".join(f"{TITLES.get(name, name)} is left out: {reason}" for name, reason in reasons.items())


def micro_sentence(table: pd.DataFrame) -> str:
    """How many of the comparisons with RL on the same reward have an interval that excludes zero, and which way."""
    name = AGAINST[1]
    rows = table[table["score"].isin(["all satisfied", "per constraint"]) & table[name].notna()]
    if rows.empty:
        return "No pair of RTT and RL with the same reward was run in this profile."
    better, worse = (rows[f"{name} low"] > 0).sum(), (rows[f"{name} high"] < 0).sum()
    return (
        f"RTT against RL with the same reward, {len(rows)} comparisons: better in {better}, worse in {worse}, "
        f"undecided in {len(rows) - better - worse} (fewer than three pairs, or an interval that holds zero)."
    )
