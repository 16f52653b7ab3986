"""RTT-GRPO on TRL: GRPO's trainer with a token-level advantage added to the response-level one.

What differs from `trl.GRPOTrainer`, and nothing else does:

- The reward is AON or CSR (Eq. 2, 3) of the verdicts that an injected `verifier` gives on each response's rubric.
- Advantages are [B, T]: alpha * A_res + beta * A_tok (Eq. 7), A_tok from `rtt_lib.credit` and an injected
  `relevance` source. With `token_beta = 0` no relevance is computed and the step is GRPO's.
- The loss is a token mean per group (Eq. 6), see `RTTGRPOConfig.per_group_token_mean`.
- A step whose loss or gradient is not finite is skipped and counted; too many in a row stop the run.
- A checkpoint between two minibatches keeps the rest of the generation batch, so that resuming is exact.
- More is logged (`verdict/*`, `credit/*`, `rtt/*`) and rollouts can be saved with the credit of every token.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.credit import SCHEMES, combine, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.files import write_bytes, write_jsonl
from rtt_lib.relevance.base import RelevanceSource, Rollouts
from rtt_lib.relevance.spans import token_offsets
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.verify.verdict import Verdict, aon, csr

# (prompts, responses, rubrics) -> for each response one verdict per criterion. `bool | None` will do for a verdict.
Verifier = Callable[[Sequence[str], Sequence[str], Sequence[Sequence[Criterion]]], Sequence[Sequence[Any]]]
REWARDS = {"aon": aon, "csr": csr}
# Schemes whose statistics never leave one response: its group may be spread over processes.
RESPONSE_LOCAL = ("intra", "joint")


@dataclass
class RTTGRPOConfig(GRPOConfig):
    """`trl.GRPOConfig` with the settings of section 4.2. TRL's own `beta` stays the KL coefficient (the paper: 0)."""

    alpha: float = field(default=1.0, metadata={"help": "Weight of the response-level advantage (Eq. 7)."})
    token_beta: float = field(default=0.5, metadata={"help": "beta of Eq. 7: weight of the token-level advantage."})
    token_beta_schedule: Literal["constant", "linear"] = field(
        default="constant", metadata={"help": "`linear`: token_beta decays to zero over the run."}
    )
    scheme: str = field(default="intra", metadata={"help": f"Token partition: {', '.join(SCHEMES)}."})
    response_reward: Literal["aon", "csr"] = field(default="aon", metadata={"help": "Eq. 2 or Eq. 3."})
    credit_eos: bool = field(
        default=True, metadata={"help": "False leaves tokens without text (EOS) out of the token credit."}
    )
    per_group_token_mean: bool = field(
        default=True,
        metadata={"help": "Eq. 6: mean over the tokens of a group, then over groups. Needs loss_type='dapo'."},
    )
    save_rollouts_every: int = field(default=0, metadata={"help": "Save rollouts with token credit every n steps."})
    max_skipped_in_a_row: int = field(default=10, metadata={"help": "Stop after so many non-finite steps in a row."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheme not in SCHEMES:
            raise RTTError(f"scheme={self.scheme!r} is unknown: choose one of {', '.join(SCHEMES)}")
        if self.response_reward not in REWARDS:
            raise RTTError(f"response_reward={self.response_reward!r} is unknown: choose 'aon' or 'csr'")
        if self.token_beta_schedule not in ("constant", "linear"):
            raise RTTError(f"token_beta_schedule={self.token_beta_schedule!r} is unknown: 'constant' or 'linear'")
        if self.max_skipped_in_a_row < 1:
            raise RTTError(f"max_skipped_in_a_row={self.max_skipped_in_a_row} would stop every run: at least 1")
        if self.per_group_token_mean and self.loss_type != "dapo":
            raise RTTError(
                "per_group_token_mean rescales TRL's 'dapo' loss to Eq. 6; "
                f"with loss_type={self.loss_type!r} set it to False"
            )


def parse_rubric(value: Any) -> list[Criterion]:
    """A data set's `criteria` cell: a list of texts or of criterion objects, or JSON text of such a list."""
    rows = value
    if isinstance(value, str):
        try:
            rows = json.loads(value)
        except ValueError:
            rows = None
    if not isinstance(rows, list | tuple):
        found = "nothing" if value is None else f"{type(value).__name__} {str(value)[:80]!r}"
        raise RTTError(
            f"column 'criteria': found {found}, expected a list of texts or of criterion objects, or JSON text of such "
            'a list: ["Name a cat.", {"text": ..., "verifier": ..., "args": {}}]'
        )
    return [
        Criterion(row) if isinstance(row, str) else criterion_from_json(row, f"criteria[{k}]")
        for k, row in enumerate(rows)
    ]


def checked_verdicts(answers: Iterable[Iterable[Any]], rubrics: Sequence[Sequence[Criterion]]) -> list[list[Verdict]]:
    """What a verifier, which may be anyone's, answered: a verdict for every criterion."""
    rows = [list(row) for row in answers]
    if len(rows) != len(rubrics):
        raise RTTError(f"the verifier gave verdicts on {len(rows)} responses, there are {len(rubrics)}")
    for i, (row, rubric) in enumerate(zip(rows, rubrics, strict=True)):
        if len(row) != len(rubric):
            raise RTTError(f"the verifier gave {len(row)} verdicts on response {i}, whose rubric has {len(rubric)}")
    return [
        [_checked(v, f"response {i}, criterion {c.text[:80]!r}") for v, c in zip(row, rubric, strict=True)]
        for i, (row, rubric) in enumerate(zip(rows, rubrics, strict=True))
    ]


def _checked(verdict: Any, where: str) -> Verdict:
    """AON asks whether a value is False: 0, or a tensor, would be a satisfied criterion."""
    value = verdict.value if isinstance(verdict, Verdict) else verdict
    if isinstance(value, np.bool_):
        value = bool(value)
    if not (value is None or isinstance(value, bool)):
        raise RTTError(
            f"the verifier's verdict on {where} is {type(value).__name__} {value!r}: it must be True, False or None "
            "(unknown)"
        )
    return replace(verdict, value=value) if isinstance(verdict, Verdict) else Verdict(value)


@dataclass(frozen=True)
class _Scored:
    """What verification leaves for credit assignment, one entry per local response."""

    prompts: list[str]
    responses: list[str]
    offsets: list[list[tuple[int, int]]]
    rubrics: list[list[Criterion]]
    verdicts: list[list[Verdict]]


class RTTGRPOTrainer(GRPOTrainer):
    """GRPO with rubric rewards and token-level credit.

    model, args, train_dataset, processing_class, ...: as in TRL. The data set has columns `prompt` and `criteria`
    (see `parse_rubric`).
    verifier:      decides every criterion of every response: True, False, or None, which is an unknown verdict, not a
                   failed one. Of a conversation it and the relevance source see the last message alone
    relevance:     a relevance source (`rtt_lib.relevance`); not needed where `args.token_beta` is 0
    reward_funcs:  further TRL reward functions, added to the rubric reward
    """

    def __init__(
        self,
        model: Any,
        verifier: Verifier,
        relevance: RelevanceSource | None = None,
        reward_funcs: Sequence[Callable] = (),
        args: RTTGRPOConfig | None = None,
        **kwargs: Any,
    ):
        args = args or RTTGRPOConfig("rtt-grpo")
        if relevance is None and args.token_beta != 0:
            raise RTTError("RTTGRPOTrainer needs a relevance source, unless token_beta is 0 (plain GRPO)")
        self.verifier = verifier
        self.relevance = relevance
        self._scored: _Scored | None = None
        self._last_logps: Tensor | None = None
        self._skipped_in_a_row = 0
        super().__init__(model, reward_funcs=[self.rubric_reward, *reward_funcs], args=args, **kwargs)
        self._finite = torch.tensor(True, device=self.accelerator.device)

    # --- response level ---

    def rubric_reward(
        self, prompts: list, completion_ids: list[list[int]], criteria: list | None = None, **kwargs: Any
    ) -> list[float]:
        """Score(q, o_i): AON or CSR of the verdicts; NaN (TRL leaves it out of the group) where none can be given."""
        texts, offsets = zip(*(token_offsets(self._tokenizer, ids) for ids in completion_ids), strict=True)
        questions = [p if isinstance(p, str) else p[-1]["content"] for p in prompts]
        rubrics = [parse_rubric(value) for value in criteria or [None] * len(prompts)]  # none: there is no such column
        started = time.perf_counter()
        verdicts = checked_verdicts(self.verifier(questions, texts, rubrics), rubrics)
        self._record("rtt/verify_seconds", time.perf_counter() - started)
        self._scored = _Scored(questions, list(texts), list(offsets), rubrics, verdicts)
        self._record_verdicts(self._scored)
        score = REWARDS[self.args.response_reward]
        return [score([verdict.value for verdict in row]) for row in verdicts]

    # --- token level ---

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        mask = output["completion_mask"].bool()
        group_size = self.num_generations if self.model.training else self.num_generations_eval
        beta = self._token_beta()
        a_res = output["advantages"]
        self._record("credit/a_res_abs", a_res.abs().mean().item())
        if beta != 0:
            rollouts = self._rollouts(output["completion_ids"], mask)
            a_tok, relevance = self._token_advantage(rollouts, group_size)
            advantages = combine(a_res, a_tok, self.args.alpha, beta)
            self._record_credit(a_res, a_tok, rollouts, group_size)
        else:
            rollouts = relevance = a_tok = None
            advantages = self.args.alpha * a_res
        if self.args.save_rollouts_every and self.model.training:
            self._save_rollouts(output["completion_ids"], mask, a_res, a_tok, relevance)
        if self.args.per_group_token_mean:
            scale = self._group_scale(mask.sum(1), group_size)
            advantages = advantages * (scale if advantages.dim() == 1 else scale.unsqueeze(1))
        output["advantages"] = advantages
        return output

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple:
        """In mixed precision weights are cast once for the whole of it, not for every sampled token."""
        with nullcontext() if self.use_vllm else self.accelerator.autocast():
            return super()._generate_single_turn(*args, **kwargs)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """Where the rubric gives no reward, other reward functions must not make it a failed one: TRL's sum over
        functions leaves NaN out."""
        rewards = super()._calculate_rewards(*args, **kwargs)
        return rewards.masked_fill(rewards[:, :1].isnan(), torch.nan)

    def _token_beta(self) -> float:
        if self.args.token_beta_schedule == "constant":
            return self.args.token_beta
        return self.args.token_beta * max(0.0, 1 - self.state.global_step / max(1, self.state.max_steps))

    def _rollouts(self, token_ids: Tensor, mask: Tensor) -> Rollouts:
        scored = self._scored
        return Rollouts(
            prompts=scored.prompts,
            responses=scored.responses,
            criteria=scored.rubrics,
            verdicts=scored.verdicts,
            token_ids=token_ids,
            mask=mask,
            offsets=scored.offsets,
        )

    def _token_advantage(self, rollouts: Rollouts, group_size: int) -> tuple[Tensor, Tensor]:
        """A_tok [B, T] of the local responses, and the relevance [B, K, T] it came from."""
        device = rollouts.mask.device
        started = time.perf_counter()
        with self.accelerator.autocast():
            relevance = self.relevance(rollouts).to(device)
        self._record("rtt/relevance_seconds", time.perf_counter() - started)
        batch, criteria, length = rollouts.shape
        verdicts = torch.full((batch, criteria), torch.nan, device=device)
        for i, row in enumerate(rollouts.verdicts):
            verdicts[i, : len(row)] = torch.tensor([v.as_float() for v in row])
        mask, eligible = rollouts.mask, None
        if not self.args.credit_eos:
            eligible = torch.zeros_like(mask)
            for i, spans in enumerate(rollouts.offsets):
                has_text = [end > start for start, end in spans][:length]
                eligible[i, : len(has_text)] = torch.tensor(has_text, device=device)
        if self.args.scheme in RESPONSE_LOCAL:
            return token_advantage(verdicts, relevance, mask, 1, self.args.scheme, eligible), relevance
        if self.accelerator.num_processes > 1:
            verdicts, everyone, mask, eligible = self._gather(verdicts, relevance, mask, eligible)
        else:
            everyone = relevance
        a_tok = token_advantage(verdicts, everyone, mask, group_size, self.args.scheme, eligible)
        first = self.accelerator.process_index * batch if self.accelerator.num_processes > 1 else 0
        return a_tok[first : first + batch, :length], relevance

    def _gather(self, verdicts: Tensor, relevance: Tensor, mask: Tensor, eligible: Tensor | None) -> list:
        """All processes' responses, padded to the longest: the members of a group may sit on different ones."""
        pad = self.accelerator.pad_across_processes
        verdicts = pad(verdicts, dim=1, pad_index=torch.nan)
        relevance = pad(pad(relevance, dim=1), dim=2)
        masks = [None if m is None else pad(m.int(), dim=1) for m in (mask, eligible)]
        gather = self.accelerator.gather
        return [gather(verdicts), gather(relevance), *(None if m is None else gather(m).bool() for m in masks)]

    def _group_scale(self, lengths: Tensor, group_size: int) -> Tensor:
        """[B]: N_batch / (n_groups * N_group), which turns the batch's token mean into Eq. 6's mean per group.

        TRL's 'dapo' loss divides by the tokens of the whole generation batch. The clipped surrogate is linear in a
        positive factor on the advantage, so scaling a group's advantages rescales exactly its share of the loss.
        """
        everyone = self.accelerator.gather(lengths).float()
        per_group = everyone.view(-1, group_size).sum(1)
        scale = per_group.sum() / (len(per_group) * per_group.clamp(min=1))
        first = self.accelerator.process_index * len(lengths)
        return scale.repeat_interleave(group_size)[first : first + len(lengths)]

    # --- a loss or a gradient that is not finite ---

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._finite = self._finite & torch.isfinite(loss)
        return loss.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Between the last backward pass of a step and the optimizer: without gradients, AdamW changes nothing."""
        norm = super()._get_grad_norm(model, grad_norm)
        here = self._finite & torch.isfinite(torch.as_tensor(norm, device=self.accelerator.device))
        finite = bool(self.accelerator.gather(here.reshape(1).int()).all())
        self._finite = torch.tensor(True, device=self.accelerator.device)
        self._metrics["train"]["rtt/skipped_steps"].append(float(not finite))
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        if self._skipped_in_a_row >= self.args.max_skipped_in_a_row:
            raise RTTError(
                f"loss or gradient was not finite {self._skipped_in_a_row} steps in a row (step "
                f"{self.state.global_step}): lower the learning rate, or look at the rewards and at rollouts saved "
                "with save_rollouts_every"
            )
        if not finite:
            model.zero_grad(set_to_none=True)
        return norm

    # --- a checkpoint between two minibatches of one generation batch ---

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL would generate anew on resuming: what is left of the generation batch is saved, to go on exactly."""
        generate_every = self.args.steps_per_generation * self.num_iterations
        if self._step % generate_every and not self.args.save_only_model:
            tensors = {
                f"{i}.{name}": x.clone()
                for i, batch in enumerate(self._buffered_inputs)
                for name, x in batch.items()
                if isinstance(x, Tensor)
            }
            tensors["step"] = torch.tensor(self._step)
            checkpoint = Path(self._get_output_dir(trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
            write_bytes(self._generation_batch_file(checkpoint), safetensors.torch.save(tensors))
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not self._generation_batch_file(checkpoint).exists():
            return
        tensors = safetensors.torch.load_file(
            self._generation_batch_file(checkpoint), device=str(self.accelerator.device)
        )
        self._step = int(tensors.pop("step"))
        self._buffered_inputs = [{} for _ in range(self.args.steps_per_generation)]
        for key, x in tensors.items():
            i, name = key.split(".", 1)
            self._buffered_inputs[int(i)][name] = x

    def _generation_batch_file(self, checkpoint: str | Path) -> Path:
        return Path(checkpoint) / f"generation_batch_{self.accelerator.process_index}.safetensors"

    # --- what is logged ---

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple:
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._last_logps = result[0].detach()
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        old, mask = inputs.get("old_per_token_logps"), inputs["completion_mask"]
        if old is not None:
            log_ratio = (self._last_logps - old) * mask
            kl = (log_ratio.exp() - 1 - log_ratio).sum() / mask.sum().clamp(min=1)
            self._record("rtt/kl_to_old_policy", kl.item())
        return loss

    def _record(self, name: str, value: float) -> None:
        """The mean over processes; NaN (nothing to report) is left out of the mean over the logging interval."""
        mean = self.accelerator.gather(torch.tensor([value], device=self.accelerator.device)).nanmean().item()
        self._metrics["train" if self.model.training else "eval"][name].append(mean)

    def _record_verdicts(self, scored: _Scored) -> None:
        """Share satisfied per criterion family among the known verdicts, and the share unknown."""
        local = [
            (c.family, v.value)
            for pair in zip(scored.rubrics, scored.verdicts, strict=True)
            for c, v in zip(*pair, strict=True)
        ]
        values = defaultdict(list)
        for family, value in gather_object(local):
            values[family].append(value)
        metrics = self._metrics["train" if self.model.training else "eval"]
        everything = [value for row in values.values() for value in row]
        metrics["verdict/unknown"].append(everything.count(None) / max(1, len(everything)))
        # Both rewards, whichever one is trained on: curves of different arms can be laid over one another.
        for name, score in REWARDS.items():
            rewards = [score([verdict.value for verdict in row]) for row in scored.verdicts]
            self._record(f"verdict/{name}", torch.tensor(rewards).nanmean().item())
        for family, row in values.items():
            known = [value for value in row if value is not None]
            if known:
                metrics[f"verdict/{family}"].append(sum(known) / len(known))

    def _record_credit(self, a_res: Tensor, a_tok: Tensor, rollouts: Rollouts, group_size: int) -> None:
        tokens = rollouts.mask.sum().clamp(min=1)
        self._record("credit/a_tok_abs", (a_tok.abs().sum() / tokens).item())
        largest = self.accelerator.gather(a_tok.abs().max().reshape(1)).max()
        self._record("credit/a_tok_max", largest.item())
        last = rollouts.mask.sum(1).clamp(min=1) - 1
        ended = [bool(spans) and spans[-1][0] == spans[-1][1] for spans in rollouts.offsets]
        at_end = a_tok.gather(1, last.unsqueeze(1)).squeeze(1)[torch.tensor(ended, device=a_tok.device)]
        self._record("credit/eos", at_end.mean().item())
        # RTT's answer to sparse rewards: groups without a response-level signal that still get a token-level one.
        res = self.accelerator.gather(a_res).view(-1, group_size)
        tok = self.accelerator.gather(a_tok.abs().amax(1)).view(-1, group_size)
        # TRL's deviation from the mean of equal rewards can be a rounding error, which its 1e-4 magnifies.
        silent = res.abs().amax(1) < 1e-2
        self._record("credit/silent_groups", silent.float().mean().item())
        self._record("credit/silent_groups_with_token_credit", (silent & (tok > 0).any(1)).float().mean().item())

    def _save_rollouts(
        self, token_ids: Tensor, mask: Tensor, a_res: Tensor, a_tok: Tensor | None, relevance: Tensor | None
    ) -> None:
        if self.state.global_step % self.args.save_rollouts_every:
            return
        scored, rows = self._scored, []
        for i, n in enumerate(mask.sum(1).tolist()):
            rows.append(
                {
                    "step": self.state.global_step,
                    "prompt": scored.prompts[i],
                    "response": scored.responses[i],
                    "tokens": self._tokenizer.convert_ids_to_tokens(token_ids[i, :n].tolist()),
                    "offsets": [list(span) for span in scored.offsets[i][:n]],
                    "criteria": [criterion.to_json() for criterion in scored.rubrics[i]],
                    "verdicts": [verdict.value for verdict in scored.verdicts[i]],
                    "a_res": a_res[i].item(),
                    "a_tok": None if a_tok is None else _rounded(a_tok[i, :n]),
                    "relevance": None
                    if relevance is None
                    else [_rounded(row[:n]) for row in relevance[i, : len(scored.rubrics[i])]],
                }
            )
        rows = gather_object(rows)
        if self.accelerator.is_main_process:
            path = Path(self.args.output_dir) / "rollouts" / f"step_{self.state.global_step:05d}.jsonl.gz"
            write_jsonl(path, rows)


def _rounded(x: Tensor) -> list[float]:
    return [round(value, 4) for value in x.tolist()]


def rubric_dataset(prompts: Sequence[Any], conversational: bool) -> list[Mapping[str, Any]]:
    """Rows for the trainer from `RubricPrompt`s: the criteria as JSON text, since their arguments differ in shape."""
    return [
        {
            "prompt": [{"role": "user", "content": p.prompt}] if conversational else p.prompt,
            "criteria": json.dumps([criterion.to_json() for criterion in p.criteria]),
        }
        for p in prompts
    ]
