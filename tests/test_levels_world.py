"""A world of levels as methods and studies see it; and what its family refuses."""

from __future__ import annotations

from collections import Counter

import pytest
from levels_toy import short_profile, spec_of

from rtt_lib.errors import RTTError
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify import verify
from rtt_lib.worlds import family
from rtt_lib.worlds.levels.world import without


def test_rl_trains_on_all_levels_alike_in_a_random_order():
    world = spec_of("RL-CSR", rl__steps="10", rl__prompts_per_step="10").home
    prompts, left_out = world.prompts(3, None)
    levels = [len(prompt.criteria) for prompt in prompts]
    assert left_out == 0 and Counter(levels) == dict.fromkeys((1, 2, 3, 4, 5), 20) and levels != sorted(levels)
    assert world.prompts(3, None)[0] == prompts != world.prompts(4, None)[0]


def test_demonstrations_and_worked_examples_meet_what_they_answer():
    world = spec_of("SFT", rl__steps="5", rl__prompts_per_step="8").home
    prompts, _ = world.prompts(0, None)
    for prompt, response in world.demonstrations(prompts, 0, None):
        assert all(verify(criterion, "", response) for criterion in prompt.criteria)
    hard = next(prompt for prompt in prompts if len(prompt.criteria) == 5)
    assert world.worked_example(hard, 0.0, 0) is None
    part, answer = world.worked_example(hard, 0.6, 0)
    asked = [criterion for criterion in hard.criteria if criterion.text in part]
    assert len(asked) == 3 and part.startswith("<ask> ") and all(verify(c, "", answer) for c in asked)


def test_a_prompt_without_one_of_its_criteria():
    (prompt, *_), _ = spec_of("RL-CSR").home.prompts(0, None)
    question = next(p for p in spec_of("RL-CSR").home.questions(3))
    left = without(question.prompt, question.criteria[1])
    texts = [criterion.text for k, criterion in enumerate(question.criteria) if k != 1]
    assert left == f"<ask> {' ; '.join(texts)} :" and prompt.source.startswith("levels")


def test_feedback_is_the_same_every_time_and_differs_by_seed():
    world = spec_of("Conifer").home
    ladder = next(one for one in world.ladders(40, 0) if "=" in world.account(one.rungs[-1], "true", 0))
    rung = ladder.rungs[-1]
    assert world.account(rung, "false", 0) == world.account(rung, "false", 0)
    assert len({world.account(rung, "false", number) for number in range(8)}) > 1
    assert world.critique(rung, rung.answer + " ,", "bare", 0) in (None, "<ask> no :")


def test_worlds_share_base_policies_and_differ_in_their_runs():
    nested, exact = spec_of("Conifer"), spec_of("Conifer", world="exact")
    assert nested.home.base("A0") == exact.home.base("A0")
    assert nested.training_fingerprint != exact.training_fingerprint
    assert spec_of("Conifer", evaluation__max_tokens="9").training_fingerprint == nested.training_fingerprint
    assert spec_of("Conifer", evaluation__max_tokens="9").fingerprint != nested.fingerprint


def test_what_the_store_keeps_is_what_runs_ask_for(empty_store):
    profile = short_profile("RTT-CSR")
    spec = spec_of("RTT-CSR")
    kept = family(profile).kept_folders(profile)
    assert spec.home.base("A0") in kept and spec.home.discriminator("taxonomy", "A0") in kept


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("policy.model", "english", "data.source = levels needs the micro policy"),
        ("policy.pretrain_steps", "0", "at least 1"),
        ("policy.lora_rank", "4", "'fast' knows no LoRA"),
        ("evaluation.prompts", "null", "is missing"),
        ("experiments.claims.worlds", "[steep]", "'steep' is not one of nested, swapped, exact"),
        ("experiments.claims.worlds", "[]", "name at least one of nested, swapped, exact"),
    ],
)
def test_what_cannot_be_done_is_refused(key, value, says):
    with pytest.raises(RTTError, match=says):
        load_profile("conifer", {key: value})
