"""What was marked in saved rollouts, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.analysis import marks
from rtt_lib.files import write_jsonl

NO_COMMAS = {"text": "No commas.", "verifier": "composed:no_commas", "args": {}}
KEYWORD = {"text": 'Use "owl".', "verifier": "composed:keywords", "args": {"words": ["owl"]}}
# "Hi, owl" and its end: two criteria, of which the first is violated by token 1 and the second satisfied by token 2.
GOOD = {
    "prompt": "Write.",
    "response": "Hi, owl",
    "offsets": [[0, 2], [2, 3], [3, 7], [7, 7]],
    "criteria": [NO_COMMAS, KEYWORD],
    "relevance": [[0.6, 0.9, 0.1, 0.0], [0.0, 0.0, 0.49, 0.0]],
}
# Neither a comma nor an owl: nothing is relevant, and one token is marked for the owl.
OTHER = GOOD | {"response": "Hi", "offsets": [[0, 2], [2, 2]], "relevance": [[0.0, 0.0], [0.5, 0.0]]}


@pytest.fixture
def results(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    write_jsonl(folder / "rollouts" / "RTT-CSR" / "A0" / "step_00060.jsonl.gz", [GOOD, OTHER, OTHER])
    monkeypatch.setattr(marks, "RESULTS", tmp_path)
    return folder


def test_marks_are_compared_with_the_rule(results):
    found = marks.table(marks.cases(results)).set_index(["arm", "seed", "step", "scope", "satisfied"])
    found = found.loc["RTT-CSR", "A0", 60]
    assert found.columns.tolist() == ["cases", "tokens", "relevant", "marked", "right", "touched"]
    assert found.loc[("local, negative", False)].tolist() == [1, 4, 1, 2, 1, 1]
    assert found.loc[("local, negative", True)].tolist() == [2, 2, 0, 0, 0, 0]
    assert found.loc[("local, positive", True)].tolist() == [1, 4, 1, 0, 0, 0], "0.49 is rounded down"
    assert found.loc[("local, positive", False)].tolist() == [2, 2, 0, 1, 0, 1], "0.5 is rounded up"


def test_the_verdict_rules_marks_out(results):
    kept = GOOD | {"relevance": [[0.6, 0.9, 0.1, 0.0], [0.0, 0.0, 0.5, 0.5]]}
    write_jsonl(results / "rollouts" / "RTT-CSR" / "A0" / "step_00060.jsonl.gz", [kept, OTHER])
    found = marks.by_verdict(marks.cases(results)).set_index("scope").drop(columns=["arm", "seed", "step"])
    assert found.columns.tolist() == ["cases", "precision", "recall", "precision by verdict"]
    assert found.loc["local, negative"].tolist() == [2, 1 / 2, 1, 1 / 2], "the comma is there, so its marks stay"
    assert found.loc["local, positive"].tolist() == [2, 1 / 3, 1, 1 / 2], "no owl in the second: its mark goes"


def test_examples_name_the_marked_words(results):
    found = marks.cases(results)
    words = ["criterion", "words marked", "words relevant"]
    assert marks.examples(found)[words].values.tolist() == [
        ["No commas.", "Hi|,", ","],
        ['Use "owl".', "Hi", ""],
        ['Use "owl".', "Hi", ""],
    ]
    assert len(marks.examples(found, each=1)) == 1, "of all failures the first; where a criterion holds, no mark"


def test_what_no_rule_decides_is_left_out(results):
    soft = GOOD | {"criteria": [{"text": "Be kind."}], "relevance": [[1.0, 1.0, 1.0, 1.0]]}
    write_jsonl(results / "rollouts" / "RTT-CSR" / "A0" / "step_00060.jsonl.gz", [GOOD, soft])
    assert len(marks.cases(results)) == 2


def test_the_command_writes_the_table(results, capsys):
    assert marks.main(["toy"]) == 0
    assert len(pd.read_csv(results / "tables" / "rollout_marks.csv")) == 4
    assert "local, positive" in capsys.readouterr().out
    assert marks.main(["nothing"]) == 2
    assert "no rollouts there" in capsys.readouterr().err
