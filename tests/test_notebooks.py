"""The notebooks as sources: what every one of them promises its reader; and all of them run under `ci`."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from site_check import check_site

from rtt_lib.report.site import notebook_page
from rtt_lib.run.pipeline import NOTEBOOKS, REPOSITORY
from rtt_lib.run.state import discover
from rtt_lib.store import STORE

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
PARAMETERS = 'profile_path = "../params/micro.yaml"\nresults_dir = "../results/lab"'
MAX_LINES_OF_CODE = 15  # in a cell
MAX_LINES_IN_A_FUNCTION = 12
CELLS_BEFORE_THE_ANSWER = 6
ENOUGH_FOR_CONTENTS = 5  # headings
FIGURE_ARGUMENTS = 4  # the figure, its name, the results and what it shows
OPENING_CELLS = 3  # in which the question, the paper's section and the cost have to stand
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells_of(path: Path, kind: str | None = None) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if kind in (None, cell["cell_type"])]


def text_of(cell: dict) -> str:
    return "".join(cell["source"])


def lines_of_code(text: str) -> int:
    """Lines that hold code: neither blank nor only a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def plain_python(text: str) -> str:
    """The cell without IPython's magic lines, which Python cannot parse."""
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in text.splitlines())


def functions_too_long(text: str) -> list[str]:
    tree = ast.parse(plain_python(text))
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [node.name for node in functions if lines_of_code(ast.unparse(node)) > MAX_LINES_IN_A_FUNCTION]


def test_all_are_there_in_order():
    assert [path.stem for path in PATHS] == [
        *(
            "00_credit_lab",
            "01_rubric_data",
            "02_relevance_labels",
            "03_discriminator",
            "04_group_partitioning",
            "05_length_bias",
        ),
        *("06_rtt_grpo", "07_baselines_and_ablations", "08_benchmarks", "09_token_attribution"),
        *("10_released_code_audit", "11_beyond_the_paper", "12_serl", "13_conifer"),
    ]
    discover(NOTEBOOKS)  # their declared dependencies exist and come before them


@each_notebook
def test_outputs_are_stripped_and_every_cell_has_an_id(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"] >= 5) == (4, True)
    ids = [cell.get("id") for cell in content["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)
    for cell in cells_of(path, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
    assert set(content["metadata"]) <= {"kernelspec", "language_info", "rtt"}
    assert "needs" in content["metadata"]["rtt"]


@each_notebook
def test_one_parameters_cell_with_the_defaults(path):
    tagged = [cell for cell in cells_of(path, "code") if "parameters" in cell["metadata"].get("tags", [])]
    assert [text_of(cell) for cell in tagged] == [PARAMETERS]


@each_notebook
def test_it_opens_with_a_question_the_section_and_the_cost(path):
    opening = "\n".join(text_of(cell) for cell in cells_of(path)[:OPENING_CELLS] if cell["cell_type"] == "markdown")
    assert cells_of(path)[0]["cell_type"] == "markdown" and opening.startswith("# ")
    assert "?" in text_of(cells_of(path)[0]), "no question in the first cell"
    lowered = opening.lower()
    assert "section" in lowered or "§" in lowered or "appendix" in lowered, "no section of the paper"
    assert "ci" in lowered and "micro" in lowered, "no cost per profile"


@each_notebook
def test_its_answer_stands_at_the_top(path):
    """The lab has none: it is there to play with. Elsewhere what an answer needs may be trained before it."""
    top = [text_of(cell) for cell in cells_of(path)[:CELLS_BEFORE_THE_ANSWER]]
    assert path.stem == "00_credit_lab" or any(re.search(r"^answer\(", text, re.MULTILINE) for text in top)


@each_notebook
def test_a_long_notebook_lists_its_numbered_parts(path):
    texts = [text_of(cell) for cell in cells_of(path, "markdown")]
    headings = re.findall(r"^## (.+)$", "\n".join(texts), re.MULTILINE)
    numbered = [heading for heading in headings if re.match(r"\d+\. ", heading)]
    parts = numbered if len(headings) >= ENOUGH_FOR_CONTENTS else []
    listed = "\n".join(text for text in texts if "**Contents**" in text)
    assert re.findall(r"^\d+\. \[.+\](?=\(#)", listed, re.MULTILINE) == [
        f"{number}. [{heading.split(' ', 1)[1]}]" for number, heading in enumerate(parts, 1)
    ]
    body = notebook_page(path).body
    places = {html.unescape(place) for place in re.findall(r'<h\d id="([^"]*)"', body)}
    links = {unquote(html.unescape(link)) for link in re.findall(r'<li>(?:<p>)?<a href="#([^"]*)"', body)}
    assert links <= places and len(links) == len(parts)


@each_notebook
def test_it_ends_with_a_conclusion_and_an_exercise(path):
    ending = "\n".join(text_of(cell) for cell in cells_of(path, "markdown")[-2:]).lower()
    assert "exercise" in ending and "conclu" in ending


@each_notebook
def test_cells_are_short_and_call_the_library(path):
    for cell in cells_of(path, "code"):
        assert lines_of_code(text_of(cell)) <= MAX_LINES_OF_CODE, cell["id"]
        assert functions_too_long(text_of(cell)) == [], cell["id"]
    assert any("rtt_lib" in text_of(cell) for cell in cells_of(path, "code"))


@each_notebook
def test_every_figure_says_what_it_shows(path):
    """Under a name that the site can read in the cell's source."""
    for cell in cells_of(path, "code"):
        for node in ast.walk(ast.parse(plain_python(text_of(cell)))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("save_figure", "show_figure"):
                assert isinstance(node.args[1], ast.Constant), cell["id"]
                assert len(node.args) + len(node.keywords) == FIGURE_ARGUMENTS, cell["id"]


@each_notebook
def test_nothing_in_it_depends_on_the_size_of_the_run(path):
    """No profile is asked for by name: sizes differ in parameters alone."""
    for cell in cells_of(path, "code"):
        for node in ast.walk(ast.parse(plain_python(text_of(cell)))):
            if isinstance(node, ast.Compare):
                assert "profile.name" not in ast.unparse(node), cell["id"]


def test_the_lint_counts_as_it_says():
    assert lines_of_code("a = 1\n\n# a comment\nb = 2  # counted\n") == 2
    long = "def f():\n" + "    x = 1\n" * MAX_LINES_IN_A_FUNCTION
    assert functions_too_long(long) == ["f"] and functions_too_long("def g():\n    return 1") == []
    assert plain_python("%matplotlib inline\nx = 1") == "pass\nx = 1"


PUBLISHED = ("profile.yaml", "manifest.json", "claims.md", "runs.jsonl.gz", "curves.csv.xz")
OF_POLICIES = {"credit_early_and_late"}  # of trained policies, which are not published
READ_RUNS = "07"  # this notebook and those it needs read most of the runs


@pytest.mark.notebook
@pytest.mark.slow
def test_rtt_run_ci_end_to_end_and_rtt_site_from_what_is_published(tmp_path):
    """Every notebook under `ci`; the same command again finds nothing to do; then, from the records alone, one that
    reads most, and what it needs."""
    results, command = tmp_path / "ci", [sys.executable, "-m", "rtt_lib"]
    store, other_store = tmp_path / "store", tmp_path / "other store"
    done = rtt([*command, "run", "ci", "--results", str(results)], store)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.stem for path in (results / "notebooks").glob("*.ipynb")} == {path.stem for path in PATHS}
    assert (results / "manifest.json").is_file() and list((results / "tables").glob("*.csv"))
    assert check_site(results) == []
    again = rtt([*command, "run", "ci", "--results", str(results)], store)
    assert again.stdout.count("done and unchanged, skipped") == len(PATHS), again.stdout

    clone = tmp_path / "clone"
    clone.mkdir()
    for name in PUBLISHED:
        shutil.copy(results / name, clone / name)
    shutil.copytree(store, other_store, ignore=shutil.ignore_patterns("runs"))
    rebuilt = rtt([*command, "site", str(clone), "--only", READ_RUNS], other_store)
    assert rebuilt.returncode == 0, rebuilt.stderr[-3000:]
    assert check_site(clone) == [] and not (other_store / "runs").exists(), "nothing is trained"
    found = {path.stem[:2] for path in (clone / "notebooks").glob("*.ipynb")}
    assert found == {"02", "03", "06", "07"}
    tables = {path.name for path in (clone / "tables").glob("*.csv")}
    assert {"core_arms.csv", "table_1.csv"} <= tables
    for name in tables - {f"{stem}.csv" for stem in OF_POLICIES}:
        assert (clone / "tables" / name).read_bytes() == (results / "tables" / name).read_bytes(), name
    assert (clone / "manifest.json").read_bytes() == (results / "manifest.json").read_bytes()
    assert (clone / "claims.md").read_bytes() == (results / "claims.md").read_bytes()


def rtt(command: list[str], store: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {STORE: str(store)}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1200)
