"""The discriminators that a micro profile trains for itself, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from rtt_lib import store
from rtt_lib.profile import Profile
from rtt_lib.studies.workers import worker_pool
from rtt_lib.worlds.micro import discriminators
from rtt_lib.worlds.micro.discriminators import Variant
from rtt_lib.worlds.micro.policy import base_policy


def train_all(profile: Profile, wanted: Sequence[Variant]) -> Iterator[Variant]:
    """Train what is not there yet, on `compute.workers` processes; yields each variant as it is ready."""
    base_policy(discriminators.BACKBONE_WORLD, discriminators.BACKBONE_BASE, profile.policy.pretrain_steps)
    waiting = []
    for variant in wanted:
        if is_trained(profile, variant):
            yield variant
        else:
            waiting.append(variant)
    if not waiting:
        return
    with worker_pool(min(profile.compute.workers, len(waiting)), threads=1) as pool:
        jobs = {pool.submit(_train, profile, variant): variant for variant in waiting}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


def is_trained(profile: Profile, variant: Variant) -> bool:
    return store.made(discriminators.folder_of(profile, variant)) is not None


def _train(profile: Profile, variant: Variant) -> Path:
    return discriminators.trained(profile, variant)
