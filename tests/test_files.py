"""Files are read as they were written, and a kill leaves the old one or the new one."""

from __future__ import annotations

import gzip
import os

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import (
    last_checkpoint,
    plain,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
    write_text,
)

ROWS = [{"text": "é\n\u2028", "n": 1}, {"list": [1, None, {"a": True}]}]


def test_what_was_written_is_read(tmp_path):
    path = write_json(tmp_path / "new" / "folder" / "x.json", {"b": (1, 2), "a": "é"})
    assert path.read_text() == '{\n  "a": "é",\n  "b": [\n    1,\n    2\n  ]\n}\n'
    assert read_json(path) == plain({"b": (1, 2), "a": "é"}) == {"b": [1, 2], "a": "é"}
    for name in ("x.jsonl", "x.jsonl.gz"):
        path = write_jsonl(tmp_path / name, ROWS)
        assert list(read_jsonl(path)) == [(1, ROWS[0]), (2, ROWS[1])]
    assert gzip.decompress(path.read_bytes()) == (tmp_path / "x.jsonl").read_bytes()
    assert path.read_bytes()[4:8] == bytes(4), "no time is written down: the same rows are the same bytes"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        write_text(tmp_path / "x", "a folder is there")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_result_is_as_readable_as_any_file_of_the_user(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_text(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1}\n\n{"a": ', r"x\.jsonl:3: not valid JSON"),
        ("[1]", r"x\.jsonl:1: expected a JSON object, found list"),
        ('{"a": 1, "b": 2, "a": 3}', r"x\.jsonl:1: .*the field 'a' is there twice"),
        ("[" * 100_000, r"x\.jsonl:1: not valid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, says):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(RTTError, match=says):
        list(read_jsonl(tmp_path / "x.jsonl"))


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-9])
    (tmp_path / "none.jsonl.gz").write_bytes(b'{"a": 1}\n')
    with pytest.raises(RTTError, match=r"bad\.json: not valid JSON"):
        read_json(tmp_path / "bad.json")
    for name in ("cut.jsonl.gz", "none.jsonl.gz", "nowhere.jsonl"):
        with pytest.raises(RTTError, match=f"{name}: cannot be read"):
            list(read_jsonl(tmp_path / name))


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step, state in ((8, "{}"), (10, "{}"), (12, '{"global_st'), (14, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
