"""The credit of a batch is timed against the released way, and its memory is counted."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import torch

from rtt_lib.credit import token_advantage
from rtt_lib.run.speed import credit as speed
from rtt_lib.run.speed.__main__ import main


def test_the_list_based_way_is_the_released_scheme():
    batch = speed.random_batch(responses=24, tokens=12)
    assert [x.shape for x in batch] == [(24, speed.CRITERIA), (24, speed.CRITERIA, 12), (24, 12)]
    found = torch.cat(speed.list_based(speed.nested_lists(*batch)))
    released = token_advantage(*(x.double() for x in batch), speed.GROUP, "released")
    torch.testing.assert_close(found, released, atol=1e-6, rtol=0)
    assert found.abs().max() > 0.1


def test_credit_prints_times_and_memory(capsys, monkeypatch):
    def in_this_process(command, **options):
        """What a process of its own would print: starting one takes seconds."""
        assert command[:3] == [sys.executable, "-m", "rtt_lib.run.speed"]
        found = StringIO()
        with redirect_stdout(found):
            main(command[3:])
        return SimpleNamespace(stdout=found.getvalue())

    monkeypatch.setattr(subprocess, "run", in_this_process)
    speed.credit(rounds=2, responses=64, tokens=128, schemes=("intra",))
    first, lists, scheme = capsys.readouterr().out.splitlines()
    assert first.startswith(f"64 x {speed.CRITERIA} x 128, ") and lists.startswith("nested lists: ")
    found = re.fullmatch(r"intra +(\d+\.\d+) s, (\d+) times faster, peak memory (\d+\.\d+) x its input", scheme)
    assert found, scheme


def test_the_peak_is_that_of_the_call(capsys):
    """Credit makes several tensors as large as its input, and not a hundred."""
    speed.memory("intra", 64, 4096)
    assert 0 <= float(capsys.readouterr().out) < 20
