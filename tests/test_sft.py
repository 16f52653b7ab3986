"""SFT learns responses: by rule in the micro world, else a strong LLM's, or the answers of conversations."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import yaml
from supervised import (
    given_in_the_micro_world,
    other_responses_are_another_training,
    prompts_in_the_micro_world,
    trained_on_a_strong_llms_responses,
)
from text_toy import SETTINGS, spec_of

from rtt_lib.methods import sft
from rtt_lib.models import load_causal_lm
from rtt_lib.rubrics.conifer.conversations import EASY_TO_HARD, EXTERNAL, Conversation, pairs, write_conversations
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify import verify


def test_in_the_micro_world_responses_by_rule_are_learned(tmp_path, monkeypatch):
    rows = given_in_the_micro_world(monkeypatch, tmp_path, sft, "SFT")["rows"]
    prompts = prompts_in_the_micro_world()
    assert [row["prompt"] for row in rows] == [prompt.prompt for prompt in prompts]
    for row, prompt in zip(rows, prompts, strict=True):
        assert all(verify(criterion, prompt.prompt, row["completion"].strip()) for criterion in prompt.criteria)


@pytest.mark.usefixtures("one_thread", "without_hub")
def test_on_a_strong_llms_responses_it_trains_as_in_the_paper(text_folder, empty_store, tmp_path, caplog, monkeypatch):
    seen, given = trained_on_a_strong_llms_responses(monkeypatch, text_folder, tmp_path, sft, "SFT")
    assert "1 of 6 prompts have no response" in caplog.text
    assert sorted(row["completion"][0]["content"] for row in seen["rows"]) == given
    assert seen["completion_only_loss"] is True
    other_responses_are_another_training(tmp_path, "SFT")


CONVERSATIONS = [
    Conversation(
        "a/levels", pairs(("Name animal 1.", "A cat."), ("Name animal 2, a wild one.", "A wolf.")), EASY_TO_HARD
    ),
    Conversation("a/external", pairs(("Name animal 3.", "A chair."), ("No.", "A fox.")), EXTERNAL, (), (1,)),
]


@pytest.mark.usefixtures("one_thread", "without_hub")
def test_conversations_are_learnt_answer_by_answer(text_folder, empty_store, tmp_path, monkeypatch):
    write_conversations(tmp_path / "conifer.jsonl", CONVERSATIONS)
    settings = SETTINGS | {
        "data": {"source": "conifer", "path": "conifer.jsonl", "train_prompts": 3},
        "policy": {"model": str(text_folder / "model")},
        "experiments": {"core": {"arms": ["base", "SFT"], "seeds": ["A0"]}},
        "rl": SETTINGS["rl"] | {"steps": 3, "minibatches": 1, "warmup_steps": 1},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    seen = {}

    class Watched(sft.SFTTrainer):
        def __init__(self, model, args, train_dataset, **rest):
            seen.update({name: getattr(args, name) for name in vars(args)}, rows=list(train_dataset))
            super().__init__(model, args=args, train_dataset=train_dataset, **rest)

    monkeypatch.setattr(sft, "SFTTrainer", Watched)
    profile = load_profile(tmp_path / "toy.yaml")
    spec = spec_of(profile, "SFT", "A0")
    execute.train(spec)
    # three steps of two answers: the three answers that are no drafts, twice over
    found = Counter((row["prompt"][-1]["content"], row["completion"][0]["content"]) for row in seen["rows"])
    assert found == {
        ("Name animal 1.", "A cat."): 2,
        ("Name animal 2, a wild one.", "A wolf."): 2,
        ("No.", "A fox."): 2,
    }
    wolf = next(row["prompt"] for row in seen["rows"] if row["completion"][0]["content"] == "A wolf.")
    assert [turn["content"] for turn in wolf] == ["Name animal 1.", "A cat.", "Name animal 2, a wild one."]
    how = ("max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps", "max_length", "completion_only_loss")
    assert [seen[name] for name in how] == [3, 0.01, "constant_with_warmup", 1, 900 + 16, True]
    moved, base = (load_causal_lm(place).state_dict() for place in (spec.policy, text_folder / "model"))
    assert any(not torch.equal(moved[name], base[name]) for name in base)
