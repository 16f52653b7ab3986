"""What a policy is asked when it judges its own responses, and how its answer is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

COMPARE = """\
Somebody gave two assistants the same instruction. Here are the instruction and what each of them wrote.

[Instruction]
{prompt}

[Response 1]
{first}

[Response 2]
{second}

Which response would a person prefer: the one that does what the instruction asks, is true, and is clear? Think about \
it first. Then end with the number of that response in a box, \\boxed{{1}} or \\boxed{{2}}."""

RATE = """\
Somebody gave an assistant an instruction. Here are the instruction and what it wrote.

[Instruction]
{prompt}

[Response]
{response}

How good is the response, on a scale from 1, which is useless, to 5, which nobody could improve? Think about it first. \
Then end with the mark in a box, \\boxed{{3}} say."""

BOXED = re.compile(r"\\boxed\{\s*([0-9]+)\s*\}")


class SelfJudge(Protocol):
    """The judge's role of a policy.

    tokens: of an answer at the longest
    """

    tokens: int

    def compare(self, prompt: str, first: str, second: str) -> str:
        """What is asked about two responses."""

    def picked(self, answer: str) -> int:
        """1 or 2 for the response shown first or second; 0 where the answer says neither."""

    def rate(self, prompt: str, response: str) -> str:
        """What is asked about one response."""

    def mark(self, answer: str) -> float:
        """How good the response is; 0 where the answer does not say."""


@dataclass(frozen=True)
class TextJudge:
    """For models that read English. The templates have the fields of `compare` and `rate`; the last box counts."""

    tokens: int = 2048
    comparing: str = COMPARE
    rating: str = RATE
    best: int = 5

    def compare(self, prompt: str, first: str, second: str) -> str:
        return self.comparing.format(prompt=prompt, first=first, second=second)

    def picked(self, answer: str) -> int:
        number = _last_box(answer)
        return number if number in (1, 2) else 0

    def rate(self, prompt: str, response: str) -> str:
        return self.rating.format(prompt=prompt, response=response)

    def mark(self, answer: str) -> float:
        number = _last_box(answer)
        return float(number) if 1 <= number <= self.best else 0.0


def _last_box(answer: str) -> int:
    """0: there is none."""
    found = BOXED.findall(answer)
    return int(found[-1]) if found else 0
