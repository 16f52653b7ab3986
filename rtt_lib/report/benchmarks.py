"""Tables 1 and 2 from stored responses and from micro runs, with intervals, beside the paper's rows.

An accuracy is a sum over responses of `hits` divided by a sum of `cases`: at the level of prompts a response is one
case (none if one of its verdicts is undecided), at the level of instructions it has as many as it has known verdicts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import OWN_FAMILIES
from rtt_lib.analysis.published import SAME_REWARD, table1, table2
from rtt_lib.bench.grade import Values, grade_instructions, grade_muldimif, prompt_score, read_answers
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.profile import Profile
from rtt_lib.report.theme import arm_color
from rtt_lib.rubrics.benchmarks import BenchmarkRow, read_benchmark, read_rows
from rtt_lib.rubrics.benchmarks import field as text_field
from rtt_lib.rubrics.sources import load_prompts
from rtt_lib.schema import RubricPrompt
from rtt_lib.stats import ENOUGH_RUNS, paired, percentile_interval, summary
from rtt_lib.verify.answers import has_right_answer, unanswered
from rtt_lib.verify.batch import Verifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILES = {"ifeval": "ifeval.jsonl", "ifbench": "ifbench.jsonl", "muldimif": "muldimif.json"}
# Graded by a judge, or questions with one right answer: from the hub, or from a file <name>.jsonl, .csv or .parquet.
DATA_SETS = ("advancedif", "math500", "gpqa", "mmlu-pro")
ENDINGS = (".jsonl", ".csv", ".parquet")
TITLES = {
    "ifeval": "IFEval",
    "ifbench": "IFBench",
    "muldimif": "MulDimIF",
    "advancedif": "AdvancedIF",
    "math500": "MATH-500",
    "gpqa": "GPQA",
    "mmlu-pro": "MMLU-Pro",
}
# What Table 1 prints of each benchmark: its column, how the verdicts are read, and the level.
COLUMNS = {
    "ifeval": (("IFEval Prompt", "strict", "prompt"), ("IFEval Instruct", "strict", "instruction")),
    "ifbench": (("IFBench Prompt", "strict", "prompt"), ("IFBench Instruct", "strict", "instruction")),
    "muldimif": (("MulDimIF Acc", "verdicts", "prompt"),),
    "advancedif": (("AdvancedIF Overall", "verdicts", "prompt"), ("AdvancedIF Rubric", "verdicts", "instruction")),
}
QUESTION_COLUMNS = {name: ((TITLES[name], "answer", "prompt"),) for name in ("math500", "gpqa", "mmlu-pro")}  # Table 2
NO_JUDGE = "its criteria need a judge: set compute.judge_url and compute.judge_model"
RESAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """hits, cases: [P prompts, C completions]; a completion that a prompt does not have has 0 cases. ids: [P]."""

    hits: np.ndarray
    cases: np.ndarray
    ids: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        return float(self.hits.sum() / self.cases.sum()) if self.cases.sum() else float("nan")


# ------------------------------------------------------------------------------------------------------------ files


def benchmark_files(profile: Profile) -> dict[str, Path]:
    """The benchmarks' files that are here: in `data.path`, or in `benchmarks` of RTT_TEST_DATA."""
    folders = [Path(profile.data.path)] if profile.data.path else []
    if "RTT_TEST_DATA" in os.environ:
        folders.append(Path(os.environ["RTT_TEST_DATA"], "benchmarks"))
    found = {}
    wanted = {name: [file] for name, file in FILES.items()}
    wanted |= {name: [name + ending for ending in ENDINGS] for name in DATA_SETS}
    for name, names in wanted.items():
        here = [folder / file for folder in folders for file in names if (folder / file).is_file()]
        if here:
            found[name] = here[0]
    return found


def prompts_of(name: str, files: Mapping[str, Path]) -> list[RubricPrompt]:
    """A benchmark's prompts, from its file or the hub."""
    if name in files and name in FILES:
        return read_benchmark(name, files[name])
    from rtt_lib.models import hub_answers  # slow to import

    if name not in files and not hub_answers():
        raise RTTError("its file is neither in data.path nor in RTT_TEST_DATA/benchmarks, and the hub does not answer")
    return load_prompts(name, files.get(name))


def stored_responses(results: Path) -> list[tuple[str, str, str, Path]]:
    """(arm, seed, benchmark, file) of every `responses/<arm>/<seed>/<benchmark>.jsonl` of a results folder."""
    found = []
    for path in sorted(results.glob("responses/*/*/*.jsonl")):
        if path.stem not in TITLES:
            raise RTTError(f"{path}: the file's name must be a benchmark's ({', '.join(TITLES)})")
        found.append((path.parts[-3], path.parts[-2], path.stem, path))
    return sorted(found, key=lambda place: (place[0] != "base", *place[:3]))


# ---------------------------------------------------------------------------------------------------------- grading


@dataclass(frozen=True)
class Graded:
    """Responses in their order: the prompt's id of each, and its verdicts under every reading of the benchmark.

    levels:      at which accuracies are shown; a question has one criterion, so its two levels are one.
    unanswered:  the share of responses without an answer, of questions.
    note:        what a reader should know, why nothing could be graded, say.
    """

    ids: Sequence[str] = ()
    readings: Mapping[str, Sequence[Values]] = field(default_factory=dict)
    levels: tuple[str, ...] = ("prompt", "instruction")
    unanswered: float = float("nan")
    note: str = ""


def grade_file(benchmark: str, responses: Path, files: Mapping[str, Path]) -> Graded:
    """As `rtt grade` does it; the prompts are the hub's where there is no file of the benchmark."""
    if benchmark in files:
        rows = read_rows(benchmark, files[benchmark])
    else:
        rows = [BenchmarkRow("the hub", prompt.id, prompt) for prompt in prompts_of(benchmark, files)]
    answers = read_answers(responses, rows, "id" if benchmark == "muldimif" else "prompt")
    reasons: Counter[str] = Counter()
    grade_one = grade_muldimif if benchmark == "muldimif" else grade_instructions
    graded = [grade_one(answer, reasons) for answer in answers]
    readings = {name: [row[name] for row in graded] for name in graded[0] if name not in ("key", "id")}
    return Graded([answer.row.prompt.id for answer in answers], readings)


def grade_data_set(benchmark: str, responses: Path, files: Mapping[str, Path], verifier: Verifier) -> Graded:
    """By the criteria of the benchmark's prompts: a judge decides them, or there is one right answer."""
    try:
        prompts = {prompt.id: prompt for prompt in prompts_of(benchmark, files)}
    except RTTError as error:
        return Graded(note=str(error))
    rows = []
    for number, row in read_jsonl(responses):
        where = f"{responses}:{number}"
        id, prompt, _ = (text_field(row, name, str, where) for name in ("id", "prompt", "response"))
        if id not in prompts or prompts[id].prompt != prompt:
            raise RTTError(f"{where}: the benchmark's data here have no such prompt: {id!r}")
        rows.append(row)
    if not rows:
        raise RTTError(f"{responses}: holds no responses")
    asked = [prompts[row["id"]] for row in rows]
    verdicts = verifier([p.prompt for p in asked], [row["response"] for row in rows], [p.criteria for p in asked])
    ids, values = [p.id for p in asked], [[verdict.value for verdict in row] for row in verdicts]
    if has_right_answer(asked[0]):
        return Graded(ids, {"answer": values}, ("prompt",), unanswered(verdicts))
    return Graded(ids, {"verdicts": values}, note="" if verifier.judge else NO_JUDGE)


def scores(ids: Sequence[str], verdicts: Sequence[Values], level: str) -> Scores:
    """Verdicts per response -> [P, C], prompts in the order of their ids; undecided ones are no cases."""
    grouped: dict[str, list[tuple[float, float]]] = {}
    for name, values in zip(ids, verdicts, strict=True):
        grouped.setdefault(name, []).append(_hits_and_cases(values, level))
    width = max(map(len, grouped.values()), default=0)
    filled = np.zeros((len(grouped), width, 2))
    names = tuple(sorted(grouped))
    for row, name in enumerate(names):
        filled[row, : len(grouped[name])] = grouped[name]
    return Scores(filled[..., 0], filled[..., 1], names)


def _hits_and_cases(values: Values, level: str) -> tuple[float, float]:
    if level == "prompt":
        score = prompt_score(values)
        return (0.0, 0.0) if np.isnan(score) else (score, 1.0)
    known = [value for value in values if value is not None]
    return float(sum(known)), float(len(known))


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
    """The base model's scores where it was run with one seed only, being the same for all."""
    bases = [key for key in cells if key[0] == "base" and key[2:] == place[2:]]
    return cells[bases[0]] if len(bases) == 1 else None


# -------------------------------------------------------------------------------------------------------- intervals


def interval(own: Scores, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of the accuracy over prompts, each drawn with its completions as they are.

    What prompts score differs by their completions' chance too: to draw among the completions of a drawn prompt once
    more would count that chance twice.
    """
    rng, sums = np.random.default_rng(seed), _sums(own)
    return percentile_interval([_ratio(sums[_draw_prompts(own, rng)]) for _ in range(RESAMPLES)])


def difference(own: Scores, base: Scores, seed: int = 0) -> tuple[float, float, float]:
    """Accuracy minus the base's, with its interval: the same prompts are drawn for both."""
    if own.ids != base.ids:
        odd = sorted(set(own.ids) ^ set(base.ids))
        raise RTTError(
            f"{len(own.ids)} prompts cannot be paired with the {len(base.ids)} of the base model: {odd[0]!r} is not "
            "among both; generate the responses of both anew"
        )
    rng, sums, base_sums, draws = np.random.default_rng(seed), _sums(own), _sums(base), []
    for _ in range(RESAMPLES):
        prompts = _draw_prompts(own, rng)
        draws.append(_ratio(sums[prompts]) - _ratio(base_sums[prompts]))
    return (own.accuracy - base.accuracy, *percentile_interval(draws))


def _draw_prompts(own: Scores, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, len(own.hits), len(own.hits))


def _sums(own: Scores) -> np.ndarray:
    """[P, 2]: the hits and the cases of each prompt."""
    return np.stack([own.hits.sum(axis=1), own.cases.sum(axis=1)], axis=1)


def _ratio(sums: np.ndarray) -> float:
    hits, cases = sums.sum(axis=0)
    return float(hits / cases) if cases else float("nan")


# ----------------------------------------------------------------------------------------------------------- tables


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


def micro_figure(table: pd.DataFrame) -> Figure:
    """One panel per world and score of Table 1: every arm's mean with its interval, labelled with its value."""
    import matplotlib.pyplot as plt

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


def left_out(results: Path) -> str:
    """Which benchmarks the runs could not be evaluated on, and why; they are tried again when they can be had."""
    reasons = {}
    for path in sorted(results.glob("runs/*/*/*/result.json")):
        for name, found in read_json(path).get("benchmarks", {}).items():
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
