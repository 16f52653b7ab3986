"""Relevance sources against hand-worked labels of the micro world and against slow obvious versions."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from toys import micro_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib.credit import token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label, greedy, label_with, taxonomy
from rtt_lib.relevance.base import Rollouts
from rtt_lib.relevance.sources import (
    Annotated,
    Counterfactual,
    DiscriminatorSource,
    Noisy,
    Oracle,
    Random,
    Threshold,
    Uniform,
)
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.schema import Criterion
from rtt_lib.verify import check
from rtt_lib.verify.verdict import Verdict
from rtt_lib.worlds.micro.language import tokens_of_the_language

START = Criterion("start bako", "micro:start", {"word": "bako"})
EXCLUDE = Criterion("exclude miru", "micro:exclude", {"word": "miru"})
NO_COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return micro_tokenizer()


def rollouts_of(tokenizer, texts, rubrics, width=None) -> Rollouts:
    ids = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    width = width or max(map(len, ids))
    decoded = [token_offsets(tokenizer, row) for row in ids]
    return Rollouts(
        prompts=["; ".join(c.text for c in rubric) + " :" for rubric in rubrics],
        responses=[text for text, _ in decoded],
        criteria=rubrics,
        verdicts=[[check(c, "", text) for c in rubric] for rubric, text in zip(rubrics, texts, strict=True)],
        token_ids=torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in ids]),
        mask=torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in ids]),
        offsets=[offsets for _, offsets in decoded],
    )


@pytest.fixture
def small(tokenizer) -> Rollouts:
    texts = ["bako , desu meti", "desu bako"]
    return rollouts_of(tokenizer, texts, [[START, NO_COMMAS, SHORT], [START, NO_COMMAS]])


def test_oracle_by_hand(small):
    # tokens: bako , desu meti EOS | desu bako EOS
    expected = [
        [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]],  # satisfied; violated by the comma; global, EOS included
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],  # violated: nothing; satisfied: nothing; absent
    ]
    assert Oracle()(small).tolist() == expected


def test_oracle_equals_the_labels_one_by_one_and_is_fast(tokenizer):
    rng = random.Random(0)
    words = [*tokens_of_the_language()[:6], ","]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 23))) for _ in range(128)]
    include = Criterion("include desu", "micro:include", {"word": words[1]})
    exclude = Criterion("exclude", "micro:exclude", {"word": words[2]})
    start = Criterion("start", "micro:start", {"word": words[0]})
    rollouts = rollouts_of(tokenizer, texts, [[start, include, exclude, NO_COMMAS, SHORT]] * 128, width=24)
    expected = torch.zeros(rollouts.shape)
    for i in range(128):
        for k in range(5):
            n = len(rollouts.offsets[i])
            label = taxonomy(rollouts.criteria[i][k], rollouts.verdicts[i][k], texts[i])
            expected[i, k, :n] = torch.tensor(label_with(label, rollouts.offsets[i], n))
    assert torch.equal(Oracle()(rollouts), expected)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        Oracle()(rollouts)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.05  # measured 5 ms; the bound leaves room for a loaded machine


def test_unknown_verdict_has_no_relevance_and_soft_criteria_are_refused(small):
    unknown = replace(small, verdicts=[[Verdict(None)] * 3, [Verdict(None)] * 2])
    assert Oracle()(unknown).sum() == 0
    soft = replace(small, criteria=[[Criterion("be kind")], []], verdicts=[[Verdict(True)], []])
    with pytest.raises(RTTError, match=r"'be kind'.*use a discriminator"):
        Oracle()(soft)


def test_greedy_is_blind_to_scope_and_verdict(small):
    relevance = Annotated(greedy, "greedy")(small)
    assert relevance[0, 0].tolist() == [1, 0, 0, 0, 0]
    assert relevance[1, 0].tolist() == [1, 1, 0, 0, 0]  # the wrong first word (evidence) and the word asked for
    assert relevance[0, 2].tolist() == [1, 0, 0, 0, 0]  # a length limit: the first clause


def test_uniform_is_one_exactly_where_something_is(small):
    relevance = Uniform()(small)
    assert relevance[0].eq(1).all()
    assert relevance[1].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0] * 5]


@pytest.mark.parametrize("source", [Random(3), Noisy(Oracle(), 0.3, seed=3)])
def test_seeded_sources_do_not_depend_on_the_batch(tokenizer, small, source):
    alone = rollouts_of(tokenizer, [small.responses[1]], [small.criteria[1]])
    both = source(small)
    assert torch.equal(source(alone)[0], both[1, :2, :3])
    assert torch.equal(source(small), both)
    other = replace(source, seed=4)
    assert not torch.equal(other(small), both)
    assert both[1, 2].sum() == 0 and both[1, :, 3:].sum() == 0
    assert both.min() >= 0 and both.max() <= 1


def test_noise_flips_the_stated_share(tokenizer):
    rng = random.Random(1)
    texts = [" ".join(rng.choices(tokens_of_the_language()[:40], k=20)) for _ in range(100)]
    rollouts = rollouts_of(tokenizer, texts, [[START, SHORT]] * 100)
    for rate in (0.0, 0.25, 1.0):
        flipped = (Noisy(Oracle(), rate)(rollouts) != Oracle()(rollouts)).float().mean().item()
        assert flipped == pytest.approx(rate, abs=0.03)  # 4200 tokens: standard error 0.007


def test_threshold_keeps_only_near_certainty(small):
    values = torch.tensor([0.0, 0.5, 0.997, 0.998, 1.0])
    source = Threshold(lambda rollouts: values.expand(rollouts.shape))
    assert source(small)[0, 0].tolist() == [0, 0, 0, 1, 1]


def test_verdicts_are_a_tensor_with_nan_for_the_unknown_and_the_absent(tokenizer, small):
    rollouts = replace(small, verdicts=[[Verdict(True), Verdict(False), Verdict(None)], [Verdict(False)]])
    expected = torch.tensor([[1.0, 0.0, torch.nan], [0.0, torch.nan, torch.nan]])
    torch.testing.assert_close(rollouts.verdict_tensor(), expected, equal_nan=True)
    assert replace(small, criteria=[[], []], verdicts=[[], []]).verdict_tensor().shape == (2, 0)


def test_tokens_without_text_are_told_apart(small):
    rollouts = replace(small, offsets=[[(0, 4), (4, 9), (9, 9), (9, 12), (12, 12)], [(0, 2)]])
    assert rollouts.has_text().tolist() == [[True, True, False, True, False], [True, False, False, False, False]]


def constant_discriminator(p: float):
    return SimpleNamespace(predict=lambda criteria, responses, offsets: torch.full((2, 3, 5), p))


def test_discriminator_source_pads_and_masks(small):
    relevance = DiscriminatorSource(constant_discriminator(0.25), raw=True)(small)
    assert torch.equal(relevance, Uniform()(small) * 0.25)


@pytest.mark.parametrize(("p", "rounded"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.9, 1)])
def test_a_discriminators_relevance_is_rounded_unless_raw_is_asked_for(small, p, rounded):
    assert torch.equal(DiscriminatorSource(constant_discriminator(p))(small), Uniform()(small) * rounded)


def test_noise_near_zero_becomes_no_credit(small):
    """A discriminator that finds nothing says 1e-5 here and 1e-2 there; raw, intra scales that to evidence."""
    noise = torch.tensor([1e-5, 2e-5, 1e-2, 1e-5, 3e-5]).expand(2, 3, 5)
    source = DiscriminatorSource(SimpleNamespace(predict=lambda *_: noise))
    verdicts = torch.ones(2, 3)
    raw = token_advantage(verdicts, replace(source, raw=True)(small), small.mask, 1)
    assert raw.abs().max() > 1.4  # one token of three, or of five, against the others
    assert not token_advantage(verdicts, source(small), small.mask, 1).any()


def test_counterfactual_equals_two_plain_forward_passes(tokenizer, small):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()

    def without(prompt: str, criterion: Criterion) -> str:
        return prompt.replace(criterion.text + "; ", "", 1).replace(criterion.text + " :", ":", 1)

    source = Counterfactual(model, tokenizer, without, tau=2.0, b=0.1, batch_size=3)
    relevance = source(small)

    def log_probs(prompt: str, response: torch.Tensor) -> torch.Tensor:
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([before + response.tolist()])).logits[0]
        return torch.stack(
            [torch.log_softmax(logits[len(before) + t - 1], -1)[token] for t, token in enumerate(response)]
        )

    for i, k, n in ((0, 0, 5), (0, 2, 5), (1, 1, 3)):
        response, prompt = small.token_ids[i, :n], small.prompts[i]
        reduced = without(prompt, small.criteria[i][k])
        assert reduced != prompt
        delta = log_probs(prompt, response) - log_probs(reduced, response)
        torch.testing.assert_close(relevance[i, k, :n], torch.sigmoid(2.0 * (delta - 0.1)), atol=1e-5, rtol=1e-4)
        assert relevance[i, k, n:].sum() == 0

    together = replace(source, together=True)(small)
    for i, n in ((0, 5), (1, 3)):
        bare = small.prompts[i]
        for criterion in small.criteria[i]:
            bare = without(bare, criterion)
        delta = log_probs(small.prompts[i], small.token_ids[i, :n]) - log_probs(bare, small.token_ids[i, :n])
        for k in range(len(small.criteria[i])):
            torch.testing.assert_close(together[i, k, :n], torch.sigmoid(2.0 * (delta - 0.1)), atol=1e-5, rtol=1e-4)


def test_label_with_pads_to_the_number_of_tokens():
    assert label_with(Label(((0, 1),)), [(0, 1), (1, 2)], 3) == [1, 0, 0]
    assert label_with(Label(whole=True), [(0, 1)], 3) == [1, 1, 1]
