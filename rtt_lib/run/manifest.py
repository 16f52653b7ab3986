"""`manifest.json`: with what a run was made. No wall times, no host name, nothing of the environment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtt_lib.machine import hardware
from rtt_lib.origin import git_state, versions
from rtt_lib.profile import Profile

PACKAGES = (
    *("torch", "transformers", "trl", "datasets", "accelerate", "peft", "vllm"),
    *("numpy", "scipy", "pandas", "matplotlib", "seaborn", "papermill", "nbclient"),
)


def collect(profile: Profile, library: str, repository: Path) -> dict[str, Any]:
    """`library`: the digest of the package's files."""
    return {
        "profile": profile.name,
        "parameters": asdict(profile),
        "seeds": seeds(profile),
        "versions": versions(PACKAGES),
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
