"""The micro world as methods see it: what a run trains on, and what decides it."""

from __future__ import annotations

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify import verify
from rtt_lib.worlds import open_world
from rtt_lib.worlds.micro.world import MicroWorld, without_criterion

SMALL = {"rl.steps": "3", "rl.prompts_per_step": "4", "rl.minibatches": "2", "policy.pretrain_steps": "2"}


def world(name: str = "L", **changes: str) -> MicroWorld:
    return open_world(load_profile("ci", SMALL | changes), name)


def test_a_run_has_a_prompt_for_every_place_of_every_step_and_its_seed_decides_which():
    first, left_out = world().prompts(0, None)
    assert len(first) == 3 * 4 and left_out == 0
    assert world().prompts(0, None)[0] == first
    assert not {p.prompt for p in first} & {p.prompt for p in world().prompts(1, None)[0]}


def test_demonstrations_keep_every_criterion():
    prompts, _ = world().prompts(0, None)
    pairs = world().demonstrations(prompts, 0, None)
    assert [prompt for prompt, _ in pairs] == prompts
    assert all(verify(criterion, prompt.prompt, text) for prompt, text in pairs for criterion in prompt.criteria)


def test_supervised_methods_see_as_many_prompts_as_rl():
    how = world().supervised("sft")
    assert how.responses * how.settings["max_steps"] == 3 * 4
    assert world().supervised("dpo").settings["learning_rate"] < how.settings["learning_rate"]


def test_base_policy_world_and_discriminator_decide_a_run():
    found = [
        world().training_inputs("A0", None),
        world("M").training_inputs("A0", None),
        world().training_inputs("B0", None),
        world(**{"policy.pretrain_steps": "3"}).training_inputs("A0", None),
    ]
    assert len({inputs["base"] for inputs in found}) == 4
    assert world(**{"compute.sampler": "fast"}).training_inputs("A0", None) == found[0] | {"sampler": "fast"}
    assert found[0] == world().training_inputs("A1", None), "the seed of RL is not the base policy's"
    taxonomy, greedy = (world().training_inputs("A0", kind) for kind in ("taxonomy", "greedy"))
    assert taxonomy["base"] == greedy["base"] == found[0]["base"]
    assert taxonomy["discriminator"] != greedy["discriminator"]


def test_seeds_of_a_base_policy_share_it(empty_store):
    assert world().base("A0") == world().base("A7") != world().base("B0")


def test_a_criterion_is_withheld_from_its_prompt():
    prompt = "start bako ; no commas ; at most 8 words :"
    assert without_criterion(prompt, Criterion("no commas")) == "start bako ; at most 8 words :"
    assert without_criterion(prompt, Criterion("at most 8 words")) == "start bako ; no commas :"
    for found in world().questions(5):
        for criterion in found.criteria:
            assert criterion.text not in without_criterion(found.prompt, criterion).removesuffix(" :").split(" ; ")


def test_another_world_is_named_with_the_choices():
    with pytest.raises(RTTError, match="unknown micro world 'X'"):
        world("X")
