"""One training run: everything that decides its outcome, and the folder where it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rtt_lib import store
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.methods import METHODS
from rtt_lib.methods.arms import Arm
from rtt_lib.profile import Profile
from rtt_lib.worlds import open_world
from rtt_lib.worlds.base import World

UNTRAINED = "none"  # the arm evaluates the base policy as it is


@dataclass(frozen=True)
class RunSpec:
    """An arm in a world with a seed: A0 is base policy A with RL seed 0. `profile` takes on the arm's settings."""

    arm: Arm
    world: str
    seed: str
    profile: Profile = field(hash=False, repr=False)

    def __post_init__(self) -> None:
        if self.arm.settings:
            object.__setattr__(self, "profile", replace(self.profile, rl=self.arm.over(self.profile.rl)))

    @property
    def number(self) -> int:
        return int(self.seed[1:])

    @property
    def discriminator_seed(self) -> str:
        """The seed of the runs that read the same discriminator: its own, unless the arm names another's."""
        return f"{self.arm.reads or self.seed[0]}{self.number}"

    @property
    def place(self) -> Path:
        """How a person names the run."""
        return Path(self.world) / self.arm.name / self.seed

    @property
    def trained(self) -> bool:
        return self.arm.trainer != UNTRAINED

    @cached_property
    def home(self) -> World:
        """The world itself."""
        return open_world(self.profile, self.world)

    @cached_property
    def training_fingerprint(self) -> str:
        """A fingerprint of the trained policy, so that another evaluation does not train it again."""
        code = [*self.home.code, *([METHODS[self.arm.trainer]] if self.trained else [])]
        arm = asdict(replace(self.arm, about=""))  # the words about it decide nothing
        del arm["settings"], arm["reads"]  # these are in `rl` and in the inputs
        return short(
            {
                "arm": arm,
                "world": self.world,
                "seed": self.seed,
                "rl": asdict(self.profile.rl),
                "inputs": self._inputs(),
                "demonstrations": self.home.demonstration_inputs() if self.arm.supervised else None,
                "code": code_digest(*code),
            }
        )

    def _inputs(self) -> dict[str, Any]:
        found = self.home.training_inputs(self.seed, self.arm.discriminator)
        if self.arm.reads:
            others = self.home.training_inputs(self.discriminator_seed, self.arm.discriminator)
            found["discriminator"] = others["discriminator"]
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A fingerprint of the evaluated policy."""
        return short({"policy": self.training_fingerprint, "evaluation": self.home.evaluation_inputs()})

    @property
    def folder(self) -> Path:
        return store.folder_of("runs", self.training_fingerprint)

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluations" / self.fingerprint

    @property
    def policy(self) -> str | Path:
        """The trained policy, or the base policy where none is trained."""
        return self.folder / "policy" if self.trained else self.home.base(self.seed)
