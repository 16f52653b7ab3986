"""Responses with everything credit assignment needs: verdicts, oracle relevance and masks, ready for tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rtt_lib.credit import token_advantage
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.relevance.base import Rollouts
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.sources import Oracle
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import aon, csr
from rtt_lib.worlds.micro.language import Language, find_world, partly_honoured, sample_prompts
from rtt_lib.worlds.micro.policy import base_policy, micro_tokenizer

# A profile whose policy is a large model has no micro base policy: then it is that of `micro`, which the package has.
PRETRAIN_STEPS = 1500


@dataclass(frozen=True)
class Graded:
    """B responses in groups of `group_size`, each with its words, verdicts and relevance."""

    rollouts: Rollouts
    relevance: Tensor  # [B, K, T]
    verdicts: Tensor  # [B, K]
    words: list[list[str]]  # B lists, one word per token; EOS is "<eos>"
    group_size: int

    @property
    def mask(self) -> Tensor:
        """[B, T]"""
        return self.rollouts.mask

    @property
    def rewards(self) -> Tensor:
        """[B, K, T]: r_k = s_k p_k, with s = +1 satisfied, -1 violated; zero for an absent criterion."""
        return (2 * self.verdicts - 1).nan_to_num(0).unsqueeze(-1) * self.relevance

    def response_reward(self, kind: str) -> Tensor:
        """[B]: AON (Eq. 2) or CSR (Eq. 3)."""
        score = csr if kind == "csr" else aon
        return torch.tensor([score([verdict.value for verdict in row]) for row in self.rollouts.verdicts])

    def credit(self, scheme: str) -> Tensor:
        """A_tok [B, T]."""
        return token_advantage(self.verdicts, self.relevance, self.mask, self.group_size, scheme)


def score(
    prompts: Sequence[RubricPrompt], ids: Sequence[list[int]], tokenizer: PreTrainedTokenizerBase, group_size: int
) -> Graded:
    """Grade responses given as token ids (EOS included where there is one); prompts[i] is response i's."""
    decoded = [token_offsets(tokenizer, row) for row in ids]
    responses, offsets = [text for text, _ in decoded], [spans for _, spans in decoded]
    rubrics = [prompt.criteria for prompt in prompts]
    texts = [prompt.prompt for prompt in prompts]
    verdicts = Verifier()(texts, responses, rubrics)
    longest = max(map(len, ids))
    rollouts = Rollouts(
        prompts=texts,
        responses=responses,
        criteria=rubrics,
        verdicts=verdicts,
        token_ids=torch.tensor([row + [0] * (longest - len(row)) for row in ids]),
        mask=torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in ids]),
        offsets=offsets,
    )
    words = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    return Graded(rollouts, Oracle()(rollouts), rollouts.verdict_tensor(), words, group_size)


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[RubricPrompt],
    group_size: int,
    max_tokens: int,
) -> Graded:
    """`group_size` responses to each prompt at temperature 1, graded."""
    repeated = [prompt for prompt in prompts for _ in range(group_size)]
    batch = tokenizer([prompt.prompt for prompt in repeated], return_tensors="pt", padding=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generated = model.eval().generate(**batch, max_new_tokens=max_tokens, do_sample=True, top_k=0)
    rows = generated[:, batch["input_ids"].shape[1] :].tolist()
    return score(repeated, [_until(row, tokenizer.eos_token_id) for row in rows], tokenizer, group_size)


def _until(row: list[int], eos: int) -> list[int]:
    return row[: row.index(eos) + 1] if eos in row else row


def base_rollouts(
    world: str, pretrain_steps: int, prompts: int = 64, group_size: int = 8, max_tokens: int = 24
) -> Graded:
    """Responses of a micro world's base policy A, which is pretrained first where no run has done so yet."""
    transformers_logging.disable_progress_bar()  # its timings would make every executed notebook different
    folder = base_policy(world, "A", pretrain_steps or PRETRAIN_STEPS)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return sample(model, tokenizer, sample_prompts(find_world(world), prompts, "rollouts"), group_size, max_tokens)


def language_rollouts(world: str, prompts: int = 64, group_size: int = 8) -> Graded:
    """Groups of the texts that base policies are pretrained on: what a perfect base policy would sample."""
    tokenizer, language, rng = micro_tokenizer(), Language(), random.Random(f"language rollouts {world}")
    questions = sample_prompts(find_world(world), prompts, "rollouts")
    repeated = [question for question in questions for _ in range(group_size)]
    texts = [partly_honoured(question, find_world(world), language, rng) for question in repeated]
    ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    return score(repeated, ids, tokenizer, group_size)


def rollout_examples(graded: Graded) -> list[LabelledExample]:
    """Every (criterion, response) of sampled rollouts, with the oracle's label."""
    rollouts = graded.rollouts
    found = []
    for rubric, response, verdicts in zip(rollouts.criteria, rollouts.responses, rollouts.verdicts, strict=True):
        for criterion, verdict in zip(rubric, verdicts, strict=True):
            label = taxonomy(criterion, verdict, response)
            if label is not None and response:
                found.append(LabelledExample(criterion, response, label, verdict.value, "rollout"))
    return found
