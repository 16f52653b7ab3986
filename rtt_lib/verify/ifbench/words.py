"""words:* What every word, or the word at some place, must be."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import syllapy

from rtt_lib.verify import text
from rtt_lib.verify.ifbench.common import (
    HEAD,
    PAPER,
    STRIPPED,
    Args,
    Piece,
    Sentences,
    bare_words,
    chunks,
    counted,
    index,
    instruction,
    number,
    sentence_instruction,
    spans_of,
    tokens,
    words_of,
)
from rtt_lib.verify.verdict import Verdict

ALPHABET = string.ascii_lowercase
CONSONANTS = frozenset(ALPHABET) - frozenset("aeiou")
# The official list ends at 97: a word of 101 letters fails.
PRIMES = frozenset(n for n in range(2, 100) if all(n % d for d in range(2, n)))


@instruction("words:alphabet", "global")
def alphabet(args: Args, prompt: str, response: str) -> Verdict:
    words = [word.text for word in bare_words(response)]
    if not words or words[0][0].lower() not in ALPHABET:
        return Verdict(False, "the first word does not begin with a letter from A to Z")
    start = ALPHABET.index(words[0][0].lower())
    for place, word in enumerate(words):
        wanted = ALPHABET[(start + place) % 26]
        if word.lower()[0] != wanted:
            return Verdict(False, f"word {word[:40]!r} should begin with {wanted!r}")
    return Verdict(True, "each word begins with the next letter")


@instruction("words:vowel", "global")
def vowel(args: Args, prompt: str, response: str) -> Verdict:
    paragraph = response.strip()
    if "\n" in paragraph:
        return Verdict(False, "more than one paragraph")
    found = sorted(set(paragraph.lower()) & set("aeiou"))
    return Verdict(len(found) <= 3, f"{len(found)} kinds of vowels: {' '.join(found)}")


@instruction("words:consonants", "global")
def consonants(args: Args, prompt: str, response: str) -> Verdict:
    lacking = [word for word in chunks(response) if not _has_cluster(word.text.lower())]
    return _all_words(lacking, "two consonants together")


def _has_cluster(word: str) -> bool:
    return any(a in CONSONANTS and b in CONSONANTS for a, b in pairwise(word))


def _all_words(lacking: Sequence[Piece], what: str) -> Verdict:
    if lacking:
        return Verdict(False, f"{lacking[0].text[:40]!r} has not {what}", spans_of(lacking))
    return Verdict(True, f"every word has {what}")


@instruction("words:palindrome", "global")
def palindrome(args: Args, prompt: str, response: str) -> Verdict:
    words = [(word.text.lower(), word) for word in bare_words(response)]
    found = [word for lowered, word in words if len(lowered) >= 5 and lowered == lowered[::-1]]
    return counted(len(found), 10, "palindromes of five letters or more", spans_of(found))


@instruction("words:prime_lengths", "global")
def prime_lengths(args: Args, prompt: str, response: str) -> Verdict:
    return _all_words([word for word in bare_words(response) if len(word.text) not in PRIMES], "a prime length")


@instruction("words:repeats", "global")
def repeats(args: Args, prompt: str, response: str) -> Verdict:
    most = number(args, "small_n")
    counts = Counter(word.text for word in bare_words(response.lower()))
    word, found = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return Verdict(found <= most, f"{word[:40]!r} occurs {found} times, at most {most:g} asked for")


@instruction("words:no_consecutive", "local", "negative")
def no_consecutive(args: Args, prompt: str, response: str) -> Verdict:
    words = [(word.text.lower()[0], word.span) for word in bare_words(response)]
    offending = tuple((a[0], b[1]) for (x, a), (y, b) in pairwise(words) if x == y)
    if offending:
        return Verdict(False, f"{len(offending)} neighbouring words share their first letter", offending)
    return Verdict(True, "no neighbouring words share their first letter")


@instruction("words:odd_even_syllables", "global")
def odd_even_syllables(args: Args, prompt: str, response: str) -> Verdict:
    words = [word.text.lower() for word in bare_words(response)]
    for a, b in pairwise(words):
        if syllapy.count(a) % 2 == syllapy.count(b) % 2:
            return Verdict(False, f"{a[:40]!r} and {b[:40]!r} are both odd or both even in syllables")
    return Verdict(True, "odd and even numbers of syllables alternate")


@sentence_instruction("words:last_first", "global")
def last_first(args: Args, sentences: Sentences, response: str) -> Verdict:
    for before, after in pairwise(sentence.text for sentence in sentences):
        last, first = before.rstrip(STRIPPED).split()[-1:], after.lstrip(STRIPPED).split()[:1]
        # A sentence without words has neither: the 2025 code raises, HEAD answers violated.
        if not last or not first or last[0].lower() != first[0].lower():
            return Verdict(False, f"a sentence begins with {first}, the one before ends with {last}")
    return Verdict(True, "each sentence begins with the last word of the one before")


@instruction("words:paragraph_last_first", "global")
def paragraph_last_first(args: Args, prompt: str, response: str) -> Verdict:
    for line in response.split("\n"):
        words = line.strip().lower().strip(STRIPPED).split()
        if words and words[0] != words[-1]:
            return Verdict(False, f"a paragraph begins with {words[0][:40]!r} and ends with {words[-1][:40]!r}")
    return Verdict(True, "each paragraph ends with its first word")


@instruction("words:start_verb", "local")
@text.needs_nltk("punkt_tab", "averaged_perceptron_tagger_eng")
def start_verb(args: Args, prompt: str, response: str) -> Verdict:
    words = tokens(response)
    if not words:
        return Verdict(False, "no words")
    # The tagger goes left to right and looks two words ahead: the first tag needs three words.
    tag = text.part_of_speech([word.text for word in words[:3]])[0][1]
    holds = "VB" in tag
    return Verdict(holds, f"the first word is tagged {tag}", spans_of(words[:1]) if holds else ())


@sentence_instruction("words:keywords_specific_position", "local", versions=(PAPER,))
@text.needs_nltk("punkt_tab")
def keyword_at(args: Args, sentences: Sentences, response: str) -> Verdict:
    """2025: punctuation marks count as words and the case matters."""
    keyword = words_of(args, "keyword").strip()
    found = _token_at(args, sentences, lambda token: True)
    return _in_place(found is not None and found.text == keyword, keyword, [found], response)


@sentence_instruction("words:keywords_specific_position", "local", versions=(HEAD,))
def keyword_at_head(args: Args, sentences: Sentences, response: str) -> Verdict:
    keyword = words_of(args, "keyword").strip()
    found = _token_at(args, sentences, lambda token: any(c.isalnum() for c in token))
    return _in_place(found is not None and found.text.lower() == keyword.lower(), keyword, [found], response)


def _token_at(args: Args, sentences: Sentences, is_word: Callable[[str], bool]) -> Piece | None:
    """The m-th word of the n-th sentence, both counted from 1; None if there is none."""
    n, m = index(args, "n", least=1), index(args, "m", least=1)
    if len(sentences) < n:
        return None
    words = [token for token in tokens(sentences[n - 1].text) if is_word(token.text)]
    if len(words) < m:
        return None
    start = sentences[n - 1].span[0]
    return Piece(words[m - 1].text, (start + words[m - 1].span[0], start + words[m - 1].span[1]))


def _in_place(holds: bool, keyword: str, found: Sequence[Piece | None], response: str) -> Verdict:
    """Spans only where the response has the word: a sentence of 2025 may have its quotes moved."""
    if not holds:
        return Verdict(False, f"{keyword!r} is not the word at the place asked for")
    spans = [piece.span for piece in found if response[slice(*piece.span)] == piece.text]
    return Verdict(True, f"{keyword!r} is at the place asked for", tuple(dict.fromkeys(spans)))


@instruction("words:words_position", "local", versions=(PAPER,))
@text.needs_nltk("punkt_tab")
def words_position(args: Args, prompt: str, response: str) -> Verdict:
    """2025: marks count as words, so a final period makes the last word the second to last."""
    words, keyword = tokens(response), words_of(args, "keyword").strip()
    holds = len(words) >= 2 and words[1].text == words[-2].text == keyword
    return _in_place(holds, keyword, words[1:2] + words[-2:-1], response)


@instruction("words:words_position", "local", versions=(HEAD,))
@text.needs_nltk("punkt_tab")
def words_position_head(args: Args, prompt: str, response: str) -> Verdict:
    words, keyword = tokens(response), words_of(args, "keyword").strip().lower()
    # A last token that is a substring of all ASCII punctuation in order is skipped.
    back = 3 if words and words[-1].text in string.punctuation else 2
    holds = len(words) >= back and words[1].text.lower() == words[-back].text.lower() == keyword
    return _in_place(holds, keyword, words[1:2] + words[-back : 1 - back], response)
