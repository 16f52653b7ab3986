"""Negatives by rule: a compliant response with the smallest edit that breaks one criterion and no other (App. C).

For each family of composed constraints a handful of candidate edits is proposed; the verifiers decide which of them
flip exactly that verdict, and the smallest wins (ties by chance, so that the place of the edit varies). Constraint
omission, the other strategy, writes a response with one criterion withheld.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtt_lib.relevance.responses import construct, without
from rtt_lib.rubrics.compose import NEGATIVE
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check
from rtt_lib.verify.composed import WORD, count_words, paragraph_spans, sentence_spans, word_spans
from rtt_lib.verify.verdict import Span

OMISSIONS = 6  # responses tried until one fails what was withheld
PLACES = 12  # places in the text that a candidate edit is tried at
ADVERBS = ("really", "quite", "rather", "truly", "simply", "also", "clearly", "even", "just", "mostly")
SUBSTITUTES = ("lamp", "stone", "chair", "garden", "window", "spoon", "clock", "flower")
PRONOUNS = ("my", "our", "I", "we", "me", "us")
Args = Mapping[str, Any]
Edit = tuple[int, int, str]  # characters [start, end) become the text
Edits = tuple[Edit, ...]


@dataclass(frozen=True)
class Negative:
    """A response that violates criterion `k` of its prompt. `strategy`: minimal or omission."""

    response: str
    k: int
    strategy: str


def minimal(prompt: RubricPrompt, response: str, k: int, seed: int, offences: int = 1) -> Negative | None:
    """The smallest of our edits that flips criterion k from satisfied to violated and leaves all other verdicts.

    None if k is not satisfied to begin with, is no composed criterion, or no edit does it. offences: so many places
    break k where it is a prohibition, or as many as can be made; other criteria are broken once.
    """
    rng = random.Random(f"{prompt.id}:{k}:{seed}")
    before = [check(criterion, prompt.prompt, response).value for criterion in prompt.criteria]
    if prompt.criteria[k].verifier not in PROPOSE or before[k] is not True:
        return None
    wanted = [False if j == k else value for j, value in enumerate(before)]
    found = None
    for _ in range(offences if prompt.criteria[k].family in NEGATIVE else 1):
        worse = _smallest(prompt, response if found is None else found, k, wanted, rng, more=found is not None)
        if worse is None:
            break
        found = worse
    return None if found is None else Negative(found, k, "minimal")


def _smallest(
    prompt: RubricPrompt, response: str, k: int, wanted: list[bool | None], rng: random.Random, more: bool
) -> str | None:
    """The response with the smallest edit that gives the wanted verdicts.

    more: and has more offences against k, none of which touches another (no ",,")
    """
    criterion = prompt.criteria[k]
    offences = len(check(criterion, prompt.prompt, response).spans)
    candidates = list(PROPOSE[criterion.verifier](criterion.args, response, rng))
    rng.shuffle(candidates)
    for edits in sorted(candidates, key=_size):
        text = apply(edits, response)
        if _verdicts_are(wanted, prompt, text) and (not more or _offends_more(criterion, prompt, text, offences)):
            return text
    return None


def _offends_more(criterion: Criterion, prompt: RubricPrompt, text: str, than: int) -> bool:
    spans = check(criterion, prompt.prompt, text).spans
    apart = all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
    return len(spans) > than and apart


def omission(prompt: RubricPrompt, k: int, seed: int) -> Negative | None:
    """A response written with criterion k withheld, the first of a few that fails it; None if all happen to keep it."""
    rest = without(prompt, k)
    for attempt in range(OMISSIONS):
        text = construct(rest, seed * OMISSIONS + attempt)
        if check(prompt.criteria[k], prompt.prompt, text).value is False:
            return Negative(text, k, "omission")
    return None


def apply(edits: Edits, text: str) -> str:
    """`text` with the edits made; they must not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _size(edits: Edits) -> int:
    return sum(end - start + len(new) for start, end, new in edits)


def _verdicts_are(wanted: list[bool | None], prompt: RubricPrompt, text: str) -> bool:
    pairs = zip(prompt.criteria, wanted, strict=True)
    return all(check(criterion, prompt.prompt, text).value is value for criterion, value in pairs)


# ---------------------------------------------------------------------------------------------------- edits in general


Propose = Callable[[Args, str, random.Random], Iterator[Edits]]


def _spans(name: str, args: Args, text: str) -> tuple[Span, ...]:
    return check(Criterion("", f"composed:{name}", args), "", text).spans


def _some(items: tuple | list, rng: random.Random) -> list:
    return rng.sample(items, min(PLACES, len(items)))


def _words(text: str) -> list[Span]:
    return [match.span() for match in WORD.finditer(text)]


def _cased(new: str, text: str) -> str:
    """`new` in the one case that the text is written in, if it is."""
    return new.upper() if text.isupper() else new.lower() if text.islower() else new


def _replace_word(new: str, text: str, rng: random.Random) -> Iterator[Edits]:
    """`new` in place of some word, or behind it."""
    new = _cased(new, text)
    for start, end in _some(_words(text), rng):
        yield ((start, end, new),)
        yield ((end, end, f" {new}"),)


def _ends(text: str) -> list[int]:
    """Where a plain full stop ends a sentence."""
    return [end - 1 for _, end in sentence_spans(text) if text[end - 1] == "."]


def _strip(spans: tuple[Span, ...], left: int = 1, right: int = 1) -> Edits:
    """Take the first and last characters off every span."""
    return tuple(edit for s, e in spans for edit in ((s, s + left, ""), (e - right, e, "")))


# ----------------------------------------------------------------------------- local positive: take away what satisfies


def _start(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    ((start, end),) = _spans("start", args, text)
    words = [(start + s, start + e) for s, e in _words(text[start:end])]
    yield ((start, start, f"{rng.choice(('Well', 'So', 'Now', 'And', 'But', 'Oh', 'Hello'))} "),)
    yield ((start, end + 1, ""),)
    yield from (((s, e, rng.choice(ADVERBS)),) for s, e in words)
    yield from (((s, e + 1, ""),) for s, e in words)


def _end(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    ((start, end),) = _spans("end", args, text)
    words = [(start + s, start + e) for s, e in _words(text[start:end])]
    yield ((end, end, f" {rng.choice(('Really', 'Enjoy', 'Thanks', 'Cheers', 'See you'))}."),)
    yield ((start, end, ""),)
    yield from (((s, e, rng.choice(ADVERBS)),) for s, e in words)
    yield ((words[-1][1], words[-1][1], f" {rng.choice(ADVERBS)}"),)


def _keywords(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    for word in args["words"]:
        for new in (*SUBSTITUTES, word[:-1], word + "like"):
            yield tuple((s, e, _cased(new, text)) for s, e in word_spans(word, text))


def _title(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    span = _spans("title", args, text)
    left, right = len(args["left"]), len(args["right"])
    yield _strip(span, left + 1, right + 1)
    yield _strip(span, left + 1, 0)
    yield _strip(span, 0, right + 1)


def _postscript(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    ((start, end),) = _spans("postscript", args, text)
    yield ((start, start + len(args["marker"]) + 1, ""),)
    yield ((start, start + len(args["marker"]), "Also"),)
    yield ((start - 1, end, ""),)


def _label(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    spans, length = _spans("label", args, text), len(args["label"])
    yield tuple((start, start + length + 1, "") for start, _ in spans)
    yield tuple((start, start + length, rng.choice(("Note:", "Also:", "Remark:"))) for start, _ in spans)


def _marks_off(name: str) -> Propose:
    """Take the marks around the passage away, or the passage with them."""

    def propose(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
        spans = _spans(name, args, text)
        yield _strip(spans)
        yield tuple((start - 1, end, "") for start, end in spans)

    return propose


def _question(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    spans = _spans("question", args, text)
    marks = [s + match.start() for s, e in spans for match in re.finditer(r"\?", text[s:e])]
    yield tuple((mark, mark + 1, ".") for mark in marks)
    yield tuple((start, end, "") for start, end in spans)


def _nth_start(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    ((start, end),) = _spans("nth_start", args, text)
    yield ((start, end + 2, text[end + 1 : end + 2].upper()),)
    for new in ("Now", "Then", "Also", "Thus", "Of course", "Clearly"):
        yield ((start, end, new),)
        yield ((start, end, f"{new} {text[start:end].lower()}"),)


# ------------------------------------------------------------------------------------ local negative: put one in


def _no_commas(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    yield from (((end, end, ","),) for _, end in _some(_words(text), rng))


def _forbidden(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    yield from _replace_word(rng.choice(args["words"]), text, rng)


def _no_digits(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    numbers = {"a": "1", "one": "1", "two": "2", "some": "12", "many": "30", "every": "3", "half": "30", "several": "7"}
    for start, end in _words(text):
        if text[start:end].lower() in numbers:
            yield ((start, end, numbers[text[start:end].lower()]),)
    yield from _replace_word(str(rng.randint(2, 90)), text, rng)


def _mark(new: str) -> Propose:
    """Another mark in place of a full stop, or after some word."""

    def propose(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
        yield from (((place, place + 1, new),) for place in _some(_ends(text), rng))
        if not _ends(text):
            yield from (((end, end, new),) for _, end in _some(_words(text), rng))

    return propose


def _no_quotes(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    yield from (((start, end, f'"{text[start:end]}"'),) for start, end in _some(_words(text), rng))


def _no_first_person(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    articles = [span for span in _words(text) if text[slice(*span)].lower() in ("the", "a", "every")]
    for start, end in _some(articles, rng):
        new = rng.choice(("my", "our"))
        yield ((start, end, _cased(new.capitalize() if text[start].isupper() else new, text)),)
    if not articles:
        yield from _replace_word(rng.choice(PRONOUNS), text, rng)


def _no_sentence_start(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    for start, stop in sentence_spans(text):
        first = WORD.search(text, start, stop)
        new = _cased(args["word"].capitalize(), text)
        yield ((first.start(), first.end(), new),)
        lowered = first.group() if first.group() == "I" or text.isupper() else first.group().lower()
        yield ((first.start(), first.end(), f"{new} {lowered}"),)


# --------------------------------------------------------------------------------- global: one too many, one too few


def _more_words(n: int, text: str, rng: random.Random) -> Edits:
    """`n` words more, behind words of the running text."""
    places = [rng.choice(_words(text))[1] for _ in range(n)]
    by_place = {place: places.count(place) for place in places}
    return tuple(
        (p, p, "".join(f" {_cased(rng.choice(ADVERBS), text)}" for _ in range(m))) for p, m in by_place.items()
    )


def _fewer_words(n: int, text: str, rng: random.Random) -> Edits:
    """`n` words less, each with the space in front of it."""
    inner = [(s - 1, e, "") for s, e in _words(text) if text[s - 1 : s] == " "]
    return tuple(rng.sample(inner, n)) if n <= len(inner) else ()


def _count(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    n = count_words(text)
    for _ in range(4 * PLACES):
        if args.get("max") is not None:
            yield _more_words(args["max"] - n + 1, text, rng)
        if args.get("min") is not None:
            yield _fewer_words(n - args["min"] + 1, text, rng)


def _sentences(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    n = len(sentence_spans(text))
    for _ in range(2 * PLACES):
        if args["relation"] != "at_most":
            yield _join(n - args["n"] + 1, text, rng)
        if args["relation"] != "at_least":
            yield _split(args["n"] - n + 1, text, rng)


def _join(n: int, text: str, rng: random.Random) -> Edits:
    """`n` sentences less: joined with the next on the same line, or left without an end where the line ends."""
    stops = list(re.finditer(r"[.!?]+(?: (\w)|(?=\"?$))", text, re.MULTILINE))
    if n > len(stops):
        return ()
    joints = ((m, rng.choice((" and", " as", " so", " for")) + " ") for m in rng.sample(stops, n))
    return tuple((*m.span(), _cased(word + m[1].lower(), text) if m[1] else "") for m, word in joints)


def _split(n: int, text: str, rng: random.Random) -> Edits:
    """End a sentence `n` times more, between two words of a line."""
    gaps = list(re.finditer(r"(?<=\w) (\w)", text))
    if n > len(gaps):
        return ()
    return tuple((m.start(), m.end(), f". {_cased(m.group(1).upper(), text)}") for m in rng.sample(gaps, n))


def _paragraphs(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    spans = paragraph_spans(text)
    for (_, end), (start, _) in itertools.pairwise(spans):
        yield ((end, start, " "),)
        yield ((end, start, "\n"),)
    between = list(re.finditer(r"(?<=[.!?]) |(?<=\S)\n(?=\S)", text))  # sentences or lines, else any two words
    yield from (((m.start(), m.end(), "\n\n"),) for m in between or re.finditer(r"(?<=\w) ", text))


def _sentence_words(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    for start, end in sentence_spans(text):
        missing = args["max"] - count_words(text[start:end]) + 1
        edits = _more_words(missing, text[start:end], rng)
        yield tuple((start + s, start + e, new) for s, e, new in edits)
    yield from (_join(1, text, rng) for _ in range(PLACES))


def _keyword_count(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    spans = word_spans(args["word"], text)
    for new in SUBSTITUTES:
        yield tuple((s, e, _cased(new, text)) for s, e in rng.sample(spans, len(spans) - args["n"] + 1))
    if args["relation"] == "exactly":
        yield from _replace_word(args["word"], text, rng)


def _bullets(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
    spans, mark = _spans("bullets", args, text), f"{args['mark']} "
    for start, end in spans:
        yield ((start, start + len(mark), ""),)
        yield ((start - 1, end, ""),)
        yield ((end, end, f"\n{mark}{_cased(rng.choice(SUBSTITUTES), text)}"),)


def _one_case(change: Callable[[str], str]) -> Propose:
    def propose(args: Args, text: str, rng: random.Random) -> Iterator[Edits]:
        for start, end in _some(_words(text), rng):
            yield ((start, start + 1, change(text[start])),)
            yield ((start, end, change(text[start:end])),)

    return propose


PROPOSE: dict[str, Propose] = {
    f"composed:{name}": propose
    for name, propose in {
        "start": _start, "end": _end, "keywords": _keywords, "title": _title, "postscript": _postscript,
        "label": _label, "placeholder": _marks_off("placeholder"), "aside": _marks_off("aside"),
        "quotation": _marks_off("quotation"), "question": _question, "nth_start": _nth_start,
        "no_commas": _no_commas, "forbidden": _forbidden, "no_digits": _no_digits, "no_exclamations": _mark("!"),
        "no_questions": _mark("?"), "no_quotes": _no_quotes, "no_first_person": _no_first_person,
        "no_sentence_start": _no_sentence_start, "words": _count, "sentences": _sentences, "paragraphs": _paragraphs,
        "sentence_words": _sentence_words, "keyword_count": _keyword_count, "bullets": _bullets,
        "lowercase": _one_case(str.upper), "uppercase": _one_case(str.lower),
    }.items()
}  # fmt: skip
