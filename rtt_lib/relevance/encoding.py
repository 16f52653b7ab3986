"""The discriminator's input and labels: criterion first, then the response, then an end token of its own.

The end token is the discriminator's view of the policy's EOS: a global criterion makes it relevant, a local one does
not. So the model can learn its relevance, which no word of the response shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label, label_with
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Span

DEFAULT_TEMPLATE = (
    "Mark the words of the response that this criterion depends on.\nCriterion: {criterion}\nResponse: {response}"
)
MICRO_TEMPLATE = "{criterion} : {response}"
IGNORED = -100.0


@dataclass(frozen=True)
class LabelledExample:
    """One (criterion, response) with its relevant characters; `verdict` and `split` are for the tables."""

    criterion: Criterion
    response: str
    label: Label
    verdict: bool | None = None
    split: str = ""


@dataclass(frozen=True)
class EncodedResponse:
    """Token ids of a response and the characters each stands for; together they cover the whole text."""

    ids: list[int]
    spans: list[Span]


@dataclass
class Encoder:
    """Turns criteria and responses into token ids of the discriminator's tokenizer."""

    tokenizer: PreTrainedTokenizerBase
    template: str
    _prefixes: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        before, _, after = self.template.partition("{response}")
        if "{criterion}" not in before or after or "{response}" not in self.template:
            raise RTTError(
                f"discriminator template {self.template!r}: needs {{criterion}} first and {{response}} at its very end"
            )
        self.before = before
        self.end_id = self._end_id()
        first = self.tokenizer("")["input_ids"][:1]
        self.begin = [id for id in first if id in (self.tokenizer.bos_token_id, self.tokenizer.cls_token_id)]

    def _end_id(self) -> int:
        for id in (self.tokenizer.eos_token_id, self.tokenizer.sep_token_id):
            if id is not None:
                return id
        raise RTTError("the discriminator's tokenizer has neither an EOS nor a separator token to end a response with")

    def prefix(self, criterion: str) -> list[int]:
        """Everything before the response."""
        if criterion not in self._prefixes:
            text = self.before.replace("{criterion}", criterion)
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            self._prefixes[criterion] = self.begin + ids
        return self._prefixes[criterion]

    def responses(self, texts: Sequence[str]) -> list[EncodedResponse]:
        """Tokenised apart from the prefix, so that their boundary is exact; special tokens in a text are just text."""
        if not texts:
            return []
        distinct = list(dict.fromkeys(texts))  # a response comes once for each of its criteria
        found = self.tokenizer(
            distinct, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        encoded = {
            text: EncodedResponse(ids, cover(offsets, len(text)))
            for ids, offsets, text in zip(found["input_ids"], found["offset_mapping"], distinct, strict=True)
        }
        return [encoded[text] for text in texts]

    def features(self, examples: Sequence[LabelledExample], max_length: int) -> tuple[list[dict], int]:
        """Training rows, `labels` IGNORED on the prefix (Eq. 5), and how many responses were cut at `max_length`."""
        rows, cut = [], 0
        encoded = self.responses([example.response for example in examples])
        for example, response in zip(examples, encoded, strict=True):
            prefix = self.prefix(example.criterion.text)
            labels = [*label_with(example.label, response.spans, len(response.ids)), int(example.label.whole)]
            ids = prefix + response.ids + [self.end_id]
            targets = [IGNORED] * len(prefix) + [float(label) for label in labels]
            cut += len(ids) > max_length
            if len(prefix) >= max_length:
                raise RTTError(
                    f"the criterion {example.criterion.text[:60]!r} takes {len(prefix)} tokens, which leaves no room "
                    f"for a response: raise discriminator.max_length ({max_length})"
                )
            rows.append({"input_ids": ids[:max_length], "labels": targets[:max_length]})
        return rows, cut


def cover(offsets: Sequence[Span], length: int) -> list[Span]:
    """Offsets as a tokenizer reports them, stretched over the gaps (spaces it trims, characters it drops)."""
    spans: list[Span] = []
    end = 0
    for n, (first, last) in enumerate(offsets):
        start, end = min(first, end), max(last, end)
        spans.append((start, length if n == len(offsets) - 1 else end))
    return spans


def align(probabilities: np.ndarray, own: Sequence[Span], other: Sequence[Span]) -> np.ndarray:
    """[K, n + 1] on the discriminator's n tokens and its end token -> [K, T] on the policy's T tokens.

    A policy token takes the maximum over the discriminator's tokens that share a character with it; one without
    text (EOS) takes the end token's.
    """
    n = len(own)
    spans, wanted = np.array(own, dtype=np.int64).reshape(-1, 2), np.array(other, dtype=np.int64).reshape(-1, 2)
    low = np.searchsorted(spans[:, 1], wanted[:, 0], side="right")
    high = np.searchsorted(spans[:, 0], wanted[:, 1], side="left")
    bounds = np.stack([low, np.maximum(high, low + 1)], axis=1).clip(max=n).reshape(-1)
    if not len(bounds):
        return np.zeros((len(probabilities), 0), dtype=probabilities.dtype)
    with_text = np.append(spans[:, 0] < spans[:, 1], True)
    found = np.maximum.reduceat(probabilities * with_text, bounds, axis=1)[:, ::2]
    found[:, low >= high] = 0
    found[:, wanted[:, 0] >= wanted[:, 1]] = probabilities[:, -1:]
    return found


def batches_by_length(lengths: Sequence[int], max_tokens: int, padding: float = 0.1) -> Iterator[list[int]]:
    """Indices grouped so that no batch wastes more than `padding` of its cells or exceeds `max_tokens` of them."""
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        cells = (len(batch) + 1) * lengths[batch[0] if batch else index]
        if batch and (cells > max_tokens or total + lengths[index] < (1 - padding) * cells):
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += lengths[index]
    if batch:
        yield batch
