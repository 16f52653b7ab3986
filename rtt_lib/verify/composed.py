"""The constraints that the composer puts on plain tasks: their verifiers, with exact evidence.

What counts here, so that the same text always gives the same verdict and no data has to be installed:
- a word is a run of letters and digits, joined by apostrophes or hyphens inside ("don't", "well-known");
- a sentence is a piece of one line that ends in `.`, `!` or `?`; a title or a list item without such an end is none;
- a paragraph is a block of text between empty lines.
Words are compared without regard to case, phrases with it. A blank response violates everything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.verify.loose import BLANK
from rtt_lib.verify.registry import Check, Polarity, Scope, rule
from rtt_lib.verify.verdict import Span, Verdict

WORD = re.compile(r"\w+(?:['’\-]\w+)*")
# No mark is looked at twice: neither from the middle of a run of them, nor again with fewer of them (`++`, `*+`).
SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"”’')\]]*+(?=\s|$)|\n")
PARAGRAPH = re.compile(r"\S(?:[^\n]|\n(?!\s*\n))*")
FIRST_PERSON = re.compile(r"\b(?:I|me|my|mine|myself|we|us|our|ours|ourselves)\b", re.IGNORECASE)
QUOTED = re.compile(r"\"[^\"\n]+\"|“[^“”\n]+”")  # of a quotation within another, the inner one
AFTER_MARK = "\"”’')]!."  # what may follow a question mark that ends a sentence
RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "exactly": int.__eq__,
    "at_least": int.__ge__,
    "at_most": int.__le__,
}
Args = Mapping[str, Any]


def composed(name: str, scope: Scope, polarity: Polarity = "positive") -> Callable[[Check], Check]:
    """Register a check as `composed:<name>`; a blank response violates it, whatever it asks, as in IFEval and IFBench.

    Otherwise a policy would be rewarded for ending at once: where nothing is written, nothing forbidden is, and no
    limit is exceeded.
    """

    def register(check: Check) -> Check:
        @functools.wraps(check)
        def guarded(args: Args, prompt: str, response: str) -> Verdict:
            verdict = check(args, prompt, response)  # a wrong argument is an error here too
            return verdict if response.strip() else BLANK

        return rule(f"composed:{name}", scope, polarity)(guarded)

    return register


# ------------------------------------------------------------------------------------------------------- arguments


def _arg(args: Args, name: str, kind: type) -> Any:
    value = args.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or value in ("", []):
        raise RTTError(f"argument '{name}' must be a non-empty {kind.__name__}, found {value!r}")
    return value


def _relation(args: Args) -> tuple[Callable[[int, int], bool], int]:
    relation = _arg(args, "relation", str)
    if relation not in RELATIONS:
        raise RTTError(f"argument 'relation' must be one of {', '.join(RELATIONS)}, found {relation!r}")
    return RELATIONS[relation], _arg(args, "n", int)


def _words_arg(args: Args) -> list[str]:
    values = _arg(args, "words", list)
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise RTTError(f"argument 'words' must hold non-empty strings, found {value!r}")
    return values


# ---------------------------------------------------------------------------------------------------- parts of text


def count_words(text: str) -> int:
    return sum(1 for _ in WORD.finditer(text))


def sentence_spans(text: str) -> tuple[Span, ...]:
    spans, begin = [], 0
    for match in SENTENCE_END.finditer(text):
        first = WORD.search(text, begin, match.start())
        if first and match.group() != "\n":
            while text[begin].isspace():
                begin += 1
            spans.append((begin, match.end()))
        begin = match.end()
    return tuple(spans)


def paragraph_spans(text: str) -> tuple[Span, ...]:
    return tuple(match.span() for match in PARAGRAPH.finditer(text))


def word_spans(word: str, text: str) -> tuple[Span, ...]:
    """Every occurrence of `word` as a whole word (or words), whatever its case."""
    return tuple(match.span() for match in _whole_word(word).finditer(text))


@functools.lru_cache(maxsize=4096)
def _whole_word(word: str) -> re.Pattern:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _lines(text: str) -> Iterator[Span]:
    """Lines with something in them, without the white space around."""
    for match in re.finditer(r"[^\s][^\n]*", text):
        yield match.start(), match.start() + len(match.group().rstrip())


def _matches(pattern: str | re.Pattern, text: str) -> tuple[Span, ...]:
    return tuple(match.span() for match in re.finditer(pattern, text))


def _first_word(text: str, sentence: Span) -> Span | None:
    match = WORD.search(text, *sentence)
    return match.span() if match else None


# --------------------------------------------------------------------------------- local, positive: it must be there


def _present(name: str) -> Callable[[Callable[[Args, str], tuple[Span, ...]]], Check]:
    """A rule that holds if its function finds at least one span."""

    def register(find: Callable[[Args, str], tuple[Span, ...]]) -> Check:
        def check(args: Args, prompt: str, response: str) -> Verdict:
            spans = find(args, response)
            return Verdict(bool(spans), f"found {len(spans)} times", spans)

        return composed(name, scope="local", polarity="positive")(check)

    return register


@_present("start")
def start(args: Args, response: str) -> tuple[Span, ...]:
    phrase, begin = _arg(args, "phrase", str), len(response) - len(response.lstrip())
    return ((begin, begin + len(phrase)),) if response.startswith(phrase, begin) else ()


@_present("end")
def end(args: Args, response: str) -> tuple[Span, ...]:
    phrase, stop = _arg(args, "phrase", str), len(response.rstrip())
    return ((stop - len(phrase), stop),) if response[:stop].endswith(phrase) else ()


@composed("keywords", scope="local", polarity="positive")
def keywords(args: Args, prompt: str, response: str) -> Verdict:
    found = {word: word_spans(word, response) for word in _words_arg(args)}
    missing = [word for word, spans in found.items() if not spans]
    reason = f"missing: {', '.join(missing)}" if missing else "all are there"
    # One missing keyword violates it, by an absence: the keywords that are there are no evidence against it.
    return Verdict(not missing, reason, () if missing else tuple(sorted(sum(found.values(), ()))))


@_present("title")
def title(args: Args, response: str) -> tuple[Span, ...]:
    left, right = _arg(args, "left", str), _arg(args, "right", str)
    for begin, stop in _lines(response):  # the first line only
        inner = response[begin + len(left) : stop - len(right)]
        line = response[begin:stop]
        return ((begin, stop),) if line.startswith(left) and line.endswith(right) and inner.strip() else ()
    return ()


@_present("postscript")
def postscript(args: Args, response: str) -> tuple[Span, ...]:
    marker, last = _arg(args, "marker", str), None
    for last in _lines(response):  # noqa: B007  the last line is what is wanted
        pass
    if last is None or not response.startswith(marker, last[0]) or last[1] - last[0] <= len(marker):
        return ()
    return (last,)


@_present("label")
def label(args: Args, response: str) -> tuple[Span, ...]:
    text = _arg(args, "label", str)
    return tuple(s for s in _lines(response) if response.startswith(text, s[0]) and s[1] - s[0] > len(text))


@_present("placeholder")
def placeholder(args: Args, response: str) -> tuple[Span, ...]:
    return tuple(s for s in _matches(r"\{[^{}\n]+\}", response) if count_words(response[slice(*s)]))


@_present("aside")
def aside(args: Args, response: str) -> tuple[Span, ...]:
    return tuple(s for s in _matches(r"\([^()\n]+\)", response) if count_words(response[slice(*s)]))


@_present("quotation")
def quotation(args: Args, response: str) -> tuple[Span, ...]:
    return tuple(s for s in _matches(QUOTED, response) if count_words(response[slice(*s)]) > 1)


@_present("question")
def question(args: Args, response: str) -> tuple[Span, ...]:
    return tuple(s for s in sentence_spans(response) if response[slice(*s)].rstrip(AFTER_MARK).endswith("?"))


@_present("nth_start")
def nth_start(args: Args, response: str) -> tuple[Span, ...]:
    n, word, found = _arg(args, "n", int), _arg(args, "word", str), sentence_spans(response)
    first = _first_word(response, found[n - 1]) if 1 <= n <= len(found) else None
    return (first,) if first and response[slice(*first)] == word else ()


# ----------------------------------------------------------------------------- local, negative: it must not be there


def _absent(name: str) -> Callable[[Callable[[Args, str], tuple[Span, ...]]], Check]:
    """A rule that is violated by every span that its function finds."""

    def register(find: Callable[[Args, str], tuple[Span, ...]]) -> Check:
        def check(args: Args, prompt: str, response: str) -> Verdict:
            spans = find(args, response)
            return Verdict(not spans, f"found {len(spans)} times", spans)

        return composed(name, scope="local", polarity="negative")(check)

    return register


@_absent("no_commas")
def no_commas(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(",", response)


@_absent("forbidden")
def forbidden(args: Args, response: str) -> tuple[Span, ...]:
    return tuple(sorted(span for word in _words_arg(args) for span in word_spans(word, response)))


@_absent("no_digits")
def no_digits(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(r"\d+", response)


@_absent("no_exclamations")
def no_exclamations(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(r"!", response)


@_absent("no_questions")
def no_questions(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(r"\?", response)


@_absent("no_quotes")
def no_quotes(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(r"[\"“”„«»]", response)


@_absent("no_first_person")
def no_first_person(args: Args, response: str) -> tuple[Span, ...]:
    return _matches(FIRST_PERSON, response)


@_absent("no_sentence_start")
def no_sentence_start(args: Args, response: str) -> tuple[Span, ...]:
    word = _arg(args, "word", str).lower()
    firsts = (_first_word(response, sentence) for sentence in sentence_spans(response))
    return tuple(span for span in firsts if span and response[slice(*span)].lower() == word)


# ---------------------------------------------------------------------- global: counts, lengths, case, overall format
# Every token is relevant whatever the spans; a count's spans are what it counts, for those who want to credit them.


@composed("words", scope="global")
def words(args: Args, prompt: str, response: str) -> Verdict:
    if args.get("min") is None and args.get("max") is None:
        raise RTTError("argument 'min' or 'max' is needed")
    low = 0 if args.get("min") is None else _arg(args, "min", int)
    high = None if args.get("max") is None else _arg(args, "max", int)
    n = count_words(response)
    return Verdict(low <= n and (high is None or n <= high), f"there are {n} words")


@composed("sentences", scope="global")
def sentences(args: Args, prompt: str, response: str) -> Verdict:
    holds, wanted = _relation(args)
    n = len(sentence_spans(response))
    return Verdict(holds(n, wanted), f"there are {n} sentences")


@composed("paragraphs", scope="global")
def paragraphs(args: Args, prompt: str, response: str) -> Verdict:
    n = len(paragraph_spans(response))
    return Verdict(n == _arg(args, "n", int), f"there are {n} paragraphs")


@composed("sentence_words", scope="global")
def sentence_words(args: Args, prompt: str, response: str) -> Verdict:
    limit = _arg(args, "max", int)
    long = tuple(s for s in sentence_spans(response) if count_words(response[slice(*s)]) > limit)
    return Verdict(not long, f"{len(long)} sentences are longer", long)


@composed("keyword_count", scope="global")
def keyword_count(args: Args, prompt: str, response: str) -> Verdict:
    holds, wanted = _relation(args)
    spans = word_spans(_arg(args, "word", str), response)
    return Verdict(holds(len(spans), wanted), f"it occurs {len(spans)} times", spans)


@composed("bullets", scope="global")
def bullets(args: Args, prompt: str, response: str) -> Verdict:
    mark = _arg(args, "mark", str) + " "
    spans = tuple(span for span in _lines(response) if response.startswith(mark, span[0]))
    return Verdict(len(spans) == _arg(args, "n", int), f"there are {len(spans)} list items", spans)


@composed("lowercase", scope="global")
def lowercase(args: Args, prompt: str, response: str) -> Verdict:
    return _one_case(response, str.isupper, str.islower)


@composed("uppercase", scope="global")
def uppercase(args: Args, prompt: str, response: str) -> Verdict:
    return _one_case(response, str.islower, str.isupper)


def _one_case(response: str, wrong: Callable[[str], bool], right: Callable[[str], bool]) -> Verdict:
    """No letter of the wrong case and at least one of the right one; words with a wrong letter are the evidence."""
    spans = tuple(m.span() for m in WORD.finditer(response) if any(map(wrong, m.group())))
    return Verdict(not spans and any(map(right, response)), f"{len(spans)} words in the wrong case", spans)
