"""Relevance for all criteria of a response in one pass: the packed discriminator.

The per-criterion discriminator (`rtt_lib.relevance.discriminator`) reads a response once for each of its criteria. This
one reads each response once and each criterion once, apart from one another, and joins the two at the end. The head
gives every token 2 * WIDTH + 2 numbers: the vectors u and v and the numbers a and b. With t a token of the response
and c the last token of the criterion,

    p(t) = sigmoid(u_t . v_c / sqrt(WIDTH) + a_t + b_c).

So p for one criterion depends neither on the other criteria nor on their order, and a further criterion costs its own
few tokens and one product of vectors. A checkpoint is a standard one for token classification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rtt_lib.files import read_json
from rtt_lib.profile import Discriminator as Settings
from rtt_lib.relevance.annotate import label_with
from rtt_lib.relevance.discriminator import (
    ADAPTER_FILE,
    CELLS_PER_BATCH,
    HEADS,
    Backbone,
    Discriminator,
    bce_on_response,
    padded,
    train_discriminator,
)
from rtt_lib.relevance.encoding import (
    DEFAULT_TEMPLATE,
    IGNORED,
    EncodedResponse,
    Encoder,
    LabelledExample,
    batches_by_length,
)

if TYPE_CHECKING:
    from transformers import Trainer

WIDTH = 64


@dataclass
class PackedEncoder(Encoder):
    """A template's words up to the criterion go with the criterion, the words between the two with the response."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.before_criterion, _, between = self.before.partition("{criterion}")
        self.lead = self.begin + self._ids(between)

    def prefix(self, criterion: str) -> list[int]:
        """The criterion, read alone."""
        if criterion not in self._prefixes:
            self._prefixes[criterion] = self.begin + self._ids(self.before_criterion + criterion)
        return self._prefixes[criterion]

    def features(self, examples: Sequence[LabelledExample], max_length: int) -> tuple[list[dict], int]:
        """Training rows, one a response, and how many were cut at `max_length`.

        input_ids: the response's tokens [L]; criteria: the tokens of each of its K criteria;
        labels: [K, L], IGNORED before the response
        """
        rows, cut = [], 0
        for group in by_response(examples):
            (response,) = self.responses([group[0].response])
            ids = [*self.lead, *response.ids, self.end_id]
            n, before = len(response.ids), [IGNORED] * len(self.lead)
            marks = [[*label_with(e.label, response.spans, n), int(e.label.whole)] for e in group]
            labels = [[*before, *map(float, row)][:max_length] for row in marks]
            criteria = [self.prefix(example.criterion.text) for example in group]
            rows.append({"input_ids": ids[:max_length], "criteria": criteria, "labels": labels})
            cut += len(ids) > max_length
        return rows, cut

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def by_response(examples: Sequence[LabelledExample]) -> list[list[LabelledExample]]:
    """The examples of each response."""
    groups: dict[str, list[LabelledExample]] = {}
    for example in examples:
        groups.setdefault(example.response, []).append(example)
    return list(groups.values())


def joined(responses: Tensor, criteria: Tensor) -> Tensor:
    """Logits [N, K, T] of responses [N, T, 2 * WIDTH + 2] and the criteria of each [N, K, 2 * WIDTH + 2]."""
    products = criteria[..., WIDTH : 2 * WIDTH] @ responses[..., :WIDTH].mT / WIDTH**0.5
    return products + responses[..., None, :, -2] + criteria[..., -1:]


def at_the_end(outputs: Tensor, mask: Tensor) -> Tensor:
    """[C, W]: what the head gives at the last token of each row of [C, J, W]."""
    return outputs[torch.arange(len(outputs), device=outputs.device), mask.sum(-1) - 1]


@dataclass
class PackedDiscriminator(Discriminator):
    """Asked like the per-criterion one."""

    OUTPUTS: ClassVar[int] = 2 * WIDTH + 2

    @classmethod
    def encoder_of(cls, tokenizer, template: str) -> PackedEncoder:
        return PackedEncoder(tokenizer, template)

    @classmethod
    def prepare(cls, model: PreTrainedModel) -> None:
        """A head drawn larger than transformers does: a product of two vectors near zero has hardly a gradient."""
        head = next(getattr(model, name) for name in HEADS if hasattr(model, name))
        torch.nn.init.normal_(head.weight, std=head.in_features**-0.5)

    @classmethod
    def trainer(cls, pos_weight: float, pad: int, **settings: Any) -> Trainer:
        from transformers import Trainer

        class JoinedTrainer(Trainer):
            def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
                logits = joined_logits(model, inputs)
                return bce_on_response({"logits": logits[..., None]}, inputs["labels"], num_items_in_batch, pos_weight)

        return JoinedTrainer(data_collator=partial(collate, pad=pad), **settings)

    @torch.inference_mode()
    def by_rubric(
        self, rubrics: Sequence[Sequence[str]], responses: Sequence[EncodedResponse]
    ) -> list[Sequence[np.ndarray]]:
        """For each response and its K criteria [K, n + 1] float32: its n tokens and the end token. A criterion that
        several responses share is read once."""
        asked = [i for i, rubric in enumerate(rubrics) if rubric]
        found: list[Sequence[np.ndarray]] = [()] * len(rubrics)
        if not asked:
            return found
        places = {text: place for place, text in enumerate(dict.fromkeys(chain.from_iterable(rubrics)))}
        criteria = self._criteria([self.encoder.prefix(text) for text in places])
        lead, end = self.encoder.lead, self.encoder.end_id
        for batch, outputs, _ in self._read([[*lead, *responses[i].ids, end] for i in asked]):
            members = [asked[n] for n in batch]
            which = _rectangle([[places[text] for text in rubrics[i]] for i in members])
            p = joined(outputs[:, len(lead) :], criteria[which]).float().sigmoid().cpu().numpy()
            for row, i in enumerate(members):
                found[i] = p[row, : len(rubrics[i]), : len(responses[i].ids) + 1]
        return found

    def probabilities(self, rows: Sequence[tuple[str, EncodedResponse]]) -> list[np.ndarray]:
        """For each (criterion, response) [n + 1] float32. Each response is read once."""
        places: dict[tuple[int, ...], list[int]] = {}
        for n, (_, response) in enumerate(rows):
            places.setdefault(tuple(response.ids), []).append(n)
        together = list(places.values())
        blocks = self.by_rubric([[rows[n][0] for n in ns] for ns in together], [rows[ns[0]][1] for ns in together])
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for ns, block in zip(together, blocks, strict=True):
            for n, p in zip(ns, block, strict=True):
                found[n] = p
        return found

    def _criteria(self, inputs: Sequence[Sequence[int]]) -> Tensor:
        """[C, 2 * WIDTH + 2]"""
        order, ends = [], []
        for batch, outputs, mask in self._read(inputs):
            order += batch
            ends.append(at_the_end(outputs, mask))
        return torch.cat(ends)[np.argsort(order)]

    def _read(self, inputs: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Batches by length: which inputs, what the head gives [N, L, 2 * WIDTH + 2], the mask [N, L]."""
        lengths = [len(ids) for ids in inputs]
        self._check_window(max(lengths))
        for batch in batches_by_length(lengths, CELLS_PER_BATCH):
            batched = padded([inputs[n] for n in batch], self.tokenizer.pad_token_id or 0)
            batched = {name: values.to(self.model.device) for name, values in batched.items()}
            yield batch, self.model(**batched).logits, batched["attention_mask"]


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Tensor]:
    """Responses [N, T], the distinct criteria of them all [C, J], which of these each has [N, K], labels [N, K, T]."""
    places = {ids: place for place, ids in enumerate(dict.fromkeys(tuple(c) for row in rows for c in row["criteria"]))}
    responses, criteria = padded([row["input_ids"] for row in rows], pad), padded(list(places), pad)
    which = _rectangle([[places[tuple(ids)] for ids in row["criteria"]] for row in rows])
    labels = torch.full((*which.shape, responses["input_ids"].shape[1]), IGNORED)
    for n, row in enumerate(rows):
        labels[n, : len(row["labels"]), : len(row["input_ids"])] = torch.tensor(row["labels"])
    criteria = {f"criteria_{name}": values for name, values in criteria.items()}
    return {**responses, **criteria, "which": which, "labels": labels}


def joined_logits(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """[N, K, T] for a batch of `collate`."""
    responses = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    mask = batch["criteria_attention_mask"]
    criteria = model(input_ids=batch["criteria_input_ids"], attention_mask=mask).logits
    return joined(responses, at_the_end(criteria, mask)[batch["which"]])


def _rectangle(rows: Sequence[Sequence[int]]) -> Tensor:
    """[N, K]; a shorter row is filled up with zeros, which stand for any criterion."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])


def train_packed(
    examples: Sequence[LabelledExample],
    backbone: str | Path | Backbone,
    output: str | Path,
    settings: Settings,
    seed: int,
    *,
    balanced: bool = False,
    template: str = DEFAULT_TEMPLATE,
    options: Mapping[str, Any] | None = None,
) -> PackedDiscriminator:
    """As `train_discriminator`. A batch has as many (criterion, response) pairs as there, in whole responses."""
    each = len(examples) / max(1, len(by_response(examples)))
    micro = max(1, round(min(settings.micro_batch, settings.global_batch) / each))
    accumulate = max(1, settings.global_batch // settings.micro_batch)
    return train_discriminator(
        examples,
        backbone,
        output,
        replace(settings, micro_batch=micro, global_batch=micro * accumulate),
        seed,
        balanced=balanced,
        template=template,
        options={"remove_unused_columns": False, **(options or {})},
        kind=PackedDiscriminator,
    )


def load_discriminator(path: str | Path, device: str | torch.device | None = None) -> Discriminator:
    """Of either kind, whichever the folder holds."""
    path = Path(path)
    kind = PackedDiscriminator if _outputs(path) == PackedDiscriminator.OUTPUTS else Discriminator
    return kind.load(path, device)


def _outputs(folder: Path) -> int:
    """Numbers per token that the head in the folder gives."""
    if (folder / ADAPTER_FILE).is_file():
        return read_json(folder / ADAPTER_FILE).get("outputs", 1)
    return len(read_json(folder / "config.json").get("id2label", ())) if (folder / "config.json").is_file() else 1
