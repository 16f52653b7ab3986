"""The language that langdetect names, in less time.

langdetect draws n-grams until one language is certain, seven times over, and names the language with the highest mean
probability. The profiles, the n-grams, the random numbers and the order of the sums are its own here too, and so every
trial's probabilities are, to the last bit. What comes again is not worked out again (the form of a character, the
n-grams of a word); an n-gram's shares in the languages are worked out when it is first drawn; five draws are
multiplied in one go; and trials that cannot change the answer are left out: four of seven that agree decide.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence

from langdetect import PROFILES_DIRECTORY, LangDetectException
from langdetect.detector import Detector
from langdetect.lang_detect_exception import ErrorCode
from langdetect.utils.ngram import NGram

LONG = 40  # letters: a longer run is hardly a word that comes again
SPACES, LATIN = re.compile("  +"), re.compile("[A-z]")  # as langdetect: the six signs between Z and a are Latin too
NO_LATIN = re.compile("[\u0300-\u1dff\u1f00-\U0010ffff]")  # 1e00 to 1eff are Latin letters with marks
ROUNDING = 1e-9  # far more than the sums of seven trials can be off


def detect(text: str, seed: int) -> str | None:
    """ISO 639-1 code, None where langdetect finds no feature in the text."""
    detector = QuickDetector(_profiles(), seed)
    detector.append(text)
    try:
        return detector.detect()
    except LangDetectException:
        return None


class Shares(dict[str, list[float]]):
    """n-gram -> its share of the n-grams of its length, in each language.

    languages: how often each n-gram comes, and how many there are of one, two and three letters.
    """

    def __init__(self, languages: Sequence[tuple[Mapping[str, int], Sequence[int]]]) -> None:
        self.languages = languages

    def __missing__(self, gram: str) -> list[float]:
        place = len(gram) - 1
        self[gram] = shares = [
            counts[gram] / totals[place] if gram in counts else 0.0 for counts, totals in self.languages
        ]
        return shares


class Letters(dict[int, str]):
    """For `str.translate`: a character as langdetect takes it, a space for what is no letter."""

    def __missing__(self, code: int) -> str:
        self[code] = letter = NGram.normalize(chr(code))
        return letter


class Profiles:
    """langdetect's profiles. Its detector reads the attributes `seed`, `langlist` and `word_lang_prob_map`."""

    seed = None

    def __init__(self, folder: str) -> None:
        languages = []
        for name in os.listdir(folder):  # langdetect's order: in another one, sums are rounded in another way
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                languages.append(json.load(file))
        self.langlist = [language["name"] for language in languages]
        self.word_lang_prob_map = Shares([(language["freq"], language["n_words"]) for language in languages])
        self.known = frozenset().union(*(language["freq"] for language in languages))
        self.letters = Letters()
        self.grams_of_word = functools.lru_cache(maxsize=2**15)(self.grams)

    def grams(self, word: str) -> tuple[str, ...]:
        """The known n-grams of a run of letters, which may close with a space, and of the space before it.

        No n-gram ends with the second of two capitals.
        """
        found, text = [], f" {word}"
        for end in range(2, len(text) + 1):
            if text[end - 1].isupper() and text[end - 2].isupper():
                continue
            starts = range(end - 1, max(end - 4, -1), -1)
            found += [text[start:end] for start in starts if text[start:end] in self.known]
        return tuple(found)


class QuickDetector(Detector):
    def __init__(self, profiles: Profiles, seed: int) -> None:
        super().__init__(profiles)
        self.profiles, self.seed = profiles, seed

    def append(self, text: str) -> None:
        bare = NGram.normalize_vi(self.MAIL_RE.sub(" ", self.URL_RE.sub(" ", text)))
        self.text += SPACES.sub(" ", bare[: self.max_text_length])

    def _detect_block(self) -> None:
        self.cleaning_text()
        grams = self._extract_ngrams()
        if not grams:
            raise LangDetectException(ErrorCode.CantDetectError, "No features in text.")
        self.random.seed(self.seed)
        self.langprob = [0.0] * len(self.langlist)
        for left in range(self.n_trial - 1, -1, -1):
            found = self._trial(grams)
            self.langprob = [mean + p / self.n_trial for mean, p in zip(self.langprob, found, strict=True)]
            if self._decided(left):
                break

    def _decided(self, left: int) -> bool:
        """Whether the first language stays first, even if another one wins all the trials that are left."""
        second, first = sorted(self.langprob)[-2:]
        return first > second + left / self.n_trial + ROUNDING

    def cleaning_text(self) -> None:
        """Leave the Latin letters out of a text that is written in others."""
        if 2 * len(LATIN.findall(self.text)) < len(NO_LATIN.findall(self.text)):
            self.text = LATIN.sub("", self.text)

    def _extract_ngrams(self) -> list[str]:
        *closed, last = self.text.translate(self.profiles.letters).split(" ")
        words = [f"{word} " for word in closed if word] + [last]
        quick, slow = self.profiles.grams_of_word, self.profiles.grams
        return [gram for word in words for gram in (quick(word) if len(word) < LONG else slow(word))]

    def _trial(self, grams: Sequence[str]) -> list[float]:
        """Draws n-grams until one language is certain: first a single one, then always five."""
        weight = (self.alpha + self.random.gauss(0.0, 1.0) * self.ALPHA_WIDTH) / self.BASE_FREQ
        draw, shares = self.random.choice, self.word_lang_prob_map
        first = zip(self._init_probability(), shares[draw(grams)], strict=True)
        found = _normalised([p * (weight + share) for p, share in first])
        for _ in range(self.ITERATION_LIMIT // 5):
            if max(found) > self.CONV_THRESHOLD:
                break
            five = (shares[draw(grams)] for _ in range(5))
            found = _normalised(
                [
                    p * (weight + a) * (weight + b) * (weight + c) * (weight + d) * (weight + e)
                    for p, a, b, c, d, e in zip(found, *five, strict=True)
                ]
            )
        return found


def _normalised(products: Sequence[float]) -> list[float]:
    total = sum(products)
    return [product / total for product in products]


@functools.cache
def _profiles() -> Profiles:
    return Profiles(PROFILES_DIRECTORY)
