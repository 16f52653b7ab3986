"""Content_Identifiers (what the response starts with or contains) and the "short blurb"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rtt_lib.verify.registry import Place
from rtt_lib.verify.text import match_spans
from rtt_lib.verify.verdict import Verdict

Kind = Literal["contains", "starts", "name with letter", "no bullets", "blurb"]
# Official: upper and lower case matter in some of them; of several quotations the last is meant.
WORDINGS: tuple[tuple[Kind, str], ...] = (
    ("contains", "^Start identifier(?: must be|:).*Each example must start with .*'([^']+)'"),
    ("starts", "^Start identifier(?: must be|:).*\\s'([^']+)'"),
    ("starts", "(?i:start|begin) (?i:with|by) (?i:the) (?i:identifier|phrase) '?([^']+)'?"),
    ("name with letter", "^The name of the showroom must start with the letter '([A-Za-z])'\\."),
    ("no bullets", "(?i:no bullet points)"),
    ("blurb", "(?i:short blurb)"),
)
BLURB_LENGTH = 200


@dataclass(frozen=True)
class IdentifierRule:
    """What is asked for, with the words it is about.

    constant: the verdict that the official checker gives whatever the response, where it checks nothing.
    """

    kind: Kind | None
    words: str = ""
    constant: bool = False

    @property
    def understood(self) -> bool:
        return self.kind is not None

    @property
    def place(self) -> Place:
        """A length and "in full sentences" are about the whole response; bullet points must be absent."""
        if self.kind == "blurb" or self.constant:
            return "global", "positive"
        return "local", "negative" if self.kind == "no bullets" else "positive"


def parse(text: str) -> IdentifierRule:
    for kind, pattern in WORDINGS:
        if match := re.search(pattern, text):
            return IdentifierRule(kind, match[1] if match.groups() else "")
    return IdentifierRule(None, constant="be in full sentences" in text)  # "in full sentences" always passes


def check(rule: IdentifierRule, response: str) -> Verdict:
    if rule.kind is None:
        return Verdict(rule.constant)
    if rule.kind == "blurb":
        return Verdict(len(response) <= BLURB_LENGTH, f"{len(response)} characters, asked for: at most {BLURB_LENGTH}")
    if rule.kind == "starts":
        return _starts(rule.words, response)
    if rule.kind == "no bullets":
        bullets = match_spans(r"^[^\S\n]*([-*].*)$", response, re.MULTILINE, group=1)
        return Verdict(not bullets, f"{len(bullets)} bullet points" if bullets else "", bullets)
    if rule.kind == "contains":  # official: once is enough
        match = re.search(re.escape(rule.words), response)
    else:  # official: any word that starts with the letter in upper case and goes on in ASCII letters
        match = re.search(rf"\b{rule.words.upper()}[a-zA-Z]*\b", response)
    return Verdict(match is not None, "" if match else "not found", (match.span(),) if match else ())


def _starts(words: str, response: str) -> Verdict:
    text = response.lstrip(" #")
    value = text.lower().startswith(words.lower())
    start = len(response) - len(text)
    return Verdict(
        value, "" if value else f"does not start with '{words}'", ((start, start + len(words)),) if value else ()
    )
