"""`rtt grade ifeval` against a command that grades the same."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median


def grading(data: str, responses: str, command: str, rounds: int = 5) -> None:
    """Prints the wall time and the processor time of each, from start to exit, and the ratios of ours to the other."""
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-m", "rtt_lib", "grade", "ifeval", responses, "--data", data]
        commands = {"ours": [*ours, "--out", f"{folder}/verdicts.jsonl"], "other": shlex.split(command)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, words in commands.items():
                times[name].append(wall_and_processor(words))
    found = {name: [median(values) for values in zip(*times[name], strict=True)] for name in commands}
    for place, kind in enumerate(("wall", "processor")):
        mine, other = found["ours"][place], found["other"][place]
        print(f"{kind} time, median of {rounds}: ours {mine:.2f} s, other {other:.2f} s, {mine / other:.2f} times")


def wall_and_processor(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of a command and of its own children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
