"""What the rule verifiers share: sentences, words, language, and where in the text a match lies.

Nothing here depends on the clock, on call order or on a random state, and nothing is ever downloaded. The nltk
data the tokenisers read is optional: a rule that needs it is marked with `needs_nltk` and is undecided without it.
Sentence splitting is pinned by the nltk version (3.9.1; 3.10 splits differently at closing curly quotes).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable

from rtt_lib.verify.verdict import Span, Verdict

# How nltk names the data on disk, by the short name used in reasons and by `rtt doctor`.
NLTK_RESOURCES = {
    "punkt_tab": "tokenizers/punkt_tab/english/",
    "stopwords": "corpora/stopwords",
    "averaged_perceptron_tagger_eng": "taggers/averaged_perceptron_tagger_eng/",
}
WORD = re.compile(r"\w+")
# A run of text is analysed several times (strict, eight loose variants, several constraints): remember the last few.
_remember = functools.lru_cache(maxsize=64)


def nltk_missing(*resources: str) -> str | None:
    """Why these nltk data sets cannot be used, with the mend; None if all are there."""
    from nltk import data

    for name in resources:
        try:
            data.find(NLTK_RESOURCES[name])
        except LookupError:
            return f"nltk data '{name}' is not installed: `rtt doctor` says how to get it"
    return None


def needs_nltk(*resources: str) -> Callable:
    """Decorator for a checker: without the named nltk data its verdict is None with a reason."""

    def wrap(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
        present = False

        @functools.wraps(check)
        def guarded(*args, **kwargs) -> Verdict:
            nonlocal present  # found once is enough; missing is looked up again, it may have been installed since
            if not present:
                reason = nltk_missing(*resources)
                if reason:
                    return Verdict(None, reason)
                present = True
            return check(*args, **kwargs)

        return guarded

    return wrap


@functools.cache
def _punkt():
    from nltk.tokenize.punkt import PunktTokenizer

    return PunktTokenizer("english")


@functools.cache
def _treebank():
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()


@_remember
def sentence_spans(text: str) -> tuple[Span, ...]:
    """Sentences by nltk's punkt for English, as character spans. Needs `punkt_tab`."""
    return tuple(_punkt().span_tokenize(text))


def sentences(text: str) -> list[str]:
    """The sentences themselves, as `nltk.sent_tokenize` gives them. Needs `punkt_tab`."""
    return [text[start:end] for start, end in sentence_spans(text)]


@_remember
def tokens(text: str) -> tuple[str, ...]:
    """Words and punctuation marks as `nltk.word_tokenize` gives them. Needs `punkt_tab`."""
    return tuple(token for sentence in sentences(text) for token in _treebank().tokenize(sentence))


def token_spans(text: str) -> tuple[Span, ...]:
    """Where the `tokens` lie, but for double quotes, which nltk rewrites. Needs `punkt_tab`."""
    return locate((token for token in tokens(text) if token not in ("``", "''")), text)


def words(text: str) -> list[str]:
    r"""Runs of word characters (`\w+`): the official evaluators' word count."""
    return WORD.findall(text)


@functools.cache
def stopwords() -> frozenset[str]:
    """nltk's English stop words. Needs `stopwords`."""
    from nltk.corpus import stopwords as corpus

    return frozenset(corpus.words("english"))


@functools.cache
def _tagger():
    from nltk.tag.perceptron import PerceptronTagger

    return PerceptronTagger(lang="eng")


def part_of_speech(words: Iterable[str]) -> list[tuple[str, str]]:
    """(word, Penn Treebank tag) as `nltk.pos_tag` gives them. Needs `averaged_perceptron_tagger_eng`."""
    return _tagger().tag(list(words))


@_remember
def language(text: str) -> str | None:
    """ISO 639-1 code of the language by langdetect, None where it sees no feature (no letters at all).

    langdetect draws random trials: the seed is the same at every call, so equal texts get equal answers.
    """
    from rtt_lib.verify.detect_language import detect

    return detect(text, seed=0)


@functools.cache
def known_languages() -> frozenset[str]:
    """The codes `language` can answer with."""
    import langdetect

    return frozenset(os.listdir(langdetect.PROFILES_DIRECTORY))


class Lowered:
    """A text in lower case, with the way back: lower case can be longer ("\u0130" becomes two characters)."""

    def __init__(self, text: str) -> None:
        self.text = text.lower()
        same = len(self.text) == len(text)
        self._origin = None if same else [i for i, letter in enumerate(text) for _ in letter.lower()]

    def span(self, start: int, end: int) -> Span:
        """The characters of the original behind the non-empty [start, end) of `.text`."""
        return (start, end) if self._origin is None else (self._origin[start], self._origin[end - 1] + 1)


def match_spans(pattern: str | re.Pattern, text: str, flags: int = 0, group: int | str = 0) -> tuple[Span, ...]:
    """Character spans of every non-overlapping match, left to right; matches whose group is absent are left out."""
    return tuple(m.span(group) for m in re.finditer(pattern, text, flags) if m.start(group) >= 0)


def locate(parts: Iterable[str], text: str) -> tuple[Span, ...]:
    """Spans of `parts` in `text`, each sought after the end of the one before; parts not found are left out."""
    found, position = [], 0
    for part in parts:
        start = text.find(part, position)
        if start >= 0:
            position = start + len(part)
            found.append((start, position))
    return tuple(found)
