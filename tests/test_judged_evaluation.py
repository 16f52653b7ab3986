"""What kind of judge a policy is: measures worked by hand, and on policies whose verdicts are known."""

from __future__ import annotations

import pytest
import torch

from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.judged import evaluation
from rtt_lib.worlds.judged.evaluation import against_start, entropy, exam, judge_scores, measures
from rtt_lib.worlds.judged.language import quality, with_word
from rtt_lib.worlds.judged.policy import judged_tokenizer

START = Criterion("start bako", "micro:start", {"word": "bako"})
PROMPT = RubricPrompt("1", "start bako :", (START,))
# One prompt, three responses that meet 2, 1 and 1 criteria; the pairs are (0, 1), (0, 2), (1, 2).
MET, PLANTED = torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0]])


def shares(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor([rows])


def test_a_judge_by_hand():
    straight = shares((0.8, 0.2), (0.6, 0.4), (0.7, 0.3))
    reverse = shares((0.4, 0.6), (0.7, 0.3), (0.2, 0.8))
    found = measures(straight, reverse, MET, PLANTED)
    # (0, 1): 0.8 and 0.6 for 0; (0, 2): 0.6 and 0.3 for 0. The third pair is tied.
    assert found["accuracy"] == pytest.approx((0.7 + 0.45) / 2)
    assert found["firm accuracy"] == 0.5, "0 over 1 is right, 2 over 0 is wrong"
    assert found["order agreement"] == pytest.approx(2 / 3), "0 and 2 change with the order"
    # 0 over 1, 2 over 0, 1 over 2: a cycle.
    assert found["cycles"] == 1
    # Of the tied pair 1 has the planted word: 0.7 and 0.8 for it.
    assert found["word"] == pytest.approx(0.75)
    assert found["first"] == pytest.approx((0.8 + 0.6 + 0.7 + 0.4 + 0.7 + 0.2) / 6)
    assert found["place"] == pytest.approx(abs(found["first"] - 0.5))
    assert found["tied"] == pytest.approx(1 / 3) and found["unreadable"] == pytest.approx(0, abs=1e-6)
    # Shares 0.7 + 0.45, 0.3 + 0.75, 0.55 + 0.25: ranks 3, 2, 1 against 2.5 ties; by scipy.
    assert found["correlation"] == pytest.approx(0.866, abs=1e-3)


def test_what_cannot_be_read_is_not_right_and_takes_no_side():
    found = measures(shares(*[(0.1, 0.1)] * 3), shares(*[(0.1, 0.1)] * 3), MET, PLANTED)
    assert found["accuracy"] == pytest.approx(0.1) and found["unreadable"] == pytest.approx(0.8)
    assert found["first"] == found["word"] == found["firm accuracy"] == 0.5 and found["cycles"] == 0


def test_tied_responses_have_no_right_verdict():
    even = torch.ones(1, 3)
    found = measures(shares(*[(0.9, 0.1)] * 3), shares(*[(0.1, 0.9)] * 3), even, torch.zeros(1, 3))
    assert found["accuracy"] is found["correlation"] is found["word"] is None and found["tied"] == 1


def verdicts_by(rule):
    """Stands in for the model's probabilities: `rule` of the criteria and both responses gives that of the first."""

    def shares(model, tokenizer, questions, batch_size=256):
        rows = []
        for question in questions:
            first, second = question.removesuffix(" ?").split(" <1> ")[1].split(" <2> ")
            rows.append([rule(question, first, second), 1 - rule(question, first, second)])
        return torch.tensor(rows)

    return shares


def test_a_perfect_judge_and_one_that_likes_the_planted_word(monkeypatch):
    found = exam(30)
    criteria = {p.prompt: p.criteria for p in found.prompts}

    def better(question: str, first: str, second: str) -> float:
        asked = criteria[question.removeprefix("<judge> ").split(" <1>")[0]]
        difference = quality(asked, first) - quality(asked, second)
        return 0.5 + 0.5 * (difference > 0) - 0.5 * (difference < 0)

    monkeypatch.setattr(evaluation, "verdict_shares", verdicts_by(better))
    perfect = judge_scores(None, None, found)
    assert perfect["accuracy"] == perfect["firm accuracy"] == 1 and perfect["correlation"] > 0.95
    assert perfect["cycles"] == 0 and perfect["word"] == 0.5 and perfect["place"] == 0
    likes = verdicts_by(lambda question, first, second: {1: 1.0, 2: 0.0, 0: 0.5}[with_word(first, second)])
    monkeypatch.setattr(evaluation, "verdict_shares", likes)
    partial = judge_scores(None, None, found)
    assert partial["word"] == 1 and 0.35 < partial["accuracy"] < 0.65 and partial["place"] == 0


def test_wins_over_the_start_are_of_pairs_of_similar_length():
    own = ["bako de fi go ku", "bako de fi go ku", "de fi go ku la", "bako"]
    start = ["de fi go ku la", "bako la me ni fi", "bako de fi go ku", "de fi go ku la"]
    assert against_start([PROMPT] * 4, own, start) == {"win rate": 0.5, "near in length": 0.75}
    assert against_start([PROMPT], ["bako"], ["de fi go ku la"]) == {"win rate": None, "near in length": 0}


def test_the_entropy_of_a_policy_that_knows_nothing_is_that_of_its_vocabulary():
    from transformers import LlamaForCausalLM

    from rtt_lib.worlds.micro.policy import micro_config

    tokenizer = judged_tokenizer()
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2))
    torch.nn.init.zeros_(model.lm_head.weight)
    assert entropy(model, tokenizer, [("start bako :", "bako dera")]) == pytest.approx(
        torch.tensor(float(len(tokenizer))).log().item(), rel=1e-5
    )
