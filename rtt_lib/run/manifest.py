"""`manifest.json`: with what a run was made. No wall times, no host name, nothing of the environment."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rtt_lib.machine import hardware
from rtt_lib.profile import Profile

PACKAGES = (
    *("torch", "transformers", "trl", "datasets", "accelerate", "peft", "vllm"),
    *("numpy", "scipy", "pandas", "matplotlib", "seaborn", "papermill", "nbclient"),
)
# Tracked files that differ from the commit, apart from the results, which every run rewrites.
CHANGES = ("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results")


def collect(profile: Profile, library: str, repository: Path) -> dict[str, Any]:
    """`library`: the digest of the package's files."""
    return {
        "profile": profile.name,
        "parameters": asdict(profile),
        "seeds": seeds(profile),
        "versions": {"python": platform.python_version(), **package_versions()},
        "library": library,
        "git": git_state(repository),
        "hardware": hardware(),
    }


def seeds(profile: Profile) -> dict[str, Any]:
    """Every seed of the profile in one place."""
    return {
        "data": profile.data.seed,
        "discriminator": list(profile.discriminator.seeds),
        "evaluation": profile.evaluation.seed,
        "experiments": {name: list(experiment.seeds) for name, experiment in profile.experiments.items()},
    }


def package_versions() -> dict[str, str | None]:
    """Installed versions; None for a package that is not there."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
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
