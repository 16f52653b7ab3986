"""The discriminators that token credit reads in the worlds of levels: on the examples of the micro world's.

Each starts from base policy A of the levels, which knows every token that a policy of theirs can write.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.profile import Profile
from rtt_lib.relevance.discriminator import train_discriminator
from rtt_lib.relevance.shipped import quiet
from rtt_lib.worlds.levels.policy import base_fingerprint, base_policy
from rtt_lib.worlds.micro.corpus import micro_examples
from rtt_lib.worlds.micro.discriminators import BACKBONE_BASE, OPTIONS, WORLDS, backbone, of_kind
from rtt_lib.worlds.micro.language import find_world

KIND = "taxonomy"


def fingerprint(profile: Profile, seed: int) -> str:
    settings = {k: v for k, v in asdict(profile.discriminator).items() if k not in ("seeds", "checkpoint")}
    base = base_fingerprint(BACKBONE_BASE, profile.policy.pretrain_steps)
    code = code_digest("rtt_lib.worlds.levels.discriminators")
    return short({"seed": seed, "settings": settings, "base": base, "code": code})


def folder_of(profile: Profile, seed: int) -> Path:
    return store.folder_of("discriminators", fingerprint(profile, seed))


def trained(profile: Profile, kind: str, seed: int) -> Path:
    """Its folder: trained now unless it is there already."""
    if kind != KIND:
        raise RTTError(f"the worlds of levels have no discriminator of {kind} labels, only of {KIND} ones")

    def work(folder: Path) -> None:
        quiet()
        examples = micro_examples([find_world(name) for name in WORLDS], profile.discriminator.samples, seed)
        with contextlib.redirect_stdout(None):  # the trainer prints its log
            body = backbone(base, of_kind(KIND, seed))
            train_discriminator(examples, body, folder, profile.discriminator, seed, options=OPTIONS)

    base = base_policy(BACKBONE_BASE, profile.policy.pretrain_steps)
    return store.make(folder_of(profile, seed), work, {"name": f"levels, {kind}, seed {seed}", "profile": profile.name})
