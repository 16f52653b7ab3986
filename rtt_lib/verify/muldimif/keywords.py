"""Content_Keywords: words that the response, or each of its parts, must include."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field, replace

from rtt_lib.verify.muldimif import layout
from rtt_lib.verify.muldimif.wording import ONE_TO_TEN, Bounds, Numbers
from rtt_lib.verify.registry import Place
from rtt_lib.verify.verdict import Span, Verdict

TIMES = Numbers(ONE_TO_TEN | {"once": 1, "twice": 2})
# Official: an apostrophe opens or closes a quotation as well, so that 'children's rights' asks for "children".
QUOTED = re.compile("[\"'「“]([^\"']+)[\"'」”]")
AT_LEAST_TIMES = re.compile(rf"at least {TIMES.pattern}(?: times?)?\b(?!\s+words\s+long)", re.IGNORECASE)
FEWEST_WORDS = re.compile(r"(?:at\s+least|minimum\s+of)\s+(\S+)\s+word", re.IGNORECASE)
MOST_WORDS = re.compile(r"(?:not\s+exceed|at\s+most|no\s+more\s+than|maximum\s+of)\s+(\S+)\s+word", re.IGNORECASE)
EACH = re.compile(r"\b(?:each|every)\s+(.+?)\s+(?:must|should|needs to|has to)\s+(.*)", re.IGNORECASE)
WANTED_AND_UNWANTED = re.compile(
    "includes? the keyword [\"']([^\"']+)[\"'].*avoids? the keyword [\"']([^\"']+)[\"']", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class KeywordRule:
    """All `keywords` (or any one) at least `least` times, and what else such a constraint asks in passing.

    unwanted: with it, keyword and unwanted are sought as they are written, inside of words too.
    each:     what every part of the response is called; None: the response as a whole.
    """

    keywords: tuple[str, ...] = ()
    least: int = 1
    any_of: bool = False
    capitalised: bool = False
    words: Bounds = field(default_factory=Bounds)
    unwanted: str | None = None
    each: str | None = None
    understood: bool = True

    @property
    def place(self) -> Place:
        """How often and how many words are counts, and capitals in each word a style of the whole response.

        A keyword to use beside one to avoid is two things; the first decides.
        """
        whole = self.least > 1 or self.words.given or self.capitalised
        return "global" if whole else "local", "positive"


def parse(text: str) -> KeywordRule:
    if re.search(r"\b(?:each|every)\b", text, re.IGNORECASE) and "for each word" not in text:
        match = EACH.search(text)
        # Official: "in each section" names no part and fails whatever the response.
        return replace(_parse(match[2]), each=match[1].lower()) if match else KeywordRule(each="", understood=False)
    pair = WANTED_AND_UNWANTED.search(text)
    if pair:
        return KeywordRule((pair[1],), unwanted=pair[2])
    return _parse(text)


def _parse(text: str) -> KeywordRule:
    text = _unquote(text.strip())
    least = AT_LEAST_TIMES.search(text)
    fewest, most = FEWEST_WORDS.search(text), MOST_WORDS.search(text)
    words = Bounds(fewest and TIMES.read_compound(fewest[1]), most and TIMES.read_compound(most[1]))
    keywords = tuple(match[1] for match in QUOTED.finditer(text))
    capitalised = bool(re.search(r"must\s+use\s+capitalized\s+letters\s+for\s+each\s+word", text, re.IGNORECASE))
    if re.search("must appear multiple times", text, re.IGNORECASE):
        count = 2
    else:
        count = (least and TIMES.read(least[1])) or 1
    return KeywordRule(
        keywords,
        least=count,
        any_of=bool(re.search(r"\bor\b", text, re.IGNORECASE)),  # also where it stands inside a keyword
        capitalised=capitalised,
        words=words,
        understood=bool(keywords) or capitalised or words.given,
    )


def _unquote(text: str) -> str:
    inner = text.strip('"')
    quoted = text.startswith('"') and text.endswith('"') and inner and "\n" not in text
    return inner if quoted else text


@functools.lru_cache(maxsize=4096)
def keyword_pattern(keyword: str) -> re.Pattern[str]:
    """Whole words in any case; a keyword with Chinese characters anywhere."""
    if any("\u4e00" <= letter <= "\u9fff" for letter in keyword):
        return re.compile(re.escape(keyword))
    return re.compile(rf"(?<!\w){re.escape(keyword)}(?!\w)", re.IGNORECASE)


def check(rule: KeywordRule, response: str) -> Verdict:
    if rule.unwanted is not None:
        return _check_pair(rule, response)
    spans = tuple(m.span() for keyword in rule.keywords for m in keyword_pattern(keyword).finditer(response))
    if rule.each is None:
        problem = _problem(rule, response)
        return Verdict(problem is None, problem or "", _evidence(problem, spans))
    if not rule.understood and not rule.each:
        return Verdict(False)
    try:
        parts = _parts(response, rule.each)
    except (ValueError, RecursionError) as error:  # the official script stops here
        return Verdict(None, f"JSON that cannot be read: {error}")
    if not parts:
        return Verdict(False, f"no '{rule.each}' to check was found")
    problem = next((problem for part in parts if (problem := _problem(rule, part))), None)
    return Verdict(problem is None, problem or "", _evidence(problem, spans))


def _evidence(problem: str | None, spans: tuple[Span, ...]) -> tuple[Span, ...]:
    return () if problem else tuple(sorted(set(spans)))


def _check_pair(rule: KeywordRule, response: str) -> Verdict:
    wanted, unwanted = rule.keywords[0], rule.unwanted or ""
    if wanted not in response:
        return Verdict(False, f"'{wanted}' is missing")
    if unwanted in response:
        spans = tuple(match.span() for match in re.finditer(re.escape(unwanted), response))
        return Verdict(False, f"'{unwanted}' is there", spans)
    return Verdict(True, "", tuple(match.span() for match in re.finditer(re.escape(wanted), response)))


def _problem(rule: KeywordRule, text: str) -> str | None:
    """What is wrong with one text; None: nothing."""
    words = text.split()
    if rule.capitalised and not all(word[0].isupper() for word in words):
        return "not every word starts with a capital letter"
    if not rule.words.hold(len(words)):
        return f"{len(words)} words, asked for: {rule.words}"
    missing = [keyword for keyword in rule.keywords if not _often_enough(keyword, rule.least, text)]
    if rule.any_of and len(missing) == len(rule.keywords):  # official: also where there is no keyword at all
        return f"none of {list(rule.keywords)} is there {rule.least} times"
    if missing and not rule.any_of:
        return f"'{missing[0]}' is not there {rule.least} times"
    return None


def _often_enough(keyword: str, least: int, text: str) -> bool:
    return sum(1 for _ in keyword_pattern(keyword).finditer(text)) >= least


def _parts(response: str, name: str) -> list[str]:
    """The parts of the response that are each to be checked."""
    kind = layout.layout(response)
    if kind == "table":
        return _table_column(response, name)
    if kind == "json":
        return _json_values(response)
    if kind == "numbered":
        return [line.split(".", 1)[1].strip() for line in layout.numbered_lines(response)]
    return layout.bullet_items(response) if kind == "bullets" else _sections(response)


def _json_values(response: str) -> list[str]:
    try:
        data = json.loads(response)
    except json.JSONDecodeError:
        return []
    return [str(value) for value in (data.values() if isinstance(data, dict) else data)]


def _sections(response: str) -> list[str]:
    """Stretches between rules (---, ***, ===)."""
    sections: list[list[str]] = [[]]
    for line in response.split("\n"):
        bare = line.strip()
        if len(bare) >= 3 and bare[0] in "-*=" and bare == bare[0] * len(bare):
            sections.append([])
        else:
            sections[-1].append(line)
    return ["\n".join(lines).strip() for lines in sections if lines] or [response]


def _table_column(response: str, name: str) -> list[str]:
    """The column whose header shares most words with `name`; if none does, the wordiest one."""
    lines = [line.strip() for line in response.split("\n")]
    rows = [layout.cells(line) for line in lines if line.startswith("|") and line.endswith("|")]
    headers = rows[0] if len(rows) >= 3 else []  # header, separator, at least one row
    table = [dict(zip(headers, row, strict=True)) for row in rows[2:] if len(row) == len(headers)]
    if not headers or not table:
        return []
    asked = {word for word in map(_plain, name.split()) if word}
    columns = {header: [re.sub(r"^#+\s*", "", row[header]).strip() for row in table] for header in headers}
    shared = {header: sum(_plain(word) in asked for word in header.split()) for header in headers}
    best = max(columns, key=lambda header: shared[header])
    if not shared[best]:
        best = max(columns, key=lambda header: sum(len(cell.split()) for cell in columns[header]))
    return columns[best]


def _plain(word: str) -> str:
    return re.sub(r"\W", "", word).lower()
