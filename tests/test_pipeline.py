"""The pipeline on tiny notebooks: what is redone, what survives a kill, what a failure says."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import tree_digest
from rtt_lib.run import manifest, pipeline
from rtt_lib.run.state import profile_digest
from rtt_lib.studies.profiles import load_profile

PROFILE = """\
name: tiny
about: Three notebooks that count.
data: {source: micro}
policy: {model: micro, pretrain_steps: 1}
discriminator: {model: micro}
rl: {steps: 2}
"""
PARAMETERS = 'profile_path = "../params/ci.yaml"\nresults_dir = "../results/ci"'
# Each leaves a line outside the results folder whenever it runs, so that a test can count the runs.
OPEN = """\
import os, sys
from pathlib import Path
from rtt_lib.files import write_text
from rtt_lib.studies.profiles import load_profile
profile, tables = load_profile(profile_path), Path(results_dir) / "tables"
with open(os.environ["RTT_TEST_LOG"], "a") as log:
    print("{stem}", file=log)"""
WORK = {
    "01_first": 'write_text(tables / "first.csv", f"steps\\n{profile.rl.steps}\\n")',
    "02_second": 'write_text(tables / "second.csv", (tables / "first.csv").read_text() * 2)',
    "03_third": "print('alone')",
}
NEEDS = {"01_first": [], "02_second": ["01_first"], "03_third": []}


def write_notebook(folder: Path, stem: str, work: str, needs: list[str] | None) -> Path:
    cells = [
        nbformat.v4.new_markdown_cell(f"# {stem}\nDoes it run?", id="question"),
        nbformat.v4.new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(OPEN.replace("{stem}", stem), id="open"),
        nbformat.v4.new_code_cell(work, id="work"),
    ]
    content = nbformat.v4.new_notebook(cells=cells)
    if needs is not None:
        content.metadata["rtt"] = {"needs": needs}
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, folder / f"{stem}.ipynb")
    return folder / f"{stem}.ipynb"


class House:
    """A notebooks folder, a profile and a log of which notebooks ran."""

    def __init__(self, root: Path, stems: list[str]) -> None:
        self.root, self.notebooks, self.results = root, root / "notebooks", root / "results"
        self.profile_path, self.log = root / "tiny.yaml", root / "log"
        root.mkdir(exist_ok=True)
        self.profile_path.write_text(PROFILE)
        for stem in stems:
            write_notebook(self.notebooks, stem, WORK[stem], NEEDS[stem])

    def run(self, overrides: dict[str, str] | None = None, **options) -> list[str]:
        """Run the pipeline; returns the notebooks that ran."""
        self.log.write_text("")
        profile = load_profile(self.profile_path, overrides or {})
        pipeline.run(profile, self.results, self.notebooks, **options)
        return self.log.read_text().split()

    def command(self, repository: Path = pipeline.REPOSITORY) -> subprocess.Popen:
        words = ["run", str(self.profile_path), "--notebooks", str(self.notebooks), "--results", str(self.results)]
        environment = os.environ | {"RTT_TEST_LOG": str(self.log), "PYTHONPATH": str(repository)}
        return subprocess.Popen(
            [sys.executable, "-m", "rtt_lib", *words],
            env=environment,
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def house(tmp_path, monkeypatch):
    def build(*stems: str) -> House:
        house = House(tmp_path, list(stems))
        monkeypatch.setenv("RTT_TEST_LOG", str(house.log))
        # Somebody may be editing the library while the tests run.
        monkeypatch.setattr(pipeline, "tree_digest", lambda folder: "library")
        return house

    return build


@pytest.mark.slow
def test_only_what_changed_is_redone(house):
    it = house("01_first", "02_second", "03_third")
    assert it.run() == ["01_first", "02_second", "03_third"]
    assert (it.results / "tables" / "second.csv").read_text() == "steps\n2\nsteps\n2\n"
    assert it.run() == []
    # An output that is gone: only the notebook that made it, since what it makes is the same again.
    (it.results / "tables" / "first.csv").unlink()
    assert it.run() == ["01_first"]
    # A source that changes its outputs: that notebook and the one that needs it.
    write_notebook(it.notebooks, "01_first", WORK["01_first"].replace("steps", "count", 1), [])
    assert it.run() == ["01_first", "02_second"]
    assert (it.results / "tables" / "second.csv").read_text() == "count\n2\ncount\n2\n"
    # A parameter: all of them, and the new value arrives.
    assert it.run({"rl.steps": "3"}) == ["01_first", "02_second", "03_third"]
    assert (it.results / "tables" / "first.csv").read_text() == "count\n3\n"


def test_a_change_in_profile_data_or_library_is_a_change_of_inputs(tmp_path):
    data = tmp_path / "prompts.jsonl"
    data.write_text("{}")
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    profile = load_profile(tmp_path / "tiny.yaml")
    local = replace(profile, data=replace(profile.data, path=str(data)))
    first = profile_digest(local)
    assert profile_digest(local) == first != profile_digest(profile)
    data.write_text('{"x": 1}')
    assert profile_digest(local) != first
    (tmp_path / "package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "package" / "template.txt").write_text("a")
    first = tree_digest(tmp_path / "package")
    (tmp_path / "package" / "__pycache__" / "x.pyc").write_text("compiled")
    assert tree_digest(tmp_path / "package") == first
    (tmp_path / "package" / "template.txt").write_text("b")
    assert tree_digest(tmp_path / "package") != first


@pytest.mark.parametrize("name", ["mine", "mine-greedy"])
def test_a_discriminator_trained_anew_is_a_change_of_inputs(empty_store, tmp_path, name):
    changed = {"data.source": "composed", "policy.model": "m", "discriminator.model": "owner/mine"}
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    profile = load_profile(tmp_path / "tiny.yaml", changed)
    weights = empty_store / "discriminators" / name / "model.safetensors"
    weights.parent.mkdir(parents=True)
    seen = [pipeline.inputs_of(profile)]
    for content in ("first", "second"):
        weights.write_text(content)
        seen.append(pipeline.inputs_of(profile))
    assert seen[0] != seen[1] != seen[2] and pipeline.inputs_of(profile) == seen[2]


def test_a_benchmark_of_a_folder_that_changes_is_a_change_of_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    rows = tmp_path / "benchmarks" / "followbench" / "content_constraints.json"
    rows.parent.mkdir(parents=True)
    profile, seen = load_profile("smol-ten", {"evaluation.benchmarks": "[followbench]"}), []
    for content in ("[]", "[{}]", "[]"):
        rows.write_text(content)
        seen.append(pipeline.inputs_of(profile)["benchmarks"])
    assert seen[0] == seen[2] != seen[1]


def test_only_brings_what_it_needs_and_force_redoes_only_that(house):
    it = house("01_first", "02_second", "03_third")
    assert it.run(only=["02"]) == ["01_first", "02_second"]
    assert it.run(only=["02_second"], force=True) == ["02_second"]
    with pytest.raises(RTTError, match="--only 09: no such notebook; there are 01_first"):
        it.run(only=["09"])


def test_source_notebooks_and_the_results_of_another_profile_are_not_overwritten(house):
    it = house("01_first")
    before = (it.notebooks / "01_first.ipynb").read_bytes()
    with pytest.raises(RTTError, match=r"would overwrite their sources in .*notebooks: name another folder"):
        pipeline.run(load_profile(it.profile_path), it.root, it.notebooks)
    with pytest.raises(RTTError, match="would overwrite their sources"):
        pipeline.check_place(load_profile("ci"), pipeline.REPOSITORY, it.notebooks)
    assert (it.notebooks / "01_first.ipynb").read_bytes() == before
    it.run()
    with pytest.raises(RTTError, match=r"profile\.yaml: these are the results of profile tiny, not of other"):
        it.run({"name": "other"})
    (it.results / "profile.yaml").write_text("[")
    with pytest.raises(RTTError, match=r"profile\.yaml: not a profile: remove it"):
        it.run()
    assert it.log.read_text() == ""


def test_a_table_no_longer_made_is_removed(house):
    it = house("01_first")
    it.run()
    write_notebook(it.notebooks, "01_first", WORK["01_first"].replace("first.csv", "renamed.csv"), [])
    it.run()
    assert [path.name for path in (it.results / "tables").iterdir()] == ["renamed.csv"]


@pytest.mark.slow
def test_in_a_clone_a_table_no_longer_made_is_removed_too(house):
    it = house("01_first", "03_third")
    it.run()
    shutil.rmtree(it.results / "state")  # not published
    stale = [it.results / name for name in ("tables/stale.csv", "figures/stale.png")]
    kept = it.results / "runs" / "x" / "log.csv"
    for path in (*stale, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    it.run(only=["03"])
    assert all(path.exists() for path in stale), "the other notebooks' tables are all that a part of them has"
    shutil.rmtree(it.results / "state")
    assert it.run() == ["01_first", "03_third"]
    assert not any(path.exists() for path in stale) and kept.exists()
    assert (it.results / "tables" / "first.csv").is_file()


def test_tables_in_a_folder_that_is_not_ours_stay(house):
    it = house("03_third")
    (it.results / "tables").mkdir(parents=True)
    (it.results / "tables" / "mine.csv").write_text("x")
    it.run()
    assert (it.results / "tables" / "mine.csv").exists()


DRAW = """\
import matplotlib.pyplot as plt
from rtt_lib.run.notebook import open_notebook, progress
from rtt_lib.report.theme import save_figure
profile, results = open_notebook(profile_path, results_dir)
fig, axis = plt.subplots()
for step in progress(range(3), "drawing"):
    axis.plot([1, 2, step])
    print("a line")
save_figure(fig, "line", results)"""


@pytest.mark.slow
def test_executed_notebooks_are_the_same_twice(house):
    it = house("01_first")
    write_notebook(it.notebooks, "02_second", DRAW, [])
    it.run()
    stable = [path for folder in ("notebooks", "tables", "figures", "site") for path in (it.results / folder).iterdir()]
    stable += [it.results / name for name in ("index.html", "manifest.json", "profile.yaml")]
    before = {path: path.read_bytes() for path in stable}
    it.run(force=True)
    assert {path: path.read_bytes() for path in stable} == before
    assert {"line.png", "line.svg", "02_second.html", "first.csv"} <= {path.name for path in stable}
    rows = (it.results / "timings.csv").read_text().splitlines()
    assert rows[0] == "notebook,seconds" and [row.split(",")[0] for row in rows[1:]] == ["01_first", "02_second"]


def test_an_executed_copy_names_its_profile_and_results_from_its_own_folder(house):
    it = house("01_first")
    it.run()
    copy = it.results / "notebooks" / "01_first.ipynb"
    cells = json.loads(copy.read_text())["cells"]
    (injected,) = ["".join(c["source"]) for c in cells if "injected-parameters" in c["metadata"].get("tags", [])]
    named = dict(re.findall(r'^(\w+) = "(.*)"$', injected, re.MULTILINE))
    assert (copy.parent / named["profile_path"]).resolve() == it.results.resolve() / "profile.yaml"
    assert (copy.parent / named["results_dir"]).resolve() == it.results.resolve()


def test_the_kernel_is_this_interpreter(house, monkeypatch, tmp_path):
    """A `python3` kernel that the user installed elsewhere is not taken."""
    broken = tmp_path / "jupyter" / "kernels" / "python3"
    broken.mkdir(parents=True)
    (broken / "kernel.json").write_text('{"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    it = house("03_third")
    work = "print(sys.executable)\nprint(os.environ['OMP_NUM_THREADS'], os.environ['PYTHONHASHSEED'])"
    write_notebook(it.notebooks, "03_third", work, [])
    it.run()
    cells = json.loads((it.results / "notebooks" / "03_third.ipynb").read_text())["cells"]
    assert "".join(cells[-1]["outputs"][0]["text"]).split() == [sys.executable, "1", "0"]


def test_a_failure_names_the_cell_and_keeps_the_partial_output(house):
    it = house("01_first", "03_third")
    write_notebook(it.notebooks, "01_first", "print('so far')\n1 / 0", [])
    with pytest.raises(pipeline.NotebookFailed) as failure:
        it.run()
    assert "01_first: cell 4 (In [4]) failed: ZeroDivisionError: division by zero" in str(failure.value)
    kept = it.results / "notebooks" / "01_first.failed.ipynb"
    assert str(kept) in str(failure.value) and "so far" in kept.read_text()
    assert not (it.results / "notebooks" / "01_first.ipynb").exists() and it.log.read_text().split() == ["01_first"]
    write_notebook(it.notebooks, "01_first", WORK["01_first"], [])
    assert it.run() == ["01_first", "03_third"] and not kept.exists()


def test_a_kernel_that_dies_is_a_failure_too(house):
    it = house("01_first")
    write_notebook(it.notebooks, "01_first", "os._exit(9)", [])
    with pytest.raises(pipeline.NotebookFailed, match="01_first: the kernel died"):
        it.run()


def test_so_is_one_that_does_not_start(house, monkeypatch):
    it = house("01_first")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(pipeline.NotebookFailed, match=r"01_first: its kernel did not start \(.*\): does `.*false -m"):
        it.run()


def test_a_folder_that_jupyterlab_left_is_no_hindrance(house):
    it = house("01_first")
    (it.results / "notebooks" / ".ipynb_checkpoints").mkdir(parents=True)
    assert it.run() == ["01_first"]


@pytest.mark.slow
def test_a_second_run_is_refused(house):
    it = house("03_third")
    with pipeline.locked(it.results):
        done = it.command()
        _, message = done.communicate(timeout=60)
    assert done.returncode == 2 and f"process {os.getpid()} is running this profile" in message
    assert "Traceback" not in message and it.run() == ["03_third"]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_tables(tmp_path):
    """SIGKILL at three moments of a run, each time the same command again, and nothing finished is done again."""
    unused = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(pipeline.REPOSITORY / "rtt_lib", tmp_path / "rtt_lib", ignore=unused)  # nobody edits this copy
    calm, stormy = (House(tmp_path / name, ["01_first", "02_second"]) for name in ("calm", "stormy"))
    began = time.monotonic()
    process = calm.command(tmp_path)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 0, message
    length = time.monotonic() - began
    moments, said = random.Random(7), ""
    for attempt in range(4):
        process = stormy.command(tmp_path)
        try:
            output, message = process.communicate(timeout=120 if attempt == 3 else moments.uniform(0.3, 0.9) * length)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            output, message = process.communicate()
        said += output
    assert process.returncode == 0, message
    expected = {path.name: path.read_bytes() for path in (calm.results / "tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (stormy.results / "tables").iterdir()} == expected
    for stem in ("01_first", "02_second"):
        _, _, later = said.partition(f"{stem}: finished")
        assert f"{stem}: running" not in later, said


def test_the_manifest_is_of_the_start_of_the_run_that_made_something(house, commit_during):
    it = house("01_first")
    commit_during(manifest, pipeline, "execute")
    for _ in range(2):  # the second time there is nothing to do
        it.run()
        assert json.loads((it.results / "manifest.json").read_text())["git"]["commit"] == "a"


def test_a_profile_asks_for_everything_from_scratch():
    settings = [pipeline._settings(load_profile("ci", {"compute.shipped": yes})) for yes in ("true", "false")]
    assert [store.FROM_SCRATCH in found for found in settings] == [False, True]
