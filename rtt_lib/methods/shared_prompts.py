"""A prompt is computed once for all of its responses, in training and for the log-probabilities before it.

The G responses to a prompt begin with the same tokens. TRL computes them G times. With `share_prompts` one row holds a
prompt and all of its responses in the pass, each of which sees the prompt and itself:

    prompt without its last token | last token, response 1 | last token, response 2 | ...

The last token of the prompt stands before every response, since it predicts the first token. Positions go on from the
prompt in each. Loss and gradient are the same up to rounding. TRL shuffles the responses of a generation batch, so
those of one optimizer step are put in the order of their prompts again. The order within a step does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rtt_lib.errors import RTTError
from rtt_lib.methods.steady import SteadyGRPOConfig, SteadyGRPOTrainer

IGNORED = -100  # a label that is not scored
ATTENTION = ("sdpa", "eager")  # kinds that take a mask [B, 1, L, L]


@dataclass
class SharedPromptsConfig(SteadyGRPOConfig):
    share_prompts: bool = field(
        default=False, metadata={"help": "Compute a prompt once for all of its responses in a pass."}
    )


class SharedPromptsTrainer(SteadyGRPOTrainer):
    """Arguments as in TRL."""

    args: SharedPromptsConfig

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.args.share_prompts and (reason := self._why_not_shared()):
            raise RTTError(f"share_prompts does not go together with {reason}: set it to False")

    def _why_not_shared(self) -> str | None:
        model = self.accelerator.unwrap_model(self.model)
        if model.config._attn_implementation not in ATTENTION:
            return f"the attention {model.config._attn_implementation!r}, which takes no mask of our own"
        if getattr(model.config, "sliding_window", None):
            return "a model whose tokens do not see all tokens before them (sliding_window)"
        if self.aux_loss_enabled:
            return "the load balance of a mixture of experts, which counts tokens"
        return None

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if not self.args.share_prompts or not self.model.training or self._buffered_inputs is before:
            return inputs
        passes = self.args.gradient_accumulation_steps
        for start in range(0, len(self._buffered_inputs), passes):
            step = slice(start, start + passes)
            self._buffered_inputs[step] = in_order_of_prompts(self._buffered_inputs[step])
        self._current = self._buffered_inputs[self._step % self.args.steps_per_generation]
        return self._current

    def _get_per_token_logps_and_entropies(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **more: Any,
    ) -> tuple:
        if not self.args.share_prompts:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **more
            )
        rows, found = batch_size or len(input_ids), []
        for start in range(0, len(input_ids), rows):
            part = slice(start, start + rows)
            with self.accelerator.autocast():
                found.append(log_probs(model, input_ids[part], attention_mask[part].bool(), logits_to_keep))
        logps, entropies = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logps, entropies if compute_entropy else None, None


def in_order_of_prompts(batches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows in as many batches, those of one prompt beside each other."""
    if not all(isinstance(x, Tensor) for batch in batches for x in batch.values() if x is not None):
        raise RTTError("share_prompts knows prompts of text alone, and not of images: set it to False")
    rows = {
        name: None if x is None else torch.cat([batch[name] for batch in batches]) if x.dim() else x
        for name, x in batches[0].items()
    }
    prompts = prompts_of(rows["prompt_ids"], rows["prompt_mask"].bool())
    order = torch.tensor(sorted(range(len(prompts)), key=lambda row: prompts[row]), device=rows["prompt_ids"].device)
    rows = {name: x[order] if x is not None and x.dim() else x for name, x in rows.items()}
    size = len(prompts) // len(batches)
    return [
        {name: x[n * size : (n + 1) * size] if x is not None and x.dim() else x for name, x in rows.items()}
        for n in range(len(batches))
    ]


def prompts_of(ids: Tensor, mask: Tensor) -> list[tuple[int, ...]]:
    """The tokens of each row that are no padding. ids, mask [B, P]."""
    return [
        tuple(token for token, kept in zip(*row, strict=True) if kept)
        for row in zip(ids.tolist(), mask.tolist(), strict=True)
    ]


def log_probs(model: PreTrainedModel, ids: Tensor, mask: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """([B, T], [B, T]): log-probability and entropy of the last `tokens` = T tokens, the response.

    ids, mask [B, P + T]: prompts padded on the left, responses on the right
    """
    prompt_length = ids.shape[1] - tokens
    prompts = prompts_of(ids[:, :prompt_length], mask[:, :prompt_length])
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for rows in groups_of_one_size(prompts):
        packed = pack(ids, mask, rows, tokens)
        output = model(
            input_ids=packed.ids,
            attention_mask=packed.mask,
            position_ids=packed.positions,
            labels=packed.labels,
            fused_lm_head=True,
            use_cache=False,
        )
        # one value for each token but the row's first; a response's last-token copy is left out
        parts = [x[:, packed.prefix - 1 :].unflatten(1, (rows.shape[1], tokens + 1))[..., 1:] for x in
                 (output.log_probs, output.entropy)]  # fmt: skip
        for row, logps, entropy in zip(rows.flatten().tolist(), *(x.flatten(0, 1) for x in parts), strict=True):
            found[row] = logps, entropy
    logps, entropies = zip(*(found[row] for row in range(len(ids))), strict=True)
    return torch.stack(logps), torch.stack(entropies)


def groups_of_one_size(prompts: Sequence[tuple[int, ...]]) -> Iterator[Tensor]:
    """[N, n]: the rows of N prompts that have n responses each, for every n there is."""
    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, prompt in enumerate(prompts):
        members[prompt].append(row)
    by_size: dict[int, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        by_size[len(rows)].append(rows)
    for groups in by_size.values():
        yield torch.tensor(groups)


class Packed(NamedTuple):
    """N prompts with n responses each, in rows of L = prefix + n (T + 1) tokens.

    ids, positions, labels [N, L]; mask [N, 1, L, L] bool: who sees whom; prefix: the longest prompt without its last
    token
    """

    ids: Tensor
    positions: Tensor
    labels: Tensor
    mask: Tensor
    prefix: int


def pack(ids: Tensor, mask: Tensor, rows: Tensor, tokens: int) -> Packed:
    """rows [N, n]: those of each prompt."""
    groups, members = rows.shape
    split = ids.shape[1] - tokens
    lengths = mask[rows[:, 0], :split].sum(1)  # [N]
    prefix = int(lengths.max()) - 1
    prompt, in_prompt = ids[rows[:, 0], split - prefix - 1 : split], mask[rows[:, 0], split - prefix - 1 : split]
    response, in_response = ids[rows][..., split:], mask[rows][..., split:]  # [N, n, T]

    last = prompt[:, None, -1:].expand(groups, members, 1)
    packed_ids = torch.cat([prompt[:, :-1], torch.cat([last, response], -1).flatten(1)], 1)
    there = torch.cat([in_prompt[:, :-1], torch.cat([last == last, in_response], -1).flatten(1)], 1)
    unscored = torch.full_like(last, IGNORED)
    labels = torch.cat([unscored, response.masked_fill(~in_response, IGNORED)], -1).flatten(1)
    labels = torch.cat([torch.full_like(prompt[:, :-1], IGNORED), labels], 1)

    steps = torch.arange(tokens + 1, device=ids.device)
    own = ((lengths - 1)[:, None, None] + steps).expand(groups, members, -1).flatten(1)
    positions = torch.cat([(in_prompt.cumsum(1) - 1).clamp(min=0)[:, :-1], own], 1)
    sees = _sees(prefix, members, tokens + 1, ids.device) & there[:, None, :]
    sees |= torch.eye(sees.shape[-1], dtype=torch.bool, device=ids.device)  # padding sees itself, which makes no NaN
    return Packed(packed_ids, positions, labels, sees.unsqueeze(1), prefix)


def _sees(prefix: int, members: int, length: int, device: torch.device) -> Tensor:
    """[L, L]: a token sees those before it of the prompt and of its own response."""
    owner = torch.arange(1, members + 1, device=device).repeat_interleave(length)
    owner = torch.cat([owner.new_zeros(prefix), owner])  # 0: the prompt
    return (owner[None] == 0).logical_or(owner[None] == owner[:, None]).tril()
