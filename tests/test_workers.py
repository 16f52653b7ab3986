"""Processes that train: none outlives its parent, their threads are set, what they print is kept for an error."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.workers import PARENT, failed, output_to, worker_pool


def threads_here() -> tuple[int, str, int]:
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.getpid()


def pages_asked_for() -> int:
    """While eight tensors of four megabytes are made and freed fifty times."""
    import resource

    import torch

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        _ = [torch.empty(2**22, dtype=torch.uint8).fill_(1) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_a_process_for_a_small_model_keeps_its_memory():
    """All these tensors have 409,600 small pages, or 800 large ones."""
    with worker_pool(1, threads=1) as pool:
        pool.submit(pages_asked_for).result()
        assert pool.submit(pages_asked_for).result() < 50


@pytest.mark.slow
def test_a_pool_shares_the_cores_and_can_begin_afresh(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with worker_pool(1, threads=1, reuse=False) as pool:
        first, second = pool.submit(threads_here).result(), pool.submit(threads_here).result()
    assert first[:2] == second[:2] == (1, "1") and first[2] != second[2]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_run_ends_with_the_process_that_started_it():
    code = (
        "import time; from rtt_lib.studies.workers import end_with_parent; end_with_parent();"
        " print(1, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {PARENT: str(parent.pid), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    parent.kill()
    parent.wait()
    assert child.wait(timeout=20) == 1


def test_what_is_printed_goes_to_the_log_and_into_the_error(tmp_path, capfd):
    log = tmp_path / "deep" / "output.log"
    with pytest.raises(RTTError, match="bad"), output_to(log):
        os.write(1, b"out\n")
        os.write(2, b"err\n")
        raise RTTError("bad")
    assert log.read_text() == "out\nerr\n"
    os.write(1, b"seen\n")
    assert capfd.readouterr().out == "seen\n"
    assert str(failed("run x", "bad", log)) == f"run x: bad; {log} ends with\nout\nerr\n"
    assert str(failed("run x", "bad", tmp_path / "none")) == "run x: bad"
