"""Scores by level, by hand and against a slow count of a real policy's responses."""

from __future__ import annotations

import pytest
from test_ladders import by_hand

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.worlds.levels import evaluation
from rtt_lib.worlds.levels.evaluation import evaluate, scores_by_level, share_of_numbers
from rtt_lib.worlds.levels.ladders import prompts_at
from rtt_lib.worlds.levels.policy import base_policy


def test_the_gap_is_the_hard_levels_minus_the_easy_ones():
    found = scores_by_level({level: {"all_satisfied": s} for level, s in enumerate((0.9, 0.7, 0.5, 0.3, 0.2), 1)})
    assert found["level 3"] == 0.5 and found["levels 1 and 2"] == pytest.approx(0.8)
    assert found["levels 4 and 5"] == pytest.approx(0.25) and found["hard minus easy"] == pytest.approx(-0.55)


def test_the_share_of_numbers_counts_counts_and_lengths_only():
    prompts = [
        RubricPrompt("", "", by_hand("start ba", "exactly 1 de", "at most 8 words")),
        RubricPrompt("", "", by_hand("at least 2 ba", "no commas")),
    ]
    assert share_of_numbers(prompts, ["ku de", "ba"]) == pytest.approx(2 / 3)


@pytest.mark.usefixtures("one_thread")
def test_each_level_is_scored_on_its_own_prompts(monkeypatch):
    """With a policy that answers levels 1 to 3 as they ask, and says one word to the others."""
    folder = base_policy("A", 2)

    def respond(model, tokenizer, prompts, max_tokens, greedy):
        said = []
        for prompt in prompts:
            parts = prompt.removeprefix("<ask> ").removesuffix(" :").split(" ; ")
            said.append("wrong" if len(parts) > 3 else " ".join(constructed[prompt]) + " = words 99")
        return said, [False] * len(prompts)

    constructed = {p.prompt: answer_to(p) for level in (1, 2, 3) for p in prompts_at(level, 12, "evaluation")}
    monkeypatch.setattr(evaluation, "respond", respond)
    scores = evaluate(load_causal_lm(folder), load_tokenizer(folder), 12, 32)
    families = scores["sampled"]["families"]
    assert [families[f"level {k}"] for k in (1, 2, 3, 4, 5)] == [1, 1, 1, 0, 0]
    assert families["levels 4 and 5"] == 0 and families["hard minus easy"] == -1
    assert scores["sampled"]["all_satisfied"] == pytest.approx(0.6)
    assert families["unseen combinations"] == scores["out_of_domain"]["all_satisfied"] == 0


def answer_to(prompt: RubricPrompt) -> list[str]:
    from random import Random

    from rtt_lib.worlds.levels.ladders import answer
    from rtt_lib.worlds.micro.language import Language

    text = answer(prompt.criteria, 0.0, Language(), Random(prompt.id))
    assert all(verify(criterion, "", text) for criterion in prompt.criteria)
    return text.split()


@pytest.mark.usefixtures("one_thread")
def test_a_policy_that_has_learned_nothing_is_scored_the_same_twice():
    folder = base_policy("A", 2)
    first, again = (evaluate(load_causal_lm(folder), load_tokenizer(folder), 6, 8) for _ in range(2))
    assert first == again and set(first) >= {"sampled", "greedy", "out_of_domain", "mean_words", "truncated"}
    assert len(first["examples"]) == 5 and 0 <= first["truncated"] <= 1
