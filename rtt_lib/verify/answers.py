r"""Questions with one right answer: MATH-500 by math-verify, multiple choice (GPQA, MMLU-Pro) by the letter given.

| rule | arguments | the answer of a response |
|---|---|---|
| answer:math | answer | its last \boxed{...}; without one, what follows its last "the answer is" or "Answer:" |
| answer:choice | answer, options (how many) | the letter it last states as its answer, see `stated_letter` |

A response without an answer is wrong, as in these benchmarks, with NO_ANSWER as reason so that it can be counted.
What a model thought aloud before `</think>` is not its answer. Answers that cannot be compared within the limits of
time and memory are undecided, and so are those to a question whose right answer math-verify cannot read.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.registry import rule
from rtt_lib.verify.verdict import Verdict

NO_ANSWER = "the response states no answer"
LETTERS = "ABCDEFGHIJKLMNOPQRST"
LONGEST = 1000  # characters of a mathematical answer; a longer one is a text
CHILD = Path(__file__).with_name("answers_child.py")
SECONDS, MEGABYTES = 10, 4096  # of CPU time for one comparison, and of memory for the process that compares
START, PATIENCE = 120, 120  # seconds of wall time until a comparison is given up; many, since the machine may be busy

Args = Mapping[str, Any]


@rule("answer:math", "local")
def math_answer(args: Args, prompt: str, response: str) -> Verdict:
    """Is the final answer equal to args["answer"] as mathematics?"""
    right, given = _arg(args, "answer", str), final_expression(response)
    if given is None:
        return Verdict(False, NO_ANSWER)
    if len(given) > LONGEST:
        return Verdict(False, f"longer than any answer: {len(given)} characters")
    words = TEXT.search(right) is not None
    if _plain(given, words) == _plain(right, words):
        return Verdict(True)
    return _comparer_of(os.getpid()).compare(_bare(right), _bare(given))


@rule("answer:choice", "local")
def choice_answer(args: Args, prompt: str, response: str) -> Verdict:
    """Is the option it chose args["answer"], of the first args["options"] letters?"""
    right, options = _arg(args, "answer", str), _arg(args, "options", int)
    if not 2 <= options <= len(LETTERS) or len(right) != 1 or right not in LETTERS[:options]:
        raise RTTError(f"answer:choice: {right!r} is not the letter of one of {options} options")
    given = stated_letter(response, options)
    return Verdict(False, NO_ANSWER) if given is None else Verdict(given == right)


def has_right_answer(prompt: RubricPrompt) -> bool:
    """Is it a question with one right answer, and not a prompt with constraints?"""
    return any(criterion.verifier.startswith("answer:") for criterion in prompt.criteria)


def unanswered(verdicts: Sequence[Sequence[Verdict]]) -> float:
    """The share of responses that state no answer; each row holds the verdicts on one response."""
    return sum(any(verdict.reason == NO_ANSWER for verdict in row) for row in verdicts) / len(verdicts)


def _arg(args: Args, name: str, kind: type) -> Any:
    value = args.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or value == "":
        raise RTTError(f"argument '{name}' must be a non-empty {kind.__name__}, found {value!r}")
    return value


def _without_thinking(response: str) -> str:
    return response.rpartition("</think>")[2]


# ------------------------------------------------------------------------------------------------------- mathematics

BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
STATED = re.compile(r"(?i:\banswer\b)(?:[^.:：\n?]{0,40}?(?i:\bis\b)[ \t]*[:：]?|[\s*_]*[:：])[\s*_]*([^\n]*)")
SENTENCE_END = re.compile(r"[.!?](?=\s|\*|$)")
MATH_MARKS = re.compile(r"(?<!\\)\$|\\[()\[\]]")
TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")
SPACES = re.compile(r"\s|\\[ ,;:!]|\\(?:left|right)(?![A-Za-z])")


def final_expression(response: str) -> str | None:
    r"""The content of the last \boxed{...} with something in it, else what the response last says its answer is."""
    text = _without_thinking(response)
    boxes = [(start, end) for start, end in _boxes(text) if text[start:end].strip()]
    if boxes:
        return text[slice(*max(boxes))].strip()
    said = [_statement(match[1]) for match in STATED.finditer(text)]
    return next((words for words in reversed(said) if words), None)


def _boxes(text: str) -> list[tuple[int, int]]:
    r"""What stands inside every \boxed{...} that is closed, found in one pass."""
    open_braces: list[int | None] = []  # where a box's content begins; None for any other brace
    found = []
    for match in BRACES.finditer(text):
        if match[0].startswith("\\boxed") and match[0].endswith("{"):
            open_braces.append(match.end())
        elif match[0] == "{":
            open_braces.append(None)
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            found += [(start, match.start())] if start is not None else []
    return found


def _statement(line: str) -> str:
    """The rest of a line up to the end of its sentence, without emphasis."""
    end = SENTENCE_END.search(line)
    return (line[: end.start()] if end else line).strip(" \t*_`")


def _bare(text: str) -> str:
    """On one line and without the marks that begin and end a formula."""
    return " ".join(MATH_MARKS.sub("", text).split())


def _plain(text: str, words: bool) -> str:
    r"""Without spaces, \left, \text{} and, where the right answer is in words, without their case."""
    shown = TEXT.sub(r"\1", _bare(text)).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    shown = SPACES.sub("", shown)
    return shown.casefold() if words else shown


class Comparer:
    """A process that compares answers, started at first need and again after it was lost. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock, self._process = threading.Lock(), None
        atexit.register(self.close)

    def compare(self, right: str, given: str) -> Verdict:
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self.close()
            try:
                self._process = self._process or self._start()
                self._process.stdin.write(json.dumps([right, given]).encode() + b"\n")
                self._process.stdin.flush()
                value, reason = json.loads(self._line(PATIENCE))
                return Verdict(value, reason)
            except (OSError, ValueError):  # it was ended by its limit of CPU time or of memory
                self.close()
                return Verdict(None, f"the answers could not be compared in {SECONDS} s and {MEGABYTES} MB")
            except BaseException:  # Ctrl-C: an answer not read would be taken for the next one's
                self.close()
                raise

    def _start(self) -> subprocess.Popen:
        if importlib.util.find_spec("math_verify") is None:
            raise RTTError("to grade MATH-500: install math-verify (pip install 'math-verify>=0.9,<1', or make env)")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD), str(SECONDS), str(MEGABYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONHASHSEED": "0"},  # sets are walked in one order: equal answers, equal verdicts
            start_new_session=True,  # Ctrl-C is for us
        )
        with contextlib.suppress(ValueError):
            if self._line(START) == b"ready\n":
                return self._process
        raise RTTError(f"the process that compares answers does not start: see what `{sys.executable} {CHILD}` says")

    def _line(self, seconds: float) -> bytes:
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll(1000 * seconds):
            raise ValueError("no answer in time")
        return self._process.stdout.readline()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdout.close()
            process.wait()


@functools.cache
def _comparer_of(process: int) -> Comparer:
    """One for each process: one that forked must not share its parent's pipes."""
    return Comparer()


# ---------------------------------------------------------------------------------------------------- multiple choice

# What may stand before a letter and after it: emphasis, brackets, quotes, LaTeX. Bounded, so that no text takes long.
OPENING = r"(?:\\(?:text|textbf|mathrm|mathbf|boxed)\s?\{|\\[(\[]|[\s*_`$(\"“'‘\[{]){0,9}"
CLOSING = r"[*_`$)\"”'’\]}.:]{0,9}"
OPTION = r"(?i:(?:option|choice|letter)\s)?"
# A letter that stands for itself: no word, formula (E = mc^2, C-14, A\sin x) or abbreviation (e.g.) begins there.
ALONE = r"(?!_*[^\W_]|_\{|['’]\w|\.[A-Za-z]\b|-\w|/\d|\(|[ \t]*[=^+]|[ \t]*\\(?!text|quad|[ ,;)\]]))"
# "a metal" and "I think" are an article and a pronoun, "A because" is not.
NO_WORD = r"(?:(?<![AaIi])|(?![ \t]+(?!(?:because|since|as|for|is|and|or|with|due|based)\b)[^\W\d_]))"
SUBJECT = r"(?i:\banswer\b(?:\s(?:choice|option|letter)\b)?|\b(?:correct|right|best|final)\s(?:choice|option)\b)"
NOT = r"(?i:\b(?:not|never|neither|nor|cannot|doubt)\b|n['’]t\b)"
LINK = rf"(?:(?:(?!{NOT})[^.:;!?\n]){{0,40}}?\b(?:is|be)\b[ \t]?:?|[\s*_]{{0,9}}[:：=])"
SURELY = r"(?i:[\s,]{0,3}(?:most\s)?(?:therefore|thus|clearly|simply|likely|probably)\b[,:]?)?"
RIGHT = r"\sis\s(?:the\s)?(?:most\slikely\s)?(?:correct|right|best|answer)\b"
DENIED = re.compile(NOT)
CLAUSE = re.compile(r"[.,;:!?\n]")
SHORT = 40  # characters of the longest line that may hold a letter with its marks


def stated_letter(response: str, options: int) -> str | None:
    r"""The option that a response chooses, of A, B, ... (`options` of them); None if it states none, or two at once.

    The first of these kinds that is there decides, and of its kind the last:
    1. "Answer: C", "the answer is (C)", \boxed{C};
    2. "option C is correct", "C is the best";
    3. the last line: a letter alone, or the only **C** or "option C" in it;
    4. the only letter that has a line to itself.
    """
    text, patterns = _without_thinking(response), _patterns(options)
    found = [(match.start(), text, match) for match in patterns["stated"].finditer(text)]
    for start, end in _boxes(text):
        if match := patterns["leading"].match(text[start:end]):
            found.append((start, text[start:end], match))
    if found:
        _, where, match = max(found, key=lambda each: each[0])
        return None if patterns["second"].match(where, match.end()) else match["letter"].upper()
    called = [match for match in patterns["called"].finditer(text) if not _denied(text, match.start())]
    return called[-1]["letter"] if called else _on_a_line(text, patterns)


def _on_a_line(text: str, patterns: Mapping[str, re.Pattern]) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    matches = [patterns["alone"].fullmatch(line) if len(line) <= SHORT else None for line in lines]
    if matches[-1]:
        return matches[-1]["letter"].upper()
    named = {match["letter"].upper() for match in patterns["named"].finditer(lines[-1])}
    if len(lines) == 1 and (match := patterns["listed"].match(lines[0])):
        named.add(match["letter"])
    if not named or DENIED.search(lines[-1]):
        named = {match["letter"].upper() for match in matches if match}
    return named.pop() if len(named) == 1 else None


def _denied(text: str, place: int) -> bool:
    """Is there a "not" earlier in the clause?"""
    return DENIED.search(CLAUSE.split(text[max(0, place - 80) : place])[-1]) is not None


@functools.cache
def _patterns(options: int) -> dict[str, re.Pattern]:
    upper = LETTERS[:options]
    letter = rf"(?P<letter>[{upper}{upper.lower()}])"
    closed = rf"{letter}(?:(?=[)*}}\]])|{ALONE}{NO_WORD})"
    marks = r"[\s*_`$(\"“'‘\[{)\]}”’.:]{0,9}"
    patterns = {
        "stated": rf"{SUBJECT}{LINK}{SURELY}{OPENING}{OPTION}{OPENING}{closed}",
        "leading": rf"{OPENING}(?:(?i:answer)\s?:)?{OPENING}{OPTION}{OPENING}{closed}",
        # A second letter right after the first, and then nothing more of the sentence: "A or B", "(A), (B)".
        "second": rf"{CLOSING}\s{{0,3}}(?:,?\s?(?i:or|and)\b|[,/&])\s{{0,3}}{OPTION}{OPENING}[{upper}{upper.lower()}]"
        rf"(?={CLOSING}\s{{0,3}}(?:$|\n|[,/&]|(?i:or|and)\b))",
        "called": rf"(?:\b(?i:option|choice|answer)\s|(?<![\w'’]))[*(\"]{{0,4}}(?P<letter>[{upper}])"
        rf"[)*\".:]{{0,4}}{RIGHT}",
        "alone": rf"{marks}{OPTION}{marks}{letter}{marks}",
        "named": rf"(?:\*\*|\b(?i:option|choice|answer)\s)[*(\"]{{0,4}}{closed}",
        "listed": rf"[*(\"]{{0,4}}(?P<letter>[{upper}])[*\"]{{0,3}}[).:]",
    }
    return {name: re.compile(pattern) for name, pattern in patterns.items()}
