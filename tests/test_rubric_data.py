"""Rubric data in tables: sizes and verdict rates by hand, and the two problems of response-level rewards."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.report.rubric_data import (
    ambiguous_pairs,
    example_table,
    families_figure,
    families_table,
    micro_verdicts,
    problems_table,
    read_responses,
    rubric_sources,
    silent,
    sizes_figure,
    sizes_table,
    sparsity_figure,
    sparsity_table,
    stored_verdict_rates,
    verdict_rates,
)
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.language import find_world

START = Criterion("start bako", "micro:start", {"word": "bako"})
NO_COMMAS = Criterion("no commas", "micro:no_commas")
SOFT = Criterion("be kind")
MULDIMIF = Criterion("No more than 9 words", "muldimif:check", {"type": "Length", "subtype": "Words", "text": "..."})
ONE = RubricPrompt("one", "start bako ; no commas :", (START, NO_COMMAS))
TWO = RubricPrompt("two", "be kind :", (SOFT,))
THREE = RubricPrompt("three", "at most nine words please", (MULDIMIF,))
SECRET = "a prompt of the benchmark itself"


@pytest.fixture
def with_ifeval(tmp_path, monkeypatch):
    """A data folder with an IFEval file of one prompt, named by the variable."""
    row = {"key": 1, "prompt": SECRET, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "ifeval.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))


def test_sizes_and_families_by_hand():
    table = sizes_table({"a": [ONE, TWO], "b": [THREE]}).set_index("source")
    assert table.loc["a", ["prompts", "criteria", "criteria per prompt", "fewest", "most"]].tolist() == [
        2,
        3,
        1.5,
        1,
        2,
    ]
    assert table.loc["a", ["hard", "soft"]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert table.loc["a", "median words"] == (6 + 3) / 2
    families = families_table({"a": [ONE, ONE, TWO], "b": [THREE]})
    assert families[["source", "family", "criteria"]].values.tolist() == [
        ["a", "no_commas", 2],
        ["a", "start", 2],
        ["a", "judge", 1],
        ["b", "Words", 1],
    ]
    assert families["share"].tolist() == pytest.approx([0.4, 0.4, 0.2, 1.0])


def test_sources_without_files_say_so(monkeypatch):
    monkeypatch.delenv("RTT_TEST_DATA", raising=False)
    sources, notes = rubric_sources(load_profile("ci"), micro=20, composed=10)
    assert list(sources) == ["micro L", "micro S", "micro M", "micro U", "composed"]
    assert [len(prompts) for prompts in sources.values()] == [20, 20, 20, 20, 10]
    missing = notes[notes["state"] == "not here"]
    assert missing["source"].tolist() == ["IFEval", "IFBench", "MulDimIF"]
    assert missing["what"].str.contains("RTT_TEST_DATA").all()


def test_a_benchmarks_prompts_are_counted_and_never_shown(with_ifeval):
    sources, notes = rubric_sources(load_profile("ci"), micro=5, composed=5)
    assert notes.set_index("source").loc["IFEval", "state"] == "read"
    assert sizes_table(sources).set_index("source").loc["IFEval", "prompts"] == 1
    shown = [frame.to_csv() for frame in (notes, sizes_table(sources), families_table(sources), example_table(sources))]
    assert not any(SECRET in text for text in shown)
    assert set(example_table(sources)["source"]) == {"micro L", "micro S", "micro M", "micro U", "composed"}


# --- verdicts on stored responses ---


def test_verdict_rates_by_hand():
    pairs = [(ONE, "bako miru"), (ONE, "miru , bako"), (ONE, "bako , miru"), (TWO, "yes")]
    table = verdict_rates(pairs).set_index("family")
    assert table.loc["start", ["criteria", "satisfied", "violated"]].tolist() == pytest.approx([3, 2 / 3, 1 / 3])
    assert table.loc["no_commas", "satisfied"] == pytest.approx(1 / 3)
    assert table.loc["judge", ["satisfied", "violated", "undecided"]].tolist() == [0, 0, 1]  # no judge: unknown
    assert list(table.index) == ["judge", "no_commas", "start"]


def test_responses_are_matched_by_prompt_or_id(tmp_path):
    path = tmp_path / "responses.jsonl"
    rows = [{"prompt": ONE.prompt, "response": "x"}, {"id": "two", "response": "y", "extra": 1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_responses(path, [ONE, TWO]) == [(ONE, "x"), (TWO, "y")]
    with pytest.raises(RTTError, match=r"responses\.jsonl:2: neither"):
        read_responses(path, [ONE])
    path.write_text('{"id": "two", "response": 3}\n')
    with pytest.raises(RTTError, match=r"responses\.jsonl:1: field 'response' must be a string"):
        read_responses(path, [TWO])


def test_stored_responses_of_a_benchmark_that_is_here(tmp_path, with_ifeval):
    profile = load_profile("ci")
    sources, _ = rubric_sources(profile, micro=2, composed=2)
    planned = {("base", "A0")}
    assert stored_verdict_rates(tmp_path, sources, planned).empty
    path = tmp_path / "responses" / "base" / "A0" / "ifeval.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"prompt": SECRET, "response": text}) + "\n" for text in ("a, b", "a", "b")))
    assert stored_verdict_rates(tmp_path, sources, {("base", "A1")}).empty, "another run's"
    table = stored_verdict_rates(tmp_path, sources, planned)
    assert table.loc[0, ["responses", "benchmark", "family", "criteria"]].tolist() == [
        "base A0", "IFEval", "punctuation:no_comma", 3,
    ]  # fmt: skip
    assert table.loc[0, "satisfied"] == pytest.approx(2 / 3) and SECRET not in table.to_csv()


# --- sparsity and ambiguity ---


def test_silent_groups_and_ambiguous_pairs_by_hand():
    assert silent(np.array([[0, 0, 0], [1, 1, 1], [0, 1, 0]])).tolist() == [True, True, False]
    verdicts = np.array([[[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]], bool)
    # Of six pairs three have equal CSR: 01 and 12 differ and have nothing in common, 02 satisfy the same.
    assert list(ambiguous_pairs(verdicts).values()) == [6, 3, 2, 2]
    # Two criteria each with one in common: ambiguous but not disjoint. Nothing satisfied by either: the same.
    assert list(ambiguous_pairs(np.array([[[1, 1, 0], [0, 1, 1]]], bool)).values()) == [1, 1, 1, 0]
    assert list(ambiguous_pairs(np.array([[[0, 0], [0, 0]]], bool)).values()) == [1, 1, 0, 0]


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=6))
def test_ambiguous_pairs_against_sets(group):
    sets = [{k for k, value in enumerate(row) if value} for row in group]
    equal = [(a, b) for a, b in combinations(sets, 2) if len(a) == len(b)]
    found = ambiguous_pairs(np.array([group]))
    assert found["equal CSR"] == len(equal)
    assert found["of these, other criteria"] == sum(a != b for a, b in equal)
    assert found["of these, disjoint"] == sum(bool(a) and not a & b for a, b in equal)


def test_micro_verdicts_follow_the_honour_dial():
    everything = micro_verdicts(replace(find_world("L"), honour=1.0), 20, 4)
    assert everything.shape == (20, 4, 5) and everything.all()
    dense, sparse = (micro_verdicts(find_world(name), 60, 4).mean() for name in "LS")
    assert dense > sparse + 0.05


def test_problems_in_every_world():
    table = problems_table(group_size=4, groups=30)
    assert table["world"].tolist() == ["L", "S", "M", "U"]
    assert (table["silent groups, AON"] > table["silent groups, CSR"]).all()
    assert (table["of these, other criteria"] >= table["of these, disjoint"]).all()


def test_sparsity_is_what_independent_draws_give():
    table = sparsity_table(group_size=4, groups=60, rates=(0.3, 0.95, 1.0))
    assert table["AON"].iloc[-1] == 1 and table["silent, AON"].iloc[-1] == 1 == table["expected"].iloc[-1]
    p = table["AON"][0]
    assert table["expected"][0] == pytest.approx(p**4 + (1 - p) ** 4)
    assert table["silent, AON"][0] == pytest.approx(table["expected"][0], abs=0.15)
    assert len(sparsity_figure(table, 4, 60).axes) == 1


def test_figures_have_a_row_or_panel_per_source():
    sources = {"a": [ONE, TWO], "b": [THREE]}
    left, right = sizes_figure(sources).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["b", "a"] and right.get_xscale() == "log"
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in families_figure(sources).axes]
    assert titles[:2] == ["a: 3 families", "b: 1 families"]
