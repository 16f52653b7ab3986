"""SFT learns responses: by rule in the micro world, else a strong LLM's."""

from __future__ import annotations

import pytest
from supervised import (
    given_in_the_micro_world,
    other_responses_are_another_training,
    prompts_in_the_micro_world,
    trained_on_a_strong_llms_responses,
)

from rtt_lib.methods import sft
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
