"""Language_English (upper, lower or capitalised) and Language_Chinese (simplified or traditional)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rtt_lib.verify.verdict import Verdict

Case = Literal["upper", "capitalised", "lower"]
Part = Literal["table", "entries", "keys", "headings"]


@dataclass(frozen=True)
class EnglishRule:
    """The case of all letters, or of the first letter of each word, in the response or a part of it."""

    case: Case | None
    part: Part | None

    @property
    def understood(self) -> bool:
        return self.case is not None


def parse_english(text: str) -> EnglishRule:
    lower = text.strip().lower()
    return EnglishRule(_case(lower), _part(lower))


def _case(lower: str) -> Case | None:
    """ "entirely in uppercase" is not understood, and fails; "capitalized form" means upper case."""
    if re.search(r"\ball[- ]?uppercase\b", lower) or "in capitalized form" in lower:
        return "upper"
    if re.search(r"\bcapitalized\b|each word in", lower) or ("capital" in lower and "each" in lower):
        return "capitalised"
    return "lower" if re.search(r"\blowercase\b", lower) else None


def _part(lower: str) -> Part | None:
    if "table" in lower:
        return "entries" if "entries" in lower else "table"
    if "json" in lower:
        return "keys" if "keys" in lower else None
    return "headings" if "heading" in lower else None


def extract(part: Part | None, response: str) -> str:
    """The text of that part; where there is no such part, the whole response."""
    if part == "headings":
        return " ".join(re.findall(r"^#+\s*(.+)$", response, re.MULTILINE)) or response
    if part == "keys" and "{" in response and "}" in response:
        return " ".join(re.findall(r'"([^"]+)"\s*:', response)) or response
    if part in (None, "keys") or "|" not in response:
        return response
    rows = [row for row in response.split("\n") if row.strip()]  # official: text around the table too
    if part == "entries":
        if len(rows) == 1:
            return response
        rows = rows[1:]
    return " ".join(cell.strip() for row in rows for cell in row.split("|") if cell.strip())


def check_english(rule: EnglishRule, response: str) -> Verdict:
    if rule.case is None or not response.strip():
        return Verdict(False, "empty response" if rule.case else "")
    words = extract(rule.part, response).split()
    if all(_right(rule.case, word) for word in words):
        return Verdict(True)
    found = re.finditer(r"\S+", response) if rule.part is None else ()
    return Verdict(False, f"not {rule.case}", tuple(m.span() for m in found if not _right(rule.case, m[0])))


def _right(case: Case, word: str) -> bool:
    if case == "capitalised":  # official: only a letter a to z at the start of a word is wrong
        return not "a" <= word[0] <= "z"
    return word == (word.upper() if case == "upper" else word.lower())


Script = Literal["some simplified", "all simplified", "some traditional", "all traditional"]
# In order of precedence.
SCRIPTS: tuple[tuple[str, Script], ...] = (
    ("must (?:use|convert into|be converted into) traditional chinese characters", "all traditional"),
    ("(?:include|use) .*?traditional chinese characters|使用繁體中文", "some traditional"),
    (
        "(?:must (?:be|use|write|be presented)|essential|is|should be) ?"
        "(?:in|provided in|written in|to use|conducted in)? ?simplified chinese",
        "some simplified",
    ),
    ("(?:必须|请|需要) ?(?:用|使用|提供|书写|翻译为|将文本翻译为) ?简体中文|用中文简体描述", "some simplified"),
    ("must translate the text into simplified chinese", "all simplified"),
    ("simplified", "some simplified"),
)


@dataclass(frozen=True)
class ChineseRule:
    """The script; or the `phrase` that must be there. Neither: not understood."""

    script: Script | None
    phrase: str | None = None

    @property
    def understood(self) -> bool:
        return bool(self.script or self.phrase)


def parse_chinese(text: str) -> ChineseRule:
    phrase = re.search('must include the phrase "{1,2}(.+?)"', text, re.IGNORECASE)
    if phrase:
        return ChineseRule(None, phrase[1])
    return ChineseRule(next((s for pattern, s in SCRIPTS if re.search(pattern, text, re.IGNORECASE)), None))


def check_chinese(rule: ChineseRule, response: str) -> Verdict:
    if rule.phrase is not None:
        start = response.find(rule.phrase)
        return Verdict(start >= 0, "", ((start, start + len(rule.phrase)),) if start >= 0 else ())
    if rule.script is None:
        return Verdict(False)
    amount, script = rule.script.split()
    if amount == "some":  # a character that the other script writes differently
        other = "zh-tw" if script == "simplified" else "zh-cn"
        return Verdict(_changes(set(response), other), f"asked for: some {script} characters")
    if re.search("[A-Za-z]", response):
        return Verdict(False, "Latin letters")
    own = "zh-cn" if script == "simplified" else "zh-tw"
    return Verdict(not _changes(response.split("\n"), own), f"asked for: all characters {script}")


def _changes(texts, locale: str) -> bool:
    """Whether conversion to that locale changes any of the texts (conversion never looks beyond a line)."""
    from zhconv import convert

    return any(convert(text, locale) != text for text in texts)
