"""RTT-GRPO on TRL: GRPO's trainer with a token-level advantage added to the response-level one.

What differs from `trl.GRPOTrainer`, and nothing else does:

- The reward is AON or CSR (Eq. 2, 3) of the verdicts that an injected `verifier` gives on each response's rubric.
- Advantages are [B, T]: alpha * A_res + beta * A_tok (Eq. 7), A_tok from `rtt_lib.credit` and an injected
  `relevance` source. With `token_beta = 0` no relevance is computed and the step is GRPO's.
- The loss is a token mean per group (Eq. 6), see `RTTGRPOConfig.per_group_token_mean`.
- A run in which too many verdicts are unknown stops.
- Steps that are not finite are skipped, passes too large for memory are halved, and resuming is exact
  (`rtt_lib.methods.steady`).
- If asked to, it computes a prompt once for all of its responses (`rtt_lib.methods.shared_prompts`).
- More is logged (`verdict/*`, `credit/*`, `rtt/*`) and rollouts can be saved with the credit of every token.

`docs/trl-options.md` says which of TRL's options go together with token credit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.logging import get_logger
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor

from rtt_lib.credit import SCHEMES, combine, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl
from rtt_lib.methods.records import (
    REWARDS,
    Credit,
    advantage_cells,
    credit_metrics,
    log_verdicts,
    mean_over_processes,
    rollout_rows,
    verdict_cells,
)
from rtt_lib.methods.shared_prompts import SharedPromptsConfig, SharedPromptsTrainer
from rtt_lib.methods.steady import own_tokens
from rtt_lib.methods.token_rewards import RESPONSE_LOCAL
from rtt_lib.methods.verification import (
    ADVICE,
    UnknownLimit,
    Verifier,
    checked_verdicts,
    parse_rubric,
    rubric_dataset,
    undecidable,
)
from rtt_lib.relevance.base import RelevanceSource, Rollouts
from rtt_lib.relevance.spans import own_offsets
from rtt_lib.rivals import RIVALS, Batch
from rtt_lib.schema import Criterion, chat_text
from rtt_lib.verify.verdict import Span, Verdict

logger = get_logger(__name__)
__all__ = ["RTTGRPOConfig", "RTTGRPOTrainer", "rubric_dataset"]


@dataclass
class RTTGRPOConfig(SharedPromptsConfig):
    """`trl.GRPOConfig` with the settings of section 4.2. TRL's own `beta` stays the KL coefficient (the paper: 0)."""

    alpha: float = field(default=1.0, metadata={"help": "Weight of the response-level advantage (Eq. 7)."})
    token_beta: float = field(default=0.5, metadata={"help": "beta of Eq. 7: weight of the token-level advantage."})
    token_beta_schedule: Literal["constant", "linear"] = field(
        default="constant", metadata={"help": "`linear`: token_beta decays to zero over the run."}
    )
    scheme: str = field(
        default="intra",
        metadata={"help": f"Token partition: {', '.join(SCHEMES)}; or another paper's rule: {', '.join(RIVALS)}."},
    )
    response_reward: Literal["aon", "csr"] = field(default="aon", metadata={"help": "Eq. 2 or Eq. 3."})
    credit_eos: bool = field(
        default=True, metadata={"help": "False leaves tokens without text (EOS) out of the token credit."}
    )
    per_group_token_mean: bool = field(
        default=True,
        metadata={"help": "Eq. 6: mean over the tokens of a group, then over groups. Needs loss_type='dapo'."},
    )
    max_unknown: float = field(
        default=0.5, metadata={"help": "Stop where more than this share of the last verdicts is unknown."}
    )
    save_rollouts_every: int = field(default=0, metadata={"help": "Save rollouts with token credit every n steps."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_names()
        self._refuse_what_cancels_token_credit()
        self._refuse_weights_for_truncated_sampling()
        if self.per_group_token_mean and self.loss_type != "dapo":
            raise RTTError(
                "per_group_token_mean rescales TRL's 'dapo' loss to Eq. 6; "
                f"with loss_type={self.loss_type!r} set it to False"
            )

    def _check_names(self) -> None:
        if self.scheme not in SCHEMES and self.scheme not in RIVALS:
            raise RTTError(f"scheme={self.scheme!r} is unknown: choose one of {', '.join([*SCHEMES, *RIVALS])}")
        if self.scheme in RIVALS and (self.alpha, self.token_beta, self.token_beta_schedule) != (1, 1, "constant"):
            raise RTTError(
                f"scheme={self.scheme!r} gives the whole advantage in place of Eq. 7: set alpha=1 and token_beta=1, "
                "without a schedule"
            )
        if self.response_reward not in REWARDS:
            raise RTTError(f"response_reward={self.response_reward!r} is unknown: choose 'aon' or 'csr'")
        if self.token_beta_schedule not in ("constant", "linear"):
            raise RTTError(f"token_beta_schedule={self.token_beta_schedule!r} is unknown: 'constant' or 'linear'")
        if not 0 <= self.max_unknown <= 1:
            raise RTTError(f"max_unknown={self.max_unknown} is no share: from 0 to 1")

    def _refuse_what_cancels_token_credit(self) -> None:
        if self.token_beta == 0:
            return
        if self.importance_sampling_level == "sequence":
            raise RTTError(
                "importance_sampling_level='sequence' gives all tokens of a response the gradient of one ratio: token "
                "credit, whose sum over a response is zero, cancels. Use 'token', or token_beta=0"
            )
        if self.off_policy_mask_threshold is not None:
            raise RTTError(
                "off_policy_mask_threshold drops what has a negative advantage: with token credit that is some tokens "
                "of a response that has drifted and not the others. Set it to None, or token_beta=0"
            )

    def _refuse_weights_for_truncated_sampling(self) -> None:
        """vLLM's log-probabilities are those among the kept tokens, the trainer's those among all."""
        sampling = {"top_p": self.top_p, "top_k": self.top_k, "min_p": self.min_p, **(self.generation_kwargs or {})}
        cut = [
            f"{name}={sampling[name]}"
            for name, all_tokens in (("top_p", (1, None)), ("top_k", (0, -1, None)), ("min_p", (0, None)))
            if sampling[name] not in all_tokens
        ]
        if self.use_vllm and self.vllm_importance_sampling_correction and cut:
            raise RTTError(
                f"with {' and '.join(cut)} TRL's importance correction for vLLM multiplies the loss of a response by "
                "the product of the probability mass kept at each token, which shrinks with its length; Eq. 6 has no "
                "such factor. Set vllm_importance_sampling_correction=False, or sample from all tokens"
            )


class RTTGRPOTrainer(SharedPromptsTrainer):
    """GRPO with rubric rewards and token-level credit.

    model, args, train_dataset, processing_class, ...: as in TRL. The data set has columns `prompt` and `criteria`
    (see `parse_rubric`).
    verifier:      decides every criterion of every response: True, False, or None, which is an unknown verdict, not a
                   failed one. It and the relevance source read a conversation as one text (`schema.chat_text`), of a
                   response with tools or an environment the turns that the model wrote
    relevance:     a relevance source (`rtt_lib.relevance`); not needed where `args.token_beta` is 0
    reward_funcs:  further TRL reward functions, added to the rubric reward
    """

    args: RTTGRPOConfig

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
        self._own: list[list[int]] | None = None
        self._verified: dict[str, Any] = {}
        self._unknown_limit = UnknownLimit(args.max_unknown)
        self._last_logps: Tensor | None = None
        super().__init__(model, reward_funcs=[self.rubric_reward, *reward_funcs], args=args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self._check_that_verdicts_can_be_given()
        return super().train(*args, **kwargs)

    def _check_that_verdicts_can_be_given(self) -> None:
        """Before anything is generated; of a stream nothing is known before."""
        if not isinstance(self.train_dataset, Dataset) or "criteria" not in self.train_dataset.column_names:
            return
        share, reasons = undecidable(self.verifier, map(parse_rubric, self.train_dataset["criteria"]))
        if not reasons:
            return
        found = f"{share:.0%} of the training data's criteria cannot be decided here ({'; '.join(reasons)})"
        if share > self.args.max_unknown:
            raise RTTError(f"{found}, more than max_unknown = {self.args.max_unknown:.0%}. {ADVICE}.")
        logger.warning(f"{found}. {ADVICE}.")

    # --- response level: Eq. 2 and 3 ---

    def rubric_reward(
        self, prompts: list, completion_ids: list[list[int]], criteria: list | None = None, **trl: Any
    ) -> list[float]:
        """Score(q, o_i): AON or CSR of the verdicts; NaN (TRL leaves it out of the group) where none can be given.

        trl: the data set's other columns, and TRL's `log_metric` and `log_extra`
        """
        rubrics = [parse_rubric(value) for value in criteria or [None] * len(prompts)]  # none: there is no such column
        questions = [p if isinstance(p, str) else chat_text(p) for p in prompts]
        texts, offsets = self._read(completion_ids)
        verdicts = self._verify(questions, texts, rubrics, trl["log_metric"])
        trl["log_extra"]("verdicts", verdict_cells(verdicts))
        self._verified = {
            "prompts": questions, "responses": texts, "criteria": rubrics, "verdicts": verdicts, "offsets": offsets
        }  # fmt: skip
        score = REWARDS[self.args.response_reward]
        return [score([verdict.value for verdict in row]) for row in verdicts]

    def _read(self, completion_ids: list[list[int]]) -> tuple[list[str], list[list[Span]]]:
        """What the model itself wrote in each response, and the characters of each token."""
        own = self._own or [[1] * len(ids) for ids in completion_ids]
        read = [own_offsets(self._tokenizer, *pair) for pair in zip(completion_ids, own, strict=True)]
        return [text for text, _ in read], [offsets for _, offsets in read]

    def _verify(
        self, questions: list[str], texts: list[str], rubrics: list[list[Criterion]], log_metric: Callable
    ) -> list[list[Verdict]]:
        started = time.perf_counter()
        verdicts = checked_verdicts(self.verifier(questions, texts, rubrics), rubrics)
        log_metric("rtt/verify_seconds", time.perf_counter() - started)
        log_verdicts(log_metric, rubrics, verdicts)
        self._unknown_limit.count(verdicts)
        return verdicts

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """Where the rubric gives no reward (NaN), the sum is NaN too. TRL's sum leaves NaN out, so that with other
        reward functions an unknown reward would count as zero."""
        rewards = super()._calculate_rewards(*args, **kwargs)
        return rewards.masked_fill(rewards[:, :1].isnan(), torch.nan)

    # --- token level: Eq. 6 and 7 ---

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        mask = own_tokens(output).bool()
        rollouts = Rollouts(**self._verified, token_ids=output["completion_ids"], mask=mask)
        credit = self._credit(rollouts, output["advantages"])
        advantages = self._advantages(credit)
        of_tokens = advantages if advantages.dim() == 2 else advantages.unsqueeze(1)
        self._log_metrics(credit_metrics(credit, of_tokens, rollouts, self._group_size, self.accelerator))
        self._save_rollouts(rollouts, credit)
        output["advantages"] = self._scaled(advantages, mask)
        self._correct_trls_table(output["advantages"], rollouts)
        return output

    def _credit(self, rollouts: Rollouts, a_res: Tensor) -> Credit:
        if self._token_beta() == 0:
            return Credit(a_res)
        started = time.perf_counter()
        with self.accelerator.autocast():
            relevance = self.relevance(rollouts).to(rollouts.mask.device)
        seconds = mean_over_processes(time.perf_counter() - started, self.accelerator)
        self._log_metrics({"rtt/relevance_seconds": seconds})
        return Credit(a_res, self._token_advantage(rollouts, relevance, a_res), relevance)

    def _advantages(self, credit: Credit) -> Tensor:
        """Eq. 7: [B, T], or [B] where there is no token credit."""
        if credit.a_tok is None:
            return self.args.alpha * credit.a_res
        return combine(credit.a_res, credit.a_tok, self.args.alpha, self._token_beta())

    def _scaled(self, advantages: Tensor, mask: Tensor) -> Tensor:
        """So that TRL's loss is Eq. 6."""
        if not self.args.per_group_token_mean:
            return advantages
        scale = self._group_scale(mask.sum(1))
        return advantages * (scale if advantages.dim() == 1 else scale.unsqueeze(1))

    def _token_beta(self) -> float:
        if self.args.token_beta_schedule == "constant":
            return self.args.token_beta
        return self.args.token_beta * max(0.0, 1 - self.state.global_step / max(1, self.state.max_steps))

    @property
    def _group_size(self) -> int:
        return self.num_generations if self.model.training else self.num_generations_eval

    def _token_advantage(self, rollouts: Rollouts, relevance: Tensor, a_res: Tensor) -> Tensor:
        """A_tok [B, T] of the local responses. A group may sit on several processes: most schemes need all of it."""
        batch, _, length = rollouts.shape
        verdicts, mask = rollouts.verdict_tensor(), rollouts.mask
        eligible = None if self.args.credit_eos else rollouts.has_text()
        scheme = self.args.scheme
        if scheme in RESPONSE_LOCAL:
            return token_advantage(verdicts, relevance, mask, 1, scheme, eligible)
        if self.accelerator.num_processes == 1:
            return self._of_whole_groups(a_res, verdicts, relevance, mask, eligible)
        a_tok = self._of_whole_groups(
            self.accelerator.gather(a_res), *self._gather(verdicts, relevance, mask, eligible)
        )
        first = self.accelerator.process_index * batch
        return a_tok[first : first + batch, :length]

    def _of_whole_groups(
        self, a_res: Tensor, verdicts: Tensor, relevance: Tensor, mask: Tensor, eligible: Tensor | None
    ) -> Tensor:
        """A_tok [B, T]; of another paper's rule, which gives the whole advantage, what it adds to A_res."""
        if self.args.scheme not in RIVALS:
            return token_advantage(verdicts, relevance, mask, self._group_size, self.args.scheme, eligible)
        progress = self.state.global_step / max(1, self.state.max_steps)
        batch = Batch(a_res, verdicts, relevance, mask.bool(), self._group_size, progress)
        return (RIVALS[self.args.scheme](batch) - a_res.unsqueeze(1)) * mask

    def _gather(self, verdicts: Tensor, relevance: Tensor, mask: Tensor, eligible: Tensor | None) -> list:
        """All processes' responses, padded to the longest."""
        pad = self.accelerator.pad_across_processes
        verdicts = pad(verdicts, dim=1, pad_index=torch.nan)
        relevance = pad(pad(relevance, dim=1), dim=2)
        masks = [None if m is None else pad(m.int(), dim=1) for m in (mask, eligible)]
        gather = self.accelerator.gather
        return [gather(verdicts), gather(relevance), *(None if m is None else gather(m).bool() for m in masks)]

    def _group_scale(self, lengths: Tensor) -> Tensor:
        """[B]: N_batch / (n_groups * N_group), which turns the batch's token mean into Eq. 6's mean per group.

        TRL's 'dapo' loss divides by the tokens of the whole generation batch. The clipped surrogate is linear in a
        positive factor on the advantage, so scaling a group's advantages rescales exactly its share of the loss.
        """
        everyone = self.accelerator.gather(lengths).float()
        per_group = everyone.view(-1, self._group_size).sum(1)
        scale = per_group.sum() / (len(per_group) * per_group.clamp(min=1))
        first = self.accelerator.process_index * len(lengths)
        return scale.repeat_interleave(self._group_size)[first : first + len(lengths)]

    # --- sampling ---

    def _generate(self, prompts: list) -> tuple:
        """Kept for verification: which tokens are the model's (1), where tools or an environment wrote some (0)."""
        generated = super()._generate(prompts)
        self._own = generated[2]
        return generated

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple:
        """In mixed precision, cast the weights once for the whole generation, not for every sampled token."""
        with nullcontext() if self.use_vllm else self.accelerator.autocast():
            return super()._generate_single_turn(*args, **kwargs)

    # --- what is logged ---

    def _log_metrics(self, metrics: Mapping[str, float]) -> None:
        """TRL leaves NaN (nothing to report) out of the mean over a logging interval."""
        for name, value in metrics.items():
            self._metrics["train" if self.model.training else "eval"][name].append(value)

    def _correct_trls_table(self, advantages: Tensor, rollouts: Rollouts) -> None:
        """TRL's table of completions was filled with its own advantages: ours, [B] or [B, T], are trained on.

        Its column holds one number a response, the mean over the response's tokens; a further column holds the tokens
        with the largest and the smallest.
        """
        advantages = advantages if advantages.dim() == 2 else advantages.unsqueeze(1)
        mean = (advantages * rollouts.mask).sum(1) / rollouts.mask.sum(1).clamp(min=1)
        everyone, shown = self.accelerator.gather(mean).tolist(), self._logs["advantages"]
        for _ in range(min(len(everyone), len(shown))):
            shown.pop()
        shown.extend(everyone)
        if self.log_completions:
            cells = advantage_cells(advantages, rollouts, self._tokenizer)
            self._logs["extra"]["token advantages"].extend(gather_object(cells))

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple:
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._last_logps = result[0].detach()
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        old, mask = inputs.get("old_per_token_logps"), own_tokens(inputs)
        if old is not None:
            log_ratio = (self._last_logps - old) * mask
            kl = (log_ratio.exp() - 1 - log_ratio).sum() / mask.sum().clamp(min=1)
            self._log_metrics({"rtt/kl_to_old_policy": mean_over_processes(kl.item(), self.accelerator)})
        return loss

    def _save_rollouts(self, rollouts: Rollouts, credit: Credit) -> None:
        every, step = self.args.save_rollouts_every, self.state.global_step
        if not (every and self.model.training) or step % every:
            return
        rows = gather_object(rollout_rows(rollouts, credit, self._tokenizer, step))
        if self.accelerator.is_main_process:
            write_jsonl(Path(self.args.output_dir) / "rollouts" / f"step_{step:05d}.jsonl.gz", rows)
