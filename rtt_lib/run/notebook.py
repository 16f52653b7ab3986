"""What every notebook needs in its first cell: the profile, the results folder, the theme; and a progress bar."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.profile import RESULTS, Profile
from rtt_lib.progress import PROGRESS_FILE, progress
from rtt_lib.studies.profiles import load_profile

_ORPHAN_PATIENCE = 60.0  # seconds
DECIDE_A_RUN = ("data", "policy", "discriminator", "rl", "evaluation")  # parts of a profile

__all__ = ["open_notebook", "progress"]

_kernel_locks: list[int] = []  # open for as long as this kernel lives


def open_notebook(profile_path: str | Path, results_dir: str | Path) -> tuple[Profile, Path]:
    """Load the profile, make the results folder (an absolute path) and apply the figure theme.

    A notebook that a person opens reads the runs that the repository publishes of its profile, and trains no others.
    """
    from rtt_lib.report.theme import apply_theme

    profile = load_profile(profile_path)
    results = Path(results_dir).resolve()
    results.mkdir(parents=True, exist_ok=True)
    if PROGRESS_FILE in os.environ:
        _wait_for_orphan(results)
    else:
        _read_published(profile, results)
    apply_theme()
    return profile, results


def _read_published(profile: Profile, results: Path) -> None:
    """Copy the published records, so that what a person writes leaves them as they are. A profile that asks for other
    runs than the published ones finds none here."""
    from rtt_lib.studies.records import CURVES, RECORDS_ONLY, RUNS

    published = RESULTS / profile.name
    if results == published or not (published / RUNS).is_file():
        return
    then = load_profile(published / "profile.yaml")
    if any(getattr(then, part) != getattr(profile, part) for part in DECIDE_A_RUN):
        return
    for name in (RUNS, CURVES):
        shutil.copy(published / name, results / name)
    os.environ[RECORDS_ONLY] = "1"


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
