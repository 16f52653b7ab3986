"""The policy's own responses as examples: sampled once, labelled by rule, on tasks that no held-out prompt has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtt_lib import store
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.verify import check
from rtt_lib.worlds.text.discriminators import HELD_OUT, TRAINED
from rtt_lib.worlds.text.own_responses import MOST_CRITERIA, OWN, own_examples, own_prompts
from rtt_lib.worlds.text.prompts import split_tasks

pytestmark = pytest.mark.usefixtures("without_hub")


def test_prompts_are_on_training_tasks_and_of_the_families_asked_for(text_profile):
    prompts = own_prompts(text_profile, 30, 0, TRAINED)
    trained, held_out = ({task.prompt for task in tasks} for tasks in split_tasks(text_profile))
    assert {prompt.task for prompt in prompts} <= trained and not trained & held_out
    assert not {c.family for prompt in prompts for c in prompt.criteria} & set(HELD_OUT)
    assert max(len(prompt.criteria) for prompt in prompts) == MOST_CRITERIA
    assert prompts != own_prompts(text_profile, 30, 1, TRAINED)


@pytest.mark.usefixtures("empty_store")
def test_every_criterion_of_every_response_is_labelled_by_rule(text_profile):
    one = own_examples(text_profile, 6, 0, TRAINED, taxonomy)
    asked = {c.text: prompt for prompt in own_prompts(text_profile, 6, 0, TRAINED) for c in prompt.criteria}
    assert one and {example.split for example in one} == {OWN}
    for example in one:
        verdict = check(example.criterion, asked[example.criterion.text].prompt, example.response)
        assert (example.verdict, example.label) == (
            verdict.value,
            taxonomy(example.criterion, verdict, example.response),
        )


@pytest.mark.usefixtures("empty_store")
def test_responses_are_sampled_and_kept(text_profile):
    one = own_examples(text_profile, 3, 0, TRAINED, taxonomy)
    (file,) = (store.root() / "rollouts").glob("own-*.jsonl")
    made = file.stat().st_mtime_ns
    assert own_examples(text_profile, 3, 0, TRAINED, taxonomy) == one and file.stat().st_mtime_ns == made
    other = replace(text_profile, rl=replace(text_profile.rl, temperature=0.5))
    assert own_examples(other, 3, 0, TRAINED, taxonomy) != one, "sampled with the settings of RL"
