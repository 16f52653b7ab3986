"""What runs left, as tables: from the store, and from the small form in which a profile's runs are published."""

from __future__ import annotations

import pandas as pd
import pytest
from test_execute import SPEC, of

from rtt_lib.files import read_jsonl, write_jsonl
from rtt_lib.studies import records
from rtt_lib.studies.execute import run_all
from rtt_lib.studies.records import collect_responses, curves_table, publish, results_table


def test_tables_of_nothing_have_their_columns(empty_store, tmp_path):
    assert list(results_table([SPEC], tmp_path)) == ["arm", "world", "seed"]
    assert list(curves_table([SPEC], tmp_path)) == ["arm", "world", "seed", "step"]


@pytest.mark.slow
def test_published_runs_read_as_those_of_the_store(empty_store, tmp_path, monkeypatch):
    specs = [of("base"), of("RL-CSR", steps=2), of(steps=2)]
    list(run_all(specs, tmp_path, workers=1))
    scores, curves = results_table(specs, tmp_path), curves_table(specs, tmp_path)
    publish(specs, tmp_path)
    monkeypatch.setenv(records.RECORDS_ONLY, "1")
    monkeypatch.setenv("RTT_STORE", str(tmp_path / "another store"))
    pd.testing.assert_frame_equal(results_table(specs, tmp_path), scores)
    pd.testing.assert_frame_equal(curves_table(specs, tmp_path)[list(curves)], curves, check_dtype=False)
    assert list(run_all([*specs, of(seed="A9")], tmp_path, workers=1)) == specs, "nothing is trained"
    alone = curves_table(specs[1:2], tmp_path)
    assert not [name for name in alone if name.startswith("credit/a_tok")], "columns that RL does not have"
    assert not (tmp_path / "another store").exists()


def test_responses_are_copied_and_left_alone_when_the_same(empty_store, tmp_path):
    rows = [{"id": "1", "prompt": "p", "response": "r"}]
    write_jsonl(SPEC.evaluation / "responses" / "benchmarks" / "ifeval.jsonl", rows)
    collect_responses(SPEC, tmp_path)
    out = tmp_path / "responses" / "RTT-CSR oracle" / "A0" / "ifeval.jsonl.gz"
    assert [row for _, row in read_jsonl(out)] == rows
    before = out.stat().st_mtime_ns
    collect_responses(SPEC, tmp_path)
    assert out.stat().st_mtime_ns == before
    write_jsonl(SPEC.evaluation / "responses" / "benchmarks" / "ifeval.jsonl", [*rows, *rows])
    collect_responses(SPEC, tmp_path)
    assert len(list(read_jsonl(out))) == 2
