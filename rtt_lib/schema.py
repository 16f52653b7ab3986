"""What is asked: a prompt with its rubric, the same shape whatever data set it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """An instruction q = task x + rubric C.

    prompt:    the full text the policy is given; of a conversation `chat_text` of it, which is what verifiers read
    messages:  (role, text) of each turn, where the data give more than one user message
    """

    id: str
    prompt: str
    criteria: tuple[Criterion, ...]
    task: str = ""
    source: str = ""
    messages: tuple[tuple[str, str], ...] = ()

    def chat(self) -> list[dict[str, str]]:
        """For a policy's own chat template."""
        return [{"role": role, "content": text} for role, text in self.messages or (("user", self.prompt),)]


def chat_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text: a single user message as it is, more turns with their roles."""
    turns = [(message["role"], _text_of(message["content"])) for message in messages]
    if len(turns) == 1 and turns[0][0] == "user":
        return turns[0][1]
    return "\n\n".join(f"[{role}]\n{text}" for role, text in turns)


def _text_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    """A message's text; what has none in a list of parts, an image say, is left out."""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


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
