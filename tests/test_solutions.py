"""The solutions of the exercises: one notebook each, one part for each exercise, and all of them run under `ci`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_notebooks import MAX_LINES_OF_CODE, PATHS, cells_of, functions_too_long, lines_of_code, text_of

from rtt_lib.profile import REPOSITORY
from rtt_lib.run.pipeline import NOTEBOOKS
from rtt_lib.run.state import discover

SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
PARAMETERS = 'profile_path = "../../params/micro.yaml"\nresults_dir = "../../results/lab"'
each_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)


def exercises(path: Path) -> str:
    """What stands under a notebook's heading Exercises."""
    return "\n".join(text_of(cell) for cell in cells_of(path, "markdown")).partition("## Exercises\n")[2]


def parameters_of(path: Path) -> list[str]:
    return [text_of(cell) for cell in cells_of(path, "code") if cell["metadata"].get("tags") == ["parameters"]]


def test_every_notebook_with_exercises_links_to_its_solutions():
    assert [path.name for path in SOLUTIONS] == [path.name for path in PATHS if exercises(path)]
    for path in PATHS:
        assert exercises(path).startswith(f"\nSolutions: [`solutions/{path.name}`](solutions/{path.name})."), path.name


def test_rtt_run_leaves_them_out():
    assert {notebook.path.parent for notebook in discover(NOTEBOOKS)} == {NOTEBOOKS}


@each_solution
def test_every_exercise_is_restated_and_solved(path):
    asked = re.findall(r"^(\d+)\. ", exercises(NOTEBOOKS / path.name), re.MULTILINE)
    headings = [text_of(cell) for cell in cells_of(path, "markdown") if text_of(cell).startswith("## Exercise ")]
    assert [re.match(r"## Exercise (\d+)\n\n\S", text)[1] for text in headings] == asked and asked
    kinds = [cell["cell_type"] for cell in cells_of(path)][3:]  # after the title, the parameters and the first cell
    assert re.fullmatch("(m(c+)m)+", "".join(kind[0] for kind in kinds)), "an exercise, its code, what is seen"


@each_solution
def test_it_is_stored_as_notebooks_are(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert parameters_of(path) == [PARAMETERS]
    for cell in cells_of(path, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
        assert lines_of_code(text_of(cell)) <= MAX_LINES_OF_CODE, cell["id"]
        assert functions_too_long(text_of(cell)) == [], cell["id"]


@pytest.mark.notebook
@pytest.mark.slow
@each_solution
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch, one_thread):
    """In this process, where the libraries are loaded once for all, with names of its own as in a new kernel."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in cells_of(path, "code"):
        given = f'profile_path, results_dir = "{REPOSITORY}/params/ci.yaml", "{tmp_path}"'
        text = given if text_of(cell) == PARAMETERS else text_of(cell)
        exec(compile(text, f"{path.name}, cell {cell['id']}", "exec"), names)
