"""How far a grader agrees with the official verdicts, check by check, with the smallest example of each difference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rtt_lib.bench.conform.items import Item

Question = Mapping[str, Any]  # instruction, arguments, prompt, response
Answer = bool | None | str  # followed or not; None: the grader does not say; a text: it failed with this message
Grader = Callable[[Sequence[Question]], Sequence[Answer]]
KINDS = ("passes wrongly", "fails wrongly", "undecided", "crashes")


@dataclass
class Agreement:
    """One check: how many of its official verdicts a grader gives, and for each kind of difference how many it has
    and the shortest response that shows it."""

    check: str
    items: int = 0
    agree: int = 0
    different: dict[str, int] = field(default_factory=dict)
    examples: dict[str, Question] = field(default_factory=dict)

    def add(self, question: Question, official: bool, answer: Answer) -> None:
        self.items += 1
        if answer is official:
            self.agree += 1
            return
        kind = kind_of(answer)
        self.different[kind] = self.different.get(kind, 0) + 1
        known = self.examples.get(kind)
        if known is None or _size(question) < _size(known):
            said = {"said": answer} if isinstance(answer, str) else {}
            self.examples[kind] = {**question, "official": official, **said}


def kind_of(answer: Answer) -> str:
    """What kind of difference an answer that differs is."""
    if isinstance(answer, str):
        return "crashes"
    return {True: "passes wrongly", False: "fails wrongly", None: "undecided"}[answer]


def _size(question: Question) -> tuple[int, int]:
    return len(question["response"]), len(str(question["arguments"]))


@dataclass
class Conformance:
    """A grader against the official code.

    prompt_accuracy, instruction_accuracy: (official, the grader's) share of prompts and of instructions followed;
    what the grader leaves undecided or fails on counts as not followed, as it does in a benchmark run.
    """

    benchmark: str
    checks: dict[str, Agreement]
    prompts: int
    prompt_accuracy: tuple[float, float]
    instruction_accuracy: tuple[float, float]

    @property
    def items(self) -> int:
        return sum(check.items for check in self.checks.values())

    @property
    def agree(self) -> int:
        return sum(check.agree for check in self.checks.values())

    @property
    def agreement(self) -> float:
        return self.agree / self.items

    def to_json(self) -> dict:
        totals = {"items": self.items, "agree": self.agree, "agreement": self.agreement}
        return asdict(self) | totals | {"checks": [asdict(check) for check in self.checks.values()]}


def questions_of(items: Sequence[Item]) -> list[Question]:
    return [
        {"instruction": name, "arguments": dict(args), "prompt": item.prompt, "response": item.response}
        for item in items
        for name, args in item.checks
    ]


def conform(benchmark: str, items: Sequence[Item], grader: Grader) -> Conformance:
    """Ask the grader about every check of every item; those without an official verdict are left out."""
    questions = questions_of(items)
    answers = list(grader(questions))
    if len(answers) != len(questions):
        raise ValueError(f"the grader gave {len(answers)} answers to {len(questions)} questions")
    checks: dict[str, Agreement] = {}
    followed: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    official = [(n, value) for n, item in enumerate(items) for value in item.verdicts[benchmark]]
    for (n, value), question, answer in zip(official, questions, answers, strict=True):
        if value is None:
            continue
        name = question["instruction"]
        checks.setdefault(name, Agreement(name)).add(question, value, answer)
        followed[n].append((value, answer is True))
    return Conformance(
        benchmark,
        dict(sorted(checks.items())),
        len(followed),
        prompt_accuracy=_means([tuple(map(all, zip(*pairs, strict=True))) for pairs in followed.values()]),
        instruction_accuracy=_means([pair for pairs in followed.values() for pair in pairs]),
    )


def _means(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    return sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)


def report(result: Conformance) -> str:
    """A table of the checks with differences, their smallest examples, and the totals."""
    lines = []
    for check in result.checks.values():
        if check.agree == check.items:
            continue
        counts = ", ".join(f"{check.different[kind]} {kind}" for kind in KINDS if kind in check.different)
        lines.append(f"{check.check}: {check.agree} of {check.items} agree ({counts})")
        for kind, example in sorted(check.examples.items()):
            args = {k: v for k, v in example["arguments"].items() if k not in ("type", "subtype")}
            said = f": {example['said']}" if "said" in example else ""
            lines.append(f"    {kind}{said}: {args} on {shortened(example['response'])}")
    whole = sum(check.agree == check.items for check in result.checks.values())
    lines += [
        f"{whole} of {len(result.checks)} checks agree throughout",
        f"agreement: {result.agreement:.2%} ({result.agree} of {result.items} verdicts)",
        "prompt accuracy: official {:.2%}, this grader {:.2%}".format(*result.prompt_accuracy),
        "instruction accuracy: official {:.2%}, this grader {:.2%}".format(*result.instruction_accuracy),
    ]
    return "\n".join(lines)


def shortened(response: str, most: int = 200) -> str:
    return ascii(response) if len(response) <= most else f"{response[:most]!a} and {len(response) - most} more"
