"""Conversations to learn from, as JSONL with `messages`: one object a line, as the public Conifer has it.

    {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]}

Ours say more beside it, and need not: `id`; `kind`; `levels`, the difficulty of each question; `drafts`, the places of
assistant turns that a weak model wrote, which a loss may want to leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl
from rtt_lib.schema import RubricPrompt, chat_text

EASY_TO_HARD, INTERNAL, EXTERNAL = "easy to hard", "internal feedback", "external feedback"
KINDS = (EASY_TO_HARD, INTERNAL, EXTERNAL)
TURNS = ("user", "assistant")


@dataclass(frozen=True)
class Conversation:
    """messages: (role, text) of each turn: perhaps a system message, then user and assistant in turn.

    kind:    one of KINDS; empty where the data do not say.
    levels:  of each user turn, from 1; empty where the data do not say.
    drafts:  indices into `messages`.
    """

    id: str
    messages: tuple[tuple[str, str], ...]
    kind: str = ""
    levels: tuple[int, ...] = ()
    drafts: tuple[int, ...] = ()

    @property
    def turns(self) -> int:
        """Questions with their answers."""
        return sum(role == "assistant" for role, _ in self.messages)

    def examples(self) -> list[tuple[RubricPrompt, str]]:
        """Each answer with all that was said before it, in order; those of a weak model are left out.

        To learn all of them is to learn the conversation with the loss on its answers and not on its drafts.
        """
        found = []
        for n, (role, text) in enumerate(self.messages):
            if role == "assistant" and n not in self.drafts:
                before = self.messages[:n]
                said = chat_text([{"role": role, "content": text} for role, text in before])
                turns = before if len(before) > 1 else ()
                found.append((RubricPrompt(f"{self.id}#{n}", said, (), source="conifer", messages=turns), text))
        return found

    def to_json(self) -> dict[str, Any]:
        messages = [{"role": role, "content": text} for role, text in self.messages]
        return {
            "id": self.id,
            "kind": self.kind,
            "levels": list(self.levels),
            "drafts": list(self.drafts),
            "messages": messages,
        }


def pairs(*turns: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The messages of (question, answer) pairs."""
    return tuple((role, text) for turn in turns for role, text in zip(TURNS, turn, strict=True))


def write_conversations(path: str | Path, conversations: Sequence[Conversation]) -> Path:
    """Each is checked first, so that what is written can be read."""
    rows = [conversation.to_json() for conversation in conversations]
    for row in rows:
        conversation_from_json(row, f"conversation {row['id']}", row["id"])
    return write_jsonl(path, rows)


def conversation_from_json(row: Mapping[str, Any], where: str, id: str) -> Conversation:
    """A row of ours or of the public data set; `id` is for rows that have none."""
    messages = _messages(row.get("messages"), where)
    own = row.get("id")
    if not isinstance(own, str | int | None):
        raise RTTError(f"{where}: field 'id' must be a text, found {own!r}")
    kind = row.get("kind") or ""
    if kind and kind not in KINDS:
        raise RTTError(f"{where}: field 'kind' must be one of {', '.join(KINDS)}, found {kind!r}")
    levels, drafts = (_numbers(row, name, where) for name in ("levels", "drafts"))
    asked = sum(role == "user" for role, _ in messages)
    if levels and (len(levels) != asked or list(levels) != sorted(levels) or levels[0] < 1):
        raise RTTError(f"{where}: {asked} questions cannot have the levels {list(levels)}: one each, from easy to hard")
    assistants = {n for n, (role, _) in enumerate(messages) if role == "assistant"}
    if not set(drafts) <= assistants - {len(messages) - 1}:
        raise RTTError(f"{where}: drafts {list(drafts)} must be places of the assistant's turns, and not the last")
    return Conversation(str(id if own is None else own), messages, kind, levels, drafts)


def _messages(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not value:
        raise RTTError(f"{where}: field 'messages' must be a non-empty list")
    found = []
    for number, message in enumerate(value, 1):
        role, text = (message.get(name) if isinstance(message, Mapping) else None for name in ("role", "content"))
        if not isinstance(role, str) or not isinstance(text, str) or not text.strip():
            raise RTTError(f"{where}: message {number} needs a role and a text")
        found.append((role, text))
    said = found[1:] if found[0][0] == "system" else found
    if not said or len(said) % 2 or [role for role, _ in said] != list(TURNS) * (len(said) // 2):
        roles = ", ".join(role for role, _ in found)
        raise RTTError(f"{where}: user and assistant must take turns and the assistant must end, found {roles}")
    return tuple(found)


def _numbers(row: Mapping[str, Any], name: str, where: str) -> tuple[int, ...]:
    values = row.get(name) or []
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise RTTError(f"{where}: field '{name}' must be a list of whole numbers, found {values!r}")
    return tuple(values)
