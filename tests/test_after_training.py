"""What discriminators mark in the responses of trained policies: whose policies, the scores, the sentence."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from english_toy import spec_of, toy_profile
from test_execute import PROFILE
from test_rollouts import graded
from transformers import LlamaForTokenClassification

from rtt_lib.analysis import after_training
from rtt_lib.analysis.rollouts import rollout_examples
from rtt_lib.files import write_jsonl
from rtt_lib.methods.arms import find_arm
from rtt_lib.models import load_tokenizer
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, TEMPLATE_KEY, Discriminator
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

PLACES = [("L", "base", "A0"), ("L", "RTT-AON", "A0"), ("L", "base", "B1"), ("L", "RTT-AON", "B1"), ("L", "DPO", "A0")]


@pytest.fixture
def specs():
    return [RunSpec(find_arm(arm), world, seed, PROFILE) for world, arm, seed in PLACES]


def trained(spec) -> None:
    (spec.folder / "policy").mkdir(parents=True)
    (spec.folder / "policy" / "config.json").write_text("{}")


def test_only_runs_whose_policy_is_here_and_their_base_policies(specs, empty_store):
    assert after_training.here(specs) == []
    trained(specs[1])
    trained(specs[4])  # an arm that is not looked at
    assert after_training.here(specs) == [specs[0], specs[1]]


def constant(p: float) -> Discriminator:
    tokenizer = micro_tokenizer()
    config = micro_config(len(tokenizer))
    config.num_labels = 1
    setattr(config, TEMPLATE_KEY, MICRO_TEMPLATE)
    model = LlamaForTokenClassification(config)
    torch.nn.init.zeros_(model.score.weight)
    torch.nn.init.constant_(model.score.bias, torch.logit(torch.tensor(p)).item())
    return Discriminator(model, tokenizer)


def test_a_discriminator_that_marks_everything():
    """Responses of three tokens and five, ends included. *start* asks for one token of each, *no commas* for the comma
    of the second, *at most* for all of both."""
    examples = rollout_examples(graded(micro_tokenizer(), "bako desu", "bako , desu desu"))
    rows = after_training.by_family(examples, 4.0, constant(0.9))
    found = {row["family"]: row for row in rows}
    assert {row["tokens"] for row in rows} == {4.0}
    assert found["start"]["precision"] == pytest.approx(2 / 8) and found["start"]["recall"] == 1
    assert found["start"]["F1"] == pytest.approx(2 * 2 / (2 * 2 + 6))
    assert found["no_commas"]["precision"] == pytest.approx(1 / 8)
    assert found["start"]["wrong"] == pytest.approx(6 / 2) and found["at_most_words"]["wrong"] == 0
    assert found["at_most_words"]["F1"] == 1


def test_an_english_policy_is_read_where_it_was_examined(small_english):
    spec = spec_of(toy_profile(), "base")
    asked = spec.home.questions(6)
    rows = [{"id": prompt.id, "prompt": prompt.prompt, "response": "A cat naps."} for prompt in asked]
    write_jsonl(spec.evaluation / "responses" / "sampled.jsonl", rows)
    examples, tokens = after_training.written_when_examined(spec, prompts=2)
    assert [e.criterion for e in examples] == [c for prompt in asked[:2] for c in prompt.criteria]
    assert {e.response for e in examples} == {"A cat naps."}
    assert tokens == 1 + len(load_tokenizer(spec.policy)("A cat naps.").input_ids)


def row(arm: str, seed: str, f1: float, family: str = "end", world: str = "U") -> dict:
    place = {"world": world, "arm": arm, "seed": seed, "family": family}
    return place | {"tokens": 20.0, "F1": f1, "precision": f1 / 2, "recall": 1.0, "wrong": 10 * (1 - f1)}


def test_means_over_runs_and_the_worst_family_in_words():
    rows = [row("base", f"{base}0", 0.7) for base in "ABC"] + [row("RTT-AON", f"{base}0", 0.1) for base in "ABC"]
    rows += [
        row("RTT-AON", "A0", 1.0, "start"),
        row("RL-AON", "A0", 0.05),
        row("RTT-AON", "D0", float("nan")) | {"precision": float("nan"), "wrong": 0.0},
    ]
    table = after_training.summary(pd.DataFrame(rows))
    one = table.set_index(["arm", "family"]).loc[("RTT-AON", "end")]
    assert one["runs"] == 4 and one["F1"] == pytest.approx(0.1) and one["precision"] == pytest.approx(0.05)
    assert one["wrong"] == pytest.approx(9.0 * 3 / 4), "nothing marked and nothing relevant: no F1, and nothing wrong"
    assert one["low"] == pytest.approx(0.1) == one["high"]
    assert table.set_index(["arm", "family"]).loc[("RTT-AON", "start")].isna()["low"], "one run has no interval"
    assert after_training.finding(table) == (
        "Most tokens are wrongly marked for *end* in world U: 6.8 of a response by RTT-AON's policies, "
        "and 3.0 of one by a base policy."
    )


def test_where_nothing_is_marked_nothing_is_wrong():
    assert after_training._wrongly_marked({"marked": 0.0, "precision": float("nan"), "tokens": 9, "examples": 3}) == 0


def test_without_policies_the_published_table_stands(specs, empty_store, tmp_path):
    nothing = after_training.of(specs, tmp_path)
    assert nothing.empty and "nothing is said here" in after_training.finding(nothing)
    made = after_training.summary(pd.DataFrame([row("RTT-AON", "A0", 0.25)]))
    (tmp_path / "tables").mkdir()
    made.to_csv(tmp_path / "tables" / "09_after_training.csv", index=False)
    assert "7.5 of a response by RTT-AON's policies." in after_training.finding(after_training.of(specs, tmp_path))
