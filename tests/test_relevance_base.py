"""A batch of responses as relevance sources see it, by hand."""

from __future__ import annotations

import torch

from rtt_lib.relevance.base import Rollouts
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Verdict


def batch() -> Rollouts:
    """Two responses: `ab c` of two criteria, its last token an EOS, and an empty one of one criterion."""
    one, two = Criterion("one", "micro:start"), Criterion("two")
    return Rollouts(
        prompts=["p", "q"],
        responses=["ab c", ""],
        criteria=[(one, two), (one,)],
        verdicts=[[Verdict(True), Verdict(None)], [Verdict(False)]],
        token_ids=torch.tensor([[5, 6, 1], [1, 0, 0]]),
        mask=torch.tensor([[True, True, True], [True, False, False]]),
        offsets=[[(0, 2), (2, 4), (4, 4)], [(0, 0)]],
    )


def test_the_shape_is_responses_criteria_tokens():
    assert batch().shape == (2, 2, 3)


def test_unknown_and_absent_verdicts_are_nan():
    expected = torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])
    assert torch.equal(batch().verdict_tensor().nan_to_num(9), expected.nan_to_num(9))
    assert batch().verdict_tensor().dtype == torch.float32


def test_eos_and_padding_have_no_text():
    assert batch().has_text().tolist() == [[True, True, False], [False, False, False]]


def test_an_empty_batch_has_a_shape():
    none = Rollouts([], [], [], [], torch.zeros(0, 4, dtype=torch.long), torch.zeros(0, 4, dtype=torch.bool), [])
    assert none.shape == (0, 0, 4) and none.verdict_tensor().shape == (0, 0) and none.has_text().shape == (0, 4)
