"""What every notebook needs in its first cell: the profile, the results folder, the theme; and a progress bar."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rtt_lib.errors import RTTError
from rtt_lib.profile import Profile, load_profile

# Set by the pipeline for the kernels it starts: the file in which a cell reports how far it has come.
PROGRESS_FILE = "RTT_PROGRESS_FILE"
_REPORT_EVERY = 0.3  # seconds
_ORPHAN_PATIENCE = 60.0  # seconds

Item = TypeVar("Item")
_kernel_locks: list[int] = []  # open for as long as this kernel lives


def open_notebook(profile_path: str | Path, results_dir: str | Path) -> tuple[Profile, Path]:
    """Load the profile, make the results folder (an absolute path) and apply the figure theme."""
    from rtt_lib.report.theme import apply_theme

    profile = load_profile(profile_path)
    results = Path(results_dir).resolve()
    results.mkdir(parents=True, exist_ok=True)
    if PROGRESS_FILE in os.environ:
        _wait_for_orphan(results)
    apply_theme()
    return profile, results


def _wait_for_orphan(results: Path) -> None:
    """Let the kernel of a killed run die (it notices within a second or two) before this one writes beside it."""
    handle = os.open(results / ".kernel.lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _ORPHAN_PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _kernel_locks.append(handle)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise RTTError(
                    f"{results}: a kernel of an earlier run still works here; end it, then run again"
                ) from None
            time.sleep(0.1)


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
