"""Tables as CSV and as Markdown."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.report.site import read_table
from rtt_lib.tables import markdown_table, save_table


def test_saved_tables_are_csv_and_markdown(tmp_path):
    frame = pd.DataFrame({"arm": ["RL|AON", "RTT"], "accuracy": [0.12345678, float("nan")], "n": [3, 4]})
    save_table(frame, "arms", tmp_path, digits=2)
    assert (tmp_path / "tables" / "arms.csv").read_text() == "arm,accuracy,n\nRL|AON,0.12345678,3\nRTT,,4\n"
    assert (tmp_path / "tables" / "arms.md").read_text() == (
        "| arm | accuracy | n |\n| --- | ---: | ---: |\n| RL\\|AON | 0.12 | 3 |\n| RTT | - | 4 |\n"
    )
    table = read_table(tmp_path / "tables" / "arms.csv")
    assert table.rows == [["RL|AON", "0.1235", "3"], ["RTT", "", "4"]] and table.numeric == [False, True, True]


def test_a_named_index_becomes_columns_and_a_plain_one_is_left_out():
    frame = pd.DataFrame({"arm": ["a", "a", "b"], "x": [1.0, 3.0, 5.0]})
    saved = markdown_table(frame.groupby("arm").mean().reset_index(), digits=1)
    assert saved == "| arm | x |\n| --- | ---: |\n| a | 2.0 |\n| b | 5.0 |\n"


def test_a_name_with_a_folder_is_refused(tmp_path):
    with pytest.raises(RTTError, match="plain file name"):
        save_table(pd.DataFrame({"x": [1]}), "../x", tmp_path)
