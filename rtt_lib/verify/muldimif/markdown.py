"""Format_Markdown: headings and their levels, block quotes, bold, bullet points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rtt_lib.verify.muldimif.wording import ONE_TO_TEN, Bounds, Numbers
from rtt_lib.verify.registry import Place
from rtt_lib.verify.verdict import Span, Verdict

NUMBERS = Numbers(ONE_TO_TEN)
N = rf"\b{NUMBERS.pattern}\b"
TWO_LEVELS = (rf"use heading levels {N} and {N}", rf"use heading levels.*?level\s*{N}.*?level\s*{N}")
LISTED_LEVELS = (f"a heading level {N}", "h([0-9]{1,9})", f"level {N} for")
TITLED = rf"level {N} heading titled [\"'](.*?)[\"']"
VERBS = "includ|use|using|formatted|presented|organized|structured|feature|should be|incorporate"
ONE_LEVEL = (
    rf"(?:a|at least \d+) heading level {N}",
    rf"(?:a|at least one|{'|'.join(list(ONE_TO_TEN)[1:])}|\d) level {N} heading",
)
HOW_MANY = tuple(
    rf"(at least|at most|exactly|up to|a maximum of|under) {N} {noun}" for noun in ("heading level", "level")
)
DEEPEST = rf" must (?:not exceed|be limited to)\s+(?:level\s+)?{N}"
FIRST = f"must begin with a level {N} heading"
SOME_HEADING = (
    "include headings|includes headings|use heading levels|using heading levels|presented under a separate heading"
    "|separated with headings|with headings"
)
SOME_QUOTE = (
    "use block quotes|using (?:markdown )?block quotes|include a block quote|employ block quotes"
    "|present the headline as a block quote"
)


@dataclass(frozen=True)
class Heading:
    level: int
    title: str
    span: Span


@dataclass(frozen=True)
class HeadingRule:
    """What the headings must be like; the fields that are set are what is asked for.

    levels: these levels occur. count: so many different levels. deepest: none below that level.
    first: the level of the first one. title: one of `levels` with this title.
    """

    levels: frozenset[int] = frozenset()
    count: Bounds | None = None
    deepest: int | None = None
    first: int | None = None
    title: str | None = None

    def hold(self, headings: Sequence[Heading]) -> bool:
        levels = {heading.level for heading in headings}
        if self.count is not None:
            return self.count.hold(len(levels))
        if not headings:
            return False
        if self.title is not None:
            return any(heading.level in self.levels and heading.title == self.title for heading in headings)
        if self.deepest is not None:
            return max(levels) <= self.deepest
        return self.levels <= levels and self.first in (None, headings[0].level)


@dataclass(frozen=True)
class MarkdownRule:
    """`headings` of the response, or of `each` heading by itself; quotes: some lines or all of them."""

    headings: HeadingRule | None
    each: bool = False
    quotes: str | None = None
    bold: bool = False
    bullets: bool = False

    @property
    def understood(self) -> bool:
        return bool(self.headings or self.quotes or self.bold or self.bullets)

    @property
    def place(self) -> Place:
        """So many levels are a count, quotes all over a format of the whole; too deep a heading must be absent."""
        if self.quotes == "all" or (self.headings and self.headings.count is not None):
            return "global", "positive"
        return "local", "negative" if self.headings and self.headings.deepest is not None else "positive"


def parse(text: str) -> MarkdownRule:
    lower = text.lower()
    quotes = None
    if "block quotes" in lower:
        quotes = "some" if re.search(SOME_QUOTE, lower) else "all"
    return MarkdownRule(
        _parse_headings(text),
        each="each" in lower or "any" in lower,  # official: inside of words too ("company")
        quotes=quotes,
        bold="bold" in lower,
        bullets="bullet points" in lower,
    )


def _parse_headings(text: str) -> HeadingRule | None:
    """The first wording that is understood decides, in this order."""
    lower = text.lower()
    if "include headings at two levels" in lower or "be structured using a minimum of two heading levels" in lower:
        return HeadingRule(count=Bounds(least=2))
    if match := _first_match(TWO_LEVELS, lower):
        return HeadingRule(levels=_levels(match.groups()))
    listed = next((found for pattern in LISTED_LEVELS if (found := re.findall(pattern, lower))), None)
    if listed and ("must include" in text or "should" in text):
        return HeadingRule(levels=_levels(listed))
    if "titled" in text and (match := re.search(TITLED, text, re.IGNORECASE)):
        return HeadingRule(levels=_levels(match.groups()[:1]), title=match[2])
    if re.search(VERBS, lower):
        if match := _first_match(ONE_LEVEL, lower):
            return HeadingRule(levels=_levels(match.groups()))
        if match := _first_match(HOW_MANY, lower):
            return HeadingRule(count=_count(match[1], NUMBERS.read(match[2])))
    if match := re.search(DEEPEST, lower):
        return HeadingRule(deepest=NUMBERS.read(match[1]))
    if match := re.search(FIRST, lower):
        return HeadingRule(first=NUMBERS.read(match[1]))
    if match := re.search(f"use heading level {N}", lower):
        return HeadingRule(levels=_levels(match.groups()))
    return HeadingRule() if re.search(SOME_HEADING, lower) else None


def _first_match(patterns: Sequence[str], text: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := re.search(pattern, text))), None)


def _levels(numbers: Sequence[str]) -> frozenset[int]:
    return frozenset(NUMBERS.read(number) or 0 for number in numbers)


def _count(relation: str, number: int | None) -> Bounds:
    if relation == "exactly":
        return Bounds(number, number)
    return Bounds(least=number) if relation == "at least" else Bounds(most=number)


def headings(response: str) -> list[Heading]:
    """Lines that start with number signs and a blank; indented ones, and those in code blocks, count as well."""
    found, start = [], 0
    for line in response.split("\n"):
        bare = line.strip()
        title = bare.lstrip("#")
        level = len(bare) - len(title)
        if level and title[:1].isspace():
            begin = start + len(line) - len(line.lstrip())
            found.append(Heading(level, title.strip(), (begin, begin + len(bare))))
        start += len(line) + 1
    return found


def check(rule: MarkdownRule, response: str) -> Verdict:
    lines = response.split("\n")
    if rule.quotes and not _quotes_hold(rule.quotes, lines):
        return Verdict(False, f"{rule.quotes} lines should be block quotes")
    if rule.bold and not re.search(r"\*\*.*?\*\*|__.*?__", response):
        return Verdict(False, "nothing is bold")
    if rule.bullets and not any(re.match(r"\s*[-*+]\s", line) for line in lines):
        return Verdict(False, "no bullet points")
    found = headings(response)
    if rule.each:
        asked = rule.headings or HeadingRule()
        bad = [heading for heading in found if not asked.hold([heading])]
        value = bool(found) and not bad
        return Verdict(value, "" if value else "no headings, or not each as asked", _spans(found if value else bad))
    value = rule.headings is None or rule.headings.hold(found)
    levels = sorted({heading.level for heading in found})
    evidence = _relevant(rule.headings, found) if value else _too_deep(rule.headings, found)
    return Verdict(value, f"heading levels: {levels}", _spans(evidence))


def _quotes_hold(quotes: str, lines: Sequence[str]) -> bool:
    quoted = sum(line.lstrip().startswith(">") for line in lines)
    return quoted == len(lines) if quotes == "all" else quoted > 0  # official: an empty line is no quote


def _relevant(rule: HeadingRule | None, found: Sequence[Heading]) -> list[Heading]:
    """The headings that satisfy the rule: of the levels asked for, the first one, or all."""
    if rule is None:
        return []
    if rule.first is not None:
        return list(found[:1])
    return [
        heading
        for heading in found
        if (not rule.levels or heading.level in rule.levels) and rule.title in (None, heading.title)
    ]


def _too_deep(rule: HeadingRule | None, found: Sequence[Heading]) -> list[Heading]:
    """The headings that must not be there; the rest of the rules ask for some that must."""
    return [h for h in found if rule and rule.deepest is not None and h.level > rule.deepest]


def _spans(found: Sequence[Heading]) -> tuple[Span, ...]:
    return tuple(heading.span for heading in found)
