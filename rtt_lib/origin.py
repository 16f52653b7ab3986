"""With what a result was made: commit, packages, hardware. No host name, nothing of the environment."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rtt_lib.fingerprint import VERSIONS_OF
from rtt_lib.machine import hardware
from rtt_lib.profile import REPOSITORY

# Tracked files that differ from the commit, apart from the results, which every run rewrites.
CHANGES = ("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results")


def here() -> dict[str, Any]:
    """What a run notes about the code and the machine that it was made with."""
    found = hardware()
    return {
        "git": git_state(REPOSITORY),
        "versions": versions(VERSIONS_OF),
        "hardware": {"cpu": found["cpu"], "gpus": found["gpus"]},
    }


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Python's version and those of the packages; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_state(repository: Path) -> dict[str, Any]:
    """Commit and whether tracked files differ from it; both None outside a git checkout or without git."""
    commit, changes = _git(repository, "rev-parse", "HEAD"), _git(repository, *CHANGES)
    return {"commit": commit, "dirty": None if commit is None or changes is None else bool(changes)}


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
