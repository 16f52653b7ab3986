"""FollowBench (arXiv 2310.20410) where rules decide: one verdict on a level as a whole, as in its released code.

Oddities of the released rules are kept, so that scores compare; these matter:

- A text is cut into sentences at every . ! and ?, also within 3.5, and what follows the last mark counts as one more
  sentence if it is anything at all, be it a line's end.
- `format-22` wants four paragraphs at level 5, each sentence of more than 20 words: the closing words that the
  instruction asks for, "Those are suggestions", are too short a sentence, so hardly any response can hold.
- `format-30` checks "keyword: detail" at level 2, where the instruction does not ask for it before level 5, and every
  constraint after it a level late; the one on the suffix looks for words that end in "-ly" with the hyphen.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.verify.batch import Item, Verifier
from rtt_lib.verify.verdict import Verdict

FAMILY = "followbench"
LEVELS = 5
Holds = Callable[[str], bool]
Rule = Callable[[str, str, int], bool]  # response, target, level


# --- pieces ---


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"[.!?]", text) if part]


def has_sentences(n: int) -> Holds:
    return lambda text: len(sentences(text)) == n


def every_sentence(holds: Callable[[int], bool]) -> Holds:
    """`holds` for the number of words of each."""
    return lambda text: all(holds(len(sentence.split())) for sentence in sentences(text))


def in_sentence(number: int, holds: Holds) -> Holds:
    return lambda text: len(sentences(text)) >= number and holds(sentences(text)[number - 1])


def words(holds: Callable[[int], bool]) -> Holds:
    """`holds` for the number of words, which are what single spaces separate."""
    return lambda text: holds(len(text.split(" ")))


def has_word(word: str) -> Holds:
    return lambda text: re.search(rf"\b{re.escape(word)}\b", text) is not None


def lacks(holds: Holds) -> Holds:
    return lambda text: not holds(text)


def matches(pattern: str, flags: int = 0) -> Holds:
    return lambda text: re.search(pattern, text, flags) is not None


def marks(holds: Callable[[int], bool]) -> Holds:
    """`holds` for the number of punctuation marks."""
    return lambda text: holds(sum(char in string.punctuation for char in text))


def cumulative(*checks: Holds) -> Rule:
    """Level n: the first n checks."""
    return lambda response, target, level: all(holds(response) for holds in checks[:level])


def last_match(pattern: str) -> Rule:
    """The last place that looks like an answer is the target."""
    return lambda response, target, level: ([None, *re.findall(pattern, response)])[-1] == target


# --- the rules ---


def _same(response: str, target: str, level: int) -> bool:
    return response == target


def _known_lines(response: str, target: str, level: int) -> bool:
    """Every line is one of the target's."""
    return set(response.split("\n")) <= set(target.split("\n"))


def _one_of(response: str, target: str, level: int) -> bool:
    """One of the target's list, which is written as Python."""
    try:
        options = ast.literal_eval(target)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise RTTError(f"the target is not a list: {target[:80]!r}") from error
    if not isinstance(options, list):
        raise RTTError(f"the target is not a list: {target[:80]!r}")
    return response in options


def _named(response: str, target: str, level: int) -> bool:
    return target in response


def _in_the_form(response: str, target: str, level: int) -> bool:
    """The examples' form around any answer, on one line."""
    form = target.replace("{instruction}\n", "").replace("{{", "{").replace("}}", "}").replace("{answer}", ".*")
    return re.fullmatch(re.escape(form).replace(r"\.\*", ".*"), response) is not None


def _paragraphs_22(response: str, target: str, level: int) -> bool:
    paragraphs = response.split("\n\n")
    checks = (
        len(paragraphs) == (4 if level == LEVELS else 3),
        all(len(sentences(paragraph)) < 3 for paragraph in paragraphs[:3]),
        every_sentence(lambda n: n > 20)(response),
        all(re.match(r"\d+\.", paragraph.lstrip()) for paragraph in paragraphs if paragraph.strip()),
        response.endswith("Those are suggestions"),
    )
    return all(checks[:level])


def _points_30(response: str, target: str, level: int) -> bool:
    parts = re.split(r"(?<!\w\.\w.)(?<![A-Z][a-z]\.)(?<=[.?])\s", response)
    points = [part for part in parts if re.search(r"[1-5]\.", part)]
    checks = (
        "**" in response,
        len(re.findall(r"\*\*\d.+?:", response)) == 5,
        all(len(point.split(".")) < 3 for point in points),
        all(10 <= len(part.split()) <= 15 for part in parts),
        not any(word.endswith("-ly") for word in response.split()),
    )
    return all(checks[:level])


RULES: dict[str, Rule] = {
    "E2E": _same,
    "text_editing": _same,
    "WIKIEVENTS": _known_lines,
    "CONLL2003": _one_of,
    "BBH_logical": last_match(r"\([A-Z]\)"),
    "BBH_time": last_match(r"\d{2}/\d{2}/\d{4}"),
    "gsm_8k": last_match(r"\$\d+"),
    "self_made_space": _named,
    "cnn_dailymail": cumulative(
        has_sentences(3),
        every_sentence(lambda n: n < 15),
        lambda text: all(in_sentence(n, has_word(w))(text) for n, w in ((1, "Potter"), (2, "actor"), (3, "films"))),
        lacks(in_sentence(2, has_word("lavish"))),
        in_sentence(3, matches(r"\b(?:has|have)\s+\w+")),
    ),
    "xsum": cumulative(
        has_sentences(1),
        words(lambda n: n < 20),
        lacks(has_word("Newton Stewart")),
        matches(r"\b(?:am|is|are)\s+\w+ing\b"),
        has_word("operation"),
    ),
    "samsum": cumulative(
        has_sentences(1),
        words(lambda n: n < 15),
        has_word("stuff"),
        lacks(matches("procrast", re.IGNORECASE)),
        marks(lambda n: n == 1),
    ),
    "gigaword": cumulative(
        words(lambda n: n == 8), marks(lambda n: n == 0), str.islower, lacks(has_word("bus")), has_word("in")
    ),
    "arxiv": cumulative(
        has_sentences(1),
        words(lambda n: n <= 20),
        lambda text: text.startswith("We"),
        has_word("activations"),
        lacks(has_word("transformer")),
    ),
    "format-22": _paragraphs_22,
    "format-30": _points_30,
    "example": _in_the_form,
}


def decide(verifier: str, args: Mapping[str, Any], response: str) -> Verdict:
    """`verifier` is `followbench:RULE`; args: the level's `target` and `level`."""
    name = verifier.removeprefix(f"{FAMILY}:")
    if name not in RULES:
        raise RTTError(f"unknown verifier {verifier!r}: {FAMILY} has {', '.join(RULES)}")
    return Verdict(RULES[name](response, args["target"], args["level"]))


class LevelVerifier(Verifier):
    """A verifier that decides FollowBench's levels by these rules, and all other criteria as ever."""

    def _decide(self, items: Sequence[Item]) -> list[Verdict]:
        own = {
            n: decide(criterion.verifier, criterion.args, response)
            for n, (criterion, _, response) in enumerate(items)
            if criterion.verifier.startswith(f"{FAMILY}:")
        }
        others = iter(super()._decide([item for n, item in enumerate(items) if n not in own]))
        return [own[n] if n in own else next(others) for n in range(len(items))]
