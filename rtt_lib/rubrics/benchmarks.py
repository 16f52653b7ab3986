"""The benchmark files of IFEval, IFBench and MulDimIF as rubric prompts, validated row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.rubrics.wordings import instruction_text
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check
from rtt_lib.verify.registry import find_rule

# `ifbench` are the checkers of the paper's time (2025), `ifbench-head` those of the benchmark's later state.
BENCHMARKS = ("ifeval", "ifbench", "ifbench-head", "muldimif")
ANY_RESPONSE = "One two three.\n\nFour five six."


@dataclass(frozen=True)
class BenchmarkRow:
    """A benchmark's prompt, the key the benchmark knows it by, and where it was read (for messages)."""

    where: str
    key: int | str
    prompt: RubricPrompt


def read_benchmark(name: str, path: str | Path) -> list[RubricPrompt]:
    """The prompts of `path`, the published file of benchmark `name` (one of BENCHMARKS), in its order."""
    return [row.prompt for row in read_rows(name, path)]


def read_rows(name: str, path: str | Path) -> list[BenchmarkRow]:
    """As `read_benchmark`, each prompt with its original key and its place; keys and prompts must be unique."""
    if name not in BENCHMARKS:
        raise RTTError(f"unknown benchmark {name!r}: choose one of {', '.join(BENCHMARKS)}")
    rows = [convert_row(name, raw, where) for where, raw in raw_rows(path)]
    if not rows:
        raise RTTError(f"{path}: holds no prompts")
    _require_unique("key", ((row.where, row.key) for row in rows))
    if name != "muldimif":  # there responses are matched by the prompt's text
        _require_unique("prompt", ((row.where, row.prompt.prompt) for row in rows))
    return rows


def convert_row(name: str, raw: Any, where: str) -> BenchmarkRow:
    """One row of benchmark `name`, wherever it was read; `where` opens every message."""
    convert = _muldimif_row if name == "muldimif" else _instruction_row
    return convert(name, raw, where)


def raw_rows(path: str | Path) -> Iterator[tuple[str, Any]]:
    """(place, row): the lines of a `.jsonl` (or `.jsonl.gz`), the items of a `.json` array."""
    if Path(path).suffix != ".json":
        yield from ((f"{path}:{number}", row) for number, row in read_jsonl(path))
        return
    items = read_json(path)
    if not isinstance(items, list):
        raise RTTError(f"{path}: expected a JSON array of items, found {type(items).__name__}")
    yield from ((f"{path}: item {number}", row) for number, row in enumerate(items, 1))


def _require_unique(what: str, values: Iterator[tuple[str, Any]]) -> None:
    seen: dict[Any, str] = {}
    for where, value in values:
        if value in seen:
            raise RTTError(f"{where}: {what} {str(value)[:60]!r} was already used at {seen[value]}")
        seen[value] = where


def field(row: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`row[name]`, which must be there and of that type."""
    if not isinstance(row, dict):
        raise RTTError(f"{where}: expected an object, found {type(row).__name__}")
    if name not in row:
        raise RTTError(f"{where}: field '{name}' is missing")
    if not isinstance(row[name], kind) or isinstance(row[name], bool):
        kinds = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise RTTError(f"{where}: field '{name}' must be {kinds}, found {type(row[name]).__name__}")
    return row[name]


def _key(row: Any, name: str, where: str) -> int | str:
    key = field(row, name, (int, str), where)
    try:
        str(key).encode()
    except UnicodeEncodeError as error:
        raise RTTError(f"{where}: field '{name}' is not valid Unicode: {key!r}") from error
    return key


def _instruction_row(name: str, row: Any, where: str) -> BenchmarkRow:
    """A row of IFEval or IFBench: parallel lists of instruction ids and of their arguments."""
    key, prompt = _key(row, "key", where), field(row, "prompt", str, where)
    ids, kwargs = field(row, "instruction_id_list", list, where), field(row, "kwargs", list, where)
    if not ids or len(ids) != len(kwargs):
        raise RTTError(f"{where}: {len(ids)} entries in 'instruction_id_list' and {len(kwargs)} in 'kwargs'")
    pairs = zip(ids, kwargs, strict=True)
    criteria = tuple(_criterion(name, *pair, f"{where}: instruction {k}") for k, pair in enumerate(pairs, 1))
    return BenchmarkRow(where, key, RubricPrompt(str(key), prompt, criteria, source=name))


def _criterion(name: str, instruction: Any, kwargs: Any, where: str) -> Criterion:
    if not isinstance(instruction, str) or not isinstance(kwargs, dict):
        raise RTTError(f"{where}: expected an id (str) and arguments (object), found {instruction!r} and {kwargs!r}")
    args = {argument: value for argument, value in kwargs.items() if value is not None}
    try:
        find_rule(f"{name}:{instruction}")
    except RTTError as error:
        raise RTTError(f"{where}: {error}") from error
    try:
        criterion = Criterion(instruction_text(instruction, args), f"{name}:{instruction}", args)
    except KeyError as error:
        raise RTTError(f"{where}: {instruction} needs the argument {error}") from error
    require_arguments(criterion, where)
    return criterion


def require_arguments(criterion: Criterion, where: str) -> None:
    """Make each rule read its arguments now, while their row is known: later a wrong one would end a training run under
    way. Rules read arguments when they decide, so each decides on a sample response here.
    """
    try:
        check(criterion, "", ANY_RESPONSE)
    except RTTError as error:
        reason = str(error).removeprefix(f"{criterion.verifier}: ")  # some rules say their name themselves
        raise RTTError(f"{where}: {criterion.verifier}: {reason}") from error


def _muldimif_row(name: str, row: Any, where: str) -> BenchmarkRow:
    """An item of MulDimIF: a user message and constraints [type, subtype, text]."""
    key, turns = _key(row, "id", where), field(row, "conversations", list, where)
    asked = [field(turn, "content", str, where) for turn in turns if field(turn, "role", str, where) == "user"]
    constraints = field(row, "constraints", list, where)
    if not asked or not constraints:
        raise RTTError(
            f"{where}: {len(asked)} user messages and {len(constraints)} constraints, at least 1 each needed"
        )
    criteria = tuple(_constraint(each, f"{where}: constraint {k}") for k, each in enumerate(constraints, 1))
    return BenchmarkRow(where, key, RubricPrompt(str(key), asked[-1], criteria, source=name))


def _constraint(constraint: Any, where: str) -> Criterion:
    if not isinstance(constraint, list) or [type(part) for part in constraint] != [str, str, str]:
        raise RTTError(f"{where}: a constraint must be [type, subtype, text], found {constraint!r}")
    from rtt_lib.verify.muldimif import verifier_id  # many patterns to compile, which IFEval and IFBench do not need

    kind, subtype, text = constraint
    try:
        return Criterion(text, verifier_id(kind, subtype), {"type": kind, "subtype": subtype, "text": text})
    except RTTError as error:
        raise RTTError(f"{where}: {error}") from error
