"""Content_Punctuation: the mark at the end of the response, or of each sentence, line or table cell."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Literal

from rtt_lib.verify.registry import Place
from rtt_lib.verify.text import nltk_missing, sentence_spans
from rtt_lib.verify.verdict import Span, Verdict

MARKS = {"period": ".", "question mark": "?", "exclamation mark": "!", "semicolon": ";"}
Unit = Literal["response", "sentence", "line", "cell"]


@dataclass(frozen=True)
class PunctuationRule:
    """Every `unit` ends with one of `marks` (or with none of them); no marks: the wording is not understood."""

    unit: Unit
    marks: str
    forbidden: bool

    @property
    def understood(self) -> bool:
        return bool(self.marks)

    @property
    def place(self) -> Place:
        return "local", "negative" if self.forbidden else "positive"


def parse(text: str) -> PunctuationRule:
    lower = text.strip().lower().rstrip(".")
    named = re.findall(rf"\b({'|'.join(MARKS)}|punctuation mark)s?\b", lower)
    # Official: "as the final punctuation mark" allows every punctuation mark.
    marks = string.punctuation if "punctuation mark" in named else "".join(MARKS[name] for name in named)
    forbidden = bool(re.search(r"\b(?:must not|avoid|exclude|not end with|do not use)\b", lower))
    return PunctuationRule(_unit(lower), marks, forbidden)


def _unit(lower: str) -> Unit:
    """Official: these are sought inside of words too: "all" in "Finally", "cell" in "excellent"."""
    if "table" in lower or "cell" in lower:
        return "cell"
    if "paragraph" in lower or "section" in lower:
        return "line"
    return "sentence" if any(word in lower for word in ("each", "any", "all")) else "response"


def check(rule: PunctuationRule, response: str) -> Verdict:
    if rule.unit == "sentence" and (reason := nltk_missing("punkt_tab")):
        return Verdict(None, reason)
    spans = _unit_spans(rule.unit, response)
    if rule.unit == "response" and not response.strip():
        return Verdict(rule.forbidden, "empty response")
    wrong = [span for span in spans if (response[span[1] - 1] in rule.marks) == rule.forbidden]
    ends = tuple((end - 1, end) for _, end in wrong or spans)
    reason = f"wrong end in {len(wrong)} of {len(spans)} (per {rule.unit})" if wrong else ""
    return Verdict(not wrong, reason, ends if wrong or not rule.forbidden else ())


def _unit_spans(unit: Unit, response: str) -> list[Span]:
    start = len(response) - len(response.lstrip())
    text = response.strip()
    whole = (start, start + len(text))
    if unit == "response":
        return [whole]
    if unit == "sentence":
        return [(start + begin, start + end) for begin, end in sentence_spans(text)]
    if unit == "line":
        return _pieces(response, whole, "\n")
    lines = text.split("\n")
    # Official: everything after the second line is taken for table rows; of a single line, that line.
    skipped = sum(len(line) + 1 for line in lines[:2]) if len(lines) > 1 else 0
    rows = _pieces(response, (start + skipped, whole[1]), "\n")
    found = (cell for row in rows for cell in _pieces(response, row, "|"))
    return [(begin, end) for begin, end in found if response[begin:end].strip("-")]


def _pieces(text: str, span: Span, separator: str) -> list[Span]:
    """What stands between the separators in text[span], without blanks around it; blank pieces are left out."""
    found, position = [], span[0]
    for piece in text[span[0] : span[1]].split(separator):
        bare = piece.strip()
        if bare:
            begin = position + len(piece) - len(piece.lstrip())
            found.append((begin, begin + len(bare)))
        position += len(piece) + 1
    return found
