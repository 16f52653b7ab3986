"""Do training prompts share anything with the prompts they are tested on? Wordings, parameters and tasks compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtt_lib.schema import Criterion, RubricPrompt

# Runs of words this long are not shared by chance. Shorter ones are plain English ("at least one sentence"), and a
# prompt that does not say which part of it is the task has the constraints' usual wordings in it.
WORDING_RUN = 6
TASK_RUN = 8
PROMPT_RUN = 13
# A word; without spaces between words, as in Chinese and Japanese, every character is one.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


@dataclass(frozen=True)
class Overlap:
    """What a training prompt shares with a benchmark prompt. `kind`: wording, parameter or task."""

    kind: str
    text: str
    prompt_id: str
    benchmark_id: str

    def __str__(self) -> str:
        return f"{self.prompt_id}: {self.kind} shared with benchmark prompt {self.benchmark_id}: {self.text!r}"


@dataclass(frozen=True)
class Report:
    n_prompts: int
    n_benchmark: int
    overlaps: tuple[Overlap, ...]

    @property
    def clean(self) -> bool:
        return not self.overlaps

    def __str__(self) -> str:
        prompts = Counter(kind for kind, _ in {(overlap.kind, overlap.prompt_id) for overlap in self.overlaps})
        shared = ", ".join(f"{kind}s {prompts[kind]}" for kind in ("wording", "parameter", "task"))
        return f"{self.n_prompts} training prompts beside {self.n_benchmark} of benchmarks; how many share {shared}"


def decontaminate(prompts: Sequence[RubricPrompt], benchmark_prompts: Sequence[RubricPrompt]) -> Report:
    """Compare every training prompt with every benchmark prompt; of each text the first run that is shared.

    wording:   a constraint's text and a benchmark prompt (or one of its criteria) share a run of six words
    parameter: a word or phrase that a constraint is about is the parameter of a benchmark constraint, or, from three
               words on, stands in a benchmark prompt
    task:      a task and a benchmark prompt share a run of eight words; the whole prompt, if it does not say what its
               task is, a run of thirteen
    """
    index = _Index(benchmark_prompts)
    found = [overlap for prompt in prompts for overlap in index.overlaps(prompt)]
    return Report(len(prompts), len(benchmark_prompts), tuple(dict.fromkeys(found)))


class _Index:
    """Word runs and parameters of the benchmark, each with the id of a prompt that has it."""

    def __init__(self, benchmark: Sequence[RubricPrompt]) -> None:
        self.runs: dict[tuple[str, ...], str] = {}
        self.parameters: dict[tuple[str, ...], str] = {}
        for prompt in benchmark:
            for text in (prompt.prompt, *(criterion.text for criterion in prompt.criteria)):
                for size in (3, 4, WORDING_RUN, TASK_RUN, PROMPT_RUN):
                    self.runs.update((run, prompt.id) for run in _runs(text, size))
            for criterion in prompt.criteria:
                self.parameters.update((_words(text), prompt.id) for text in _parameters(criterion))

    def overlaps(self, prompt: RubricPrompt) -> Iterator[Overlap]:
        for criterion in prompt.criteria:
            yield from self._first("wording", _runs(criterion.text, WORDING_RUN), self.runs, prompt.id)
            for text in _parameters(criterion):
                words = _words(text)
                yield from self._first("parameter", [words], self.parameters, prompt.id)
                if len(words) > 2:
                    yield from self._first("parameter", _runs(text, min(4, len(words))), self.runs, prompt.id)
        runs = _runs(prompt.task, TASK_RUN) if prompt.task else _runs(prompt.prompt, PROMPT_RUN)
        yield from self._first("task", runs, self.runs, prompt.id)

    @staticmethod
    def _first(
        kind: str, runs: Iterable[tuple[str, ...]], known: Mapping[tuple[str, ...], str], id: str
    ) -> Iterator[Overlap]:
        run = next((run for run in runs if run and run in known), None)
        if run is not None:
            yield Overlap(kind, " ".join(run), id, known[run])


def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text.lower()))


def _runs(text: str, size: int) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    return (words[i : i + size] for i in range(len(words) - size + 1))


# Arguments that are choices among a few, not wordings: sharing them with a benchmark says nothing.
CHOICES = ("relation", "let_relation", "capital_relation", "language", "letter", "left", "right", "mark")


def _parameters(criterion: Criterion) -> Iterator[str]:
    """What a constraint is about. A program is not about anything, and MulDimIF gives its wording as arguments."""
    wordings = criterion.verifier.startswith(("muldimif:", "code:")) or "unruled" in criterion.args
    return iter(()) if wordings else _texts(criterion.args)


def _texts(args: Mapping[str, Any] | Iterable[Any] | Any) -> Iterator[str]:
    """The words and phrases among a constraint's arguments."""
    if isinstance(args, str):
        yield args
    elif isinstance(args, Mapping):
        for name, value in args.items():
            if name not in CHOICES:
                yield from _texts(value)
    elif isinstance(args, list | tuple):
        for value in args:
            yield from _texts(value)
