"""Responses to composed prompts, written by rule: short plain English on the task's topic that keeps every criterion.

They train the discriminator where no strong LLM is at hand, and prove that a composed rubric can be satisfied. A
response is a list of slots (one sentence each, with several candidates from our own sentence bank); which candidates
are allowed follows from the prohibitions, how many slots and how long from the counts; then it is laid out and checked.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.rubrics.compose import NEGATIVE, fixed_sentences, least_sentences, load_data
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check
from rtt_lib.verify.composed import count_words, sentence_spans
from rtt_lib.verify.registry import Check, find_rule

ATTEMPTS = 60
CANDIDATES = 8  # tried per slot
LENGTH = (30, 110)  # words, where the criteria leave the length open
Args = Mapping[str, Any]


def construct(prompt: RubricPrompt, seed: int) -> str:
    """A response for which every (composed) criterion of the prompt is satisfied; an error if none was found."""
    args = composed_args(prompt.criteria)
    for criterion in prompt.criteria:  # bad arguments are an error here, with their name
        check(criterion, prompt.prompt, "")
    for attempt in range(ATTEMPTS):
        rng = random.Random(f"{prompt.id}:{seed}:{attempt}")
        text = _Writer(args, _topic(prompt.task or prompt.prompt), rng).write()
        if all(check(criterion, prompt.prompt, text).value for criterion in prompt.criteria):
            return text
    raise RTTError(f"prompt {prompt.id}: no response found in {ATTEMPTS} attempts that satisfies all its criteria")


def without(prompt: RubricPrompt, k: int) -> RubricPrompt:
    """The same prompt with criterion k withheld from its rubric."""
    kept = (*prompt.criteria[:k], *prompt.criteria[k + 1 :])
    return RubricPrompt(f"{prompt.id}-without-{k}", prompt.prompt, kept, prompt.task, prompt.source)


def composed_args(criteria: Sequence[Criterion]) -> dict[str, Args]:
    """Family -> arguments; a criterion of another kind or a family given twice is an error."""
    args: dict[str, Args] = {}
    for criterion in criteria:
        if not criterion.verifier.startswith("composed:") or criterion.family in args:
            raise RTTError(f"only composed criteria, one of each family, can be constructed: {criterion.verifier!r}")
        args[criterion.family] = criterion.args
    return args


def _topic(task: str) -> str:
    """The topic that the task names, if it is one of ours; else a phrase that fits everywhere."""
    match = _topics().search(task)
    return match.group() if match else "this subject"


@functools.cache
def _topics() -> re.Pattern:
    longest_first = sorted(load_data("tasks")["topics"], key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b", re.IGNORECASE)


@functools.cache
def _bank(name: str) -> tuple[str, ...]:
    return tuple(load_data("sentences")[name])


@dataclass
class _Slot:
    """One sentence to be: its candidates, the chosen one, and words put before and after it."""

    candidates: list[str]
    text: str
    prefix: str = ""
    aside: str = ""

    def render(self) -> str:
        text = self.text
        if self.aside:
            text = re.sub(r"([.!?]+\"?)$", rf" {self.aside}\1", text)
        if not self.prefix:
            return text[0].upper() + text[1:]
        keep = self.prefix[-1] in ".!?:" or re.match(r"I\b", text)
        return f"{self.prefix} {text if keep else text[0].lower() + text[1:]}"

    def words(self) -> int:
        return count_words(self.prefix) + count_words(self.text) + count_words(self.aside)


class _Writer:
    """Writes one attempt at a response; `write` is the whole story."""

    def __init__(self, args: Mapping[str, Args], topic: str, rng: random.Random) -> None:
        self.args, self.rng = args, rng
        self.bans: list[tuple[Check, Args]] = [(_check(name), args[name]) for name in NEGATIVE if name in args]
        if "keyword_count" in args:  # words that are counted appear only where we put them
            self.bans.append((_check("forbidden"), {"words": [args["keyword_count"]["word"]]}))
        self.topic = topic if self._allowed(topic) else "all this"
        self.longest = args["sentence_words"]["max"] if "sentence_words" in args else 40

    def write(self) -> str:
        slots = self._special_slots()
        self.rng.shuffle(slots)
        low, high = self._word_range()
        self._fill_up(slots, low, high)
        self._decorate(slots)
        self._fit_length(slots, low, high)
        text = self._lay_out(slots)
        return text.lower() if "lowercase" in self.args else text.upper() if "uppercase" in self.args else text

    # --- what may be said

    def _allowed(self, text: str) -> bool:
        return all(rule(args, "", text).value for rule, args in self.bans)

    def _say(self, template: str) -> str:
        return template.replace("<topic>", self.topic)

    def _options(self, bank: str, word: str = "") -> Iterator[str]:
        """The bank's sentences in random order, without those that a prohibition or a length limit rules out. `word`
        fills <word>. It may be a word that is counted, so prohibitions are checked without it.
        """
        for template in self.rng.sample(_bank(bank), len(_bank(bank))):
            text = self._say(template)
            if self._allowed(text[0].upper() + text[1:]) and count_words(text) <= self.longest - 6:
                article = re.sub(r"\b([Aa]) <word>", r"\1n <word>", text) if word[:1] in tuple("aeiou") else text
                yield article.replace("<word>", word)

    def _slot(self, bank: str, word: str = "") -> _Slot:
        candidates = self._some(bank, CANDIDATES, word)
        return _Slot(candidates, candidates[0])

    def _some(self, bank: str, n: int, word: str = "") -> list[str]:
        """Up to `n` of them, at least one."""
        texts = list(islice(self._options(bank, word), n))
        if not texts:
            raise RTTError(f"no line of the bank '{bank}' is allowed by the criteria {dict(self.args)}")
        return texts

    # --- how many sentences, and which

    def _special_slots(self) -> list[_Slot]:
        words = list(self.args.get("keywords", {}).get("words", ()))
        if "keyword_count" in self.args:
            count = self.args["keyword_count"]
            words += [count["word"]] * (count["n"] + (count["relation"] == "at_least" and self.rng.random() < 0.2))
        slots = [self._slot("words", word) for word in words]
        kinds = [("question", "questions"), ("quotation", "quotations"), ("placeholder", "placeholders")]
        return slots + [self._slot(bank) for name, bank in kinds if name in self.args]

    def _word_range(self) -> tuple[int, int]:
        """Words that the slots together may have: the criterion's range less what stands outside of them."""
        args, outside = self.args.get("words", {}), 0
        outside += count_words(self.args["end"]["phrase"]) if "end" in self.args else 0
        outside += 4 * sum(name in self.args for name in ("title", "label")) + 8 * ("postscript" in self.args)
        outside += round(3.5 * self.args["bullets"]["n"]) if "bullets" in self.args else 0
        low, high = args.get("min"), args.get("max")
        if low is None and high is None:
            low = self.rng.randint(*LENGTH)
            return low - outside - 12, low - outside + 12
        low = max(8, round(high * 0.4)) if low is None else low
        return low + 2 - outside, (round(low * 1.5) + 15 if high is None else high) - 2 - outside

    def _sentence_range(self, n_slots: int) -> tuple[int, int]:
        """How many slots there may be."""
        fixed = fixed_sentences(self.args)
        least = max(least_sentences(self.args) - fixed, n_slots)
        asked = self.args.get("sentences", {})
        relation, n = asked.get("relation"), asked.get("n", 0)
        if relation == "exactly":
            return max(least, n - fixed), max(least, n - fixed)
        if relation == "at_most":
            return least, max(least, n - fixed)
        return max(least, n - fixed), 40

    def _fill_up(self, slots: list[_Slot], low: int, high: int) -> None:
        """Add fillers until there are enough sentences and, as far as more are allowed, enough words."""
        least, most = self._sentence_range(len(slots))
        used = set()
        fillers = self._options("fillers")
        words = sum(slot.words() for slot in slots)
        target = self.rng.uniform(low, max(low, high - 4))
        while len(slots) < least or (len(slots) < most and words + 4 < target):
            text = next(fillers, None)
            if text is None:
                break
            others = (option for option in self._some("fillers", CANDIDATES) if option not in used)
            slot = _Slot([text, *others], text)
            used.update(slot.candidates)
            slots.insert(self.rng.randint(0, len(slots)), slot)
            words += slot.words()

    def _decorate(self, slots: list[_Slot]) -> None:
        """The words that a certain sentence has to open with, and the aside."""
        shift = len(sentence_spans(self.args["start"]["phrase"])) if "start" in self.args else 0
        if "nth_start" in self.args:
            slots[self.args["nth_start"]["n"] - 1 - shift].prefix = self.args["nth_start"]["word"]
        if "start" in self.args:
            first = slots[0].prefix
            slots[0].prefix = f"{self.args['start']['phrase']} {first}".strip()
        if "aside" in self.args:
            self.rng.choice(slots).aside = self._some("asides", 1)[0]

    def _fit_length(self, slots: list[_Slot], low: int, high: int) -> None:
        """Swap sentences for longer or shorter candidates until the words are within the range."""
        for _ in range(4 * len(slots)):
            words = sum(slot.words() for slot in slots)
            if low <= words <= high:
                return
            slot = self.rng.choice(slots)
            pick = max if words < low else min
            slot.text = pick(slot.candidates, key=count_words)

    # --- lay-out

    def _lay_out(self, slots: list[_Slot]) -> str:
        """Paragraphs of sentences, with heading, list, label, ending and postscript on lines of their own."""
        blocks = self._paragraphs([slot.render() for slot in slots])
        if "title" in self.args:
            mark, text = self.args["title"], self._title()
            blocks[0].insert(0, f"{mark['left']} {text} {mark['right']}")
        if "label" in self.args:
            text = f"{self.args['label']['label']} {self._some('labelled', 1)[0]}"
            self.rng.choice(blocks).append(text)
        if "bullets" in self.args:
            self.rng.choice(blocks).extend(self._items())
        if "end" in self.args:
            self._append_end(blocks[-1], self.args["end"]["phrase"])
        if "postscript" in self.args:
            blocks[-1].append(f"{self.args['postscript']['marker']} {self._some('endings', 1)[0]}")
        return "\n\n".join("\n".join(lines) for lines in blocks)

    def _paragraphs(self, sentences: list[str]) -> list[list[str]]:
        """[paragraph][line]: the sentences in order, cut at random places."""
        n = self.args["paragraphs"]["n"] if "paragraphs" in self.args else self.rng.choice((1, 1, 2, 3))
        cuts = sorted(self.rng.sample(range(1, len(sentences)), min(n, len(sentences)) - 1))
        return [[" ".join(sentences[a:b])] for a, b in zip([0, *cuts], [*cuts, len(sentences)], strict=True)]

    def _title(self) -> str:
        text = self._some("titles", 1)[0]
        return text[0].upper() + text[1:]

    def _items(self) -> list[str]:
        bullet = self.args["bullets"]
        items = self._some("items", bullet["n"])
        return [f"{bullet['mark']} {items[k % len(items)]}" for k in range(bullet["n"])]

    def _append_end(self, lines: list[str], phrase: str) -> None:
        if lines[-1][-1] in '.!?"' and not lines[-1].startswith(tuple(load_data("words")["bullet_marks"])):
            lines[-1] += f" {phrase}"
        else:
            lines.append(phrase)


def _check(name: str) -> Check:
    return find_rule(f"composed:{name}").check
