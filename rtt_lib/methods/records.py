"""What a training leaves behind about verdicts and credit: numbers for the log, rows for the saved rollouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rtt_lib.relevance.base import Rollouts
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Verdict, aon, csr

REWARDS = {"aon": aon, "csr": csr}
# TRL's deviation from the mean of equal rewards can be a rounding error, which its 1e-4 magnifies.
SILENT = 1e-2
ROUNDING = 1e-6  # of a sum of advantages that is zero
# How many of the tokens with the largest, and of those with the smallest, advantages a table shows.
STRONGEST = 3


@dataclass(frozen=True)
class Credit:
    """What each response and each token of it was given.

    a_res      [B]        response-level advantage
    a_tok      [B, T]     token-level advantage; None where token_beta is 0
    relevance  [B, K, T]  what `a_tok` came from; None where token_beta is 0
    """

    a_res: Tensor
    a_tok: Tensor | None = None
    relevance: Tensor | None = None


def mean_over_processes(value: float, accelerator: Accelerator) -> float:
    """NaN stands for nothing to report: it is left out."""
    return accelerator.gather(torch.tensor([value], device=accelerator.device)).nanmean().item()


def log_verdicts(
    log_metric: Callable[[str, float], None],
    rubrics: Sequence[Sequence[Criterion]],
    verdicts: Sequence[Sequence[Verdict]],
) -> None:
    """Share unknown, both rewards, and the share satisfied of each criterion family among its known verdicts.

    log_metric: TRL's, which takes the mean over all values of all processes.
    """
    for rubric, row in zip(rubrics, verdicts, strict=True):
        for criterion, verdict in zip(rubric, row, strict=True):
            log_metric("verdict/unknown", float(verdict.value is None))
            if verdict.value is not None:
                log_metric(f"verdict/{criterion.family}", float(verdict.value))
        # Both rewards, whichever one is trained on, so that the curves of all arms can be compared.
        for name, score in REWARDS.items():
            reward = score([verdict.value for verdict in row])
            if not math.isnan(reward):
                log_metric(f"verdict/{name}", reward)


def verdict_cells(verdicts: Sequence[Sequence[Verdict]]) -> list[str]:
    """Each response's verdicts in the order of its rubric, for TRL's table of completions."""
    words = {True: "yes", False: "no", None: "unknown"}
    return [", ".join(words[verdict.value] for verdict in row) for row in verdicts]


def advantage_cells(advantages: Tensor, rollouts: Rollouts, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Each response's tokens with the largest advantages ([B, T] or [B, 1]) and those with the smallest."""
    cells = []
    for i, row in enumerate(advantages.expand(rollouts.mask.shape)):
        places = rollouts.mask[i].nonzero().squeeze(1)
        ordered = places[row[places].sort(descending=True, stable=True).indices].tolist()
        shown = ordered if len(ordered) <= 2 * STRONGEST else ordered[:STRONGEST] + ordered[-STRONGEST:]
        cells.append(", ".join(f"{_piece(rollouts, i, t, tokenizer)} {row[t].item():+.2f}" for t in shown))
    return cells


def _piece(rollouts: Rollouts, i: int, t: int, tokenizer: PreTrainedTokenizerBase) -> str:
    start, end = rollouts.offsets[i][t]
    text = rollouts.responses[i][start:end]
    return repr(text) if text else tokenizer.convert_ids_to_tokens(int(rollouts.token_ids[i, t]))


def credit_metrics(
    credit: Credit, advantages: Tensor, rollouts: Rollouts, group_size: int, accelerator: Accelerator
) -> dict[str, float]:
    """How large both advantages are, which criteria they leave out; with token credit also where it went.

    advantages: [B, T] or [B, 1], Eq. 7
    """
    metrics = {"credit/a_res_abs": mean_over_processes(credit.a_res.abs().mean().item(), accelerator)}
    metrics |= left_out(advantages, rollouts, group_size, accelerator)
    if credit.a_tok is None:
        return metrics
    size = credit.a_tok.abs()
    mean = size.sum() / rollouts.mask.sum().clamp(min=1)
    metrics["credit/a_tok_abs"] = mean_over_processes(mean.item(), accelerator)
    metrics["credit/a_tok_max"] = accelerator.gather(size.max().reshape(1)).max().item()
    metrics["credit/eos"] = mean_over_processes(_credit_at_the_end(credit.a_tok, rollouts), accelerator)
    return metrics | _silent_groups(credit.a_res, credit.a_tok, group_size, accelerator)


def left_out(advantages: Tensor, rollouts: Rollouts, group_size: int, accelerator: Accelerator) -> dict[str, float]:
    """Of the criteria of all groups: unexplored, satisfied in no response; suppressed, satisfied in some, whose mean
    advantage is not above zero all the same."""
    tokens = rollouts.mask.sum(1).clamp(min=1)
    mean = (advantages.expand(rollouts.mask.shape) * rollouts.mask).sum(1) / tokens  # [B]
    verdicts = accelerator.pad_across_processes(rollouts.verdict_tensor(), dim=1, pad_index=math.nan)
    verdicts = accelerator.gather(verdicts).view(-1, group_size, verdicts.shape[1])
    asked, holds = ~verdicts.isnan().all(1), (verdicts == 1)  # [N, K], [N, G, K]
    given = (holds * accelerator.gather(mean).view(-1, group_size, 1)).sum(1)  # [N, K]
    unexplored, suppressed = asked & ~holds.any(1), holds.any(1) & (given <= ROUNDING)
    number = asked.sum().clamp(min=1)
    return {
        "credit/unexplored_criteria": (unexplored.sum() / number).item(),
        "credit/suppressed_criteria": (suppressed.sum() / number).item(),
    }


def _credit_at_the_end(a_tok: Tensor, rollouts: Rollouts) -> float:
    """Mean token credit of the end tokens of the responses that ended; NaN where none did."""
    length = rollouts.mask.shape[1]
    last = (torch.arange(length, device=a_tok.device) * rollouts.mask).amax(1, keepdim=True)
    ended = rollouts.mask.any(1) & ~rollouts.has_text().gather(1, last).squeeze(1)
    return a_tok.gather(1, last).squeeze(1)[ended].mean().item()


def _silent_groups(a_res: Tensor, a_tok: Tensor, group_size: int, accelerator: Accelerator) -> dict[str, float]:
    """RTT's answer to sparse rewards: groups without a response-level signal that still get a token-level one."""
    res = accelerator.gather(a_res).view(-1, group_size)
    tok = accelerator.gather(a_tok.abs().amax(1)).view(-1, group_size)
    silent = res.abs().amax(1) < SILENT
    return {
        "credit/silent_groups": silent.float().mean().item(),
        "credit/silent_groups_with_token_credit": (silent & (tok > 0).any(1)).float().mean().item(),
    }


def rollout_rows(
    rollouts: Rollouts, credit: Credit, tokenizer: PreTrainedTokenizerBase, step: int
) -> list[dict[str, Any]]:
    """One row per response: its text, the model's tokens, rubric, verdicts, and the credit of every token."""
    rows = []
    for i, own in enumerate(rollouts.mask):
        places = own.nonzero().squeeze(1).tolist()
        rows.append(
            {
                "step": step,
                "prompt": rollouts.prompts[i],
                "response": rollouts.responses[i],
                "tokens": tokenizer.convert_ids_to_tokens(rollouts.token_ids[i, own].tolist()),
                "offsets": [list(rollouts.offsets[i][t]) for t in places],
                "criteria": [criterion.to_json() for criterion in rollouts.criteria[i]],
                "verdicts": [verdict.value for verdict in rollouts.verdicts[i]],
                "a_res": credit.a_res[i].item(),
                "a_tok": None if credit.a_tok is None else _rounded(credit.a_tok[i, own]),
                "relevance": None
                if credit.relevance is None
                else [_rounded(row[own]) for row in credit.relevance[i, : len(rollouts.criteria[i])]],
            }
        )
    return rows


def _rounded(x: Tensor) -> list[float]:
    return [round(value, 4) for value in x.tolist()]
