"""What all measurements share: whatever is compared runs in turn, so that a busy machine slows all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch

from rtt_lib.machine import hardware
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY

GROUP = 8  # responses to a prompt
Key = TypeVar("Key", bound=Hashable)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(works: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, list[float]]:
    """Seconds of each, one after the other, `rounds` times. A round before them warms up and is not counted."""
    times: dict[Key, list[float]] = {key: [] for key in works}
    for _ in range(rounds + 1):
        for key, work in works.items():
            times[key].append(seconds(work))
    return {key: found[1:] for key, found in times.items()}


def this_machine() -> str:
    found, git = hardware(), git_state(REPOSITORY)
    commit = f"commit {(git['commit'] or 'unknown')[:12]}" + (", with changes" if git["dirty"] else "")
    return f"{found['cpu']}, {torch.get_num_threads()} threads, {', '.join(found['gpus']) or 'no GPU'}; {commit}"
