"""How good is a policy on text? Held-out composed prompts, graded here, and responses to the benchmarks.

    runs/<source>/<arm>/<seed>/responses/sampled.jsonl, greedy.jsonl     to the held-out prompts
    responses/<arm>/<seed>/<benchmark>.jsonl                             for `rtt grade` and notebook 08

Run `A1` is evaluated with the next evaluation seed after `A0`, the same for every arm: compare arms in pairs.
"""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rtt_lib.bench.generate import Backend, generate, summarise
from rtt_lib.bench.grade import prompt_score
from rtt_lib.endpoint import Endpoint
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_json
from rtt_lib.models import precision
from rtt_lib.profile import Profile
from rtt_lib.report.benchmarks import benchmark_files, prompts_of
from rtt_lib.rubrics.compose import Task, compose, default_tasks, read_tasks
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.answers import has_right_answer, unanswered
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.judge import Judge

if TYPE_CHECKING:
    from rtt_lib.studies.text_runs import TextRunSpec

HELD_OUT_PROMPTS = 512  # unless `evaluation.prompts` says fewer
HELD_OUT_SEED = 1_000_000  # of the composer: no profile's data.seed
EVERY = 10  # every tenth task is held out


def backend(profile: Profile) -> Backend:
    return "transformers" if profile.compute.vllm == "off" else "vllm"


def make_verifier(profile: Profile, results: Path) -> Verifier:
    """Rules and sandboxed code, and a judge where the profile has one; its answers are kept in `judge/`."""
    url, model = profile.compute.judge_url, profile.compute.judge_model
    if url and not model:
        raise RTTError(f"profile {profile.name}: compute.judge_url is set, so name its model: compute.judge_model")
    return Verifier(Judge(Endpoint(url, model), cache=results / "judge") if url else None)


# ----------------------------------------------------------------------------------------------------------- prompts


def split_tasks(profile: Profile) -> tuple[list[Task], list[Task]]:
    """The tasks that training prompts are composed of, and those of the held-out prompts."""
    data = profile.data
    own = data.source == "composed" and data.path and Path(data.path).is_file()
    tasks = read_tasks(data.path) if own else default_tasks()
    return [task for n, task in enumerate(tasks) if n % EVERY], tasks[::EVERY]


def held_out_prompts(profile: Profile) -> list[RubricPrompt]:
    """Composed prompts on tasks that no training prompt has; the same for every run."""
    n = min(profile.evaluation.prompts or HELD_OUT_PROMPTS, HELD_OUT_PROMPTS)
    return compose(split_tasks(profile)[1], n, HELD_OUT_SEED)


def benchmark_prompts(profile: Profile) -> tuple[dict[str, list[RubricPrompt]], dict[str, str]]:
    """What every benchmark that can be had is evaluated on; why the others cannot be had."""
    found, missing = whole_benchmarks(profile)
    return {name: some(prompts, profile.evaluation.prompts) for name, prompts in found.items()}, missing


def whole_benchmarks(profile: Profile) -> tuple[dict[str, list[RubricPrompt]], dict[str, str]]:
    """All prompts of every benchmark that can be had, from its file or the hub; why the others cannot."""
    files, found, missing = benchmark_files(profile), {}, {}
    for name in profile.evaluation.benchmarks:
        try:
            prompts = prompts_of(name, files)
        except RTTError as error:
            missing[name] = str(error)
            print(f"benchmark {name} is left out: {error}", file=sys.stderr, flush=True)
        else:
            found[name] = prompts
    return found, missing


def some(prompts: Sequence[RubricPrompt], n: int | None) -> list[RubricPrompt]:
    """`n` of them, always the same ones, in their order."""
    if n is None or n >= len(prompts):
        return list(prompts)
    return [prompts[k] for k in sorted(random.Random("benchmark prompts").sample(range(len(prompts)), n))]


# -------------------------------------------------------------------------------------------------------- evaluation


def evaluate(spec: TextRunSpec, results: Path) -> None:
    """Responses to everything, and `result.json` last: its presence means that the run is complete."""
    profile, folder = spec.profile, results / "runs" / spec.place
    verifier = make_verifier(profile, results)
    prompts, missing = benchmark_prompts(profile)
    answers = results / "responses" / spec.arm.name / spec.seed
    benchmarks: dict[str, Any] = {name: {"missing": reason} for name, reason in missing.items()}
    for name, questions in prompts.items():
        rows = _respond(spec, results, questions, answers / f"{name}.jsonl")
        benchmarks[name] = summarise(rows) | grade(questions, rows, verifier)
    record = _held_out(spec, results, verifier) | {
        "fingerprint": spec.fingerprint(),
        "arm": spec.arm.name,
        "world": spec.world,
        "seed": spec.seed,
        "benchmarks": benchmarks,
        "out_of_domain": {"satisfied": _mean(each.get("satisfied") for each in benchmarks.values())},
        "language_loss": None,  # of the micro world's own language
    }
    write_json(folder / "result.json", record)


def _held_out(spec: TextRunSpec, results: Path, verifier: Verifier) -> dict[str, Any]:
    prompts = held_out_prompts(spec.profile)
    folder = results / "runs" / spec.place / "responses"
    sampled = _respond(spec, results, prompts, folder / "sampled.jsonl")
    greedy = _respond(spec, results, prompts, folder / "greedy.jsonl", greedy=True)
    return {
        "sampled": grade(prompts, sampled, verifier),
        "greedy": grade(prompts, greedy, verifier),
        "mean_words": fmean(len(row["response"].split()) for row in sampled),
        "truncated": fmean(row["truncated"] for row in sampled),
        "examples": [{name: row[name] for name in ("prompt", "response")} for row in sampled[:5]],
    }


def _respond(
    spec: TextRunSpec, results: Path, prompts: Sequence[RubricPrompt], out: Path, greedy: bool = False
) -> list[dict]:
    """The run's responses to `prompts`, made now unless they are there."""
    profile, folder = spec.profile, results / "runs" / spec.place
    model = profile.policy.model if spec.arm.trainer == "none" else folder / "policy"
    settings = replace(profile.evaluation, seed=profile.evaluation.seed + spec.number)
    if greedy:
        settings = replace(settings, temperature=0.0, completions=1)
    path = generate(prompts, model, settings, out, backend(profile), precision())
    return [row for _, row in read_jsonl(path)]


def grade(prompts: Sequence[RubricPrompt], rows: Sequence[Mapping[str, Any]], verifier: Verifier) -> dict[str, Any]:
    """Shares in [0, 1]: responses that satisfy all constraints, constraints satisfied, and those of each family.

    Of constraints the known verdicts are counted, of responses those without an unknown verdict; `unknown` and
    `responses_unknown` are how many are left out.
    Of questions with one right answer: the accuracy, and the share of responses that state no answer, which are wrong.
    """
    asked = {prompt.id: prompt for prompt in prompts}
    rubrics = [asked[row["id"]].criteria for row in rows]
    verdicts = verifier([row["prompt"] for row in rows], [row["response"] for row in rows], rubrics)
    families: dict[str, list[bool | None]] = defaultdict(list)
    for rubric, row in zip(rubrics, verdicts, strict=True):
        for criterion, verdict in zip(rubric, row, strict=True):
            families[criterion.family].append(verdict.value)
    everything = [value for values in families.values() for value in values]
    scores = [prompt_score([verdict.value for verdict in row]) for row in verdicts]
    found = {
        "all_satisfied": _mean(scores),
        "satisfied": _mean(everything),
        "unknown": everything.count(None),
        "responses_unknown": sum(map(math.isnan, scores)),
        "families": {family: _mean(values) for family, values in sorted(families.items())},
    }
    if any(map(has_right_answer, prompts)):
        found |= {"accuracy": found["all_satisfied"], "unanswered": unanswered(verdicts)}
    return found


def _mean(values: Any) -> float | None:
    """Over what is known; None where nothing is."""
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    return fmean(known) if known else None
