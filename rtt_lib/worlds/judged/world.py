"""One judged world, as methods and studies see it (`rtt_lib.worlds.base`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rtt_lib.errors import RTTError
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.profile import Profile
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.base import Supervised
from rtt_lib.worlds.judged.evaluation import evaluate
from rtt_lib.worlds.judged.language import find_world, sample_prompts
from rtt_lib.worlds.judged.policy import base_fingerprint, base_policy
from rtt_lib.worlds.judged.self_judge import OneToken
from rtt_lib.worlds.micro.world import MicroWorld


class JudgedWorld(MicroWorld):
    """World `name` of a judged profile: a micro world but for what stands here."""

    code = ("rtt_lib.worlds.judged.world",)

    def __init__(self, profile: Profile, name: str) -> None:
        self.profile, self.name = profile, find_world(name).name

    # --- what decides a run ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        steps = self.profile.policy.pretrain_steps
        return {"base": base_fingerprint(self.name, seed[0], steps), "sampler": self.profile.compute.sampler}

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> Path:
        return base_policy(self.name, seed[0], self.profile.policy.pretrain_steps)

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        rl = self.profile.rl
        return sample_prompts(rl.steps * rl.prompts_per_step, f"train {number}"), 0

    def self_judge(self) -> OneToken:
        return OneToken()

    def discriminator(self, kind: str, seed: str) -> Path:
        raise RTTError("the judged worlds train no discriminator: leave arms that read one to the micro world")

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        raise RTTError("the judged worlds have no demonstrations: leave SFT and DPO to the micro world")

    def supervised(self, trainer: str) -> Supervised:
        raise RTTError("the judged worlds have no demonstrations: leave SFT and DPO to the micro world")

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        model, tokenizer = load_causal_lm(policy), load_tokenizer(policy)
        start, rl = self.base(model.config.rtt_base), self.profile.rl
        prompts = self.profile.evaluation.prompts
        return evaluate(model, tokenizer, start, prompts, rl.max_response_tokens)

    def questions(self, n: int) -> list[RubricPrompt]:
        return sample_prompts(n, "walkthrough")
