"""The discriminator's training data as the paper makes it (section 4.1, App. C): LLMs write, break and label.

    python -m rtt_lib.relevance.llm_corpus paper-qwen3-4b LABELS.jsonl
    python -m rtt_lib.relevance.text_training paper-qwen3-4b --labels LABELS.jsonl

HiR-16K's prompts get a response that keeps the whole rubric; Tulu-3's have a response, and their rubric is read off the
prompt. Half of the negatives are minimal modifications, half are written with one criterion withheld. Each response is
labelled for one criterion: the broken one, or one drawn at random. (That is the reading under which the paper's 22,656
and 16,969 examples and its negatives make 62,714 samples; it does not say.) A label depends on criterion and response
alone, so it is right also where a model did not break what it was told to: how often is reported, not filtered.

Answers are kept beside FILE, so that the same command carries on where it was stopped.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rtt_lib.cli import complain, parse_overrides
from rtt_lib.endpoint import Endpoint, Usage, asker
from rtt_lib.errors import RTTError
from rtt_lib.files import write_json
from rtt_lib.manifest import git_state
from rtt_lib.notebook import progress
from rtt_lib.profile import REPOSITORY, SOFT_SOURCES, Profile, load_profile
from rtt_lib.relevance.completions import bare_tasks, complete, modify, requirements
from rtt_lib.relevance.corpus import write_labelled
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.llm_annotate import LLMAnnotator
from rtt_lib.relevance.responses import without
from rtt_lib.rubrics import sources
from rtt_lib.rubrics.schema import RubricPrompt
from rtt_lib.rubrics.sources import Demonstration
from rtt_lib.verify.batch import Verifier

# Section 4.1: examples of Tulu-3 and of HiR-16K, and both with their negatives. A smaller corpus keeps the shares.
TULU, HIR, SAMPLES = 22_656, 16_969, 62_714
# Silent in the paper, as are the models but for the omissions' (Qwen3-4B-Instruct).
WRITING = {"temperature": 0.7, "max_tokens": 2048}
READING = {"temperature": 0.0, "max_tokens": 2048}
SECONDS = 600.0  # for one answer
PART = 256  # questions between two looks at how many failed
MOST_FAILURES = 0.5  # share of a part that may fail

Item, Answer = TypeVar("Item"), TypeVar("Answer")


@dataclass(frozen=True)
class Case:
    """A response to be labelled for criterion k of its prompt. `made`: positive, minimal or omission."""

    prompt: RubricPrompt
    k: int
    response: str
    made: str


@dataclass
class Servers:
    """Who is asked: `writer` for positives, modifications, rubrics and bare tasks. `lost` counts what got no answer."""

    writer: Endpoint
    omitter: Endpoint
    annotator: Endpoint
    cache: Path
    usage: Usage = field(default_factory=Usage)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def reader(self) -> Endpoint:
        return replace(self.writer, parameters=READING)

    def ask(
        self, what: str, work: Callable[[Sequence[Item]], list[Answer | RTTError]], items: Sequence[Item]
    ) -> list[tuple[Item, Answer]]:
        """Each item that got a usable answer, with it. A server that fails most of the time is an error."""
        found: list[tuple[Item, Answer]] = []
        for start in progress(range(0, len(items), PART), what):
            part = items[start : start + PART]
            answers = [RTTError("an empty answer") if answer == "" else answer for answer in work(part)]
            failed = [answer for answer in answers if isinstance(answer, RTTError)]
            if len(failed) > MOST_FAILURES * len(part):
                raise RTTError(
                    f"{what}: {len(failed)} of {len(part)} questions got no usable answer, the last: {failed[-1]}. "
                    f"What was answered is kept in {self.cache}; the same command carries on"
                )
            self.lost[what] += len(failed)
            pairs = zip(part, answers, strict=True)
            found += [(item, answer) for item, answer in pairs if not isinstance(answer, RTTError)]
        return found


def shares(samples: int) -> tuple[int, int, int]:
    """How many of them are positives from Tulu-3, positives from HiR-16K, and negatives."""
    tulu, hir = round(samples * TULU / SAMPLES), round(samples * HIR / SAMPLES)
    return tulu, hir, samples - tulu - hir


def build(
    hir: Sequence[RubricPrompt],
    tulu: Sequence[Demonstration],
    samples: int,
    servers: Servers,
    template: str | Path,
    seed: int,
) -> list[tuple[str, LabelledExample]]:
    """(prompt's id, example) of at most `samples`; fewer where the data end or answers are lost."""
    rng = random.Random(f"llm corpus {seed}")
    n_tulu, n_hir, n_negatives = shares(samples)
    chosen = rng.sample(list(hir), min(n_hir, len(hir))), rng.sample(list(tulu), min(n_tulu, len(tulu)))
    found = positives(*chosen, servers)
    cases = [Case(d.prompt, rng.randrange(len(d.prompt.criteria)), d.response, "positive") for d in found]
    return label(cases + negatives(found, n_negatives, servers, rng), servers, template)


def positives(hir: Sequence[RubricPrompt], tulu: Sequence[Demonstration], servers: Servers) -> list[Demonstration]:
    """Prompts with a rubric and a response that is meant to keep it."""
    usage, cache = servers.usage, servers.cache
    written = servers.ask("responses", lambda part: complete(part, servers.writer, usage, cache=cache), hir)
    rubrics = servers.ask(
        "rubrics", lambda part: requirements([d.prompt for d in part], servers.reader, usage, cache=cache), tulu
    )
    servers.lost["prompts that require nothing"] += sum(not criteria for _, criteria in rubrics)
    read = [replace(d, prompt=replace(d.prompt, criteria=criteria)) for d, criteria in rubrics if criteria]
    return [Demonstration(prompt, response) for prompt, response in written] + read


def negatives(found: Sequence[Demonstration], n: int, servers: Servers, rng: random.Random) -> list[Case]:
    """Of `n` prompts one criterion each, broken by minimal modification or by constraint omission, half and half."""
    usage, cache = servers.usage, servers.cache
    chosen = [(d, rng.randrange(len(d.prompt.criteria))) for d in rng.sample(list(found), min(n, len(found)))]
    first, second = chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
    modified = servers.ask(
        "minimal modifications",
        lambda part: modify([(d.prompt, d.response, k) for d, k in part], servers.writer, usage, cache=cache),
        first,
    )
    tasks = servers.ask(
        "bare tasks", lambda part: bare_tasks([d.prompt for d, _ in part], servers.reader, usage, cache=cache), second
    )
    withheld = [(d.prompt, k, replace(without(d.prompt, k), task=task)) for (d, k), task in tasks]
    omitted = servers.ask(
        "omissions", lambda part: complete([p for *_, p in part], servers.omitter, usage, cache=cache), withheld
    )
    return [Case(d.prompt, k, text, "minimal") for (d, k), text in modified] + [
        Case(prompt, k, text, "omission") for (prompt, k, _), text in omitted
    ]


def label(cases: Sequence[Case], servers: Servers, template: str | Path) -> list[tuple[str, LabelledExample]]:
    """The annotator's labels; beside them the verdicts of the hard criteria, for the report."""
    annotator = LLMAnnotator(asker(servers.annotator, servers.cache), template)

    def annotate(part: Sequence[Case]) -> list:
        pairs = [(case.prompt.criteria[case.k].text, case.response) for case in part]
        found = annotator.annotate_many(pairs, servers.annotator.concurrency)
        return [RTTError(each.problem) if each.label is None else each.label for each in found]

    labelled = servers.ask("labels", annotate, cases)
    servers.lost["segments that are not in the response"] += annotator.counts()["segments_dropped"]
    verdicts = Verifier()(
        [case.prompt.prompt for case, _ in labelled],
        [case.response for case, _ in labelled],
        [[case.prompt.criteria[case.k]] for case, _ in labelled],
    )
    return [
        (case.prompt.id, LabelledExample(case.prompt.criteria[case.k], case.response, found, verdict.value, case.made))
        for (case, found), (verdict,) in zip(labelled, verdicts, strict=True)
    ]


def counts(rows: Sequence[tuple[str, LabelledExample]]) -> dict[str, dict[str, int]]:
    """For each way a response was made: how many, where they are relevant, what the hard criteria's verdicts are."""
    found: dict[str, Counter[str]] = {}
    for _, example in rows:
        verdict = {True: "satisfied", False: "violated", None: "not decided by a rule"}[example.verdict]
        where = "everywhere" if example.label.whole else "in segments" if example.label.spans else "nowhere"
        found.setdefault(example.split, Counter()).update(("examples", f"relevant {where}", verdict))
    return {made: dict(counter) for made, counter in found.items()}


def servers_of(profile: Profile, arguments: argparse.Namespace, cache: Path) -> Servers:
    """Those on the command line; for what it does not name, the profile's judge."""
    judge = (profile.compute.judge_url, profile.compute.judge_model)

    def endpoint(option: str, parameters: dict[str, Any]) -> Endpoint:
        url, model = getattr(arguments, option) or judge
        if not url or not model:
            raise RTTError(
                f"name a server: --{option} URL MODEL (the profile has no compute.judge_url and judge_model)"
            )
        return Endpoint(url, model, parameters, timeout=SECONDS)

    return Servers(endpoint("writer", WRITING), endpoint("omitter", WRITING), endpoint("annotator", READING), cache)


def make(profile: Profile, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write FILE and, beside it, what it was made of; returns the latter."""
    if profile.data.source not in SOFT_SOURCES:
        raise RTTError(
            f"profile {profile.name}: rules label the data source '{profile.data.source}', no LLM is needed: "
            f"python -m rtt_lib.relevance.text_training {profile.name}"
        )
    made_at, settings = git_state(REPOSITORY), profile.discriminator
    servers = servers_of(profile, arguments, arguments.file.with_name(f"{arguments.file.name}.answers"))
    hir = sources.load(profile.data.source, profile.data.path)
    tulu = sources.load("tulu3", arguments.tulu)
    rows = build(hir, tulu, settings.samples, servers, settings.annotator, arguments.seed)
    write_labelled(arguments.file, rows)
    about = {
        "examples": len(rows),
        "made": counts(rows),
        "lost": dict(servers.lost),
        "asked": {name: getattr(servers, name).model for name in ("writer", "omitter", "annotator")},
        "usage": asdict(servers.usage),
        "template": settings.annotator,
        "seed": arguments.seed,
        **made_at,
    }
    write_json(arguments.file.with_name(f"{arguments.file.name}.about.json"), about)
    return about


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.relevance.llm_corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("profile", help="a profile's name or path: data, samples and the annotator's template")
    parser.add_argument("file", type=Path, metavar="FILE", help="the labels to be written, a .jsonl")
    parser.add_argument("--tulu", metavar="PATH", help="Tulu-3's SFT mixture, if not from the hub")
    for name in ("writer", "omitter", "annotator"):
        parser.add_argument(f"--{name}", nargs=2, metavar=("URL", "MODEL"), help="default: the profile's judge")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", nargs="+", action="extend", default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        about = make(load_profile(options.profile, parse_overrides(options.overrides)), options)
    except RTTError as error:
        complain(str(error))
        return 2
    print(f"{options.file}: {about['examples']} examples {about['made']}; lost: {about['lost']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
