"""A world of text, as methods and studies see it (`rtt_lib.worlds.base`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rtt_lib.bench.benchmarks import benchmark_files, prompts_of
from rtt_lib.bench.generate import generate, prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.fingerprint import file_digest
from rtt_lib.models import identity, load_causal_lm, load_tokenizer, on_gpu, precision
from rtt_lib.profile import Evaluation, Profile
from rtt_lib.relevance.responses import construct
from rtt_lib.relevance.sources import Counterfactual
from rtt_lib.rubrics.benchmarks import field
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds import GIVEN
from rtt_lib.worlds.base import Supervised
from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one, weight_files
from rtt_lib.worlds.text.evaluation import Examination, backend, evaluate, make_verifier
from rtt_lib.worlds.text.prompts import (
    check_that_criteria_can_be_withheld,
    fits,
    given_answers,
    held_out_prompts,
    prompt_pool,
    training_prompts,
    without_criterion,
)

log = logging.getLogger(__name__)

# On responses by rule SFT and DPO see as many prompts as RL, once, at usual rates for all weights of small models.
LEARNING_RATES = {"sft": 1e-5, "dpo": 1e-6}
# On a strong LLM's they are trained as in the paper (App. B): 256 responses an update, both kinds.
AS_THE_PAPER = {
    "num_train_epochs": 4,
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 10,
    "max_length": 2048,
}
PAPER_BATCH = 256
# Tokens in one forward and backward pass: on a GPU the released config's 4 responses of 2,048 + 4,096 tokens; on a
# CPU what leaves the logits of a 49k vocabulary below a GB.
TOKENS_PER_PASS = {"cuda": 24_576, "cpu": 4_096}
CHECKPOINTING_FROM = 1_000_000_000  # weights; smaller models have room for their activations
MOST_ROLLOUTS_PER_CHECKPOINT = 20


class TextWorld:
    """The world of a profile's data source."""

    code = ("rtt_lib.worlds.text.world", "rtt_lib.rubrics", "rtt_lib.verify")

    def __init__(self, profile: Profile) -> None:
        self.profile, self.name = profile, profile.data.source

    @property
    def checkpoint_every(self) -> int:
        return min(MOST_ROLLOUTS_PER_CHECKPOINT, max(1, self.profile.rl.steps // 4))

    # --- what decides a run ---

    def training_inputs(self, seed: str, discriminator: str | None) -> dict[str, Any]:
        """Files by their content and models by their weights, since a name can stand for another one tomorrow."""
        profile, data = self.profile, asdict(self.profile.data)
        data |= {"path": _content(data["path"]), "responses": None}
        found = {
            "data": data,
            "policy": asdict(profile.policy),
            "weights": _weights(profile.policy.model),
            "precision": precision(),
            "judge": profile.compute.judge_url and profile.compute.judge_model,
            "vllm": profile.compute.vllm,
            "sampler": profile.compute.sampler,
            "share_prompts": profile.compute.share_prompts,
        }
        if discriminator:
            folder = self.discriminator(discriminator, seed)
            found["discriminator"] = [file_digest(path) for path in weight_files(folder)]
        return found

    def demonstration_inputs(self) -> str | None:
        return _content(self.profile.data.responses)

    def evaluation_inputs(self) -> dict[str, Any]:
        return asdict(self.profile.evaluation)

    def lacking(self, record: Mapping[str, Any]) -> bool:
        """A benchmark that could not be had, and now can."""
        missing = [name for name, found in record["benchmarks"].items() if "missing" in found]
        return any(_can_be_had(name, self.profile) for name in missing)

    # --- the policy and what it learns from ---

    def base(self, seed: str) -> str:
        return self.profile.policy.model

    def policy(self, seed: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        model = load_causal_lm(self.profile.policy.model)
        return with_lora(model, self.profile.policy.lora_rank), load_tokenizer(self.profile.policy.model)

    def prompts(self, number: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
        return training_prompts(self.profile, number, tokenizer)

    def chat(self, tokenizer: PreTrainedTokenizerBase) -> bool:
        return tokenizer.chat_template is not None

    def verifier(self) -> Verifier:
        return make_verifier(self.profile)

    def discriminator(self, kind: str, seed: str) -> Path:
        """The same for all seeds: a person has trained it."""
        folder = discriminator_folder(self.profile, kind)
        if not weight_files(folder):
            raise RTTError(f"no discriminator in {folder}: {how_to_get_one(self.profile, kind)}")
        return folder

    def counterfactual(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[RubricPrompt]
    ) -> Counterfactual:
        check_that_criteria_can_be_withheld(prompts)
        return Counterfactual(model, ChatTokens(tokenizer), without_criterion)

    def demonstrations(
        self, prompts: Sequence[RubricPrompt], number: int, tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[RubricPrompt, str]]:
        """Responses by rule, or the data's own, to the prompts in the order of training; or those of `data.responses`,
        each prompt once."""
        path, longest = self.profile.data.responses, self.profile.rl.max_prompt_tokens
        if self.profile.data.source in GIVEN:
            answers = {prompt.id: answer for prompt, answer in given_answers(self.profile)}
            return [(prompt, answers[prompt.id]) for prompt in prompts]
        if path is None:
            return [(prompt, construct(prompt, number)) for prompt in prompts]
        given = {}
        for line, row in read_jsonl(path):
            given[field(row, "id", str, f"{path}:{line}")] = field(row, "response", str, f"{path}:{line}")
        pool = [prompt for prompt in prompt_pool(self.profile) if fits(prompt, longest, tokenizer)]
        found = [(prompt, given[prompt.id]) for prompt in pool if given.get(prompt.id, "").strip()]
        if not found:
            raise RTTError(f"{path}: holds a response to none of the {len(pool)} training prompts (by their id)")
        if len(found) < len(pool):
            log.warning(
                "%s: %d of %d prompts have no response and are left out", path, len(pool) - len(found), len(pool)
            )
        return found

    def own_responses(
        self,
        prompts: Sequence[RubricPrompt],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        number: int,
        folder: Path,
    ) -> list[str]:
        return one_each(prompts, self.profile.policy.model, self.profile, number, folder)

    # --- how it is trained here ---

    def passes(self, responses: int, tokens: int, being: str) -> tuple[int, int]:
        return passes(responses, tokens, being)

    def trainer_settings(self, model: PreTrainedModel) -> dict[str, Any]:
        """Float32 weights, computed on in bfloat16 where that is fast."""
        return {
            "report_to": "none",
            "use_cpu": not on_gpu(),
            "bf16": precision() == "bfloat16",
            "gradient_checkpointing": on_gpu() and model.num_parameters() >= CHECKPOINTING_FROM,
            "dataloader_pin_memory": on_gpu(),
        }

    def supervised(self, trainer: str) -> Supervised:
        rl = self.profile.rl
        if self.profile.data.responses:
            return Supervised(PAPER_BATCH, AS_THE_PAPER["max_length"], AS_THE_PAPER, "the paper's batch")
        settings = {
            "max_steps": rl.steps * rl.minibatches,
            "learning_rate": LEARNING_RATES[trainer],
            "lr_scheduler_type": "constant",
        }
        tokens = 2 * rl.max_response_tokens
        if self.profile.data.source in GIVEN:
            tokens = rl.max_prompt_tokens + rl.max_response_tokens
            settings |= {"learning_rate": rl.learning_rate, "max_length": tokens}
            settings |= {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": rl.warmup_steps}
        responses = max(1, rl.prompts_per_step // rl.minibatches)
        return Supervised(responses, tokens, settings, "rl.prompts_per_step / rl.minibatches")

    # --- how good it is ---

    def evaluate(self, policy: str | Path, folder: Path, number: int) -> dict[str, Any]:
        return evaluate(Examination(self.profile, policy, number, folder))

    def questions(self, n: int) -> list[RubricPrompt]:
        return held_out_prompts(self.profile)[:n]


def _content(path: str | None) -> str | None:
    """A file by its content; a folder, which is read from a hub's layout, by its name."""
    return file_digest(path) if path and Path(path).is_file() else path


@cache
def _weights(model: str) -> str:
    return identity(model)


def _can_be_had(benchmark: str, profile: Profile) -> bool:
    try:
        prompts_of(benchmark, benchmark_files(profile))
    except RTTError:
        return False
    return True


def one_each(
    prompts: Sequence[RubricPrompt], policy: str | Path, profile: Profile, number: int, folder: Path
) -> list[str]:
    """One response to each prompt, sampled as in RL; several processes share the work. Files go into `folder`."""
    rl, state, rows = profile.rl, PartialState(), []
    distinct = list({prompt.id: prompt for prompt in prompts}.values())
    settings = Evaluation((), None, 1, rl.temperature, rl.top_p, rl.top_k, rl.max_response_tokens, number)
    if mine := distinct[state.process_index :: state.num_processes]:
        out = folder / f"own_{state.process_index}.jsonl"
        rows = [row for _, row in read_jsonl(generate(mine, policy, settings, out, backend(profile), precision()))]
    own = {row["id"]: row["response"] for row in gather_object(rows)}
    return [own[prompt.id] for prompt in prompts]


def passes(responses: int, tokens: int, being: str) -> tuple[int, int]:
    """(n, times): one process computes n of an optimizer step's `responses`, of so many tokens each, so many times."""
    processes = PartialState().num_processes
    if responses % processes:
        raise RTTError(f"{responses} responses per optimizer step ({being}) do not divide into {processes} processes")
    own = responses // processes
    room = max(1, TOKENS_PER_PASS["cuda" if on_gpu() else "cpu"] // tokens)
    micro = max(n for n in range(1, min(own, room) + 1) if own % n == 0)
    return micro, own // micro


@dataclass(frozen=True)
class ChatTokens:
    """A tokenizer that puts every prompt into the chat template, as the policy is given it."""

    tokenizer: PreTrainedTokenizerBase

    @property
    def pad_token_id(self) -> int:
        return self.tokenizer.pad_token_id

    def __call__(self, prompt: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": prompt_ids(prompt, self.tokenizer)}


def with_lora(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    if not rank:
        return model
    from peft import LoraConfig, get_peft_model  # slow to import

    model.enable_input_require_grads()  # for gradient checkpointing under frozen embeddings
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, settings)
