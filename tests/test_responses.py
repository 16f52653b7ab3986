"""Responses by rule: they keep what they are asked to keep."""

import time

import pytest
from test_compose import TASKS
from test_composed import criterion

from rtt_lib.errors import RTTError
from rtt_lib.relevance.responses import construct, without
from rtt_lib.rubrics.compose import compose
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import verify


@pytest.fixture(scope="module")
def prompts() -> list[RubricPrompt]:
    return compose(TASKS, 1000, seed=11)


def test_a_thousand_composed_prompts_are_all_satisfiable(prompts):
    began = time.process_time()
    responses = [construct(prompt, seed=0) for prompt in prompts]
    seconds = time.process_time() - began
    for prompt, response in zip(prompts, responses, strict=True):
        assert [c.family for c in prompt.criteria if verify(c, prompt.prompt, response) is not True] == []
    assert len(set(responses)) == len(responses)
    lengths = sorted(len(response.split()) for response in responses)
    assert lengths[50] >= 20 and lengths[-50] <= 130
    assert seconds < 5  # of CPU; 1.4 s measured


def test_what_cannot_be_constructed_is_an_error():
    clash = RubricPrompt("x", "q", (criterion("words", min=50), criterion("sentences", relation="at_most", n=1)))
    with pytest.raises(RTTError, match="prompt x: no response found"):
        construct(clash, 0)
    with pytest.raises(RTTError, match="'phrase'"):
        construct(RubricPrompt("x", "q", (criterion("start", phrase=3),)), 0)
    with pytest.raises(RTTError, match="no line of the bank 'items'"):
        construct(RubricPrompt("x", "q", (criterion("forbidden", words=["a", "the", "time", "someone", "paper", "fresh",
                  "room", "an", "basic", "friends"]), criterion("bullets", n=2, mark="-"))), 0)  # fmt: skip
    with pytest.raises(RTTError, match="only composed criteria"):
        construct(RubricPrompt("x", "q", (Criterion("Be kind."),)), 0)


def test_withholding_a_criterion(prompts):
    prompt = next(p for p in prompts if len(p.criteria) == 3)
    assert without(prompt, 1).criteria == (prompt.criteria[0], prompt.criteria[2])
