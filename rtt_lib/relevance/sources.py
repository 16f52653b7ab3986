"""Where relevance comes from: every arm of Table 4, and the controls the paper does not have.

Each source is a callable `Rollouts -> [B, K, T]` float32 in [0, 1], zero where a criterion or token is absent
(`rtt_lib.relevance.base.RelevanceSource`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Annotator, taxonomy
from rtt_lib.relevance.base import RelevanceSource, Rollouts
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Span

# The released code truncates p to an integer in bf16, which keeps only what rounds to 1.
RELEASED_THRESHOLD = 0.998


def present(rollouts: Rollouts) -> torch.Tensor:
    """[B, K, T] bool: criterion k exists in rubric i and token t in response i."""
    counts = torch.tensor([len(rubric) for rubric in rollouts.criteria], dtype=torch.long)
    exists = torch.arange(rollouts.shape[1])[None, :] < counts[:, None]
    return exists[:, :, None] & rollouts.mask.bool().cpu()[:, None, :]


@dataclass(frozen=True)
class Uniform:
    """Every token matters equally: with intra normalisation this is RL with the plain reward."""

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        return present(rollouts).float()


@dataclass(frozen=True)
class Random:
    """Uniform noise in [0, 1), a function of (seed, tokens of the response) alone, whatever else is in the batch."""

    seed: int = 0

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        return noise(rollouts, f"random {self.seed}") * present(rollouts)


@dataclass(frozen=True)
class Noisy:
    """A source with errors: each p_k(i, t) becomes 1 - p with probability `rate` (0.5: no information is left)."""

    inner: RelevanceSource
    rate: float
    seed: int = 0

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        relevance = self.inner(rollouts).cpu()
        flip = noise(rollouts, f"noisy {self.seed}") < self.rate
        return torch.where(flip, 1 - relevance, relevance) * present(rollouts)


@dataclass(frozen=True)
class Threshold:
    """0 below the threshold, 1 from it on; at 0.998 what the released code makes of the discriminator's output."""

    inner: RelevanceSource
    threshold: float = RELEASED_THRESHOLD

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        return (self.inner(rollouts).cpu() >= self.threshold).float() * present(rollouts)


@dataclass(frozen=True)
class Annotated:
    """Labels of an annotator on the verdicts that came with the rollouts.

    A criterion whose verdict is unknown gets zeros: it takes no part in the token advantage anyway.
    """

    annotator: Annotator
    name: str

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        whole, segments = self._labels(rollouts)
        return (whole[:, :, None] | mark(rollouts, segments)).float() * present(rollouts)

    def _labels(self, rollouts: Rollouts) -> tuple[torch.Tensor, list[tuple[int, int, Span]]]:
        """[B, K] whether every token is relevant, and (response, criterion, span) of the segments elsewhere."""
        whole = torch.zeros(rollouts.shape[:2], dtype=torch.bool)
        segments = []
        for i, (rubric, verdicts) in enumerate(zip(rollouts.criteria, rollouts.verdicts, strict=True)):
            for k, (criterion, verdict) in enumerate(zip(rubric, verdicts, strict=True)):
                label = self.annotator(criterion, verdict, rollouts.responses[i])
                if label is None and verdict.value is not None:
                    raise RTTError(
                        f"the {self.name} source cannot label {criterion.text!r} (verifier {criterion.verifier!r}): "
                        "it knows rule-verified criteria only; use a discriminator"
                    )
                if label is not None and label.whole:
                    whole[i, k] = True
                elif label is not None:
                    segments += [(i, k, span) for span in label.spans]
        return whole, segments


def Oracle() -> Annotated:
    """Labels by the taxonomy from the verifier's evidence, exact where the evidence is: in the micro world,
    everywhere."""
    return Annotated(taxonomy, "oracle")


@dataclass(frozen=True)
class DiscriminatorSource:
    """The paper's: p_k(i, t) of a trained token-level relevance discriminator (Eq. 4), rounded at 0.5.

    raw: p as it is. Nearly all of it is noise close to zero, which the intra scheme scales to unit variance wherever
    a criterion has no relevant token.
    """

    discriminator: object
    raw: bool = False

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        predicted = self.discriminator.predict(rollouts.criteria, rollouts.responses, rollouts.offsets).float().cpu()
        if not self.raw:
            predicted = (predicted >= 0.5).float()
        relevance = torch.zeros(rollouts.shape)
        relevance[:, : predicted.shape[1], : predicted.shape[2]] = predicted
        return relevance * present(rollouts)


def mark(rollouts: Rollouts, segments: Sequence[tuple[int, int, Span]]) -> torch.Tensor:
    """[B, K, T] bool: token t of response i touches a segment of criterion k. No Python loop over tokens."""
    B, K, T = rollouts.shape
    marked = np.zeros((B, K, T), dtype=bool)
    if segments:
        rows, columns, spans = (np.array(column) for column in zip(*segments, strict=True))
        token_spans = np.zeros((B, T, 2), dtype=np.int64)  # an absent token is as empty as EOS
        for i, offsets in enumerate(rollouts.offsets):
            if offsets:
                token_spans[i, : len(offsets)] = offsets
        starts, ends = token_spans[rows, :, 0], token_spans[rows, :, 1]
        touches = (starts < ends) & (starts < spans[:, 1:]) & (ends > spans[:, :1])
        np.logical_or.at(marked, (rows, columns), touches & (spans[:, :1] < spans[:, 1:]))
    return torch.from_numpy(marked)


def noise(rollouts: Rollouts, key: str) -> torch.Tensor:
    """[B, K, T] uniform in [0, 1); row i depends on `key` and on response i's tokens only."""
    values = torch.zeros(rollouts.shape)
    tokens, mask = rollouts.token_ids.cpu().numpy(), rollouts.mask.bool().cpu().numpy()
    for i, rubric in enumerate(rollouts.criteria):
        ids = tokens[i][mask[i]].astype("<i8")
        digest = hashlib.blake2b(ids.tobytes(), digest_size=16, key=key.encode()[:64]).digest()
        draws = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(
            (len(rubric), len(ids)), dtype=np.float32
        )
        values[i, : len(rubric), torch.from_numpy(mask[i])] = torch.from_numpy(draws)
    return values


@dataclass(frozen=True)
class Counterfactual:
    """A contrast instead of a discriminator: what does the criterion change about each token's probability?

    delta(t) = log p(token t | prompt) - log p(token t | prompt without criterion k), under the policy;
    p_k(i, t) = sigmoid(tau * (delta - b)).

    without(prompt, criterion): the prompt that no longer asks for the criterion
    together: all criteria are withheld at once, and the one contrast stands for each of them, as in CoRT
    """

    model: torch.nn.Module
    tokenizer: object
    without: Callable[[str, Criterion], str]
    tau: float = 1.0
    b: float = 0.0
    batch_size: int = 16
    together: bool = False

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        return (self._all_at_once if self.together else self._one_by_one)(rollouts) * present(rollouts)

    def _all_at_once(self, rollouts: Rollouts) -> torch.Tensor:
        bare = [reduce(self.without, rubric, p) for p, rubric in zip(rollouts.prompts, rollouts.criteria, strict=True)]
        responses = range(len(bare))
        contrast = [self.log_probs(prompts, responses, rollouts) for prompts in (rollouts.prompts, bare)]
        p = torch.sigmoid(self.tau * (contrast[0] - contrast[1] - self.b))
        return p.unsqueeze(1).expand(rollouts.shape)

    def _one_by_one(self, rollouts: Rollouts) -> torch.Tensor:
        pairs = [(i, k) for i, rubric in enumerate(rollouts.criteria) for k in range(len(rubric))]
        reduced = [self.without(rollouts.prompts[i], rollouts.criteria[i][k]) for i, k in pairs]
        rows = [*range(len(rollouts.prompts)), *(i for i, _ in pairs)]
        log_probs = self.log_probs([*rollouts.prompts, *reduced], rows, rollouts)
        full, less = log_probs[: len(rollouts.prompts)], log_probs[len(rollouts.prompts) :]
        relevance = torch.zeros(rollouts.shape)
        for (i, k), contrast in zip(pairs, less, strict=True):
            relevance[i, k] = torch.sigmoid(self.tau * (full[i] - contrast - self.b))
        return relevance

    @torch.no_grad()
    def log_probs(self, prompts: Sequence[str], rows: Sequence[int], rollouts: Rollouts) -> torch.Tensor:
        """[N, T] log-probability of response `rows[n]`'s tokens after `prompts[n]`."""
        found = [
            self._batch(prompts[n : n + self.batch_size], rollouts.token_ids[list(rows[n : n + self.batch_size])])
            for n in range(0, len(prompts), self.batch_size)
        ]
        return torch.cat(found)

    def _batch(self, prompts: Sequence[str], responses: torch.Tensor) -> torch.Tensor:
        """Prompts padded on the left, so that every response begins at the same column."""
        device = next(self.model.parameters()).device
        ids = [self.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        width, pad = max(map(len, ids)), self.tokenizer.pad_token_id or 0
        left = torch.tensor([[pad] * (width - len(row)) + row for row in ids], dtype=torch.long)
        known = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], dtype=torch.long)
        inputs = torch.cat([left, responses.cpu()], dim=1).to(device)
        attention = torch.cat([known, torch.ones_like(responses.cpu())], dim=1).to(device)
        positions = (attention.cumsum(-1) - 1).clamp(min=0)
        logits = self.model(
            input_ids=inputs,
            attention_mask=attention,
            position_ids=positions,
            logits_to_keep=responses.shape[1] + 1,
        ).logits[:, :-1]
        chosen = inputs[:, width:, None]
        return torch.log_softmax(logits.float(), dim=-1).gather(-1, chosen)[..., 0].cpu()
