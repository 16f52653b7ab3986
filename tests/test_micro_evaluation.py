"""How good a policy of the micro world is: scores by hand, and responses of a policy that knows nothing."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaForCausalLM

from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.evaluation import evaluate, grade, language_loss, respond
from rtt_lib.worlds.micro.language import find_world
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

START = Criterion("start bako", "micro:start", {"word": "bako"})
SHORT = Criterion("at most 2 words", "micro:at_most_words", {"n": 2})
LONG = Criterion("at least 3 words", "micro:at_least_words", {"n": 3})


@pytest.fixture(scope="module")
def tokenizer():
    return micro_tokenizer()


@pytest.fixture(scope="module")
def policy(tokenizer):
    torch.manual_seed(0)
    return LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2)).eval()


def test_scores_by_hand():
    """Of three responses one keeps both criteria; of six verdicts three hold; both kinds of length are one family."""
    prompts = [RubricPrompt("a", "p", (START, SHORT))] * 2 + [RubricPrompt("b", "p", (START, LONG))]
    found = grade(prompts, ["bako desu", "bako desu desu", "desu desu"])
    assert (found["all_satisfied"], found["satisfied"]) == pytest.approx((1 / 3, 3 / 6))
    assert found["families"] == pytest.approx({"length": 1 / 3, "start": 2 / 3})


def test_sampling_repeats_depends_on_its_seed_and_leaves_the_random_state_alone(policy, tokenizer):
    prompts = ["start bako :", "no commas ; end desu :"] * 8
    before = torch.get_rng_state()
    first, again, other = (respond(policy, tokenizer, prompts, 6, greedy=False, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again != other and len(set(first)) > 2


def test_greedy_is_the_likeliest_token_and_what_has_no_end_is_truncated(policy, tokenizer):
    (response,), (cut,) = respond(policy, tokenizer, ["start bako :"], 3, greedy=True)
    ids = tokenizer("start bako :")["input_ids"]
    for _ in range(3):
        if ids[-1] != tokenizer.eos_token_id:
            ids.append(int(policy(torch.tensor([ids])).logits[0, -1].argmax()))
    written = ids[3:]
    assert response == tokenizer.decode(written, skip_special_tokens=True)
    assert cut == (tokenizer.eos_token_id not in written)


def test_a_policy_that_knows_nothing_loses_the_log_of_the_vocabulary(tokenizer):
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert language_loss(model, tokenizer, n=8) == pytest.approx(math.log(len(tokenizer)), abs=1e-5)


def test_an_evaluation_has_everything_that_the_tables_need(policy, tokenizer):
    found = evaluate(policy, tokenizer, find_world("L"), prompts=6, max_tokens=5)
    for name in ("sampled", "greedy", "out_of_domain"):
        assert 0 <= found[name]["all_satisfied"] <= found[name]["satisfied"] <= 1
    assert 0 <= found["mean_words"] <= 5 and 0 <= found["truncated"] <= 1 and len(found["examples"]) == 5
    assert found == evaluate(policy, tokenizer, find_world("L"), prompts=6, max_tokens=5)
