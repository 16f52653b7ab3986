"""A progress bar: in the cell under Jupyter, on the terminal under `rtt run`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

# Set by the pipeline for the kernels it starts: the file in which a cell reports how far it has come.
PROGRESS_FILE = "RTT_PROGRESS_FILE"
_REPORT_EVERY = 0.3  # seconds

Item = TypeVar("Item")


def progress(iterable: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Iterate with a progress bar: in the cell under Jupyter, on the terminal under `rtt run`.

    Under `rtt run` nothing is printed in the cell, so that executed notebooks do not depend on how fast they ran.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    sidecar = os.environ.get(PROGRESS_FILE)
    if sidecar is None:
        from tqdm.auto import tqdm

        yield from tqdm(iterable, desc=label, total=total)
        return
    reported = 0.0
    for done, item in enumerate(iterable):
        if time.monotonic() - reported > _REPORT_EVERY:
            reported = time.monotonic()
            _report(Path(sidecar), label, done, total)
        yield item
    _report(Path(sidecar), label, total or 0, total)


def _report(sidecar: Path, label: str, done: int, total: int | None) -> None:
    """Replace the sidecar's one line; unlike results it may be lost in a crash, so it is not flushed to disk."""
    temporary = sidecar.with_name(f"{sidecar.name}.{os.getpid()}")
    temporary.write_text(f"{done}\t{total or 0}\t{label}", encoding="utf-8")
    os.replace(temporary, sidecar)
