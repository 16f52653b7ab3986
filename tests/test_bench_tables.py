"""Benchmark tables: accuracies and intervals worked by hand, and the published table's arithmetic."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.analysis.published import table1
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.bench.scores import Scores
from rtt_lib.errors import RTTError
from rtt_lib.profile import load_profile
from rtt_lib.report import benchmarks as tables
from rtt_lib.report import published_intervals as published
from rtt_lib.report.benchmarks import (
    beside_the_paper,
    difference,
    graded_table,
    interval,
    micro_figure,
    micro_sentence,
    micro_table,
    scores,
    stored_responses,
    stored_sentence,
)

# --- from verdicts to accuracies ---


def test_hits_and_cases_by_hand():
    ids = ["b", "a", "b"]
    verdicts = [[True, True], [True, None], [False, None, True]]
    prompt = scores(ids, verdicts, "prompt")  # with an unknown it is no case, whatever the rest: not failures alone
    assert prompt.hits.tolist() == [[0, 0], [1, 0]] and prompt.cases.tolist() == [[0, 0], [1, 0]]
    assert prompt.accuracy == 1
    instruction = scores(ids, verdicts, "instruction")
    assert instruction.hits.tolist() == [[1, 0], [2, 1]] and instruction.cases.tolist() == [[1, 0], [2, 2]]
    assert instruction.accuracy == pytest.approx(4 / 5)
    assert math.isnan(scores(["a"], [[None]], "prompt").accuracy)


def all_known(hits: np.ndarray) -> Scores:
    return Scores(hits, np.ones_like(hits), tuple(f"p{n}" for n in range(len(hits))))


def test_the_interval_of_single_passes_is_the_binomial_one():
    hits = np.array([1.0] * 120 + [0.0] * 80)[:, None]
    low, high = interval(all_known(hits))
    half = 1.96 * math.sqrt(0.6 * 0.4 / 200)
    assert low == pytest.approx(0.6 - half, abs=0.015) and high == pytest.approx(0.6 + half, abs=0.015)


@pytest.mark.parametrize("rates", [np.full(150, 0.5), np.linspace(0, 1, 150)], ids=["one rate", "all rates"])
def test_the_interval_of_several_passes_is_as_wide_as_accuracies_spread(rates):
    """Prompts with rates p, C passes each: the accuracy's variance is (var(p) + mean(p (1 - p)) / C) / P."""
    rng, passes, widths, gains = np.random.default_rng(5), 4, [], []
    for _ in range(20):
        drawn = rng.permutation(rates)[:, None]
        ours, base = (all_known((rng.random((150, passes)) < drawn).astype(float)) for _ in range(2))
        low, high = interval(ours)
        _, less, more = difference(ours, base)
        widths.append(high - low)
        gains.append(more - less)
    within = np.mean(rates * (1 - rates)) / passes
    assert np.mean(widths) == pytest.approx(2 * 1.96 * math.sqrt((np.var(rates) + within) / 150), rel=0.07)
    assert np.mean(gains) == pytest.approx(2 * 1.96 * math.sqrt(2 * within / 150), rel=0.07)  # of the same prompts


def test_the_paired_difference_is_sharper_than_two_intervals():
    base = np.array([1.0, 0.0] * 100)[:, None]
    better = base.copy()
    better[1:21:2] = 1.0  # ten prompts more, none lost
    gain, low, high = difference(all_known(better), all_known(base))
    assert gain == pytest.approx(0.05) and 0.02 < low < 0.05 < high < 0.09
    assert difference(all_known(base), all_known(base)) == (0.0, 0.0, 0.0)
    with pytest.raises(RTTError, match="200 prompts cannot be paired with the 100 of the base model: 'p100' is not"):
        difference(all_known(base), all_known(base[:100]))
    with pytest.raises(RTTError, match="'p0' is not among both"):
        difference(all_known(base), replace(all_known(base), ids=tuple(f"q{n}" for n in range(200))))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_interval_holds_the_accuracy_or_nothing_is_known(verdicts):
    own = scores([str(n) for n in range(len(verdicts))], verdicts, "instruction")
    known = [value for row in verdicts for value in row if value is not None]
    if not known:
        assert math.isnan(own.accuracy) and math.isnan(interval(own)[0])
        return
    assert own.accuracy == pytest.approx(sum(known) / len(known))
    low, high = interval(own)
    assert 0 <= low <= own.accuracy + 1e-9 and own.accuracy - 1e-9 <= high <= 1


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
    monkeypatch.setattr(tables, "grade_instructions", lambda answer, reasons: next(rows))
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


# --- the published table ---


def test_which_figures_are_counts():
    """1/3 and 2/3 of three: 33.33 and 66.67 (66.66 if cut off)."""
    assert published.printed(3) == {0, 3333, 6666, 6667, 10000}
    assert published.is_count(66.67, 3) and not published.is_count(66.70, 3)
    # Means of five passes over three prompts: 0 to 15 fifteenths, of which 0, 5, 10 and 15 look like one pass.
    assert published.chance_for_a_mean(3) == pytest.approx(4 / 16)


def test_most_published_cells_are_single_passes():
    table = published.single_pass_table()
    assert table["k of n"].sum() == 103 and table["cells"].sum() == 105
    assert table["expected of means of five"].sum() < 25
    assert len(published.single_pass_exceptions()) == 2
    assert published.single_pass_sentence().startswith("103 of 105 cells")


def test_gains_and_their_noise():
    frame = published.gain_intervals().set_index(["model", "arm", "column"])
    assert len(frame) == 18
    cell = frame.loc[("Llama3.2-3B-Instruct", "RTT-CSR", "IFEval Prompt")]
    assert cell["gain"] == pytest.approx(74.49 - 68.21) and cell["prompts more"] == 34
    half = 196 * math.sqrt((0.7449 * 0.2551 + 0.6821 * 0.3179) / 541)
    assert cell["high"] - cell["gain"] == pytest.approx(half, rel=1e-3) and cell["excludes zero"]
    five = frame.loc[("Qwen3-4B-Instruct", "RTT-AON", "IFBench Prompt")]
    assert five["prompts more"] == 5 and five["best case p"] == pytest.approx(1 / 16) and not five["excludes zero"]
    assert frame.loc[("Qwen2.5-7B-Instruct", "RTT-AON", "IFBench Prompt"), "best case p"] == 1.0


def test_the_papers_arithmetic():
    assert "2.50 points at the level of instructions, 1.64" in published.arithmetic_sentence()
    assert "1.82 and 1.49" in published.arithmetic_sentence()
    assert list(published.weights_order()["weights"].str.split().str[0]) == ["ours", "uniform", "greedy", "random"]
    assert list(published.weights_order()["mean"].round(2)) == [64.47, 63.05, 62.63, 57.87]
    assert published.weights_order().set_index("weights").loc["random", "cells equal to uniform"] == 2
    said = published.disagreements().set_index("statement")["the paper's text"]
    assert 2.17 in said.values and 2.50 not in said.values and 8.5 not in said.values


def test_the_figure_shows_every_gain():
    figure = published.gains_figure()
    labels = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(labels) == 18 and "+6.28" in labels
