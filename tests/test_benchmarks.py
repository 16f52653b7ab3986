"""Benchmark tables: accuracies and intervals worked by hand, and the published table's arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from rtt_lib.analysis.benchmarks import (
    beside_the_paper,
    graded_table,
    micro_sentence,
    micro_table,
    stored_responses,
    stored_sentence,
)
from rtt_lib.analysis.published import table1
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.errors import RTTError
from rtt_lib.report.benchmarks import micro_figure
from rtt_lib.studies.profiles import load_profile

# --- stored responses ---

DATA = [
    {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": 2,
        "prompt": "Quote it without commas.",
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    },
]


def store(results: Path, arm: str, seed: str, answers: list[list[str]], name: str = "ifeval") -> None:
    path = results / "responses" / arm / seed / f"{name}.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        {"prompt": row["prompt"], "response": text} for row, texts in zip(DATA, answers, strict=True) for text in texts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path) -> dict[str, Path]:
    path = tmp_path / "ifeval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in DATA))
    return {"ifeval": path}


def test_graded_table_by_hand(tmp_path, data):
    store(tmp_path, "base", "A0", [["one, two", "one"], ["one, two", 'Sure:\n"one"']])
    store(tmp_path, "RTT-AON", "A1", [["one", "two"], ['"one"', '"one, two"']])
    graded = graded_table(tmp_path, data)
    assert set(graded["reading"]) == {"strict", "loose"} and len(graded) == 8
    found = graded.set_index(["arm", "reading", "level"]).sort_index()
    assert found.loc[("base", "strict", "prompt"), "accuracy"] == pytest.approx(1 / 4)
    assert found.loc[("base", "strict", "instruction"), "accuracy"] == pytest.approx(2 / 6)
    assert found.loc[("base", "loose", "prompt"), "accuracy"] == pytest.approx(2 / 4)  # without the first line: quoted
    assert found.loc[("RTT-AON", "strict", "prompt"), "accuracy"] == pytest.approx(3 / 4)
    assert found.loc[("RTT-AON", "strict", "instruction"), "gain"] == pytest.approx(3 / 6)  # 5 of 6 against 2
    assert found.loc["base", "gain"].isna().all() and (found["undecided"] == 0).all()
    assert (found["completions"] == 2).all() and (found["prompts"] == 2).all()
    low, high = found.loc[("RTT-AON", "strict", "prompt"), ["low", "high"]]
    assert low < 0.75 <= high
    sentence = stored_sentence(graded)
    assert sentence.startswith("2 policies on IFEval; at most 0 verdicts") and "of 1 differences" in sentence


def test_responses_left_out_are_counted(tmp_path, data, monkeypatch):
    store(tmp_path, "base", "A0", [["one, two", "one"], ["one, two", '"one"']])
    graded = [{"key": 1, "strict": row, "loose": row} for row in ([None], [True], [None, None], [True, False])]
    rows = iter(graded)
    monkeypatch.setattr("rtt_lib.bench.scores.grade_instructions", lambda answer, reasons: next(rows))
    table = graded_table(tmp_path, data)
    undecided = table.set_index(["reading", "level"])["undecided"]
    assert undecided["strict"].to_dict() == {"prompt": 2, "instruction": 3}
    said = (
        "at most 3 verdicts undecided under one reading, which leaves 2 responses out of the accuracies over prompts."
    )
    assert said in stored_sentence(table)


def test_ours_stand_above_the_papers_rows(tmp_path, data):
    store(tmp_path, "base", "A0", [["one"], ['"one"']])
    frame = beside_the_paper(graded_table(tmp_path, data))
    assert list(frame.iloc[0, :3]) == ["ours", "base A0", "100.0 [100.0, 100.0]"]
    assert frame.iloc[0]["MulDimIF Acc"] != frame.iloc[0]["MulDimIF Acc"]  # not run: unknown, no zero
    assert len(frame) == 1 + len(table1())
    assert frame.iloc[1]["IFEval Prompt"] == f"{table1().iloc[0]['IFEval Prompt']:.2f}"


def test_nothing_stored_gives_empty_tables(tmp_path):
    assert stored_responses(tmp_path) == [] and graded_table(tmp_path, {}).empty
    assert stored_sentence(graded_table(tmp_path, {})).startswith("No stored responses in this profile")
    assert len(beside_the_paper(graded_table(tmp_path, {}))) == len(table1())


def test_what_cannot_be_graded_is_named(tmp_path, data):
    store(tmp_path, "base", "A0", [["one"], ["two"]])
    with pytest.raises(RTTError, match=r"ifeval\.jsonl: its file is neither in data\.path .* the hub does not answer"):
        graded_table(tmp_path, {})
    assert graded_table(tmp_path, {}, runs={("base", "A1")}).empty, "of no run that is looked at"
    store(tmp_path, "base", "A1", [["one"], ["two"]], name="gsm8k")
    with pytest.raises(RTTError, match="must be a benchmark's"):
        graded_table(tmp_path, data)


def test_benchmark_files_are_found_by_the_variable(tmp_path, data, monkeypatch):
    profile = load_profile("ci")
    monkeypatch.delenv("RTT_TEST_DATA", raising=False)
    assert benchmark_files(profile) == {}
    (tmp_path / "benchmarks").mkdir()
    data["ifeval"].rename(tmp_path / "benchmarks" / "ifeval.jsonl")
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    assert benchmark_files(profile) == {"ifeval": tmp_path / "benchmarks" / "ifeval.jsonl"}


# --- micro ---


def test_micro_table_pairs_by_seed():
    rows = [
        ("base", "A0", 0.1), ("base", "A1", 0.2), ("base", "B0", 0.3),
        ("RL-AON", "A0", 0.2), ("RL-AON", "A1", 0.3), ("RL-AON", "B0", 0.4),
        ("RTT-AON", "A0", 0.39), ("RTT-AON", "A1", 0.5), ("RTT-AON", "B0", 0.61),
    ]  # fmt: skip
    columns = {"per constraint": 0.5, "out of domain": 0.4, "language loss": 2.0}
    runs = pd.DataFrame([{"arm": a, "world": "L", "seed": s, "all satisfied": v} | columns for a, s, v in rows])
    table = micro_table(runs)
    assert len(table) == 12
    found = table[table["score"] == "all satisfied"].set_index("arm")
    assert found.loc["RTT-AON", "over base"] == pytest.approx(0.3)
    assert found.loc["RTT-AON", "over RL, same reward"] == pytest.approx(0.2)
    assert found.loc["RL-AON", "over base low"] == pytest.approx(0.1) == found.loc["RL-AON", "over base high"]
    assert found.loc["base", "over base":].isna().all() and found.loc["RL-AON", "over RL, same reward":].isna().all()
    assert micro_sentence(table) == (
        "RTT against RL with the same reward, 2 comparisons: better in 1, worse in 0, "
        "undecided in 1 (fewer than three pairs, or an interval that holds zero)."
    )
    lone = runs[runs["arm"].ne("RL-AON") | runs["seed"].eq("A0")]
    assert "better in 0, worse in 0, undecided in 2" in micro_sentence(micro_table(lone)), "one pair shows nothing"
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in micro_figure(table).axes]
    assert titles == ["World L: all satisfied", "World L: per constraint", "World L: out of domain"]


def test_a_profile_without_runs_has_an_empty_table():
    table = micro_table(pd.DataFrame(columns=["arm", "world", "seed"]))
    assert table.empty and "over base" in table
    assert "No pair" in micro_sentence(table)
    assert micro_figure(table).axes[0].texts[0].get_text() == "not run in this profile"
