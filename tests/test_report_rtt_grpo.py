"""Notebook 06's views of one group of rollouts, by hand and on a real tiny policy."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from english_toy import spec_of, toy_profile

from rtt_lib.profile import RL
from rtt_lib.relevance.base import Rollouts
from rtt_lib.relevance.sources import Oracle, Uniform
from rtt_lib.report import rtt_grpo as credit_view
from rtt_lib.report.theme import rgb_of
from rtt_lib.schema import Criterion
from rtt_lib.verify import check
from rtt_lib.verify.batch import Verifier

RUBRIC = (Criterion("start bako", "micro:start", {"word": "bako"}), Criterion("no commas", "micro:no_commas"))
RESPONSES = ["bako desu", "desu , bako", "bako , desu bako"]


def group_of(source, **settings):
    offsets, longest = [], 5
    for response in RESPONSES:
        ends = np.cumsum([len(word) + 1 for word in response.split()]).tolist()
        spans = [(end - len(word) - 1, end - 1) for word, end in zip(response.split(), ends, strict=True)]
        offsets.append([*spans, (len(response), len(response))])
    mask = torch.tensor([[t < len(spans) for t in range(longest)] for spans in offsets])
    verdicts = [[check(criterion, "", response) for criterion in RUBRIC] for response in RESPONSES]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    rollouts = Rollouts(["p <b>"] * 3, RESPONSES, [RUBRIC] * 3, verdicts, ids, mask, offsets)
    return credit_view.assign_credit(rollouts, source, **settings)


class TestCredit:
    def test_verdicts_and_rewards(self):
        table = credit_view.verdict_table(group_of(Oracle()))
        assert table["start bako"].tolist() == ["yes", "no", "yes"]
        assert table["no commas"].tolist() == ["yes", "no", "no"]
        assert (table["AON"].tolist(), table["CSR"].tolist()) == ([1, 0, 0], [1, 0, 0.5])

    def test_one_relevant_token_among_n_by_hand(self):
        """Response 0, three tokens with the end: sqrt(2) for the start word, -1/sqrt(2) for the others."""
        table = credit_view.steps_table(group_of(Oracle()), 0, 0)
        assert table["token"].tolist() == ["bako", "desu", credit_view.END]
        assert table["A_k"].tolist() == pytest.approx([2**0.5, -(0.5**0.5), -(0.5**0.5)])

    def test_criteria_average_to_the_token_advantage(self):
        group = group_of(Oracle())
        assert torch.allclose(credit_view.criterion_advantages(group, 2).mean(0), group.a_tok[2], atol=1e-6)

    def test_columns_add_up_to_equation_7(self):
        table = credit_view.credit_table(group_of(Oracle(), beta=0.25), 2)
        assert (table["A_res"] + 0.25 * table["A_tok"]).tolist() == pytest.approx(table["A"].tolist())

    def test_without_beta_every_token_gets_the_response_advantage(self):
        group = group_of(Oracle(), beta=0.0)
        for i, n in enumerate(group.rollouts.mask.sum(1)):
            assert group.advantage[i, :n].tolist() == pytest.approx([group.a_res[i].item()] * int(n))

    def test_uniform_relevance_has_no_spread_and_no_credit(self):
        table = credit_view.spread_table(group_of(Oracle()), group_of(Uniform()), 0)
        assert table["std p_k, rounded"].tolist() == ["0.0e+00"] * 2 and table["largest |A_k|, rounded"].tolist() == [
            0,
            0,
        ]
        # one relevant token among three; a forbidden comma that is not there
        assert table["std p_k, unrounded"].tolist() == ["4.7e-01", "0.0e+00"]  # the root of 2/9
        assert table["largest |A_k|, unrounded"].tolist() == pytest.approx([2**0.5, 0])
        assert table["verdict"].tolist() == ["satisfied", "satisfied"]

    def test_summary_by_hand(self):
        (row,) = credit_view.credit_summary({"x": group_of(Uniform())}).to_dict("records")
        assert (row["AON"], row["CSR"], row["tokens"]) == pytest.approx((1 / 3, 0.5, 4.0))
        assert row["mean |A_tok|"] == 0 and row["mean |A_res|"] > 0

    def test_without_beta_the_two_means_of_the_summary_are_one_number(self):
        """3, 4 and 5 tokens: a mean over responses would give another number than one over tokens."""
        group = group_of(Oracle(), beta=0.0)
        (row,) = credit_view.credit_summary({"x": group}).to_dict("records")
        by_hand = sum(n * abs(a) for n, a in zip((3, 4, 5), group.a_res.tolist(), strict=True)) / 12
        assert row["mean |A|"] == pytest.approx(row["mean |A_res|"]) == pytest.approx(by_hand)
        assert by_hand != pytest.approx(group.a_res.abs().mean().item())

    def test_silence_counts_the_responses_that_satisfy_everything(self):
        said = credit_view.silence(group_of(Oracle()))
        assert said.startswith("1 of 3 responses satisfy every criterion: here AON is not silent;")
        failing = replace(group_of(Oracle()), verdicts=torch.zeros(3, 2))
        assert credit_view.silence(failing).startswith(
            "0 of 3 responses satisfy every criterion: AON gives all the same"
        )

    def test_the_telling_response_satisfies_most_of_the_flawed_ones(self):
        assert credit_view.telling_response(group_of(Oracle(), reward="aon")) == 2

    def test_html_is_escaped_and_signed(self):
        html = credit_view.advantage_html(group_of(Oracle()), [0], "<script>")
        assert "<script>" not in html and "p &lt;b&gt;" in html and "&lt;end&gt;" in html
        (raised,) = re.findall(r'background: (#\w{6})">bako<small>\+', html)
        assert rgb_of(raised)[2] > rgb_of(raised)[0], "blue, not orange"
        assert "start bako: satisfied" in credit_view.relevance_html(group_of(Oracle()), 0)


def test_roll_out_stops_at_the_end_token_and_does_not_touch_the_random_state():
    from transformers import LlamaForCausalLM

    from rtt_lib.worlds.micro.language import find_world, sample_prompts
    from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

    tokenizer = micro_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2)).eval()
    (question,) = sample_prompts(find_world("L"), 1, "test")
    rl = RL(steps=1, group_size=16, max_response_tokens=20, temperature=1.0, top_p=1.0, top_k=0)
    before = torch.get_rng_state()
    first, again = (credit_view.roll_out(model, tokenizer, question, rl, Verifier()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before) and first.responses == again.responses
    for ids, mask, offsets in zip(first.token_ids, first.mask, first.offsets, strict=True):
        kept = ids[mask].tolist()
        assert len(offsets) == len(kept) and tokenizer.eos_token_id not in kept[:-1]
        assert kept[-1] == tokenizer.eos_token_id or len(kept) == first.token_ids.shape[1]
    assert all(len(row) == len(question.criteria) for row in first.verdicts)


def test_a_group_in_which_every_response_fails_shows_most():
    """From most to least: then a global criterion, then the spread of CSR; a group whose AON is unknown comes last."""
    length = Criterion("at most 4 words", "micro:at_most_words", {"n": 4})
    with_length = (RUBRIC[0], length)
    groups = [
        ([[0, 0], [0, 1]], with_length),
        ([[0, 1], [1, 0]], with_length),
        ([[0, 0], [0, 1]], RUBRIC),
        ([[0, 1], [0, 1]], RUBRIC),
        ([[1, 1], [0, 0]], with_length),
        ([[1, torch.nan], [0, 0]], with_length),
    ]
    shown = [credit_view.shows(torch.tensor(verdicts, dtype=torch.float), rubric) for verdicts, rubric in groups]
    assert shown == sorted(shown, reverse=True) and len(set(shown)) == len(shown)


@pytest.mark.usefixtures("small_english")
def test_samples_are_the_base_policys_responses_to_the_first_questions():
    spec = spec_of(toy_profile(), "RTT-CSR")
    table = credit_view.samples(spec, 3)
    asked = spec.home.questions(3)
    assert list(table["prompt"]) == [question.prompt for question in asked]
    for question, row in zip(asked, table.to_dict("records"), strict=True):
        verdicts = [check(criterion, question.prompt, row["response"]).value for criterion in question.criteria]
        assert row["satisfied"] == f"{sum(verdicts)} of {len(verdicts)}"
    assert table.equals(credit_view.samples(spec, 3)), "the same responses again"
