"""What is asked: a prompt with its rubric, the same shape whatever data set it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtt_lib.errors import RTTError

JUDGE = "judge"


@dataclass(frozen=True)
class Criterion:
    """One constraint c_k of a rubric.

    `verifier` says how it is verified: `family:rule` names a rule in the registry (a hard constraint,
    `ifeval:punctuation:no_comma` say), `code:python` a checker that ships with the data (hard, sandboxed),
    `judge` a soft constraint that needs a judge LLM. `args` are the rule's parameters.
    """

    text: str
    verifier: str = JUDGE
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hard(self) -> bool:
        return self.verifier != JUDGE

    @property
    def family(self) -> str:
        """The rule's own name without its data set: what tables group by."""
        return self.verifier.split(":", 1)[-1]

    def to_json(self) -> dict:
        return {"text": self.text, "verifier": self.verifier, "args": dict(self.args)}


@dataclass(frozen=True)
class RubricPrompt:
    """An instruction q = task x + rubric C. `prompt` is the full text the policy is given."""

    id: str
    prompt: str
    criteria: tuple[Criterion, ...]
    task: str = ""
    source: str = ""


def _field(row: Mapping, name: str, kind: type, where: str, default: Any = None) -> Any:
    value = row.get(name, default)
    if value is None:
        raise RTTError(f"{where}: field '{name}' is missing")
    if not isinstance(value, kind):
        raise RTTError(f"{where}: field '{name}' must be {kind.__name__}, found {type(value).__name__}")
    return value


def criterion_from_json(row: Any, where: str) -> Criterion:
    if not isinstance(row, Mapping):
        raise RTTError(f"{where}: a criterion must be an object, found {type(row).__name__}")
    return Criterion(
        text=_field(row, "text", str, where),
        verifier=_field(row, "verifier", str, where, JUDGE),
        args=_field(row, "args", dict, where, {}),
    )
