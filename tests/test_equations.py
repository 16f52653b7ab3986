"""docs/equations.md names code and notebooks that exist."""

from __future__ import annotations

import importlib
import json
import re

from rtt_lib.profile import REPOSITORY

PAGE = (REPOSITORY / "docs" / "equations.md").read_text(encoding="utf-8")


def named(dotted: str) -> object:
    module, name = dotted.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def test_every_function_of_the_page_exists():
    found = re.findall(r"`(rtt_lib\.[\w.]+)`", PAGE)
    assert len(found) == 12 and all(callable(named(each)) for each in found)


def test_every_notebook_part_of_the_page_exists():
    """`06, step 3` is a heading that begins with `Step 3`, `05, part 1` one that begins with `1.`."""
    for number, kind, place in re.findall(r"\b(\d\d), (part|step) (\d)", PAGE):
        (path,) = (REPOSITORY / "notebooks").glob(f"{number}_*.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        heading = rf"^#+ {place}\. " if kind == "part" else rf"^#+ Step {place}: "
        assert re.search(heading, text, re.MULTILINE), f"notebook {number}, {kind} {place}"


def test_the_equations_are_all_there():
    rows = re.findall(r"^\| (\d+)(?: to (\d+))? \|", PAGE, re.MULTILINE)
    covered = [n for first, last in rows for n in range(int(first), int(last or first) + 1)]
    assert covered == list(range(1, 19))
