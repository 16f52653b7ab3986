"""FollowBench's instructions in groups of five levels, each with one constraint more, as rubric prompts.

Rows are `{"example_id", "category", "source", "level", "instruction", "target"}`. They come in runs from level 0, the
instruction without constraints (of the category `example` from level 1). A level that the benchmark decides by rule has
one criterion. Any other level n has n, one for what each instruction asks beyond the one before it: the rows do not
name their constraints, so a judge reads both instructions. The benchmark itself shows a judge all of them at once and
wants a list of n answers, which differs from asking n times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.rubrics.benchmarks import field, raw_rows
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify.followbench import FAMILY, LEVELS, RULES

CATEGORIES = ("content", "situation", "style", "format", "example", "mixed")
ADDED = (
    "The response does what the NEW INSTRUCTION asks for and the OLD INSTRUCTION does not. What both ask for does not "
    "count here.\n\nOLD INSTRUCTION:\n{old}\n\nNEW INSTRUCTION:\n{new}"
)
NOTHING = "(none)"

Row = Mapping[str, Any]


def read_followbench(path: str | Path) -> list[RubricPrompt]:
    """The prompts of a folder with the six published files, or of one `.json` or `.jsonl` file with their rows."""
    folder = Path(path)
    files = [folder / file_name(category) for category in CATEGORIES] if folder.is_dir() else [folder]
    return prompts_of_rows(row for file in files for row in raw_rows(file))


def file_name(category: str) -> str:
    return f"{category}_constraints.json"


def prompts_of_rows(rows: Iterable[tuple[str, Row]]) -> list[RubricPrompt]:
    """The prompts of (place, row) in order; ids are `category-example_id-level`, see `group_and_level`."""
    found = [prompt for group in _groups(rows) for prompt in _prompts(group)]
    twice = [id for id, n in Counter(prompt.id for prompt in found).items() if n > 1]
    if twice:
        raise RTTError(f"FollowBench: {twice[0]} is there twice")
    return found


def group_and_level(id: str) -> tuple[str, int]:
    """(`category-example_id`, level) of a prompt's id."""
    group, _, level = id.rpartition("-")
    return group, int(level)


def _groups(rows: Iterable[tuple[str, Row]]) -> list[list[tuple[str, Row]]]:
    groups: list[list[tuple[str, Row]]] = []
    for where, row in rows:
        level = field(row, "level", int, where)
        if not groups or level <= field(groups[-1][-1][1], "level", int, where):
            groups.append([])
        groups[-1].append((where, row))
    return groups


def _prompts(group: Sequence[tuple[str, Row]]) -> list[RubricPrompt]:
    where, first = group[0]
    category = field(first, "category", str, where)
    if category not in CATEGORIES:
        raise RTTError(f"{where}: category {category!r} is not one of {', '.join(CATEGORIES)}")
    start = 1 if category == "example" else 0
    if [row["level"] for _, row in group] != list(range(start, LEVELS + 1)):
        levels = ", ".join(str(row["level"]) for _, row in group)
        raise RTTError(f"{where}: a group of '{category}' must have the levels {start} to {LEVELS}, found {levels}")
    number, source = field(first, "example_id", int, where), field(first, "source", str, where)
    texts, found = [field(row, "instruction", str, where).strip() for where, row in group], []
    rule = _rule(category, source, number)
    for n, (place, row) in enumerate(group):
        level = row["level"]
        if level == 0:
            continue
        if not texts[n]:
            raise RTTError(f"{place}: an empty instruction")
        target = field(row, "target", str, place)
        if rule:
            args = {"target": target, "level": level}
            criteria = (Criterion(f"Level {level} of {category} {number} holds.", f"{FAMILY}:{rule}", args),)
        else:
            pairs = pairwise(texts[: n + 1])
            criteria = tuple(Criterion(ADDED.format(old=old or NOTHING, new=new)) for old, new in pairs)
        id = f"{category}-{number}-{level}"
        found.append(RubricPrompt(id, row["instruction"], criteria, source=f"{FAMILY}:{category}"))
    return found


def _rule(category: str, source: str, number: int) -> str | None:
    """The rule that decides the group's levels; None where a judge does."""
    named = f"{category}-{number}"  # two groups of `format` have a rule of their own
    if category == "example" or named in RULES:
        return "example" if category == "example" else named
    return source if source in RULES and source != "example" else None
