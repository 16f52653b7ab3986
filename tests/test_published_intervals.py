"""How sure the paper's own numbers are."""

from __future__ import annotations

import math

import pytest

from rtt_lib.report import published_intervals as published
from rtt_lib.report.reading import sentences_of


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


def test_the_sentence_on_gains_counts_what_its_table_holds():
    frame = published.gain_intervals()
    first, second = sentences_of(published.gain_sentence())
    counted = f"{len(frame)} gains over RL with the same reward, {(frame['gain'] > 0).sum()} are positive."
    assert first == f"Of the paper's {counted}"
    assert f", {frame['excludes zero'].sum()} of them would be distinguishable" in second
