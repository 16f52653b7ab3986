"""One world of levels, as methods and studies see it (`rtt_lib.worlds.base`, `rtt_lib.worlds.teaching`)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.profile import Profile
from rtt_lib.relevance.sources import Counterfactual
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.base import Supervised, discriminator_number
from rtt_lib.worlds.levels import discriminators, feedback
from rtt_lib.worlds.levels.evaluation import evaluate
from rtt_lib.worlds.levels.ladders import ASK, LANGUAGE, as_prompt, find_rules, make_ladders, prompts_at
from rtt_lib.worlds.levels.policy import LONGEST, base_fingerprint, base_policy
from rtt_lib.worlds.micro.language import Language, construct
from rtt_lib.worlds.micro.world import LEARNING_RATES, MicroWorld, without_criterion
from rtt_lib.worlds.teaching import LEVELS, Account, Critique, Ladder, Rung

RATES = LEARNING_RATES | {"conversations": LEARNING_RATES["sft"]}
QUESTIONS = 4  # that SFT on conversations sees for each prompt that RL sees


class LevelsWorld(MicroWorld):
    """World `name` of a profile with levels: a micro world but for what stands here."""

    code = ("rtt_lib.worlds.levels.world",)

    def __init__(self, profile: Profile, name: str) -> None:
        self.profile, self.name, self.rules = profile, name, find_rules(name)

    # --- what decides a run ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        compute = self.profile.compute
        found = {"base": base_fingerprint(seed[0], self.profile.policy.pretrain_steps), "sampler": compute.sampler}
        found["share_prompts"] = compute.share_prompts
        if discriminator:
            found["discriminator"] = discriminators.fingerprint(self.profile, discriminator_number(seed))
        return found

    def evaluation_inputs(self) -> dict[str, Any]:
        return {"prompts": self.profile.evaluation.prompts, "max_tokens": self.profile.evaluation.max_tokens}

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> Path:
        return base_policy(seed[0], self.profile.policy.pretrain_steps)

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        """As many of each level as of any other, give or take one, in a random order."""
        n = self.profile.rl.steps * self.profile.rl.prompts_per_step
        each = math.ceil(n / len(LEVELS))
        pools = {level: iter(prompts_at(level, each, f"train {number}")) for level in LEVELS}
        order = [LEVELS[i % len(LEVELS)] for i in range(n)]
        random.Random(f"order {number}").shuffle(order)
        return [next(pools[level]) for level in order], 0

    def ladders(self, n: int, number: int, numbers: bool = True) -> list[Ladder]:
        return make_ladders(self.rules, n, f"train {number}", numbers)

    def account(self, rung: Rung, kind: Account, number: int) -> str:
        rng = random.Random(f"account {number} {rung.prompt.id}")
        return feedback.account(rung.prompt.criteria, rung.answer, kind, rng)

    def critique(self, rung: Rung, draft: str, kind: Critique, number: int) -> str | None:
        return feedback.critique(
            rung.prompt.criteria, draft, kind, random.Random(f"critique {number} {rung.prompt.id}")
        )

    def worked_example(self, prompt: RubricPrompt, share: float, number: int) -> tuple[str, str] | None:
        """Of a random part of the criteria, `share` of them."""
        rng = random.Random(f"example {number} {prompt.id}")
        part = rng.sample(prompt.criteria, round(share * len(prompt.criteria)))
        if not part:
            return None
        return as_prompt("", part, self.name, rng).prompt, construct(part, LANGUAGE, Language(), rng)

    def discriminator(self, kind: str, seed: str) -> Path:
        return discriminators.trained(self.profile, kind, discriminator_number(seed))

    def counterfactual(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[RubricPrompt]
    ) -> Counterfactual:
        return Counterfactual(model, tokenizer, without, batch_size=256)

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        language, rng = Language(), random.Random(f"supervised {number}")
        return [(prompt, construct(prompt.criteria, LANGUAGE, language, rng)) for prompt in prompts]

    def supervised(self, trainer: str) -> Supervised:
        """SFT on conversations is longer than the others, which see as many prompts as RL; all see each once."""
        rl, own = self.profile.rl, trainer == "conversations"
        settings = {
            "max_steps": rl.minibatches * rl.steps * (QUESTIONS if own else 1),
            "learning_rate": RATES[trainer],
            "lr_scheduler_type": "constant",
        }
        tokens = LONGEST if own else rl.max_response_tokens
        responses = rl.prompts_per_step // rl.minibatches
        return Supervised(responses, tokens, settings, "rl.prompts_per_step / rl.minibatches")

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        model, tokenizer, asked = load_causal_lm(policy), load_tokenizer(policy), self.profile.evaluation
        return evaluate(model, tokenizer, asked.prompts, asked.max_tokens)

    def questions(self, n: int) -> list[RubricPrompt]:
        return prompts_at(LEVELS[-1], n, "walkthrough")


def without(prompt: str, criterion: Criterion) -> str:
    """The prompt that no longer asks for `criterion`."""
    return f"{ASK} {without_criterion(prompt.removeprefix(f'{ASK} '), criterion)}"
