"""A conversation as tokens, with the loss on the turns that are to be learned.

In a chat template the learned part of an answer is what the policy itself would write: from the generation prompt to
the end token. Without one, an answer is followed by the end token, and a user's turn has no mark but its own text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rtt_lib.errors import RTTError

UNLEARNED = -100  # a label that the loss leaves out


@dataclass(frozen=True)
class Turn:
    role: Literal["user", "assistant"]
    text: str
    learned: bool = False


@dataclass(frozen=True)
class Encoded:
    """ids, labels: one number a token; a label is the token itself, or UNLEARNED."""

    ids: list[int]
    labels: list[int]

    @property
    def learned(self) -> int:
        """How many tokens the loss is on."""
        return sum(label != UNLEARNED for label in self.labels)


def encode(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase, chat: bool) -> Encoded:
    return _in_template(turns, tokenizer) if chat else _plain(turns, tokenizer)


def _plain(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> Encoded:
    ids, labels = [], []
    for turn in turns:
        own = tokenizer(turn.text, add_special_tokens=False).input_ids
        own = [*own, tokenizer.eos_token_id] if turn.role == "assistant" else own
        ids += own
        labels += own if turn.learned else [UNLEARNED] * len(own)
    return Encoded(ids, labels)


def _in_template(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> Encoded:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]

    def rendered(n: int, prompt: bool = False) -> str:
        return tokenizer.apply_chat_template(messages[:n], tokenize=False, add_generation_prompt=prompt)

    whole, spans = rendered(len(messages)), []
    for n, turn in enumerate(turns):
        if turn.learned:
            before, through = rendered(n, prompt=True), rendered(n + 1)
            if not (whole.startswith(before) and whole.startswith(through)):
                raise RTTError("the chat template changes earlier turns as later ones come: its turns have no masks")
            spans.append((len(before), len(through.rstrip())))
    found = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    learned = [any(start >= a and end <= b for a, b in spans) for start, end in found["offset_mapping"]]
    ids = found["input_ids"]
    return Encoded(ids, [id if own else UNLEARNED for id, own in zip(ids, learned, strict=True)])


def padded(rows: Sequence[Encoded], pad: int) -> dict[str, Tensor]:
    """input_ids, attention_mask, labels, each [B, T], padded on the right."""
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids, attention, labels = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long), torch.full(shape, UNLEARNED)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n], attention[i, :n], labels[i, :n] = torch.tensor(row.ids), 1, torch.tensor(row.labels)
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}
