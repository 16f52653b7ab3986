"""The table of findings in docs/english.md."""

from __future__ import annotations

import pandas as pd

from rtt_lib.report import findings
from rtt_lib.report.readme import between
from rtt_lib.studies.records import RECORDS_ONLY


def test_profiles_stand_side_by_side():
    columns = ["finding", "statement", "verdict", "measured"]
    one = pd.DataFrame([("lead", "RTT leads", "partly", "L +1 | M +2")], columns=columns)
    two = pd.DataFrame([("lead", "RTT leads", "replicates", "english +3")], columns=columns)
    assert findings.side_by_side({"micro": one, "english": two}).splitlines() == [
        "| finding | `micro` | `english` |",
        "| --- | --- | --- |",
        "| RTT leads | **partly**: L +1 / M +2 | **replicates**: english +3 |",
    ]


def test_the_page_has_what_the_command_makes(monkeypatch, tmp_path):
    page = tmp_path / "english.md"
    committed = findings.PAGE.read_text(encoding="utf-8")
    page.write_text(between(committed, findings.BEGIN, findings.END, "old\n", "english.md"), encoding="utf-8")
    monkeypatch.setattr(findings, "PAGE", page)
    monkeypatch.setenv(RECORDS_ONLY, "1")  # which the command sets: it is unset again after this test
    findings.main()
    assert page.read_text(encoding="utf-8") == committed, "run python -m rtt_lib.report.findings"
    assert "RTT-AON - RL-AON, first quarter (points): L +9.0 [" in committed
