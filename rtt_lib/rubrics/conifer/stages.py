"""What is asked in each stage, and what is made of the answer: pure functions, no server.

An answer that cannot be used is `Lost`, with one of three outcomes: the model refused, the answer cannot be parsed, or
a filter says no. Temperatures, top-p and lengths are those of Conifer's released code, but for one: its filters may
say one token, ours five, since for some tokenizers YES is two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtt_lib.errors import RTTError
from rtt_lib.templates import unfenced
from rtt_lib.verify.text import language

Fields = Mapping[str, str]
Outcome = Literal["refused", "unparsable", "filtered"]

LEVELS = 5
LEAST_QUESTIONS = 3
LONGEST_SEED, LEAST_WORDS = 200, 5  # characters, words
OFFERED = {"format": 3, "number": 2}  # of each kind of constraint in a shortlist
REVISE = "Please revise your answer."

# "I'm sorry, but I can't help with that.": a first sentence in which the model says what it will not do.
REFUSAL = re.compile(
    r"\A(?:\W*(?:I(?:['’]m| am) )?sorry\W+)?[^.!?\n]{0,120}?\bI(?:['’]m| am)? "
    r"(?:cannot|can['’]t|unable to|not able to|won['’]t|must decline to) "
    r"(?:help|assist|answer|provide|comply|fulfil|do|create|write|generate|complete|discuss)",
    re.IGNORECASE,
)
YES_OR_NO = re.compile(r"[\W_]*(yes|no)\b[\W_]*", re.IGNORECASE)


class Lost(RTTError):
    """An answer that goes no further; the message says why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Stage:
    """One kind of question.

    template: the file with its wording; it must have all of `fields` in braces.
    read:     (answer, the question's fields) -> what goes on, or Lost.
    whole:    an answer that was cut at max_tokens counts as none.
    """

    name: str
    template: str
    fields: tuple[str, ...]
    parameters: Mapping[str, Any]
    read: Callable[[str, Fields], Any]
    whole: bool = False


# --- seeds ---


def first_turn(row: Mapping[str, Any], where: str) -> str:
    """What the user says first: `prompt`, or the first user turn of `messages` or of ShareGPT's `conversations`."""
    if isinstance(row.get("prompt"), str):
        return row["prompt"].strip()
    for name, role, user, text in (
        ("messages", "role", "user", "content"),
        ("conversations", "from", "human", "value"),
    ):
        turns = row.get(name)
        for turn in turns if isinstance(turns, list) else ():
            if isinstance(turn, dict) and turn.get(role) == user and isinstance(turn.get(text), str):
                return turn[text].strip()
    raise RTTError(f"{where}: no text in 'prompt', and no user's turn in 'messages' or 'conversations'")


def unfit(seed: str) -> str | None:
    """Why the text is no seed, None if it is one."""
    if len(seed) > LONGEST_SEED:
        return f"longer than {LONGEST_SEED} characters"
    if len(seed.split()) < LEAST_WORDS:
        return f"fewer than {LEAST_WORDS} words"
    return None if language(seed) == "en" else "not English"


# --- answers ---


def read_questions(answer: str, fields: Fields) -> tuple[str, ...]:
    """At least three distinct questions; an empty list says that the seed gives none."""
    questions = _texts(_object(answer).get("questions"), "'questions'")
    if not questions:
        raise Lost("refused", "the model sees no question in the seed")
    if len(questions) < LEAST_QUESTIONS:
        raise Lost("unparsable", f"{len(questions)} distinct questions, at least {LEAST_QUESTIONS} needed")
    return questions


def read_yes(answer: str, fields: Fields) -> bool:
    """YES is the only way on."""
    match = YES_OR_NO.match(answer)
    if match is None:
        raise Lost("unparsable", f"neither YES nor NO: {answer[:80]!r}")
    if match[1].lower() == "no":
        raise Lost("filtered", "the model says NO")
    return True


def read_constraints(answer: str, fields: Fields) -> dict[str, tuple[str, ...]]:
    """Category -> items; an empty object says that the question allows none."""
    found = _object(answer).get("constraints")
    if not isinstance(found, dict):
        raise Lost("unparsable", "'constraints' must be an object")
    if not found:
        raise Lost("refused", "the model has no constraint for the question")
    items = {name.strip(): _texts(texts, f"category {name!r}") for name, texts in found.items()}
    if not all(items) or not all(items.values()):
        raise Lost("unparsable", "a category without name or items")
    return items


def read_levels(answer: str, fields: Fields) -> tuple[str, ...]:
    """The five rewrites, from easy to hard."""
    found = _object(answer)
    levels = tuple(found.get(str(n)) for n in range(1, LEVELS + 1))
    if not all(isinstance(text, str) and text.strip() for text in levels):
        raise Lost("unparsable", f"must have a text for each of the levels 1 to {LEVELS}")
    if len({_plain(text) for text in levels}) < LEVELS:
        raise Lost("unparsable", "two levels are the same")
    return tuple(text.strip() for text in levels)


def read_format_number(answer: str, fields: Fields) -> tuple[str, tuple[str, ...]]:
    """(the question with more constraints, those of the shortlist that it uses)."""
    found = _object(answer)
    question, used = found.get("question"), _texts(found.get("used"), "'used'")
    if not used:
        raise Lost("refused", "the model can use none of the constraints")
    if not isinstance(question, str) or not question.strip():
        raise Lost("unparsable", "'question' must be a text")
    if _plain(question) == _plain(fields["question"]):
        raise Lost("unparsable", "the question is the same as before")
    if foreign := set(used) - set(unlisted(fields["constraints"])):
        raise Lost("unparsable", f"a constraint that was not offered: {min(foreign)[:80]!r}")
    return question.strip(), used


def read_answer(answer: str, fields: Fields) -> str:
    """A strong model's answer; one that declines is no example to learn from (our choice, the source is silent)."""
    if REFUSAL.match(answer):
        raise Lost("refused", f"the model declines: {answer[:80]!r}")
    return read_draft(answer, fields)


def read_draft(answer: str, fields: Fields) -> str:
    """A weak model's answer, whatever it says."""
    if not answer:
        raise Lost("unparsable", "an empty answer")
    return answer


def read_critique(answer: str, fields: Fields) -> str:
    """What the draft violates; empty if nothing.

    The released code looks for 'yes' anywhere in the answer, so that 'yesterday' in a complaint is praise.
    """
    match = YES_OR_NO.match(answer)
    if match is None:
        raise Lost("unparsable", f"neither YES nor NO: {answer[:80]!r}")
    if match[1].lower() == "yes":
        return ""
    if not (critique := answer[match.end() :].strip()):
        raise Lost("unparsable", "NO without a word on what is violated")
    return critique


def listed(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def unlisted(text: str) -> list[str]:
    """The items again."""
    return [line.removeprefix("- ") for line in text.splitlines()]


def listed_by_category(constraints: Mapping[str, Sequence[str]]) -> str:
    return listed([f"{category}: {'; '.join(items)}" for category, items in constraints.items()])


def _object(answer: str) -> dict[str, Any]:
    """An answer that is one JSON object and not a word besides."""
    try:
        value = json.loads(unfenced(answer))
    except (ValueError, RecursionError):
        if REFUSAL.match(answer):
            raise Lost("refused", f"the model declines: {answer[:80]!r}") from None
        raise Lost("unparsable", f"not JSON alone: {answer[:80]!r}") from None
    if not isinstance(value, dict):
        raise Lost("unparsable", "JSON, but not an object")
    if not encodable(value):
        raise Lost("unparsable", "half a surrogate pair")
    return value


def encodable(value: Any) -> bool:
    """An answer, or what its JSON holds, may have half a surrogate pair, which no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: Any, what: str) -> tuple[str, ...]:
    """Distinct texts, in order."""
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise Lost("unparsable", f"{what} must be a list of texts")
    found: dict[str, str] = {}
    for text in value:
        found.setdefault(_plain(text), " ".join(text.split()))
    return tuple(found.values())


def _plain(text: str) -> str:
    """For comparing: without differences in case and white space."""
    return " ".join(text.lower().split())


# --- the stages in their order ---

FILTER = {"temperature": 0.0, "max_tokens": 5}
WRITE = {"temperature": 0.8, "top_p": 0.6, "max_tokens": 2048}
INVENT = {"temperature": 1.0, "top_p": 0.8, "max_tokens": 2048}
REWRITE = {"temperature": 0.4, "top_p": 0.3, "max_tokens": 1024}

REFRAME = Stage("reframe", "reframe", ("seed",), {"temperature": 0.7, "top_p": 0.8, "max_tokens": 1024}, read_questions)
FIRST_FILTER = Stage("first filter", "first_filter", ("question",), FILTER, read_yes)
CONSTRAINTS = Stage("constraints", "constraints", ("question",), INVENT, read_constraints)
RECOMBINE = Stage("levels", "levels", ("question", "constraints"), REWRITE, read_levels)
FORMAT_NUMBER = Stage("format and number", "format_number", ("question", "constraints"), REWRITE, read_format_number)
SECOND_FILTER = Stage("second filter", "second_filter", ("question",), FILTER, read_yes)
SECOND_FILTER_FORMAT = Stage("second filter, format and number", "second_filter", ("question",), FILTER, read_yes)
ANSWER = Stage("answers", "answer", ("question",), WRITE, read_answer, whole=True)
INTERNAL = Stage("internal feedback", "internal", ("question", "constraints"), WRITE, read_answer, whole=True)
WEAK = Stage("weak drafts", "answer", ("question",), WRITE, read_draft)
CRITIQUE = Stage(
    "critiques", "critique", ("question", "reference", "draft"), WRITE | {"max_tokens": 1024}, read_critique, whole=True
)
STAGES = (
    *(REFRAME, FIRST_FILTER, CONSTRAINTS, RECOMBINE, FORMAT_NUMBER, SECOND_FILTER, SECOND_FILTER_FORMAT),
    *(ANSWER, INTERNAL, WEAK, CRITIQUE),
)
