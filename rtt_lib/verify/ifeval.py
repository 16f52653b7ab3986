"""The 25 instruction types of IFEval (Zhou et al., 2023), with the evidence for each verdict.

The verdicts are those of the benchmark's own evaluator, its oddities included; where that one is random or would
crash, the choice made here is:
- a "letter" that is no letter (`#` in key 1122, `!` in key 1129) is counted as the character it is, as the prompt
  asks; the evaluator of 2023 replaced it by a random letter;
- a missing, negative or out-of-range argument is an error; the evaluator draws one at random;
- a text in which langdetect sees no language counts as followed, as in the evaluator;
- JSON nested too deeply for the parser is undecided.
Regular expressions are written to take time linear in the response, also where the evaluator's do not.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.verify.loose import BLANK
from rtt_lib.verify.registry import Check, Polarity, Scope, rule
from rtt_lib.verify.text import (
    WORD,
    Lowered,
    known_languages,
    language,
    match_spans,
    needs_nltk,
    sentence_spans,
    token_spans,
    tokens,
    words,
)
from rtt_lib.verify.verdict import Span, Verdict

RELATIONS = ("less than", "at least")
CONSTRAINED_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def instruction(name: str, scope: Scope, polarity: Polarity = "positive") -> Callable[[Check], Check]:
    """Register an IFEval checker; a blank response follows no instruction, whatever it asks."""

    def wrap(check: Check) -> Check:
        @functools.wraps(check)
        def guarded(args: Mapping[str, Any], prompt: str, response: str) -> Verdict:
            return check(args, prompt, response) if response.strip() else BLANK

        return rule(f"ifeval:{name}", scope, polarity)(guarded)

    return wrap


# ---------------------------------------------------------------------------------------------------- arguments


def text_arg(args: Mapping[str, Any], name: str) -> str:
    if not isinstance(args.get(name), str):
        raise RTTError(f"argument '{name}' must be a string, found {args.get(name)!r}")
    return args[name]


def count_arg(args: Mapping[str, Any], name: str, least: int = 0) -> int:
    value = args.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # data sets in columnar formats turn counts into floats
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RTTError(f"argument '{name}' must be a whole number of at least {least}, found {value!r}")
    return value


def words_arg(args: Mapping[str, Any], name: str) -> list[str]:
    value = args.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise RTTError(f"argument '{name}' must be a list of strings, found {value!r}")
    return sorted(set(value))


def relation_arg(args: Mapping[str, Any], name: str) -> str:
    value = args.get(name)
    if value not in RELATIONS:
        raise RTTError(f"argument '{name}' must be one of {RELATIONS}, found {value!r}")
    return value


@functools.lru_cache(maxsize=1024)
def keyword_pattern(name: str, pattern: str) -> re.Pattern:
    """Keywords are regular expressions to the official evaluator, and are read as such here."""
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise RTTError(f"argument '{name}' is not a valid regular expression: {pattern!r} ({error})") from error


# ----------------------------------------------------------------------------------------- verdicts of a count


def compared(count: int, relation: str, threshold: int, what: str, spans: Sequence[Span] = ()) -> Verdict:
    """`count` in `relation` to `threshold`. The counted spans are evidence where their presence decides:

    enough of them satisfies "at least", too many violate "less than"; otherwise the evidence is an absence.
    """
    value = count < threshold if relation == "less than" else count >= threshold
    return Verdict(value, f"{count} {what}, {relation} {threshold} asked", tuple(spans) if count >= threshold else ())


def exactly(count: int, wanted: int, what: str, spans: Sequence[Span] = ()) -> Verdict:
    return Verdict(count == wanted, f"{count} {what}, exactly {wanted} asked", tuple(spans) if count >= wanted else ())


# ---------------------------------------------------------------------------------------------------- keywords


@instruction("keywords:existence", "local")
def existence(args, prompt, response) -> Verdict:
    found = {word: match_spans(keyword_pattern("keywords", word), response) for word in words_arg(args, "keywords")}
    missing = [word for word, spans in found.items() if not spans]
    if missing:
        return Verdict(False, f"missing: {', '.join(missing)}")
    return Verdict(True, "every keyword occurs", tuple(sorted({span for spans in found.values() for span in spans})))


@instruction("keywords:frequency", "global")
def frequency(args, prompt, response) -> Verdict:
    keyword, asked = text_arg(args, "keyword").strip(), count_arg(args, "frequency")
    spans = match_spans(keyword_pattern("keyword", keyword), response)
    return compared(len(spans), relation_arg(args, "relation"), asked, f"times {keyword!r}", spans)


@instruction("keywords:forbidden_words", "local", "negative")
def forbidden_words(args, prompt, response) -> Verdict:
    forbidden = words_arg(args, "forbidden_words")
    spans = {
        span for word in forbidden for span in match_spans(keyword_pattern("forbidden_words", rf"\b{word}\b"), response)
    }
    return Verdict(not spans, f"{len(spans)} forbidden words", tuple(sorted(spans)))


@instruction("keywords:letter_frequency", "global")
def letter_frequency(args, prompt, response) -> Verdict:
    letter = text_arg(args, "letter").strip().lower()
    if len(letter) != 1:
        raise RTTError(f"argument 'letter' must be a single character, found {args['letter']!r}")
    asked, lowered = count_arg(args, "let_frequency"), Lowered(response)
    spans = tuple(lowered.span(*span) for span in match_spans(re.escape(letter), lowered.text))
    return compared(len(spans), relation_arg(args, "let_relation"), asked, f"times the letter {letter!r}", spans)


# ---------------------------------------------------------------------------------------------------- language


@instruction("language:response_language", "global")
def response_language(args, prompt, response) -> Verdict:
    asked, found = text_arg(args, "language"), language(response)
    if asked not in known_languages():
        raise RTTError(f"argument 'language' must be one of {', '.join(sorted(known_languages()))}, found {asked!r}")
    if found is None:
        return Verdict(True, "no language can be detected, which counts as followed")
    return Verdict(found == asked, f"the language is {found}, {asked} asked")


def _english_case(response: str, cased: bool, wrong: Callable[[str], bool], case: str) -> Verdict:
    """English and in one case. The evidence against: the words with a letter of the other case."""
    if not cased:
        spans = [(start, end) for start, end in match_spans(WORD, response) if wrong(response[start:end])]
        return Verdict(False, f"not all letters are {case}", tuple(spans))
    found = language(response)
    return Verdict(found in ("en", None), f"all letters are {case}, the language is {found or 'undetectable'}")


@instruction("change_case:english_capital", "global")
def english_capital(args, prompt, response) -> Verdict:
    return _english_case(response, response.isupper(), lambda word: word != word.upper(), "capital")


@instruction("change_case:english_lowercase", "global")
def english_lowercase(args, prompt, response) -> Verdict:
    return _english_case(response, response.islower(), lambda word: word != word.lower(), "lower case")


@instruction("change_case:capital_word_frequency", "global")
@needs_nltk("punkt_tab")
def capital_word_frequency(args, prompt, response) -> Verdict:
    relation, asked = relation_arg(args, "capital_relation"), count_arg(args, "capital_frequency")
    count = sum(token.isupper() for token in tokens(response))
    spans = [span for span in token_spans(response) if response[slice(*span)].isupper()] if count >= asked else []
    return compared(count, relation, asked, "words in capitals", spans)


# ------------------------------------------------------------------------------------------------------ length


@instruction("length_constraints:number_words", "global")
def number_words(args, prompt, response) -> Verdict:
    return compared(len(words(response)), relation_arg(args, "relation"), count_arg(args, "num_words"), "words")


@instruction("length_constraints:number_sentences", "global")
@needs_nltk("punkt_tab")
def number_sentences(args, prompt, response) -> Verdict:
    count, asked = len(sentence_spans(response)), count_arg(args, "num_sentences")
    return compared(count, relation_arg(args, "relation"), asked, "sentences")


@instruction("length_constraints:number_paragraphs", "global")
def number_paragraphs(args, prompt, response) -> Verdict:
    """Paragraphs are the texts between `***`. An empty one is ignored at the start and at the end, but not between."""
    asked = count_arg(args, "num_paragraphs")
    dividers = match_spans(r"\s?\*\*\*\s?", response)
    edges = [0, *(edge for span in dividers for edge in span), len(response)]
    filled = [bool(response[start:end].strip()) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    if not all(filled[1:-1]):
        return Verdict(False, "an empty paragraph between two dividers", dividers)
    return exactly(sum(filled), asked, "paragraphs", dividers)


@instruction("length_constraints:nth_paragraph_first_word", "global")
def nth_paragraph_first_word(args, prompt, response) -> Verdict:
    """Exactly so many paragraphs, the nth of which begins with a word. Empty ones are not counted but keep their
    number."""
    asked, nth = count_arg(args, "num_paragraphs"), count_arg(args, "nth_paragraph", least=1)
    if nth > asked:
        raise RTTError(f"argument 'nth_paragraph' is {nth}, more than 'num_paragraphs' ({asked})")
    first_word = text_arg(args, "first_word").lower()
    paragraphs = response.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if nth > count or not paragraphs[nth - 1].strip():
        return Verdict(False, f"{count} paragraphs, the one numbered {nth} is missing or empty")
    offset = sum(len(paragraph) + 2 for paragraph in paragraphs[: nth - 1])
    start, end = _first_word(paragraphs[nth - 1])
    word = "".join(letter.lower() for letter in paragraphs[nth - 1][start:end])
    value = count == asked and word == first_word
    reason = f"{count} paragraphs, exactly {asked} asked; paragraph {nth} opens with {word!r}"
    return Verdict(value, reason, ((offset + start, offset + end),) if start < end else ())


def _first_word(paragraph: str) -> Span:
    """Where the first word lies, without opening quotes and up to the first punctuation mark."""
    word = paragraph.split(maxsplit=1)[0]
    bare = word.lstrip("'").lstrip('"')
    start = paragraph.index(word) + len(word) - len(bare)
    return start, start + len(re.split(r"""[.,?!'"]""", bare, maxsplit=1)[0])


# -------------------------------------------------------------------------------------------- content and format


@instruction("detectable_content:number_placeholders", "global")
def number_placeholders(args, prompt, response) -> Verdict:
    """`[...]` within a line; looking only up to a line's last `]` keeps lines full of `[` linear."""
    spans, offset = [], 0
    for line in response.split("\n"):
        found = match_spans(r"\[.*?\]", line[: line.rfind("]") + 1])
        spans += [(offset + start, offset + end) for start, end in found]
        offset += len(line) + 1
    return compared(len(spans), "at least", count_arg(args, "num_placeholders"), "placeholders", spans)


# The marker must come at least once; dots count, and a space between the letters is allowed. Case is ignored.
POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


@instruction("detectable_content:postscript", "local")
def postscript(args, prompt, response) -> Verdict:
    marker, lowered = text_arg(args, "postscript_marker").strip(), Lowered(response)
    pattern = keyword_pattern("postscript_marker", rf"(?:{POSTSCRIPTS.get(marker, marker.lower())}).*")
    spans = [lowered.span(*span) for span in match_spans(pattern, lowered.text)]
    return Verdict(bool(spans), f"{len(spans)} lines with {marker}", tuple(spans))


@instruction("detectable_format:number_bullet_lists", "global")
def number_bullet_lists(args, prompt, response) -> Verdict:
    """Lines that open with `*` and a further character that is no `*`, or with `-`."""
    stars = match_spans(r"^[^\S\n]*(\*[^*].*)$", response, re.MULTILINE, group=1)
    dashes = match_spans(r"^[^\S\n]*(-.*)$", response, re.MULTILINE, group=1)
    return exactly(len(stars) + len(dashes), count_arg(args, "num_bullets"), "bullet points", sorted(stars + dashes))


@instruction("detectable_format:constrained_response", "local")
def constrained_response(args, prompt, response) -> Verdict:
    spans = match_spans("|".join(map(re.escape, CONSTRAINED_OPTIONS)), response)
    return Verdict(bool(spans), f"{len(spans)} of the options occur", spans)


@instruction("detectable_format:number_highlighted_sections", "global")
def number_highlighted_sections(args, prompt, response) -> Verdict:
    """Non-empty `*...*` and `**...**` within a line, counted one after the other."""
    single = match_spans(r"\*[^\n*]*\*", response)
    double = match_spans(r"\*\*[^\n*]*\*\*", response)
    spans = [(start, end) for start, end in (*single, *double) if response[start:end].strip("*").strip()]
    return compared(len(spans), "at least", count_arg(args, "num_highlights"), "highlighted sections", sorted(spans))


@instruction("detectable_format:multiple_sections", "global")
def multiple_sections(args, prompt, response) -> Verdict:
    splitter = text_arg(args, "section_spliter").strip()
    try:
        spans = match_spans(rf"{splitter}\s?\d+", response)
    except re.error as error:
        raise RTTError(f"argument 'section_spliter' is not a valid regular expression: {splitter!r}") from error
    return compared(len(spans), "at least", count_arg(args, "num_sections"), f"times {splitter!r} and a number", spans)


@instruction("detectable_format:json_format", "global")
def json_format(args, prompt, response) -> Verdict:
    """The whole response is one JSON value, perhaps fenced as a Markdown code block."""
    body = response.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except RecursionError:
        return Verdict(None, "JSON nested too deeply to be parsed")
    except ValueError as error:
        return Verdict(False, f"not JSON: {error}")
    return Verdict(True, "valid JSON")


@instruction("detectable_format:title", "local")
def title(args, prompt, response) -> Verdict:
    """`<<...>>` with something inside. A line's first `<<` and last `>>` are the only pair to look at."""
    spans, offset = [], 0
    for line in response.split("\n"):
        start, end = line.find("<<"), line.rfind(">>") + 2
        if 0 <= start <= end - 5 and line[start:end].lstrip("<").rstrip(">").strip():
            spans.append((offset + start, offset + end))
        offset += len(line) + 1
    return Verdict(bool(spans), f"{len(spans)} titles", tuple(spans))


# ------------------------------------------------------------------------- combination, start, end, punctuation


@instruction("combination:two_responses", "global")
def two_responses(args, prompt, response) -> Verdict:
    """Two different texts around `******`, which may also stand at either end."""
    parts = [part.strip() for part in response.split("******")]
    filled = [part for part in parts if part]
    separators = match_spans(r"\*{6}", response)
    if not all(parts[1:-1]):
        return Verdict(False, "nothing between two separators", separators)
    value = len(filled) == 2 and filled[0] != filled[1]
    return Verdict(value, f"{len(filled)} responses, {len(set(filled))} different, exactly 2 asked", separators)


@instruction("combination:repeat_prompt", "local")
def repeat_prompt(args, prompt, response) -> Verdict:
    asked = text_arg(args, "prompt_to_repeat").strip().lower()
    if not asked:
        raise RTTError("argument 'prompt_to_repeat' must not be empty")
    start = len(response) - len(response.lstrip())
    lowered = Lowered(response[start:].rstrip())
    if not lowered.text.startswith(asked):
        return Verdict(False, "does not open with the request")
    return Verdict(True, "opens with the request", ((start, start + lowered.span(0, len(asked))[1]),))


@instruction("startend:end_checker", "local")
def end_checker(args, prompt, response) -> Verdict:
    """The last words, whatever their case, with double quotes around the response overlooked."""
    phrase = text_arg(args, "end_phrase").strip().lower()
    body = response.strip().strip('"')
    lowered = Lowered(body)
    if not lowered.text.endswith(phrase):
        return Verdict(False, "does not end with the phrase")
    length = len(lowered.text)
    start, end = lowered.span(length - len(phrase), length) if phrase else (0, 0)
    offset = response.rindex(body) if body else 0
    return Verdict(True, "ends with the phrase", ((offset + start, offset + end),) if start < end else ())


@instruction("startend:quotation", "global")
def quotation(args, prompt, response) -> Verdict:
    start = len(response) - len(response.lstrip())
    end = len(response.rstrip())
    value = end - start > 1 and response[start] == response[end - 1] == '"'
    return Verdict(value, "in double quotes" if value else "not in double quotes", _ends(start, end) if value else ())


def _ends(start: int, end: int) -> tuple[Span, ...]:
    return ((start, start + 1), (end - 1, end))


@instruction("punctuation:no_comma", "local", "negative")
def no_comma(args, prompt, response) -> Verdict:
    spans = match_spans(",", response)
    return Verdict(not spans, f"{len(spans)} commas", spans)
