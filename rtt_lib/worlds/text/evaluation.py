"""How good is a policy on text? Held-out composed prompts, graded here, and responses to the benchmarks.

    <folder>/sampled.jsonl, greedy.jsonl           responses to the held-out prompts
    <folder>/benchmarks/<benchmark>.jsonl          for `rtt grade` and notebook 08

Run `A1` is evaluated with the next evaluation seed after `A0`, the same for every arm: compare arms in pairs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rtt_lib import store
from rtt_lib.bench.generate import Backend, generate, summarise
from rtt_lib.bench.grade import prompt_score
from rtt_lib.endpoint import Endpoint
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.models import precision
from rtt_lib.profile import Profile
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.answers import has_right_answer, unanswered
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.followbench import LevelVerifier
from rtt_lib.verify.judge import Judge
from rtt_lib.worlds.text.prompts import benchmark_prompts, held_out_prompts

BENCHMARKS = "benchmarks"  # the folder of the responses to them


def backend(profile: Profile) -> Backend:
    return profile.compute.sampler if profile.compute.vllm == "off" else "vllm"


def make_verifier(profile: Profile) -> Verifier:
    """Rules, FollowBench's among them, and sandboxed code, and a judge where the profile has one.

    The judge's answers are kept in the store's `judge/`.
    """
    url, model = profile.compute.judge_url, profile.compute.judge_model
    if url and not model:
        raise RTTError(f"profile {profile.name}: compute.judge_url is set, so name its model: compute.judge_model")
    return LevelVerifier(Judge(Endpoint(url, model), cache=store.root() / "judge") if url else None)


@dataclass(frozen=True)
class Examination:
    """A policy and what its responses are sampled with."""

    profile: Profile
    policy: str | Path
    number: int
    folder: Path

    def respond(self, prompts: Sequence[RubricPrompt], name: str, greedy: bool = False) -> list[dict]:
        """The policy's responses to `prompts`, made now unless they are there."""
        settings = replace(self.profile.evaluation, seed=self.profile.evaluation.seed + self.number)
        if greedy:
            settings = replace(settings, temperature=0.0, completions=1)
        out = self.folder / f"{name}.jsonl"
        path = generate(prompts, self.policy, settings, out, backend(self.profile), precision())
        return [row for _, row in read_jsonl(path)]


def evaluate(examined: Examination) -> dict[str, Any]:
    """The record of one policy: held-out prompts, benchmarks, and why a benchmark is missing."""
    verifier = make_verifier(examined.profile)
    prompts, missing = benchmark_prompts(examined.profile)
    benchmarks: dict[str, Any] = {name: {"missing": reason} for name, reason in missing.items()}
    for name, questions in prompts.items():
        rows = examined.respond(questions, f"{BENCHMARKS}/{name}")
        benchmarks[name] = summarise(rows) | grade(questions, rows, verifier)
    return held_out(examined, held_out_prompts(examined.profile), verifier) | {
        "benchmarks": benchmarks,
        "out_of_domain": {"satisfied": _mean(each.get("satisfied") for each in benchmarks.values())},
        "language_loss": None,  # of the micro world's own language
    }


def held_out(examined: Examination, prompts: Sequence[RubricPrompt], verifier: Verifier) -> dict[str, Any]:
    """The part of the record that is about held-out prompts."""
    sampled = examined.respond(prompts, "sampled")
    greedy = examined.respond(prompts, "greedy", greedy=True)
    return {
        "sampled": grade(prompts, sampled, verifier),
        "greedy": grade(prompts, greedy, verifier),
        "mean_words": fmean(len(row["response"].split()) for row in sampled),
        "truncated": fmean(row["truncated"] for row in sampled),
        "examples": [{name: row[name] for name in ("prompt", "response")} for row in sampled[:5]],
    }


def grade(prompts: Sequence[RubricPrompt], rows: Sequence[Mapping[str, Any]], verifier: Verifier) -> dict[str, Any]:
    """Shares in [0, 1]: responses that satisfy all constraints, constraints satisfied, and those of each family.

    Unknown verdicts are left out, and so are responses that have one; `unknown` and `responses_unknown` count them.
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
