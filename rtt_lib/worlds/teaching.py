"""What a world offers that teaches by levels: ladders of prompts with answers, and feedback on an answer.

A *ladder* is one question at several levels, each of which asks for more than the one below. A *rung* is one of these
levels with the answer of a teacher, which may be wrong. Methods that arrange rungs into conversations
(`rtt_lib.methods.conversations`) know this protocol and no world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.base import World

LEVELS = (1, 2, 3, 4, 5)  # the level is the number of criteria
Account = Literal["none", "true", "false", "filler"]
Critique = Literal["full", "bare", "wrong"]


@dataclass(frozen=True)
class Rung:
    """One level of a question, and the teacher's answer to it."""

    level: int
    prompt: RubricPrompt
    answer: str


@dataclass(frozen=True)
class Ladder:
    """The rungs of one question that passed the filter, easy to hard."""

    id: str
    rungs: tuple[Rung, ...]


class TeachingWorld(World, Protocol):
    def ladders(self, n: int, number: int, numbers: bool = True) -> list[Ladder]:
        """`n` ladders for the run of seed `number`; without `numbers`, none asks for a count or a length."""

    def account(self, rung: Rung, kind: Account, number: int) -> str:
        """What follows the answer: the counts that it reaches, or a control of the same length; may be empty."""

    def critique(self, rung: Rung, draft: str, kind: Critique, number: int) -> str | None:
        """A user's reply to a weak draft, which asks for a revision; None where the draft meets every criterion."""

    def worked_example(self, prompt: RubricPrompt, share: float, number: int) -> tuple[str, str] | None:
        """A prompt for a part of the criteria, and an answer that meets them; None where the part is empty."""
