"""The English world, as methods and studies see it: a world of text whose policy and discriminator are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.models import load_causal_lm, load_tokenizer, precision
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.base import Supervised, discriminator_number
from rtt_lib.worlds.english import discriminators
from rtt_lib.worlds.english.corpus import demonstration, training_prompts
from rtt_lib.worlds.english.evaluation import evaluate, questions
from rtt_lib.worlds.english.policy import ATTENTION, base_fingerprint, base_policy
from rtt_lib.worlds.text.evaluation import Examination
from rtt_lib.worlds.text.prompts import in_training_order
from rtt_lib.worlds.text.world import TextWorld, one_each

LEARNING_RATES = {"sft": 3e-4, "dpo": 3e-5}  # our choice for so small a policy, not tuned


class EnglishWorld(TextWorld):
    """Prompts go into the policy's chat template, and criteria are withheld from them, as in any world of text."""

    code = ("rtt_lib.worlds.english.world", "rtt_lib.rubrics", "rtt_lib.verify")

    # --- what decides a run ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        profile = self.profile
        found = {
            "base": base_fingerprint(seed[0], profile.policy.pretrain_steps),
            "data": asdict(profile.data),
            "precision": precision(),
            "sampler": profile.compute.sampler,
            "share_prompts": profile.compute.share_prompts,
        }
        if discriminator:
            found["discriminator"] = discriminators.fingerprint(profile, discriminator, discriminator_number(seed))
        return found

    def lacking(self, record: Mapping[str, Any]) -> bool:
        return False

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> Path:
        return base_policy(seed[0], self.profile.policy.pretrain_steps)

    def policy(self, seed: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        model = load_causal_lm(self.base(seed))
        model.set_attn_implementation(ATTENTION)
        return model, load_tokenizer(self.base(seed))

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        data = self.profile.data
        return in_training_order(training_prompts(data.train_prompts, data.seed), self.profile, number, tokenizer)

    def discriminator(self, kind: str, seed: str) -> Path:
        return discriminators.trained(self.profile, kind, discriminator_number(seed))

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        return [(prompt, demonstration(prompt, number)) for prompt in prompts]

    def own_responses(
        self,
        prompts: Sequence[RubricPrompt],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        number: int,
        folder: Path,
    ) -> list[str]:
        return one_each(prompts, model.name_or_path, self.profile, number, folder)

    # --- how it is trained ---

    def supervised(self, trainer: str) -> Supervised:
        how = super().supervised(trainer)
        return replace(how, settings={**how.settings, "learning_rate": LEARNING_RATES[trainer]})

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        return evaluate(Examination(self.profile, policy, number, folder))

    def questions(self, n: int) -> list[RubricPrompt]:
        return questions(n)
