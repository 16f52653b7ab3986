"""A full disk and a folder that may not be written: a message, what was there stays, and the same command goes on."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from judge_server import QUESTION, Server, endpoint
from test_pipeline import House, write_notebook

from rtt_lib.errors import RTTError
from rtt_lib.files import write_json, write_text
from rtt_lib.run import pipeline
from rtt_lib.verify.judge import Judge

# A mount name space of our own: what is mounted in it nobody else sees, and it is gone with the last process in it.
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


def mounting() -> bool:
    try:
        return subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    except OSError:
        return False


needs_mount = pytest.mark.skipif(
    not mounting(),
    reason="no small file system can be mounted here: that needs root or user name spaces. Only file sizes are limited",
)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writing more to a file fails, as on a full disk, also for root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [write_text, write_json])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, write):
    path = write(tmp_path / "table", "old")
    old = path.read_bytes()
    with files_limited_to(1000), pytest.raises(OSError, match="File too large"):
        write(path, "new" * 1000)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_an_answer_that_cannot_be_kept_stops_the_judge_with_advice(tmp_path):
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with files_limited_to(1), pytest.raises(RTTError, match=r"cannot be kept \(File too large\); free the disk"):
            Judge(endpoint(server), cache=tmp_path).check_many([QUESTION])
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        server.shutdown()


def commands(house: House, script: str) -> str:
    """Run shell lines in a mount name space; `$rtt` is the command of that house, `$R` its results folder."""
    words = ["run", house.profile_path, "--notebooks", house.notebooks, "--results", house.results]
    rtt = " ".join(map(str, [sys.executable, "-m", "rtt_lib", *words]))
    environment = os.environ | {
        "RTT_TEST_LOG": str(house.log),
        "PYTHONPATH": str(house.root),
        "R": str(house.results),
        "rtt": rtt,
        "OMP_NUM_THREADS": "1",
    }
    unused = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(pipeline.REPOSITORY / "rtt_lib", house.root / "rtt_lib", ignore=unused)  # nobody edits this copy
    house.results.mkdir()
    command = [*UNSHARE, "sh", "-uc", script]
    done = subprocess.run(command, env=environment, cwd=house.root, capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


@pytest.mark.slow
@needs_mount
def test_nothing_can_be_written(tmp_path):
    said = commands(
        House(tmp_path, ["01_first"]),
        """
        mount -t tmpfs -o size=64k none $R; head -c 1m /dev/zero > $R/filler 2> /dev/null
        $rtt; echo "full: $?"
        mount -o remount,ro $R
        $rtt; echo "read-only: $?"
        """,
    )
    assert "No space left on device" in said and "full: 1" in said
    assert "Read-only file system" in said and "read-only: 1" in said
    assert len(re.findall("rtt: (?!missing here)", said)) == 2 and "Traceback" not in said


@pytest.mark.slow
@needs_mount
def test_a_disk_that_fills_up_costs_the_running_notebook_and_no_more(tmp_path):
    house = House(tmp_path, ["01_first"])
    write_notebook(house.notebooks, "02_large", 'write_text(tables / "large.csv", "x" * 3_000_000)', ["01_first"])
    said = commands(
        house,
        """
        mount -t tmpfs -o size=2m none $R
        $rtt; echo "full: $?"; ls -A $R/tables
        mount -o remount,size=64m $R
        $rtt; echo "freed: $?"; ls -A $R/tables
        """,
    )
    before, after = said.split("full: 1")
    assert "01_first: finished" in before
    assert "02_large: cell 4 (In [4]) failed: OSError: [Errno 28] No space left on device" in said
    assert after.split("\n")[1] == "first.csv"  # and no half of the large one, under any name
    assert "01_first: done and unchanged" in after and "freed: 0\nfirst.csv\nlarge.csv" in after
    assert house.log.read_text().split() == ["01_first", "02_large", "02_large"]
