"""The graders that can be asked: ours, a Python function, or a command that reads and writes JSON lines."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtt_lib.bench.conform.score import Answer, Grader, Question
from rtt_lib.errors import RTTError
from rtt_lib.verify.loose import strict_verdict
from rtt_lib.verify.registry import find_rule

EXCERPT = 200


def ours(benchmark: str) -> Grader:
    """The rules of `rtt_lib.verify`; an empty response is a question for MulDimIF's rules, and for no other."""

    def decide(question: Question) -> Answer:
        rule = find_rule(f"{benchmark}:{question['instruction']}")
        ask = rule.check if benchmark == "muldimif" else lambda *asked: strict_verdict(rule, *asked)
        return ask(question["arguments"], question["prompt"], question["response"]).value

    return lambda questions: [decide(question) for question in questions]


def by_function(spec: str) -> Grader:
    """`module:function` or `file.py:function`, called with (instruction, arguments, prompt, response)."""
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise RTTError(f"{spec}: expected module:function or file.py:function")
    function = getattr(_module(place), name, None)
    if not callable(function):
        raise RTTError(f"{spec}: {place} has no function {name!r}")

    def decide(question: Question) -> Answer:
        try:
            answer = function(**question)
        except Exception as error:  # whatever a grader raises is what there is to report
            return f"{type(error).__name__}: {error}"[:EXCERPT]
        return answer if answer is None else bool(answer)

    return lambda questions: [decide(question) for question in questions]


def _module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            sys.path.insert(0, "")  # as `python -m` looks in the current folder
            return importlib.import_module(place)
        found = importlib.util.spec_from_file_location(Path(place).stem, place)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module
    except (ImportError, OSError, SyntaxError) as error:
        raise RTTError(f"{place}: cannot be imported ({error})") from error


def by_command(command: str | Sequence[str]) -> Grader:
    """Each question is a line {"instruction", "arguments", "prompt", "response"} on its standard input; the command
    answers each, in order, with a line {"verdict": true, false or null}, or {"error": why it failed}."""
    words = shlex.split(command) if isinstance(command, str) else list(command)

    def ask(questions: Sequence[Question]) -> list[Answer]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        try:
            done = subprocess.run(words, input=lines, capture_output=True, text=True, encoding="utf-8")
        except OSError as error:
            raise RTTError(f"{words[0]}: cannot be run ({error.strerror})") from error
        said = done.stderr.strip().splitlines()
        if done.returncode:
            raise RTTError(f"{words[0]}: exit status {done.returncode}: {said[-1][:EXCERPT] if said else 'silent'}")
        answers = [_answer(line, words[0]) for line in done.stdout.splitlines() if line.strip()]
        if len(answers) != len(questions):
            raise RTTError(f"{words[0]}: {len(answers)} answers to {len(questions)} questions")
        return answers

    return ask


def _answer(line: str, name: str) -> Answer:
    try:
        row = json.loads(line)
        if "error" in row:
            return str(row["error"])[:EXCERPT]
        if row["verdict"] is None or isinstance(row["verdict"], bool):
            return row["verdict"]
    except (ValueError, KeyError, TypeError):
        pass
    raise RTTError(f'{name}: not an answer: {line[:EXCERPT]!r}; expected {{"verdict": true, false or null}}')
