"""What a method needs to know of the place where it is tried. `rtt_lib.worlds` has the list of places.

A *world* has prompts, a base policy, a verifier and an evaluation. Methods know this protocol and no world; worlds
know no method. A family of worlds is a package with

    check(profile, require)         what it asks of a profile
    names(profile, experiment)      the worlds of an experiment
    open_world(profile, name)       one of these
    given_files(profile)            files that a person may replace at any time
    kept_folders(profile)           folders of the store that it asks for, beside those of its runs
    THREADS                         of a run; None: its share of the machine's cores
    DATA, COUNTS_PROMPTS            what a dry run says of its data
    CONSTRUCTED                     data sources for whose prompts rules write responses
    EQUAL_RUBRICS                   every rubric has the same number of criteria
    TRAINED_BY_A_PERSON             its discriminators, and not by notebook 03
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.profile import Profile
from rtt_lib.relevance.base import RelevanceSource
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.batch import Verifier

# (holds, dotted key of the profile, what is wrong): if it does not hold, an error that names the key's place
Require = Callable[[bool, str, str], None]


def discriminator_number(seed: str) -> int:
    """In the worlds that train them, each base policy has a discriminator of its own, trained with this seed.

    Discriminators that are equally good on held-out examples lead to very different policies (docs/log.md), so
    intervals over runs must hold how they differ too.
    """
    return ord(seed[0]) - ord("A")


@dataclass(frozen=True)
class Supervised:
    """How SFT and DPO are trained in a world.

    responses: of one optimizer step, over all processes; tokens: of a response at the longest
    settings:  for TRL's trainer; being: what `responses` is, for an error about it
    """

    responses: int
    tokens: int
    settings: Mapping[str, Any]
    being: str


class World(Protocol):
    """One world of one profile.

    name:      what tables call it: `L`, `composed`
    code:      entry points of the code that decides a trained policy, for its fingerprint (`rtt_lib.fingerprint`)
    checkpoint_every: rollout steps between two checkpoints
    chat:      prompts go into the policy's chat template
    """

    profile: Profile
    name: str
    code: Sequence[str]
    checkpoint_every: int

    # --- what decides a run, beside its arm, its seed and `profile.rl` ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        """What decides the trained policy. `discriminator`: the kind that its arm reads."""

    def demonstration_inputs(self) -> Any:
        """Of what SFT and DPO learn from, where that is given and not made by rule."""

    def evaluation_inputs(self) -> dict[str, Any]:
        """What decides its evaluation."""

    def lacking(self, record: Mapping[str, Any]) -> bool:
        """Can an evaluation now be completed that had to leave something out?"""

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> str | Path:
        """The base policy of a seed: a folder or a model's name. A world that makes its own makes it now."""

    def policy(self, seed: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The base policy, ready to be trained."""

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        """The training prompts in the order of training; how many were left out because they are too long."""

    def chat(self, tokenizer: PreTrainedTokenizerBase) -> bool: ...

    def verifier(self) -> Verifier: ...

    def discriminator(self, kind: str, seed: str) -> Path:
        """The folder of the discriminator, `taxonomy` or `greedy`, that a run with this seed reads."""

    def counterfactual(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[RubricPrompt]
    ) -> RelevanceSource:
        """The log-probability contrast, for which the world knows how to withhold a criterion from its prompt."""

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        """Prompts with responses that are meant to keep every criterion."""

    def own_responses(
        self,
        prompts: Sequence[RubricPrompt],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        number: int,
        folder: Path,
    ) -> list[str]:
        """One response to each prompt by the policy as it starts out, sampled as in RL."""

    # --- how it is trained here ---

    def passes(self, responses: int, tokens: int, being: str) -> tuple[int, int]:
        """How many of an optimizer step's `responses` one process takes at once, and how often."""

    def trainer_settings(self, model: PreTrainedModel) -> dict[str, Any]:
        """For any of TRL's trainers: precision, device, what is printed."""

    def supervised(self, trainer: str) -> Supervised:
        """For `sft` or `dpo`."""

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        """The scores of a policy (the record that every table reads); responses go below `folder`."""

    def questions(self, n: int) -> list[RubricPrompt]:
        """Prompts to look at that no policy is trained on."""
