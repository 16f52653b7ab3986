"""DPO prefers responses that keep every criterion to the policy's own."""

from __future__ import annotations

import pytest
from supervised import (
    given_in_the_micro_world,
    other_responses_are_another_training,
    prompts_in_the_micro_world,
    trained_on_a_strong_llms_responses,
)

from rtt_lib.methods import dpo
from rtt_lib.verify import verify


def test_in_the_micro_world_responses_by_rule_are_preferred(tmp_path, monkeypatch):
    rows = given_in_the_micro_world(monkeypatch, tmp_path, dpo, "DPO")["rows"]
    prompts = prompts_in_the_micro_world()
    assert [row["prompt"] for row in rows] == [prompt.prompt for prompt in prompts]
    for row, prompt in zip(rows, prompts, strict=True):
        assert all(verify(criterion, prompt.prompt, row["chosen"].strip()) for criterion in prompt.criteria)
        assert row["rejected"] == f" own response to {prompt.prompt}"


@pytest.mark.usefixtures("one_thread", "without_hub")
def test_on_a_strong_llms_responses_it_trains_as_in_the_paper(text_folder, empty_store, tmp_path, caplog, monkeypatch):
    seen, given = trained_on_a_strong_llms_responses(monkeypatch, text_folder, tmp_path, dpo, "DPO")
    assert "1 of 6 prompts have no response" in caplog.text
    assert sorted(row["chosen"][0]["content"] for row in seen["rows"]) == given
    assert not {row["rejected"][0]["content"] for row in seen["rows"]} & set(given)
    other_responses_are_another_training(tmp_path, "DPO")
