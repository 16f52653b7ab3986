"""count:* How many words, names, numbers, marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rtt_lib.verify import text
from rtt_lib.verify.ifbench.common import (
    HEAD,
    PAPER,
    STRIPPED,
    Args,
    bare_words,
    chunks,
    counted,
    find_all,
    index,
    instruction,
    number,
    spans_of,
    without_punctuation,
    words_of,
)
from rtt_lib.verify.verdict import Span, Verdict

CONJUNCTIONS = {"and", "but", "for", "nor", "or", "so", "yet"}
_NAMES = """
Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin Harper
Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla
Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan
"""
NAMES = tuple(_NAMES.split())
WHOLE_NAME = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")
_PERSONAL = """
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
herself it its itself they them their theirs themselves
"""
_OTHER = """
this that these those who whom whose which what whoever whomever whatever whichever anybody anyone anything everybody
everyone everything nobody nothing somebody someone something each either neither both all some any none
"""
PRONOUNS_2025 = frozenset(_PERSONAL.split())
PRONOUNS_HEAD = PRONOUNS_2025 | frozenset(_OTHER.split())
KEYWORD_COUNTS = {"keyword1": 1, "keyword2": 2, "keyword3": 3, "keyword4": 5, "keyword5": 7}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")  # kana and the common kanji


@instruction("count:word_count_range", "global")
def word_count_range(args: Args, prompt: str, response: str) -> Verdict:
    least, most = number(args, "min_words"), number(args, "max_words")
    found = len(text.words(response))
    return Verdict(least <= found <= most, f"{found} words, {least:g} to {most:g} asked for")


@instruction("count:unique_word_count", "global")
def unique_word_count(args: Args, prompt: str, response: str) -> Verdict:
    # A chunk of punctuation alone is officially one more word: the empty one.
    found = len({word.strip(STRIPPED) for word in response.lower().split()})
    return counted(found, number(args, "N"), "different words")


@instruction("count:conjunctions", "global")
def conjunctions(args: Args, prompt: str, response: str) -> Verdict:
    # Officially different as written: "and", "And" and "and," are three.
    found = {word for word in response.split() if word.strip(STRIPPED).lower() in CONJUNCTIONS}
    return counted(len(found), number(args, "small_n"), "different coordinating conjunctions")


@instruction("count:person_names", "global", versions=(PAPER,))
def person_names(args: Args, prompt: str, response: str) -> Verdict:
    """In 2025 a name counts inside a longer word as well (Leo in Leonard)."""
    return _enough_names(args, response, [span for name in NAMES for span in find_all(name, response)])


@instruction("count:person_names", "global", versions=(HEAD,))
def person_names_whole(args: Args, prompt: str, response: str) -> Verdict:
    return _enough_names(args, response, text.match_spans(WHOLE_NAME, response))


def _enough_names(args: Args, response: str, spans: Sequence[Span]) -> Verdict:
    found = {response[start:end] for start, end in spans}
    return counted(len(found), number(args, "N"), "names of the list", tuple(sorted(spans)))


@instruction("count:numbers", "global")
def numbers(args: Args, prompt: str, response: str) -> Verdict:
    # Without punctuation, so that 3.14 and 100,000 are one number each.
    found, wanted = len(re.findall(r"\d+", without_punctuation(response))), number(args, "N")
    return Verdict(found == wanted, f"{found} numbers, exactly {wanted:g} asked for")


@instruction("count:punctuation", "local")
def punctuation(args: Args, prompt: str, response: str) -> Verdict:
    """All of . , ! ? ; : and an interrobang, which does not count as a ! and a ? of its own."""
    interrobang = next((mark for mark in ("?!", "!?", "‽") if mark in response), None)
    if interrobang is None:
        return Verdict(False, "no interrobang (?!, !? or ‽)")
    at = response.find(interrobang)
    # Replaced rather than blanked: the official code joins what stands left and right of it.
    rest = response if interrobang == "‽" else response.replace(interrobang, "", 1)
    missing = [mark for mark in ".,!?;:" if mark not in rest]
    if missing:
        return Verdict(False, f"missing: {' '.join(missing)}")
    spans = ((at, at + len(interrobang)), *text.match_spans(r"[.,!?;:]", response))
    return Verdict(True, "every mark is used", tuple(sorted(set(spans))))


@instruction("count:pronouns", "global", versions=(PAPER,))
def pronouns(args: Args, prompt: str, response: str) -> Verdict:
    words = [word.text for word in bare_words(response.replace("/", " ").lower())]
    return counted(sum(word in PRONOUNS_2025 for word in words), number(args, "N"), "pronouns")


@instruction("count:pronouns", "global", versions=(HEAD,))
@text.needs_nltk("punkt_tab")
def pronouns_of_all_kinds(args: Args, prompt: str, response: str) -> Verdict:
    words = text.tokens(response.replace("/", " ").lower())
    return counted(sum(word in PRONOUNS_HEAD for word in words), number(args, "N"), "pronouns")


@instruction("count:words_japanese", "global")
def words_japanese(args: Args, prompt: str, response: str) -> Verdict:
    every = index(args, "N", least=1)
    nth = [(chunk.text.strip(STRIPPED), chunk) for chunk in chunks(response)[every - 1 :: every]]
    foreign = [chunk for word, chunk in nth if word and not word.isdigit() and not JAPANESE.search(word)]
    if foreign:
        return Verdict(False, f"{foreign[0].text[:40]!r} is at a multiple of {every}, not Japanese", spans_of(foreign))
    return Verdict(True, f"every word at a multiple of {every} is Japanese or a number")


@instruction("count:keywords_multiple", "global")
def keywords_multiple(args: Args, prompt: str, response: str) -> Verdict:
    lowered, spans = text.Lowered(response), []
    keywords = {name: words_of(args, name).strip().lower() for name in KEYWORD_COUNTS}
    for name, wanted in KEYWORD_COUNTS.items():
        keyword = keywords[name]
        found = find_all(keyword, lowered.text)
        if len(found) != wanted:
            return Verdict(False, f"{keyword!r} occurs {len(found)} times, exactly {wanted} asked for")
        spans += found
    return Verdict(True, "every keyword as often as asked", tuple(sorted(lowered.span(*span) for span in spans)))
