"""Graded groups of responses."""

from __future__ import annotations

from rtt_lib.analysis.rollouts import score
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.policy import micro_tokenizer


def test_score_pads_ragged_rubrics_with_unknown_verdicts():
    comma = Criterion("no commas", "micro:no_commas")
    include = Criterion("include desu", "micro:include", {"word": "desu"})
    prompts = [RubricPrompt("a", "no commas :", (comma,)), RubricPrompt("b", "both :", (comma, include))]
    tokenizer = micro_tokenizer()
    scored = score(prompts, [tokenizer("desu ,").input_ids, [*tokenizer("lati").input_ids, 1]], tokenizer, 1)
    assert scored.verdicts[0].isnan().tolist() == [False, True] and scored.verdicts[1].tolist() == [1, 0]
    assert scored.rewards.isfinite().all() and scored.mask.tolist() == [[True, True], [True, True]]
