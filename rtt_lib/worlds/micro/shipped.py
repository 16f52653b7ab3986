"""The micro models that the package brings, and why one of them is not used here.

The base policies that the runs of the profile `micro` start from, the discriminators that they read, and the first one
with greedy labels and the first one that reads all criteria in one pass: a quarter of a megabyte each.
`rtt spot-check`, `rtt score` and notebooks that a person opens need no others. `python -m rtt_lib.run.ship_micro` makes
them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtt_lib import store
from rtt_lib.files import read_json, write_json
from rtt_lib.fingerprint import versions
from rtt_lib.profile import Profile
from rtt_lib.worlds.base import discriminator_number
from rtt_lib.worlds.micro import discriminators
from rtt_lib.worlds.micro.discriminators import of_kind
from rtt_lib.worlds.micro.policy import base_fingerprint, base_policy

LETTERS = "ABCDEFGH"  # of the base policies, in each world
BASES = tuple(world + letter for world in "LMSU" for letter in LETTERS)  # LA: world L, base policy A
READ = tuple(of_kind("taxonomy", discriminator_number(letter)) for letter in LETTERS)  # by the arms of `micro`
DISCRIMINATORS = (*READ, of_kind("greedy"), of_kind("packed"))


@dataclass(frozen=True)
class Model:
    """kind: of `store.KINDS`; make: leaves it in the store, or finds it there."""

    kind: str
    name: str
    fingerprint: str
    make: Callable[[], Path] = field(repr=False)

    @property
    def folder(self) -> Path:
        return store.SHIPPED / self.kind / self.fingerprint


def models(profile: Profile) -> list[Model]:
    """Everything that a package with this code and these versions should bring."""
    steps = profile.policy.pretrain_steps
    bases = [_base(*place, steps) for place in BASES]
    return bases + [_discriminator(profile, variant) for variant in DISCRIMINATORS]


def _base(world: str, base: str, steps: int) -> Model:
    name = f"base policy {base} of world {world}"
    return Model("bases", name, base_fingerprint(world, base, steps), lambda: base_policy(world, base, steps))


def _discriminator(profile: Profile, variant: discriminators.Variant) -> Model:
    name, fingerprint = f"discriminator {variant.name}", discriminators.fingerprint(profile, variant)
    return Model("discriminators", name, fingerprint, lambda: discriminators.trained(profile, variant))


# --- what is used here ---


def lacking(wanted: Sequence[Model]) -> dict[str, str]:
    """Name -> why it is not used, of those that have to be made here."""
    return {model.name: _reason(model) for model in wanted if store.shipped(model.kind, model.fingerprint) is None}


def _reason(model: Model) -> str:
    found = [about for about in map(store.made, store.SHIPPED.glob("*/*")) if about and about["name"] == model.name]
    if not found:
        return "the package does not bring it"
    if any(about["versions"] == versions() for about in found):
        return "the code that makes it has changed"
    then, now = found[0]["versions"], versions()
    made, here = (", ".join(f"{n} {where.get(n)}" for n in now if then.get(n) != now[n]) for where in (then, now))
    return f"made with {made}, here is {here}"


def explain(wanted: Sequence[Model]) -> str:
    """One line: that all are used, or which are not and why."""
    missing = lacking(wanted)
    if not missing:
        return f"all {len(wanted)} micro models that the package brings are used"
    reasons = {reason: [name for name in missing if missing[name] == reason] for reason in missing.values()}
    said = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in reasons.items())
    return f"{len(missing)} of {len(wanted)} micro models are made here ({said})"


# --- making them ---


def ship(wanted: Sequence[Model], command: str) -> None:
    """Leave exactly these in `rtt_lib/shipped/`; what is there already stays as it is."""
    keep = {model.folder for model in wanted}
    for folder in store.SHIPPED.glob("*/*"):
        if folder not in keep:
            store.remove(folder)
    for model in wanted:
        if store.made(model.folder) is None:
            _copy(model, command)


def _copy(model: Model, command: str) -> None:
    made, folder = model.make(), model.folder
    store.remove(folder)
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(".lock", store.MADE))
    about: dict[str, Any] = read_json(made / store.MADE) | {
        "name": model.name, "command": command, "versions": versions()
    }  # fmt: skip
    write_json(folder / store.MADE, about)
