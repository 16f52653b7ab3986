"""What every method is given, and what it gives back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from text_toy import spec_of

from rtt_lib.errors import RTTError
from rtt_lib.methods.task import Task
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
        task = Task(spec.arm, case.rl, case.compute, 0, spec.home, None, None, [], tmp_path)
        with pytest.raises(RTTError, match=says):
            task.supervised_settings()
