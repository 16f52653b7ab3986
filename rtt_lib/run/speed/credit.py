"""`token_advantage` against the released code's way of working: time and memory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from rtt_lib.credit import SCHEMES, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.run.speed.measure import GROUP, in_turn

RESPONSES, CRITERIA, TOKENS = 512, 7, 4096


def random_batch(responses: int, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Verdicts [B, K], relevance [B, K, T] and mask [B, T]; responses of 1 to `tokens` tokens."""
    rng = torch.Generator().manual_seed(0)
    verdicts = torch.randint(0, 2, (responses, CRITERIA), generator=rng).float()
    relevance = torch.rand(responses, CRITERIA, tokens, generator=rng)
    mask = torch.arange(tokens) < torch.randint(1, tokens + 1, (responses, 1), generator=rng)
    return verdicts, relevance, mask


def list_based(groups: list[tuple[list, list, list]]) -> list[Tensor]:
    """The released algorithm as it works, in our words: a group's token rewards arrive as nested lists.

    Each group: lists to float64 tensors, rows reshaped to [K, G, T] (the mixing of `released`), masked mean and
    standard deviation over tokens, mean over criteria.
    """
    advantages = []
    for verdicts, relevance, mask in groups:
        sign = 2 * torch.tensor(verdicts, dtype=torch.float64) - 1
        tokens = torch.tensor(mask, dtype=torch.float64)
        rewards = sign.unsqueeze(-1) * torch.tensor(relevance, dtype=torch.float64)
        size, criteria, length = rewards.shape
        rewards = (rewards * tokens.unsqueeze(1)).reshape(criteria, size, length)
        count = tokens.sum(-1, keepdim=True).clamp(min=1)
        mean = (rewards * tokens).sum(-1, keepdim=True) / count
        variance = ((rewards - mean).square() * tokens).sum(-1, keepdim=True) / count
        standardised = (rewards - mean) / variance.sqrt().clamp(min=1e-6)
        advantages.append((standardised * tokens).mean(0))
    return advantages


def nested_lists(verdicts: Tensor, relevance: Tensor, mask: Tensor) -> list[tuple[list, list, list]]:
    return [
        (verdicts[i : i + GROUP].tolist(), relevance[i : i + GROUP].tolist(), mask[i : i + GROUP].tolist())
        for i in range(0, len(mask), GROUP)
    ]


def credit(
    rounds: int = 5, responses: int = RESPONSES, tokens: int = TOKENS, schemes: Sequence[str] = tuple(SCHEMES)
) -> None:
    """Prints each scheme's median time, the ratio to the list-based way, and the peak memory over the input."""
    batch = random_batch(responses, tokens)
    eighth = [x[: responses // 8] for x in batch]  # as nested lists the whole batch would take 500 MB
    lists = nested_lists(*eighth)
    agree = torch.cat(list_based(lists)) - token_advantage(*(x.double() for x in eighth), GROUP, "released")
    if agree.abs().max() > 1e-6:
        raise RTTError("the list-based algorithm and scheme 'released' disagree: the comparison would mean nothing")
    works = {name: partial(token_advantage, *batch, GROUP, name) for name in schemes}
    times = in_turn({**works, "lists": partial(list_based, lists)}, rounds)
    lists_seconds = 8 * median(times.pop("lists"))
    print(f"{responses} x {CRITERIA} x {tokens}, {torch.get_num_threads()} threads, median of {rounds}")
    print(f"nested lists: {lists_seconds:.2f} s (8 x an eighth of the batch)")
    for name, values in times.items():
        command = [sys.executable, "-m", "rtt_lib.run.speed", "memory", name, str(responses), str(tokens)]
        extra = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ratio = lists_seconds / median(values)
        print(f"{name:10} {median(values):.3f} s, {ratio:.0f} times faster, peak memory {float(extra):.2f} x its input")


def memory(scheme: str, responses: int, tokens: int) -> None:
    """Measured in a process of its own: by how much one call raises the memory peak, in units of the input's size."""
    batch = random_batch(responses, tokens)
    token_advantage(*(x[:GROUP, ..., :8] if x.dim() > 2 else x[:GROUP, :8] for x in batch), GROUP, scheme)
    before = _peak()
    token_advantage(*batch, GROUP, scheme)
    peak = _peak()
    size = sum(x.numel() * x.element_size() for x in batch)
    print((peak - before) / size)


def _peak() -> int:
    """Bytes; Linux's high-water mark of this process (what getrusage gives, a child inherits from its parent)."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
