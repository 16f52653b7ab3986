"""What a training logs about its credit, by hand."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from rtt_lib.methods.records import left_out
from rtt_lib.relevance.base import Rollouts
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Verdict


def rollouts(values) -> Rollouts:
    rubric = [Criterion(name) for name in "abc"[: len(values[0])]]
    size, mask = len(values), torch.tensor([[True, True]] * len(values))
    verdicts = [[Verdict(value) for value in row] for row in values]
    return Rollouts([""] * size, [""] * size, [rubric] * size, verdicts, torch.zeros(size, 2), mask, [[]] * size)


def test_criteria_that_credit_leaves_out():
    # One group of two: `a` is satisfied by the loser alone, `b` by nobody, `c` by both.
    one = rollouts([[False, False, True], [True, False, True]])
    found = left_out(torch.tensor([[1.0], [-1.0]]), one, 2, Accelerator(cpu=True))
    assert found["credit/unexplored_criteria"] == pytest.approx(1 / 3)
    assert found["credit/suppressed_criteria"] == pytest.approx(2 / 3), "`c` gets a sum of zero"
    lifted = left_out(torch.tensor([[1.0, 1.0], [-1.0, 2.0]]), one, 2, Accelerator(cpu=True))
    assert lifted["credit/suppressed_criteria"] == 0, "token credit makes the loser's mean positive"


def test_unknown_criteria_are_not_counted():
    one = rollouts([[None, True], [None, False]])
    found = left_out(torch.tensor([[1.0], [-1.0]]), one, 2, Accelerator(cpu=True))
    assert found == {"credit/unexplored_criteria": 0.0, "credit/suppressed_criteria": 0.0}
