"""What this machine is, asked of the system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtt_lib import machine
from rtt_lib.profile import REPOSITORY


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not say which cores are allowed")
def test_cores_are_those_that_this_process_may_use():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from rtt_lib.machine import cores; print(cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "1\n", done.stderr
    assert machine.cores() == len(os.sched_getaffinity(0))


def test_the_hardware_is_named():
    found = machine.hardware()
    assert set(found) == {"cpu", "cores", "memory_gib", "gpus"}
    assert found["cpu"] and found["cores"] >= 1 and found["memory_gib"] >= 1


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 'GPU A, 100 MiB'; echo 'GPU B, 200 MiB'", ["GPU A, 100 MiB", "GPU B, 200 MiB"]),
        ("echo 'no devices were found'; exit 9", []),
        (None, []),
    ],
)
def test_gpus_are_what_the_drivers_tool_says(tmp_path, monkeypatch, script, gpus):
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.hardware()["gpus"] == gpus
