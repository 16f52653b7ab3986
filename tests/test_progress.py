"""A progress bar: in the cell under Jupyter, beside it under `rtt run`."""

from __future__ import annotations

from rtt_lib.progress import PROGRESS_FILE
from rtt_lib.run.notebook import progress


def test_progress_hands_on_every_item_and_reports_beside_the_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress"))
    assert list(progress("abc", "letters")) == ["a", "b", "c"]
    assert (tmp_path / "progress").read_text() == "3\t3\tletters"
    assert list(progress(iter([1, 2]), "unknown length")) == [1, 2]
    assert capsys.readouterr() == ("", "") and [path.name for path in tmp_path.iterdir()] == ["progress"]


def test_progress_is_a_bar_in_jupyter(monkeypatch, capsys):
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    assert list(progress([1, 2], "steps")) == [1, 2]
    assert "steps: 100%" in capsys.readouterr().err
