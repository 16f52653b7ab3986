"""Graded groups of responses: what was written, what holds, and what each token is worth."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaForCausalLM

from rtt_lib.analysis.rollouts import language_rollouts, rollout_examples, sample, score
from rtt_lib.relevance.annotate import label_with
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

START = Criterion("start bako", "micro:start", {"word": "bako"})
COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 2 words", "micro:at_most_words", {"n": 2})


@pytest.fixture(scope="module")
def tokenizer():
    return micro_tokenizer()


def graded(tokenizer, *responses: str, ended: bool = True):
    prompt = RubricPrompt("p", "start bako ; no commas ; at most 2 words :", (START, COMMAS, SHORT))
    ids = [[*tokenizer(text)["input_ids"], *[tokenizer.eos_token_id] * ended] for text in responses]
    return score([prompt] * len(ids), ids, tokenizer, group_size=len(ids))


def test_token_rewards_by_hand(tokenizer):
    """A satisfied criterion pays its tokens +1, a violated one -1; the length is every token's, the end's as well."""
    found = graded(tokenizer, "bako desu", "bako , desu desu")
    assert found.verdicts.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert found.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert found.rewards[0].tolist() == [[1, 0, 0, 0, 0], [0] * 5, [1, 1, 1, 0, 0]]
    assert found.rewards[1].tolist() == [[1, 0, 0, 0, 0], [0, -1, 0, 0, 0], [-1] * 5]
    assert found.words[0] == ["bako", "desu", "<eos>"]


def test_response_rewards_by_hand(tokenizer):
    found = graded(tokenizer, "bako desu", "bako , desu desu")
    assert found.response_reward("aon").tolist() == [1, 0]
    assert found.response_reward("csr").tolist() == pytest.approx([1, 1 / 3])
    assert found.credit("intra").shape == (2, 5)


def test_score_pads_ragged_rubrics_with_unknown_verdicts():
    comma = Criterion("no commas", "micro:no_commas")
    include = Criterion("include desu", "micro:include", {"word": "desu"})
    prompts = [RubricPrompt("a", "no commas :", (comma,)), RubricPrompt("b", "both :", (comma, include))]
    tokenizer = micro_tokenizer()
    scored = score(prompts, [tokenizer("desu ,").input_ids, [*tokenizer("lati").input_ids, 1]], tokenizer, 1)
    assert scored.verdicts[0].isnan().tolist() == [False, True] and scored.verdicts[1].tolist() == [1, 0]
    assert scored.rewards.isfinite().all() and scored.mask.tolist() == [[True, True], [True, True]]


def test_examples_carry_the_labels_that_credit_is_given_by(tokenizer):
    found = graded(tokenizer, "bako desu", "bako , desu desu", ended=False)
    examples = rollout_examples(found)
    assert [example.criterion for example in examples] == [START, COMMAS, SHORT] * 2
    assert [example.verdict for example in examples] == [True, True, True, True, False, False]
    longest = found.mask.shape[1]
    for place, example in enumerate(examples):
        i, k = divmod(place, 3)
        labels = label_with(example.label, found.rollouts.offsets[i], longest)
        assert (torch.tensor(labels) * found.mask[i]).tolist() == found.relevance[i, k].tolist(), example.criterion


def test_sampled_responses_end_at_the_end_token_and_repeat(tokenizer):
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    prompts = sample_prompts(find_world("L"), 2, "sampled")
    before = torch.get_rng_state()
    first, again = (sample(model, tokenizer, prompts, group_size=4, max_tokens=12) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before) and first.words == again.words
    assert first.rollouts.prompts == [p.prompt for p in prompts for _ in range(4)]
    assert all("<eos>" not in words[:-1] and len(words) <= 12 for words in first.words)


def test_language_rollouts_keep_some_criteria_and_not_all():
    found = language_rollouts("L", prompts=8, group_size=4)
    assert found.rollouts.shape[0] == 32 and found.group_size == 4
    assert 0 < found.verdicts.mean() < 1 and not math.isnan(found.verdicts.sum())
