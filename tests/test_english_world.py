"""The English world as methods and studies see it: what it asks of a profile, and runs from start to end."""

from __future__ import annotations

import pytest
import torch
from english_toy import SMALL, spec_of, toy_profile
from small_profile import message

from rtt_lib import store
from rtt_lib.models import load_causal_lm
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_done
from rtt_lib.studies.plan import plan
from rtt_lib.studies.records import curves_table, results_table
from rtt_lib.verify import verify
from rtt_lib.worlds import english, open_world
from rtt_lib.worlds.english import discriminators, policy
from rtt_lib.worlds.text.world import without_criterion

pytestmark = pytest.mark.usefixtures("small_english")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("policy__model", "micro", "data.source = english needs the model 'english'"),
        ("discriminator__model", "smollm2-135m", "data.source = english needs the model 'english'"),
        ("policy__pretrain_steps", "0", "starts from random weights: at least 1"),
        ("policy__lora_rank", "4", "policy.lora_rank: has no effect in the English world"),
        ("discriminator__checkpoint", "params", "discriminator.checkpoint: has no effect in the English world"),
        ("evaluation__benchmarks", "[ifeval]", "evaluation.benchmarks: has no effect in the English world"),
        ("evaluation__prompts", "null", "evaluation.prompts: is missing"),
        ("data__path", "/", "the English world is made on the spot"),
        ("data__responses", "some.jsonl", "rules write them for english"),
        ("experiments__core__worlds", "[L]", "experiments.core.worlds: data.source = english is one world"),
        ("experiments__core__arms", "[RTT-AON as released]", "mixes up rows"),
    ],
)
def test_what_it_asks_of_a_profile(key, value, says):
    assert says in message("english", compute__sampler="transformers", **{key: value})  # 'fast' refuses LoRA earlier


def test_the_profile_has_the_core_arms_from_five_bases():
    specs = plan(toy_profile())
    assert {spec.arm.name for spec in specs} == {
        "base", "RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR", "RTT-CSR relative", "RTT-AON no EOS", "RTT-AON oracle",
        "RTT-AON raw",
    }  # fmt: skip
    assert [spec.seed for spec in specs if spec.arm.name == "base"] == ["A0", "B1", "C2", "D3", "E4"]
    assert {spec.world for spec in specs} == {"english"}


def test_what_the_store_keeps_for_a_profile():
    profile = toy_profile(experiments__core__seeds="[B1]", experiments__beyond__seeds="[B1]",
                          experiments__fixes__seeds="[C2]", experiments__controls__seeds="[C2]")  # fmt: skip
    found = english.kept_folders(profile)
    bases = {policy.folder_of(base, profile.policy.pretrain_steps) for base in "ABC"}
    assert bases < found and len(found) == 3 + 3 * len(discriminators.KINDS)


def test_prompts_demonstrations_and_what_is_withheld():
    world = open_world(toy_profile(data__train_prompts="6"), "english")
    _, tokenizer = world.policy("A0")
    assert world.policy("A0")[0].config._attn_implementation == policy.ATTENTION
    prompts, left_out = world.prompts(0, tokenizer)
    assert len(prompts) == 2 * 2 and left_out == 0 and len({p.id for p in prompts}) == 4
    assert world.prompts(0, tokenizer)[0] == prompts != world.prompts(1, tokenizer)[0]
    assert not {p.task for p in prompts} & {p.task for p in world.questions(20)}
    pairs = world.demonstrations(prompts, 0, tokenizer)
    assert [prompt for prompt, _ in pairs] == prompts
    assert all(verify(criterion, prompt.prompt, text) for prompt, text in pairs for criterion in prompt.criteria)
    for prompt in world.questions(20):
        for criterion in prompt.criteria:
            shorter = without_criterion(prompt.prompt, criterion)
            assert criterion.text not in shorter and prompt.task in shorter


def test_own_responses_are_the_base_policys(tmp_path):
    world = open_world(toy_profile(), "english")
    model, tokenizer = world.policy("A0")
    prompts, _ = world.prompts(0, tokenizer)
    found = world.own_responses([*prompts, prompts[0]], model, tokenizer, 0, tmp_path / "one")
    assert len(found) == 5 and found[0] == found[4]
    assert found == world.own_responses([*prompts, prompts[0]], model, tokenizer, 0, tmp_path / "two")
    assert found != world.own_responses([*prompts, prompts[0]], model, tokenizer, 1, tmp_path / "three")


def test_base_data_and_discriminator_decide_a_run():
    def inputs(seed: str = "A0", kind: str | None = None, **changes: str) -> dict:
        return open_world(toy_profile(**changes), "english").training_inputs(seed, kind)

    assert inputs() == inputs("A1"), "the seed of RL is not the base policy's"
    others = [inputs("B0"), inputs(policy__pretrain_steps="31"), inputs(data__seed="1"), inputs(kind="taxonomy")]
    others += [inputs(compute__sampler="transformers")]
    assert all(other != inputs() for other in others)
    assert inputs(kind="taxonomy") != inputs(kind="greedy")
    own = [inputs(seed, "taxonomy")["discriminator"] for seed in ("A0", "A1", "B0")]
    assert own[0] == own[1] != own[2], "each base policy has a discriminator of its own"
    assert inputs(evaluation__prompts="4") == inputs()


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["RL-CSR", "RTT-CSR"])
def test_a_run_from_start_to_end(arm, empty_store, tmp_path):
    spec = spec_of(toy_profile(rl__prompts_per_step="8"), arm)  # among which some group's rewards differ
    execute.run(spec)
    assert is_done(spec) and store.made(spec.folder)["prompts_too_long"] == 0
    kinds = {kind for kind, _ in store.entries()}
    assert ("discriminators" in kinds) is (arm == "RTT-CSR")
    table, curves = results_table([spec], tmp_path), curves_table([spec], tmp_path)
    assert list(table["arm"]) == [arm] and list(table["world"]) == ["english"] and list(curves["step"]) == [1, 2]
    assert ("credit/a_tok_abs" in curves) is (arm == "RTT-CSR")
    assert {"known wordings", "new wordings"} <= set(table)
    assert 0 <= table["per constraint"].iloc[0] <= 1 and table["language loss"].iloc[0] > 0
    trained, base = load_causal_lm(spec.policy), load_causal_lm(spec.home.base("A0"))
    pairs = list(zip(trained.parameters(), base.parameters(), strict=True))
    assert all(p.isfinite().all() for p, _ in pairs)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("trainer", ["sft", "dpo"])
def test_supervised_methods_see_as_many_prompts_as_rl(trainer):
    world = open_world(toy_profile(), "english")
    how = world.supervised(trainer)
    assert how.responses * how.settings["max_steps"] == int(SMALL["rl.steps"]) * int(SMALL["rl.prompts_per_step"])
    assert how.settings["learning_rate"] == {"sft": 3e-4, "dpo": 3e-5}[trainer]
