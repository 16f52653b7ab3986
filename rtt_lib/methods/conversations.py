"""SFT on conversations of several levels, on TRL; then, for some arms, DPO on pairs that are the same for all of them.

One row of the training data is all that one question gives: a conversation, or several. So a step of every arm has the
same questions, and, where arms differ in the order of turns alone, exactly the same tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import ConversationArm
from rtt_lib.methods.task import Task, per_rollout_step, save_policy, train_on
from rtt_lib.methods.turns import Encoded, Turn, encode, padded
from rtt_lib.models import load_causal_lm
from rtt_lib.worlds.base import World
from rtt_lib.worlds.teaching import LEVELS, Ladder, Rung, TeachingWorld

LESSONS = 8  # ladders a question of a one-level arm is made from: each gives at most one rung of the level
Conversation = list[Turn]


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log of SFT, then of DPO."""
    pairs = given_pairs(task) if task.arm.dpo else None
    trainer = sft_trainer(task, [[encode(one, task.tokenizer, task.chat) for one in row] for row in lessons(task)])
    train_on(trainer, task.attempt)
    save_policy(trainer, task.tokenizer, folder)
    log = per_rollout_step(trainer.state.log_history, task.rl.minibatches)
    if pairs is None:
        return log
    trainer = dpo_trainer(task, folder, pairs)
    train_on(trainer, task.attempt / "dpo")
    save_policy(trainer, task.tokenizer, folder)
    after = per_rollout_step(trainer.state.log_history, task.rl.minibatches)
    return log + [row | {"step": row["step"] + log[-1]["step"]} for row in after]


def sft_trainer(task: Task, rows: Sequence[Sequence[Encoded]]) -> SFTTrainer:
    """rows: for each question its conversations. They stay in their order, which is the arm's."""
    settings = task.supervised_settings() | {
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }

    def collate(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        found = [Encoded(*pair) for row in batch for pair in zip(row["input_ids"], row["labels"], strict=True)]
        return padded(found, task.tokenizer.pad_token_id)

    data = [{"input_ids": [one.ids for one in row], "labels": [one.labels for one in row]} for row in rows]
    trainer = SFTTrainer(
        task.model,
        args=SFTConfig(str(task.attempt), **settings),
        train_dataset=Dataset.from_list(data),
        data_collator=collate,
        processing_class=task.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


# --- from ladders to conversations ---


def lessons(task: Task) -> list[list[Conversation]]:
    """For each question of the run, in the order of training, its conversations."""
    arm, how = task.arm, task.world.supervised(task.arm.trainer)
    n = how.responses * how.settings["max_steps"]
    ladders = teaching(task.world).ladders(n if arm.level is None else n * LESSONS, task.number, arm.numbers)
    questions = of_levels(ladders, n) if arm.level is None else of_one_level(ladders, n, arm.level)
    drafts = own_drafts(task, questions) if arm.external not in ("none", "no draft") else {}
    rows = over_time([pieces_of(question, arm, task.number) for question in questions], arm)
    return [[turns_of(rungs, task, drafts) for rungs in row] for row in rows]


def of_levels(ladders: Sequence[Ladder], n: int) -> list[list[Rung]]:
    return [list(ladder.rungs) for ladder in ladders[:n]]


def of_one_level(ladders: Sequence[Ladder], n: int, level: int) -> list[list[Rung]]:
    """As many turns in every conversation as the other arms have, all of one level, each from another question."""
    rungs = iter([rung for ladder in ladders for rung in ladder.rungs if rung.level == level])
    try:
        return [[next(rungs) for _ in ladder.rungs] for ladder in ladders[:n]]
    except StopIteration:
        raise RTTError(f"{len(ladders)} questions have too few rungs of level {level} for {n} conversations") from None


def pieces_of(question: list[Rung], arm: ConversationArm, number: int) -> list[list[Rung]]:
    """The rungs of each conversation of a question, in the order of its turns; filtered levels are missing."""
    if arm.level is not None:
        return [question]
    pieces = [[rung for rung in question if rung.level in levels] for levels in arm.pieces]
    return [ordered(piece, arm.order, number) for piece in pieces if piece]


def ordered(rungs: list[Rung], order: str, number: int) -> list[Rung]:
    """rungs: easy to hard."""
    match order:
        case "reversed":
            return rungs[::-1]
        case "shuffled":
            return random.Random(f"turns {number} {rungs[0].prompt.id}").sample(rungs, len(rungs))
    return rungs


def turns_of(rungs: Sequence[Rung], task: Task, drafts: dict[str, str]) -> Conversation:
    """drafts: by prompt, for the prompts that get one."""
    found: Conversation = []
    for rung in rungs:
        found += drafted(rung, task, drafts.get(rung.prompt.id)) or [Turn("user", rung.prompt.prompt)]
        account = teaching(task.world).account(rung, task.arm.internal, task.number)
        learned = task.arm.loss == "all" or rung is rungs[-1]
        found.append(Turn("assistant", f"{rung.answer} {account}".rstrip(), learned))
    return found


def drafted(rung: Rung, task: Task, draft: str | None) -> Conversation:
    """The prompt, a draft and the reply to it; nothing where there is no draft or it is right already."""
    if draft is None:
        return []
    reply = teaching(task.world).critique(rung, draft, task.arm.external, task.number)
    if reply is None:
        return []
    return [Turn("user", rung.prompt.prompt), Turn("assistant", draft, task.arm.draft_loss), Turn("user", reply)]


def own_drafts(task: Task, questions: Sequence[Sequence[Rung]]) -> dict[str, str]:
    """The policy's own responses, before it learns, to the prompts of the highest level."""
    prompts = [rung.prompt for rungs in questions for rung in rungs if rung.level == LEVELS[-1]]
    said = task.world.own_responses(prompts, task.model, task.tokenizer, task.number, task.attempt)
    return {prompt.id: draft for prompt, draft in zip(prompts, said, strict=True)}


def over_time(rows: list[list[list[Rung]]], arm: ConversationArm) -> list[list[list[Rung]]]:
    """The same pieces of all questions together, easy ones early or late, in as many rows as before.

    A row has as many pieces as any other, give or take one. All rows together have the same tokens as before.
    """
    if arm.over_time == "mixed":
        return rows

    def place(piece: list[Rung]) -> int:
        return next(n for n, levels in enumerate(arm.pieces) if piece[0].level in levels)

    pieces = sorted((piece for row in rows for piece in row), key=place, reverse=arm.over_time == "hard first")
    ends = [len(pieces) * (n + 1) // len(rows) for n in range(len(rows))]
    return [pieces[start:end] for start, end in pairwise([0, *ends])]


def teaching(world: World) -> TeachingWorld:
    """The world, which has to teach by levels."""
    if not hasattr(world, "ladders"):
        raise RTTError(f"world {world.name} has no levels: this arm needs data.source = levels")
    return world


# --- the second stage ---


def given_pairs(task: Task) -> list[dict[str, Any]]:
    """Answers that meet every criterion, preferred to those of the policy before SFT: the same pairs for all arms."""
    chosen = task.demonstrations()
    prompts = [prompt for prompt, _ in chosen]
    own = task.world.own_responses(prompts, task.model, task.tokenizer, task.number, task.attempt)
    return [
        {"prompt": task.asked(prompt), "chosen": task.answered(answer), "rejected": task.answered(other)}
        for (prompt, answer), other in zip(chosen, own, strict=True)
    ]


def dpo_trainer(task: Task, policy: Path, pairs: Sequence[dict[str, Any]]) -> DPOTrainer:
    """The policy is read again: TRL reads its reference for DPO from where the policy came from."""
    stage = replace(task, arm=replace(task.arm, trainer="dpo"), attempt=task.attempt / "dpo")
    args = DPOConfig(str(stage.attempt), **stage.supervised_settings())
    data = Dataset.from_list(list(pairs))
    trainer = DPOTrainer(load_causal_lm(policy), args=args, train_dataset=data, processing_class=task.tokenizer)
    trainer.remove_callback(PrinterCallback)
    return trainer
