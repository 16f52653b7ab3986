"""Which notebook wrote what, and which have to run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_pipeline import write_notebook

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.run.state import State, discover, profile_digest, snapshot
from rtt_lib.studies.profiles import load_profile


def test_what_a_killed_attempt_wrote_belongs_to_the_notebook(tmp_path):
    state, table = State(tmp_path), tmp_path / "tables" / "slow.csv"
    (tmp_path / "tables").mkdir()
    state.start("01_first", "abc")
    table.write_text("x\n1\n")  # the attempt is killed here; the next one finds the file and leaves it
    state.start("01_first", "abc")
    state.finish("01_first", "abc", always=[])
    assert state.lack("01_first", "abc") is None
    table.write_text("x\n2\n")
    assert state.lack("01_first", "abc") == "tables/slow.csv was altered"
    assert state.lack("01_first", "abd") == "its inputs changed"


def test_forced_it_starts_from_nothing_that_a_killed_attempt_left(tmp_path):
    state, names = State(tmp_path), ("runs/x/log.csv", "runs/x/attempt/checkpoint-3/model", "runs/y/checkpoint-1/model")

    def put(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        return tmp_path / name

    earlier = put("runs/before/log.csv")
    state.start("02_second", "abc")
    state.start("01_first", "abc")
    other = put("runs/other/log.csv")
    state.finish("01_first", "abc", always=[])
    left = [put(name) for name in names]  # by an attempt at the second that is killed
    state.forget("01_first")
    assert all(path.is_file() for path in left) and not other.exists()
    state.start("01_first", "abc")
    other = put("runs/other/log.csv")
    state.finish("01_first", "abc", always=[])
    state.forget("02_second")
    assert not any(path.exists() for path in left) and earlier.is_file() and other.is_file()
    assert state.lack("01_first", "abc") is None and state.lack("02_second", "abc") == "not run yet"


def test_a_file_rewritten_by_a_later_notebook_changes_hands(tmp_path):
    state, table = State(tmp_path), tmp_path / "tables" / "shared.csv"
    (tmp_path / "tables").mkdir()
    for stem, text in (("01_first", "a\n"), ("02_second", "a\nb\n")):
        state.start(stem, "abc")
        table.write_text(text)
        state.finish(stem, "abc", always=[])
    assert state.lack("01_first", "abc") is None and state.lack("02_second", "abc") is None
    assert list(state.record_of("02_second")["outputs"]) == ["tables/shared.csv"]


def test_checkpoints_and_our_own_files_are_no_outputs(tmp_path):
    passing = ("runs/arm/checkpoint-3/model", "runs/arm/attempt/model", "runs/arm/timing.json", ".lock")
    for name in ("state/x.json", "timings.csv", "runs/arm/log.csv", *passing):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(snapshot(tmp_path)) == ["runs/arm/log.csv"]


def test_a_model_of_a_name_is_no_folder_of_that_name(write_profile, tmp_path, monkeypatch):
    """In results/ there is a folder `micro`. The path of a folder that a profile names is absolute once it is read."""
    monkeypatch.chdir(tmp_path)
    for name in ("micro", "mine"):
        write_text(tmp_path / name / "weights", "before")
    named = load_profile(write_profile())
    mine = load_profile(write_profile(), {"data.source": "composed", "policy.model": "mine", "experiments": "{}"})
    before = profile_digest(named), profile_digest(mine)
    for name in ("micro", "mine"):
        write_text(tmp_path / name / "weights", "after")
    assert profile_digest(named) == before[0] and profile_digest(mine) != before[1]


@pytest.mark.parametrize("record", ["{}", "[]", "{", '{"fingerprint": "abc", "outputs": [], "outcome": "x"}'])
def test_a_damaged_record_is_none(tmp_path, record):
    state = State(tmp_path)
    for name in ("01_first", "01_first.started"):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / f"{name}.json").write_text(record)
    assert state.lack("01_first", "abc") == "not run yet" and state.outcome("01_first") is None
    for stem in ("02_second", "01_first"):
        state.start(stem, "abc")
        state.finish(stem, "abc", always=[])
        assert state.lack(stem, "abc") is None
    (tmp_path / "state" / "01_first.json").write_text(record)
    state.forget("01_first")
    assert state.lack("01_first", "abc") == "not run yet"


@pytest.mark.parametrize("key", ["source", "metadata", "cell_type"])
def test_a_cell_that_is_none_is_named(tmp_path, key):
    path = write_notebook(tmp_path, "01_first", "", [])
    content = json.loads(path.read_text())
    del content["cells"][-1][key]
    path.write_text(json.dumps(content))
    with pytest.raises(RTTError, match=r"01_first\.ipynb: not a notebook that can be run \(cell 4: "):
        discover(tmp_path)


def test_dependencies_are_checked_and_default_to_everything_before(tmp_path):
    write_notebook(tmp_path, "01_first", "", None)
    write_notebook(tmp_path, "02_second", "", None)
    assert [found.needs for found in discover(tmp_path)] == [(), ("01_first",)]
    write_notebook(tmp_path, "01_first", "", ["02_second"])
    with pytest.raises(RTTError, match=r"rtt\.needs names '02_second', which is no notebook before it"):
        discover(tmp_path)
    with pytest.raises(RTTError, match="no notebooks named"):
        discover(tmp_path / "nothing")
