"""Accuracies of stored responses with their intervals.

An accuracy is a sum over responses of `hits` divided by a sum of `cases`: at the level of prompts a response is one
case (none if one of its verdicts is undecided), at the level of instructions it has as many as it has known verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtt_lib.bench.benchmarks import prompts_of
from rtt_lib.bench.grade import Values, grade_instructions, grade_muldimif, prompt_score, read_answers
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.rubrics.benchmarks import BenchmarkRow, read_rows
from rtt_lib.rubrics.benchmarks import field as text_field
from rtt_lib.stats import percentile_interval
from rtt_lib.verify.answers import has_right_answer, unanswered
from rtt_lib.verify.batch import Verifier

NO_JUDGE = "its criteria need a judge: set compute.judge_url and compute.judge_model"
RESAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """hits, cases: [P prompts, C completions]; 0 cases where a prompt has fewer completions. ids: [P]."""

    hits: np.ndarray
    cases: np.ndarray
    ids: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        return float(self.hits.sum() / self.cases.sum()) if self.cases.sum() else float("nan")


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


# --- intervals ---


def interval(own: Scores) -> tuple[float, float]:
    """95% bootstrap interval of the accuracy over prompts, each drawn with its completions as they are.

    The spread of the prompts' scores already holds the chance of their completions. To draw completions within a drawn
    prompt as well would count that chance twice.
    """
    rng, sums = np.random.default_rng(0), _sums(own)
    return percentile_interval([_ratio(sums[_draw_prompts(own, rng)]) for _ in range(RESAMPLES)])


def difference(own: Scores, base: Scores) -> tuple[float, float, float]:
    """Accuracy minus the base's, with its interval: the same prompts are drawn for both."""
    if own.ids != base.ids:
        odd = sorted(set(own.ids) ^ set(base.ids))
        raise RTTError(
            f"{len(own.ids)} prompts cannot be paired with the {len(base.ids)} of the base model: {odd[0]!r} is not "
            "among both; generate the responses of both anew"
        )
    rng, sums, base_sums, draws = np.random.default_rng(0), _sums(own), _sums(base), []
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
