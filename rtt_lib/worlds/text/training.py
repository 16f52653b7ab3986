"""Train and evaluate one arm of a profile on text.

    python -m rtt_lib.worlds.text.training PROFILE ARM SEED --results DIR
    accelerate launch --num_processes 8 -m rtt_lib.worlds.text.training PROFILE ARM SEED --results DIR

The trainers are those of the micro world. A training that was killed goes on from its last checkpoint; the
evaluation has a process of its own, so that it finds all of the memory free.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from rtt_lib.bench.generate import generate, prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_jsonl, write_json, write_text
from rtt_lib.methods.baselines import train_dpo, train_sft
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.methods.settings import grpo_settings, per_rollout_step
from rtt_lib.models import load_causal_lm, load_tokenizer, on_gpu, precision
from rtt_lib.profile import Evaluation, Profile, load_profile
from rtt_lib.relevance.base import RelevanceSource
from rtt_lib.relevance.responses import construct
from rtt_lib.relevance.sources import Counterfactual
from rtt_lib.rubrics import sources
from rtt_lib.rubrics.benchmarks import field
from rtt_lib.rubrics.compose import compose
from rtt_lib.rubrics.decontaminate import decontaminate
from rtt_lib.run.cli import parse_overrides
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies.runs import forget_other_attempts
from rtt_lib.studies.text_runs import MODULE, TextRunSpec, end_with_parent, is_done, is_trained, spec_of
from rtt_lib.worlds.micro import training as micro_run
from rtt_lib.worlds.text.evaluation import backend, evaluate, make_verifier, split_tasks, whole_benchmarks

log = logging.getLogger(__name__)

# On responses by rule SFT and DPO see as many prompts as RL, once, at usual rates for all weights of small models.
SFT_LEARNING_RATE = 1e-5
DPO_LEARNING_RATE = 1e-6
# On a strong LLM's they are trained as in the paper (App. B): 256 responses an update, both kinds. (Not tried on
# several GPUs, where DPO's other processes wait for the first to make the policy's own responses.)
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


@dataclass(frozen=True)
class Setting:
    """What the three trainers share: the model, what it is trained on, where the attempt is kept."""

    spec: TextRunSpec
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompts: list[RubricPrompt]
    attempt: Path
    results: Path

    @property
    def conversational(self) -> bool:
        return self.tokenizer.chat_template is not None


def train(spec: TextRunSpec, results: Path) -> None:
    """Leave `policy/`, `log.csv` and, last, `trained.json`; in every process of several."""
    folder, state, started = results / "runs" / spec.place, PartialState(), time.perf_counter()
    if is_trained(spec, folder):
        return
    fingerprint = spec.training_fingerprint()
    if state.is_main_process:
        forget_other_attempts(folder, fingerprint)
    state.wait_for_everyone()
    left_out, steps = 0, []
    if spec.arm.trainer != "none":
        set_seed(spec.number)
        model = load_causal_lm(spec.profile.policy.model)
        tokenizer = load_tokenizer(spec.profile.policy.model)
        prompts, left_out = training_prompts(spec, tokenizer)
        setting = Setting(spec, _with_lora(model, spec), tokenizer, prompts, folder / "attempt", results)
        trainers = {"rtt-grpo": train_rl, "sft": train_on_responses, "dpo": train_on_pairs}
        steps = trainers[spec.arm.trainer](setting, folder / "policy")
    if state.is_main_process:
        if steps:
            write_text(folder / "log.csv", pd.DataFrame(steps).to_csv(index=False, float_format="%.6g"))
        write_json(folder / "timing.json", {"training_seconds": round(time.perf_counter() - started, 2)})
        about = {"fingerprint": fingerprint, "precision": precision(), "prompts_too_long": left_out}
        write_json(folder / "trained.json", about)
        shutil.rmtree(folder / "attempt", ignore_errors=True)


# -------------------------------------------------------------------------------------------------------------- data


def training_prompts(spec: TextRunSpec, tokenizer: PreTrainedTokenizerBase) -> tuple[list[RubricPrompt], int]:
    """The prompts in the order of training, every epoch shuffled anew by the run's seed; how many were too long."""
    pool = prompt_pool(spec.profile)
    kept = [p for p in pool if _fits(p, spec, tokenizer)]
    if not kept:
        raise RTTError(
            f"profile {spec.profile.name}: every training prompt is longer than rl.max_prompt_tokens = "
            f"{spec.rl.max_prompt_tokens}"
        )
    wanted, rng, ordered = spec.rl.steps * spec.rl.prompts_per_step, random.Random(f"train {spec.number}"), []
    while len(ordered) < wanted:
        ordered += rng.sample(kept, len(kept))
    return ordered[:wanted], len(pool) - len(kept)


def _fits(prompt: RubricPrompt, spec: TextRunSpec, tokenizer: PreTrainedTokenizerBase) -> bool:
    return len(prompt_ids(prompt, tokenizer)) <= spec.rl.max_prompt_tokens


def prompt_pool(profile: Profile) -> list[RubricPrompt]:
    """What there is to train on; of others' prompts it is said what they share with the benchmarks, and all are kept.

    Data sets made after a benchmark share its wordings throughout, which a comparison cannot tell from its tasks.
    """
    data = profile.data
    if data.source == "composed":
        return compose(split_tasks(profile)[0], data.train_prompts, data.seed)
    found = sources.load(data.source, data.path, seed=data.seed)  # in the file's order, which may be by kind
    pool = random.Random(f"pool {data.seed}").sample(found, min(data.train_prompts, len(found)))
    tested = [prompt for prompts in whole_benchmarks(profile)[0].values() for prompt in prompts]
    print(decontaminate(pool, tested), flush=True)
    return pool


# ---------------------------------------------------------------------------------------------------------------- RL


def train_rl(setting: Setting, policy: Path) -> list[dict]:
    spec = setting.spec
    trainer = RTTGRPOTrainer(
        setting.model,
        verifier=make_verifier(spec.profile, setting.results),
        relevance=None if spec.arm.response_only else relevance_source(setting),
        args=rl_config(spec, setting.attempt, setting.model.num_parameters()),
        train_dataset=Dataset.from_list(rubric_dataset(setting.prompts, setting.conversational)),
        processing_class=setting.tokenizer,
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(setting.attempt))
    if spec.profile.policy.lora_rank:
        _save(trainer.accelerator.unwrap_model(trainer.model), setting.tokenizer, policy)
    else:
        trainer.save_model(str(policy))  # gathers weights that are spread over processes
        (policy / "training_args.bin").unlink(missing_ok=True)  # a pickle
    return per_rollout_step(trainer.state.log_history, spec.rl.minibatches)


def rl_config(spec: TextRunSpec, folder: Path, parameters: int) -> RTTGRPOConfig:
    rl, vllm = spec.rl, spec.profile.compute.vllm
    micro, accumulate = passes(
        rl.prompts_per_step * rl.group_size // rl.minibatches, rl.max_prompt_tokens + rl.max_response_tokens
    )
    return RTTGRPOConfig(
        str(folder),
        use_vllm=vllm != "off",
        # It would multiply the loss by exp(sum of log Z) of a response, Z being the mass that top-p keeps: Eq. 6 has no
        # such factor, and it shrinks with length.
        vllm_importance_sampling_correction=False,
        vllm_mode="server" if vllm == "server" else "colocate",
        vllm_max_model_length=rl.max_prompt_tokens + rl.max_response_tokens if vllm == "colocate" else None,
        save_steps=min(MOST_ROLLOUTS_PER_CHECKPOINT, max(1, rl.steps // 4)) * rl.minibatches,
        **grpo_settings(spec.arm, rl, accumulate),
        **_training(spec, micro, parameters),
    )


def passes(
    responses: int, tokens: int, being: str = "rl.prompts_per_step x rl.group_size / rl.minibatches"
) -> tuple[int, int]:
    """How many of an optimizer step's `responses` (of so many tokens each) one process passes at once, how often."""
    processes = PartialState().num_processes
    if responses % processes:
        raise RTTError(f"{responses} responses per optimizer step ({being}) do not divide into {processes} processes")
    own = responses // processes
    room = max(1, TOKENS_PER_PASS["cuda" if on_gpu() else "cpu"] // tokens)
    micro = max(n for n in range(1, min(own, room) + 1) if own % n == 0)
    return micro, own // micro


def _training(spec: TextRunSpec, micro: int, parameters: int) -> dict[str, Any]:
    """Settings that every trainer has; float32 weights, computed on in bfloat16 where that is fast."""
    return {
        "per_device_train_batch_size": micro,
        "seed": spec.number,
        "report_to": "none",
        "use_cpu": not on_gpu(),
        "bf16": precision() == "bfloat16",
        "gradient_checkpointing": on_gpu() and parameters >= CHECKPOINTING_FROM,
        "dataloader_pin_memory": on_gpu(),
    }


def relevance_source(setting: Setting) -> RelevanceSource:
    """As in the micro world, but for the one whose inputs differ here."""
    spec = setting.spec
    if spec.arm.relevance == "counterfactual":
        check_that_criteria_can_be_withheld(setting.prompts)
        return Counterfactual(setting.model, ChatTokens(setting.tokenizer), without_criterion)
    return micro_run.relevance_source(spec, setting.model, setting.tokenizer)


@dataclass(frozen=True)
class ChatTokens:
    """A tokenizer that puts every prompt into the chat template, as the policy is given it."""

    tokenizer: PreTrainedTokenizerBase

    @property
    def pad_token_id(self) -> int:
        return self.tokenizer.pad_token_id

    def __call__(self, prompt: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": prompt_ids(prompt, self.tokenizer)}


def check_that_criteria_can_be_withheld(prompts: Sequence[RubricPrompt]) -> None:
    """A prompt that does not state a criterion is the same without it: every token's contrast, and credit, is zero."""
    distinct = {prompt.id: prompt for prompt in prompts}.values()
    stated = [criterion.text in prompt.prompt for prompt in distinct for criterion in prompt.criteria]
    if not any(stated):
        raise RTTError(
            f"counterfactual relevance withholds a criterion from its prompt, but none of the {len(stated)} criteria "
            "stands in its prompt word for word: choose another arm, this one would be plain RL"
        )
    if not all(stated):
        log.warning(
            "%d of %d criteria do not stand in their prompts word for word and get no token credit: counterfactual "
            "relevance cannot withhold them",
            stated.count(False),
            len(stated),
        )


def without_criterion(prompt: str, criterion: Criterion) -> str:
    """The prompt that no longer asks for `criterion`, its bullet or number taken away with it."""
    alone = re.compile(rf"^(?:- |\d+\) )?{re.escape(criterion.text)}(?:\n|\Z)", re.MULTILINE)
    shorter, found = alone.subn("", prompt, count=1)
    return shorter if found else prompt.replace(criterion.text, "", 1)


# ------------------------------------------------------------------------------------------------------- SFT and DPO


def train_on_responses(setting: Setting, policy: Path) -> list[dict]:
    """SFT on responses that are meant to keep every criterion."""
    rows = [
        {"prompt": _asked(prompt, setting), "completion": _answered(response, setting)}
        for prompt, response in demonstrations(setting)
    ]
    how = _supervised(setting, SFT_LEARNING_RATE)
    return _supervised_log(train_sft(setting.model, setting.tokenizer, rows, setting.attempt, **how), setting, policy)


def train_on_pairs(setting: Setting, policy: Path) -> list[dict]:
    """DPO: those responses preferred to the policy's own (in the paper: to those of Qwen2.5-7B-Instruct)."""
    preferred = demonstrations(setting)
    own = _own_responses([prompt for prompt, _ in preferred], setting)
    rows = [
        {
            "prompt": _asked(prompt, setting),
            "chosen": _answered(response, setting),
            "rejected": _answered(own[prompt.id], setting),
        }
        for prompt, response in preferred
    ]
    how = _supervised(setting, DPO_LEARNING_RATE)
    return _supervised_log(train_dpo(setting.model, setting.tokenizer, rows, setting.attempt, **how), setting, policy)


def demonstrations(setting: Setting) -> list[tuple[RubricPrompt, str]]:
    """Responses by rule to the prompts of RL, in their order; or those of `data.responses`, each prompt once."""
    profile = setting.spec.profile
    path = profile.data.responses
    if path is None:
        return [(prompt, construct(prompt, setting.spec.number)) for prompt in setting.prompts]
    given = {}
    for number, row in read_jsonl(path):
        given[field(row, "id", str, f"{path}:{number}")] = field(row, "response", str, f"{path}:{number}")
    pool = [p for p in prompt_pool(profile) if _fits(p, setting.spec, setting.tokenizer)]
    found = [(prompt, given[prompt.id]) for prompt in pool if given.get(prompt.id, "").strip()]
    if not found:
        raise RTTError(f"{path}: holds a response to none of the {len(pool)} training prompts (by their id)")
    if len(found) < len(pool):
        log.warning("%s: %d of %d prompts have no response and are left out", path, len(pool) - len(found), len(pool))
    return found


def _own_responses(prompts: Sequence[RubricPrompt], setting: Setting) -> dict[str, str]:
    """One response to each prompt by the policy as it starts out, sampled as in RL."""
    rl, profile = setting.spec.rl, setting.spec.profile
    distinct = list({prompt.id: prompt for prompt in prompts}.values())
    settings = Evaluation((), None, 1, rl.temperature, rl.top_p, rl.top_k, rl.max_response_tokens, setting.spec.number)
    with PartialState().main_process_first():  # the others find the file
        path = generate(
            distinct, profile.policy.model, settings, setting.attempt / "own.jsonl", backend(profile), precision()
        )
    return {row["id"]: row["response"] for _, row in read_jsonl(path)}


def _asked(prompt: RubricPrompt, setting: Setting) -> Any:
    return prompt.chat() if setting.conversational else prompt.prompt


def _answered(response: str, setting: Setting) -> Any:
    return [{"role": "assistant", "content": response}] if setting.conversational else f" {response}"


def _supervised(setting: Setting, rate: float) -> dict[str, Any]:
    rl = setting.spec.rl
    if setting.spec.profile.data.responses:
        own, batch, tokens = AS_THE_PAPER, PAPER_BATCH, AS_THE_PAPER["max_length"]
        being = "the paper's batch"
    else:
        own = {"max_steps": rl.steps * rl.minibatches, "learning_rate": rate, "lr_scheduler_type": "constant"}
        batch, tokens = max(1, rl.prompts_per_step // rl.minibatches), 2 * rl.max_response_tokens
        being = "rl.prompts_per_step / rl.minibatches"
    micro, accumulate = passes(batch, tokens, being)
    return {
        **own,
        "gradient_accumulation_steps": accumulate,
        "logging_steps": rl.minibatches,
        "save_strategy": "no",  # done again after a kill
        **_training(setting.spec, micro, setting.model.num_parameters()),
    }


def _supervised_log(log: list[dict], setting: Setting, policy: Path) -> list[dict]:
    _save(setting.model, setting.tokenizer, policy)
    return per_rollout_step(log, setting.spec.rl.minibatches)


# -------------------------------------------------------------------------------------------------------------- LoRA


def _with_lora(model: PreTrainedModel, spec: TextRunSpec) -> PreTrainedModel:
    rank = spec.profile.policy.lora_rank
    if not rank:
        return model
    from peft import LoraConfig, get_peft_model

    model.enable_input_require_grads()  # for gradient checkpointing under frozen embeddings
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """An ordinary checkpoint, adapters merged."""
    if not PartialState().is_main_process:
        return
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# ------------------------------------------------------------------------------------------------------ command line


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    end_with_parent()
    try:
        profile = load_profile(options.profile, parse_overrides(options.overrides))
        if profile.data.source == "micro":
            raise RTTError(f"profile {profile.name} trains in the micro world: `rtt run {profile.name}` does it")
        results = options.results.resolve()
        spec = spec_of(profile, options.arm, options.seed, results)
        if is_done(spec, results / "runs"):
            return 0
        if options.evaluate:
            evaluate(spec, results)
            return 0
        train(spec, results)
    except RTTError as error:
        print(f"rtt: {error}", file=sys.stderr)
        return 2
    _go_on_to_evaluation(words)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(MODULE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="a profile's name or path")
    parser.add_argument("arm", help="as in rtt_lib.methods.arms: RTT-AON, 'RTT-AON oracle', ...")
    parser.add_argument("seed", help="A0, A1, ...")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR", help="the profile's results folder")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[], help="as rtt run")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate: the policy is trained already")
    return parser


def _go_on_to_evaluation(words: Sequence[str]) -> None:
    """Become the evaluating process: one of several, with nothing of the training left in memory."""
    main_process = PartialState().is_main_process
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if not main_process:
        return
    distributed = re.compile(
        r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_.*|(TORCHELASTIC|ACCELERATE|FSDP)_.*"
    )
    environment = {name: value for name, value in os.environ.items() if not distributed.fullmatch(name)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", MODULE, *words, "--evaluate"], environment)


if __name__ == "__main__":
    sys.exit(main())
