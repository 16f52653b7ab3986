"""What notebook 12 shows of one group is what the trainer computes, and what the runs came to can be drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from rtt_lib.report.serl import JudgedGroup, dose_figure, response_table, verdict_table
from rtt_lib.schema import RubricPrompt

# The pairs are (0, 1), (0, 2), (1, 2). In the last two columns the second response is shown first.
SAID = torch.tensor([[1, 1, 2, 2], [1, 2, 2, 1], [2, 2, 1, 0]])
GROUP = JudgedGroup(
    RubricPrompt("1", "start bako :", ()),
    ("bako de", "de bako", "fi"),
    torch.tensor([1, 0, 0]),
    torch.tensor([10, 10, 10]),
    SAID,
)


def test_responses_show_the_judgments_they_won():
    table = response_table(GROUP)
    # 0 wins all four of 1 and two of 2; 2 wins three of 1 and two of 0; one verdict says nothing.
    assert table["judgments won"].tolist() == [6, 0, 5]
    assert table["R_A"].tolist() == pytest.approx([6 / 8, 0, 5 / 8])
    assert table["advantage"].sum() == pytest.approx(0, abs=1e-5) and table["advantage"].idxmax() == 0


def test_pairs_show_who_won_and_what_that_earned():
    table = verdict_table(GROUP)
    assert table["winners"].tolist() == ["0 0 0 0", "0 2 0 2", "2 2 2 ?"]
    assert table["better by the rules"].tolist() == ["0", "0", "tied"]
    assert table["R_J"].tolist() == ["+1 +1 +1 +1", "+1 -1 +1 -1", "+1 +1 +1 -1"]
    assert table["advantages"][0] == "+0.00 +0.00 +0.00 +0.00", "unanimous judgments teach nothing"


def test_a_mark_for_every_run_and_a_line_where_help_turns_into_harm():
    found = pd.DataFrame(
        {
            "world": ["J45", "J65"],
            "seed": ["A0", "A0"],
            "accuracy before": [0.45, 0.65],
            "accuracy after": [0.2, 0.9],
            "agreement before": [0.5, 0.6],
            "agreement after": [0.9, 0.9],
            "actor's gain": [-0.1, 0.1],
        }
    )
    figure = dose_figure(found, {"accuracy": 0.55})
    left, right = figure.axes
    marks = [tuple(mark) for scatter in left.collections for mark in scatter.get_offsets().tolist()]
    assert marks == [(0.45, -0.1), (0.65, 0.1)] and len(right.collections) == 2
    assert any(list(line.get_xdata()) == [0.55, 0.55] for line in left.lines)
    assert dose_figure(found.iloc[:0], {"accuracy": None}) is not None
    plt.close("all")
