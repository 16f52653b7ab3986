"""MulDimIF's 12 constraint categories, checked by rule as the benchmark checks them.

A constraint is text. Each module of this package reads the text into a small rule (`parse`) and compares a response
with that rule (`check`). The benchmark's own parser understands only some wordings. For the others its verdict hardly
depends on the response. Verdicts here are the benchmark's, its slips included ("official" marks
them in the comments); `parsed` says whether a rule stands behind a verdict, and so which ones to leave undecided.
Wordings that no item of the benchmark uses are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.verify.muldimif import (
    identifiers,
    keywords,
    languages,
    lengths,
    markdown,
    punctuation,
    structured,
    tables,
    words,
)
from rtt_lib.verify.registry import Place, Scope, rule
from rtt_lib.verify.verdict import Verdict

__all__ = ["CATEGORIES", "category", "check", "parsed", "place", "verifier_id"]


@dataclass(frozen=True)
class Room:
    """How a constraint's text becomes a rule (which has `understood`), and how the rule is checked."""

    parse: Callable[[str], Any]
    check: Callable[[Any, str], Verdict]


ROOMS = {
    "Content_Identifiers": Room(identifiers.parse, identifiers.check),
    "Content_Keywords": Room(keywords.parse, keywords.check),
    "Content_Punctuation": Room(punctuation.parse, punctuation.check),
    "Format_Json": Room(structured.parse_nesting, structured.check_nesting),
    "Format_Markdown": Room(markdown.parse, markdown.check),
    "Format_Table": Room(tables.parse, tables.check),
    "Format_XML": Room(structured.parse_attributes, structured.check_attributes),
    "Language_Chinese": Room(languages.parse_chinese, languages.check_chinese),
    "Language_English": Room(languages.parse_english, languages.check_english),
    "Length_Paragraphs": Room(lengths.parse_paragraphs, lengths.check),
    "Length_Sentences": Room(lengths.parse_sentences, lengths.check),
    "Length_Words": Room(words.parse, words.check),
}
CATEGORIES = tuple(ROOMS)
# Names that the benchmark's items use beside the category's own; "Type_Subtype: detail" is "Type_Subtype".
ALIASES = {
    "Format_Blurb": "Length_Words",
    "Format_Text": "Content_Identifiers",
    "Json_Number of attributes": "Format_Json",
    "Json_Object nesting levels": "Format_Json",
    "Markdown_Block quotes": "Format_Markdown",
    "Markdown_Heading levels": "Format_Markdown",
    "Paragraphs_At most": "Length_Paragraphs",
    "Punctuation_Ending punctuation": "Content_Punctuation",
    "Sentences_At least": "Length_Sentences",
    "Sentences_At most": "Length_Sentences",
    "Table_Column limit": "Format_Table",
    "Table_Row limit": "Format_Table",
    "Table_Table": "Format_Table",
    "Words_At most": "Length_Words",
    "XML_Number of attributes": "Format_XML",
}
# Official: these two are counted under their category but checked in another way than the rest of it.
EXCEPTIONS = {
    "Format_Blurb": Room(identifiers.parse, identifiers.check),
    "Table_Table": Room(tables.parse_row_cap, tables.check_row_cap),
}
# Where some segment is the evidence, for most wordings; the others are about the whole response.
LOCAL = ("Content_Identifiers", "Content_Keywords", "Content_Punctuation", "Format_Markdown")


def category(type: str, subtype: str) -> str:
    """Which of the 12 categories a constraint [type, subtype, text] belongs to."""
    name = f"{type}_{subtype}".split(":", 1)[0]
    name = ALIASES.get(name, name)
    if name not in ROOMS:
        raise RTTError(f"MulDimIF has no constraint type {f'{type}_{subtype}'!r}: known are {', '.join(CATEGORIES)}")
    return name


def verifier_id(type: str, subtype: str) -> str:
    """The registered rule that checks such a constraint."""
    return f"muldimif:{category(type, subtype)}"


def parsed(args: Mapping[str, Any]) -> bool:
    """Whether a rule stands behind the verdict: False where the benchmark's parser gets none from the text."""
    return _read(*_constraint(args))[1].understood


def check(args: Mapping[str, Any], prompt: str, response: str) -> Verdict:
    """The benchmark's verdict on a constraint given as args `type`, `subtype` and `text`."""
    room, constraint_rule = _read(*_constraint(args))
    verdict = room.check(constraint_rule, response)
    if constraint_rule.understood:
        return verdict
    return Verdict(verdict.value, "the official parser gets no rule from this wording: its verdict is nearly constant")


def place(args: Mapping[str, Any]) -> Place:
    """Scope and polarity (App. C.3) of a constraint: its wording decides, not its category alone."""
    kind, subtype, text = _constraint(args)
    return _read(kind, subtype, text)[1].place if category(kind, subtype) in LOCAL else ("global", "positive")


def _constraint(args: Mapping[str, Any]) -> tuple[str, str, str]:
    for name in ("type", "subtype", "text"):
        if not isinstance(args.get(name), str):
            raise RTTError(f"a MulDimIF constraint needs the argument '{name}' (text), found {args.get(name)!r}")
    return args["type"], args["subtype"], args["text"]


@functools.lru_cache(maxsize=8192)
def _read(type: str, subtype: str, text: str) -> tuple[Room, Any]:
    """A constraint's room and its rule; the same constraint meets many responses."""
    room = EXCEPTIONS.get(f"{type}_{subtype}") or ROOMS[category(type, subtype)]
    return room, room.parse(text)


def _register(name: str) -> None:
    scope: Scope = "local" if name in LOCAL else "global"
    rule(f"muldimif:{name}", scope, place=place)(check)


for _name in CATEGORIES:
    _register(_name)
