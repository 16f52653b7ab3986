"""What every method is given, and what it gives back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from text_toy import spec_of

from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import ARMS
from rtt_lib.methods.task import Task, per_rollout_step
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.text import world as text_world

pytestmark = pytest.mark.usefixtures("without_hub")


def test_what_does_not_divide_into_processes_is_named(text_profile, tmp_path, monkeypatch):
    monkeypatch.setattr(text_world, "PartialState", lambda: SimpleNamespace(num_processes=3))
    given = replace(text_profile, data=replace(text_profile.data, responses="strong.jsonl"))
    for case, says in (
        (text_profile, r"1 responses .*\(rl.prompts_per_step / rl.minibatches\)"),
        (given, "256 .*the paper"),
    ):
        spec = spec_of(case, "SFT", "A0")
        task = Task(spec.arm, case.rl, case.compute, "A0", spec.home, None, None, [], tmp_path)
        with pytest.raises(RTTError, match=says):
            task.supervised_settings()


@pytest.mark.parametrize("chat", [False, True])
def test_a_prompt_and_its_response_are_text_or_messages(chat, tmp_path):
    world = SimpleNamespace(chat=lambda tokenizer: chat)
    task = Task(ARMS["SFT"], None, None, "A0", world, None, None, [], tmp_path)
    asked, answered = task.asked(RubricPrompt("a", "Name a cat.", ())), task.answered("Tom.")
    if chat:
        assert asked == [{"role": "user", "content": "Name a cat."}]
        assert answered == [{"role": "assistant", "content": "Tom."}]
    else:
        assert asked + answered == "Name a cat. Tom."


def test_a_log_is_counted_in_rollout_steps_and_has_no_times():
    """Two optimizer steps a rollout; a row without a loss is no training step."""
    log = [
        {"step": 2, "reward": 0.5, "loss": 1.0, "step_time": 3.0, "rtt/verify_seconds": 0.1},
        {"step": 4, "loss": 0.9, "reward": 0.6, "rtt/relevance_seconds": 0.2},
        {"step": 4, "train_runtime": 9.0},
    ]
    rows = per_rollout_step(log, 2)
    assert rows == [{"step": 1, "loss": 1.0, "reward": 0.5}, {"step": 2, "loss": 0.9, "reward": 0.6}]
    assert [list(row) for row in rows] == [["step", "loss", "reward"]] * 2, "in one order, also after a kill"
