"""One micro world, as methods and studies see it (`rtt_lib.worlds.base`)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.profile import Profile
from rtt_lib.relevance.sources import Counterfactual
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.base import Supervised, discriminator_number
from rtt_lib.worlds.micro import discriminators
from rtt_lib.worlds.micro.evaluation import evaluate, respond
from rtt_lib.worlds.micro.language import Language, construct, find_world, sample_prompts
from rtt_lib.worlds.micro.policy import base_fingerprint, base_policy

# SFT and DPO see as many prompts as RL, once; their learning rates suit the tiny policy (the paper names none).
LEARNING_RATES = {"sft": 1e-3, "dpo": 1e-4}
# Also where there is a GPU, and in float32: the same experiment on every machine.
ON_CPU = {
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
}


class MicroWorld:
    """World `name` of a micro profile."""

    code = ("rtt_lib.worlds.micro.world",)
    checkpoint_every = 50

    def __init__(self, profile: Profile, name: str) -> None:
        self.profile, self.name, self.dials = profile, name, find_world(name)

    # --- what decides a run ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        steps = self.profile.policy.pretrain_steps
        compute = self.profile.compute
        found = {"base": base_fingerprint(self.name, seed[0], steps), "sampler": compute.sampler}
        found["share_prompts"] = compute.share_prompts
        if discriminator:
            variant = discriminators.of_kind(discriminator, discriminator_number(seed))
            found["discriminator"] = discriminators.fingerprint(self.profile, variant)
        return found

    def demonstration_inputs(self) -> None:
        return None

    def evaluation_inputs(self) -> dict[str, Any]:
        return {"prompts": self.profile.evaluation.prompts}

    def lacking(self, record: Mapping[str, Any]) -> bool:
        return False

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> Path:
        return base_policy(self.name, seed[0], self.profile.policy.pretrain_steps)

    def policy(self, seed: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return load_causal_lm(self.base(seed)), load_tokenizer(self.base(seed))

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        rl = self.profile.rl
        return sample_prompts(self.dials, rl.steps * rl.prompts_per_step, f"train {number}"), 0

    def chat(self, tokenizer: PreTrainedTokenizerBase) -> bool:
        return False

    def verifier(self) -> Verifier:
        return Verifier()

    def discriminator(self, kind: str, seed: str) -> Path:
        return discriminators.trained(self.profile, discriminators.of_kind(kind, discriminator_number(seed)))

    def counterfactual(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[RubricPrompt]
    ) -> Counterfactual:
        return Counterfactual(model, tokenizer, without_criterion, batch_size=256)

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        language, rng = Language(), random.Random(f"supervised {number}")
        return [(prompt, construct(prompt.criteria, self.dials, language, rng)) for prompt in prompts]

    def own_responses(
        self,
        prompts: Sequence[RubricPrompt],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        number: int,
        folder: Path,
    ) -> list[str]:
        texts, longest = [prompt.prompt for prompt in prompts], self.profile.rl.max_response_tokens
        return respond(model, tokenizer, texts, longest, greedy=False)[0]

    # --- how it is trained ---

    def passes(self, responses: int, tokens: int, being: str) -> tuple[int, int]:
        return responses, 1

    def trainer_settings(self, model: PreTrainedModel) -> dict[str, Any]:
        return ON_CPU

    def supervised(self, trainer: str) -> Supervised:
        rl = self.profile.rl
        settings = {
            "max_steps": rl.minibatches * rl.steps,
            "learning_rate": LEARNING_RATES[trainer],
            "lr_scheduler_type": "constant",
        }
        responses = rl.prompts_per_step // rl.minibatches
        return Supervised(responses, rl.max_response_tokens, settings, "rl.prompts_per_step / rl.minibatches")

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        model, tokenizer = load_causal_lm(policy), load_tokenizer(policy)
        return evaluate(
            model, tokenizer, self.dials, self.profile.evaluation.prompts, self.profile.rl.max_response_tokens
        )

    def questions(self, n: int) -> list[RubricPrompt]:
        return sample_prompts(self.dials, n, "walkthrough")


def without_criterion(prompt: str, criterion: Criterion) -> str:
    """The micro prompt that no longer asks for `criterion`."""
    parts = prompt.removesuffix(" :").split(" ; ")
    parts.remove(criterion.text)
    return " ; ".join(parts) + " :"
