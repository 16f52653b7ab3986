"""The discriminator's training data after the paper (section 4.1, App. C): LLMs write, break and label.

`rtt_lib.run.make_labels` is the command. HiR-16K's prompts get a response that is meant to keep the whole rubric;
Tulu-3's have a response, and their rubric is read off the prompt. Negatives are minimal modifications, or written with
one criterion withheld. The paper leaves open what is our choice here:

- How Tulu-3 comes to its criteria: an LLM lists what a prompt requires.
- How negatives are spread: at most one for each prompt, from both data sets, of either kind with equal probability.
- Which criterion a response is labelled for: the broken one, or one drawn at random. Then the paper's 22,656 and
  16,969 examples and as many negatives as are left make its 62,714 samples.
- What is checked: nothing. A label depends on criterion and response alone, so it is right also where a response did
  not keep what it was to keep, or break what it was to break; how often rules say so is reported.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rtt_lib.endpoint import Endpoint, Usage
from rtt_lib.errors import RTTError
from rtt_lib.progress import progress
from rtt_lib.relevance.completions import bare_tasks, complete, modify, requirements
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.llm_annotate import annotate_many
from rtt_lib.relevance.responses import without
from rtt_lib.rubrics.sources import Demonstration
from rtt_lib.schema import JUDGE, RubricPrompt
from rtt_lib.templates import AT_LEAST, MOST_FAILURES, PART
from rtt_lib.verify import check
from rtt_lib.verify.batch import CODE, Verifier

# Section 4.1: examples of Tulu-3 and of HiR-16K, and both with their negatives. A smaller corpus keeps the shares.
TULU, HIR, SAMPLES = 22_656, 16_969, 62_714
TULU_READ = 3  # rows drawn for each one needed, since some prompts require nothing
MOST_TOKENS = 4096
WRITING = {"temperature": 0.7, "max_tokens": MOST_TOKENS}
READING = {"temperature": 0.0, "max_tokens": MOST_TOKENS}

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
        """(item, answer) for each item with a usable answer. A server that fails most of the time is an error."""
        found: list[tuple[Item, Answer]] = []
        for start in progress(range(0, len(items), PART), what):
            part = items[start : start + PART]
            pairs = list(zip(part, work(part), strict=True))
            failed = [answer for _, answer in pairs if isinstance(answer, RTTError)]
            found += [(item, answer) for item, answer in pairs if not isinstance(answer, RTTError)]
            asked = start + len(part)
            lost = asked - len(found)
            now = len(failed) if len(failed) >= AT_LEAST else 0  # a server may die late
            if lost >= AT_LEAST and (lost > MOST_FAILURES * asked or now > MOST_FAILURES * len(part)):
                raise RTTError(
                    f"{what}: {lost} of {asked} questions got no usable answer, the last: {failed[-1]}. What could be "
                    f"used is kept in {self.cache}; the same command carries on"
                )
        self.lost[what] += len(items) - len(found)
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
) -> tuple[list[tuple[str, LabelledExample]], list[Demonstration]]:
    """(prompt's id, example) of at most `samples`, fewer where the data end or answers are lost; and all that was
    written for HiR-16K."""
    n_tulu, n_hir, n_negatives = shares(samples)
    chosen = shuffled(hir, seed)[:n_hir]
    _check_rules(chosen)
    own = written(chosen, servers)
    found = own + with_rubric(shuffled(tulu, seed), n_tulu, servers)
    cases = [Case(d.prompt, one_of(d.prompt, seed, "positive"), d.response, "positive") for d in found]
    return label(cases + negatives(found, n_negatives, servers, seed), servers, template), own


def chance(prompt: RubricPrompt, seed: int, what: str) -> random.Random:
    """Chance for this prompt alone, so that a lost answer elsewhere does not change what is asked about the others."""
    return random.Random(f"{seed} {what} {prompt.source} {prompt.id}")


def one_of(prompt: RubricPrompt, seed: int, what: str) -> int:
    return chance(prompt, seed, what).randrange(len(prompt.criteria))


def shuffled(items: Sequence[Item], seed: int, what: str = "order") -> list[Item]:
    def place(item: Item) -> float:
        return chance(item.prompt if isinstance(item, Demonstration) else item, seed, what).random()

    return sorted(items, key=place)


def _check_rules(prompts: Sequence[RubricPrompt]) -> None:
    """A mistake in the data shows before anybody is asked."""
    for prompt in prompts:
        for criterion in prompt.criteria:
            if criterion.verifier not in (JUDGE, CODE):
                try:
                    check(criterion, prompt.prompt, "A word.")
                except RTTError as error:
                    raise RTTError(f"prompt {prompt.id}, criterion {criterion.text[:80]!r}: {error}") from error


def written(prompts: Sequence[RubricPrompt], servers: Servers) -> list[Demonstration]:
    """Each with a response that is asked to keep its rubric."""
    answers = servers.ask(
        "responses", lambda part: complete(part, servers.writer, servers.usage, cache=servers.cache), prompts
    )
    return [Demonstration(prompt, response) for prompt, response in answers]


def with_rubric(tulu: Sequence[Demonstration], n: int, servers: Servers) -> list[Demonstration]:
    """The first `n` whose prompt requires something, with that as their rubric."""
    found: list[Demonstration] = []
    left = [demonstration for demonstration in tulu if demonstration.response.strip()]
    servers.lost["empty responses of Tulu-3"] += len(tulu) - len(left)
    while left and len(found) < n:
        part, left = left[: n - len(found)], left[n - len(found) :]
        rubrics = servers.ask(
            "rubrics",
            lambda some: requirements([d.prompt for d in some], servers.reader, servers.usage, cache=servers.cache),
            part,
        )
        servers.lost["prompts that require nothing"] += sum(not criteria for _, criteria in rubrics)
        found += [replace(d, prompt=replace(d.prompt, criteria=criteria)) for d, criteria in rubrics if criteria]
    return found


def negatives(found: Sequence[Demonstration], n: int, servers: Servers, seed: int) -> list[Case]:
    """Of `n` prompts one criterion each, broken by minimal modification or by constraint omission, by even chance."""
    usage, cache = servers.usage, servers.cache
    chosen = [(d, one_of(d.prompt, seed, "negative")) for d in shuffled(found, seed, "negatives")[:n]]
    halves: tuple[list, list] = ([], [])
    for d, k in chosen:
        halves[chance(d.prompt, seed, "strategy").randrange(2)].append((d, k))
    modified = servers.ask(
        "minimal modifications",
        lambda part: modify([(d.prompt, d.response, k) for d, k in part], servers.writer, usage, cache=cache),
        halves[0],
    )
    tasks = servers.ask(
        "bare tasks",
        lambda part: bare_tasks([d.prompt for d, _ in part], servers.reader, usage, cache=cache),
        halves[1],
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

    def annotate(part: Sequence[Case]) -> list:
        pairs = [(case.prompt.criteria[case.k].text, case.response) for case in part]
        found = annotate_many(pairs, servers.annotator, template, servers.usage, servers.cache)
        servers.lost["segments that are not in the response"] += sum(each.dropped for each in found)
        return [RTTError(each.problem) if each.label is None else each.label for each in found]

    labelled = servers.ask("labels", annotate, cases)
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
