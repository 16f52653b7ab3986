"""docs/metrics.md explains every column of the committed logs, and names functions that there are."""

from __future__ import annotations

import re
from functools import cache

from committed import PROFILES, logs, table

from rtt_lib.profile import REPOSITORY

PAGE = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """Column -> the other cells of its row."""
    found = [re.split(r"(?<!\\)\|", line.strip("|")) for line in PAGE.splitlines() if line.startswith("| `")]
    names = [cells[0].strip(" `") for cells in found]
    assert len(names) == len(set(names)), "each column once"
    return {name: [cell.strip() for cell in cells[1:]] for name, cells in zip(names, found, strict=True)}


@cache
def logged() -> set[str]:
    return {column for profile in PROFILES for *_, log in logs(profile) for column in log.columns}


def test_every_logged_column_is_explained():
    columns = logged()
    assert {"step", "verdict/aon", "credit/eos", "logps/chosen", "rtt/skipped_steps"} <= columns
    assert columns - set(rows()) == set()


def test_no_column_is_explained_that_nothing_logs():
    shapes = set(table("beyond_failures").columns) | {"steps half way"}
    scores = set(table("core_other_measures").columns) | {"all satisfied", "per constraint"}
    assert {name for name in rows() if name not in shapes | scores} == logged()
    assert (shapes | scores) - set(rows()) == {"world", "arm", "runs"}


def test_every_row_says_something_and_the_functions_exist():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "rtt_lib").rglob("*.py"))
    for name, cells in rows().items():
        assert all(cells), name
    named = {name for cells in rows().values() if len(cells) == 2 for name in re.findall(r"`(\w+)`", cells[1])}
    named |= {"combine", "evaluate"}
    assert len(named) >= 8
    for function in named:
        assert re.search(rf"^ *def {function}\(", source, re.MULTILINE), f"no function {function}"
        assert f"`{function}`" in PAGE
