"""The judge's role in the judged worlds: a question of one line, and an answer of one token."""

from __future__ import annotations

from dataclasses import dataclass

from rtt_lib.worlds.judged import language


@dataclass(frozen=True)
class OneToken:
    """`rtt_lib.self_judge.SelfJudge`"""

    tokens: int = 1

    def compare(self, prompt: str, first: str, second: str) -> str:
        return language.compare(prompt, first, second)

    def picked(self, answer: str) -> int:
        return {"1": 1, "2": 2}.get(answer.strip(), 0)

    def rate(self, prompt: str, response: str) -> str:
        return language.rate(prompt, response)

    def mark(self, answer: str) -> float:
        marks = [str(1 + met) for met in range(language.ASKED + 1)]
        return float(answer) if answer.strip() in marks else 0.0
