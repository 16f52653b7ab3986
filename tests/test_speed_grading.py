"""Commands are timed from start to exit."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from text_toy import IFEVAL

from rtt_lib.files import write_jsonl
from rtt_lib.run.speed import grading as speed


def test_a_command_is_timed_with_its_processor_time():
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    wall, processor = speed.wall_and_processor([sys.executable, "-c", busy])
    assert 0.6 <= processor < 5 and wall > 0.5
    wall, processor = speed.wall_and_processor([sys.executable, "-c", "import time; time.sleep(1)"])
    assert wall > 1 and processor < 0.9


def test_grading_is_compared_with_another_command(tmp_path, capsys):
    write_jsonl(tmp_path / "ifeval.jsonl", IFEVAL)
    rows = [{"prompt": row["prompt"], "response": "One"} for row in IFEVAL]
    write_jsonl(tmp_path / "responses.jsonl", rows)
    command = f"{sys.executable} -c pass"
    speed.grading(str(tmp_path / "ifeval.jsonl"), str(tmp_path / "responses.jsonl"), command, rounds=1)
    wall, processor = capsys.readouterr().out.splitlines()
    for line, kind in ((wall, "wall"), (processor, "processor")):
        found = re.fullmatch(rf"{kind} time, median of 1: ours (\S+) s, other (\S+) s, (\S+) times", line)
        ours, other, ratio = map(float, found.groups())
        assert ours > other > 0 and ratio == pytest.approx(ours / other, rel=0.3)
    with pytest.raises(subprocess.CalledProcessError):
        speed.grading("nothing", "nothing", command, rounds=1)
