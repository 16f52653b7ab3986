"""docs/promises.md: every promise names a test, and every test named is there."""

from __future__ import annotations

import ast
import re

from rtt_lib.profile import REPOSITORY

HERE = REPOSITORY / "tests"


def promises() -> list[tuple[str, list[str]]]:
    """The rows of the tables: the promise, and the tests named beside it."""
    page = (REPOSITORY / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [(row[0], re.findall(r"`([^`]+)`", row[1])) for row in rows if row != ["promise", "shown by"]]


def defined_in(file: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    return {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_names_tests_that_exist():
    assert len(promises()) >= 28
    for promise, named in promises():
        assert named, promise
        for name in named:
            file, separator, test = name.partition("::")
            assert separator and test in defined_in(file), f"{promise}: no {name}"


def test_none_of_them_is_always_skipped():
    """A skip has a condition: that something is not there, said in its reason."""
    for _, named in promises():
        for name in named:
            file, _, test = name.partition("::")
            marks = [ast.unparse(mark) for mark in defined_in(file)[test].decorator_list]
            assert not [mark for mark in marks if re.match(r"pytest\.mark\.(skip|xfail)\b(?!if)", mark)], name
