"""SERL on a rubric: the policy judges its pairs one criterion at a time, and the scores give credit to tokens.

What differs from `rtt_lib.methods.serl`:

- A pair is judged K times for every criterion. The judge is asked with that criterion alone.
- R_A is computed for every criterion. A response's reward is the mean over its criteria.
- The advantage of a token is A_res + beta A_tok. A_tok is `relative` credit with R_A in place of a verdict
  (`rtt_lib.self_credit`).
- A verdict's reward is its agreement with R_A of its own criterion.

Rules give no reward here. With exact relevance they tell which tokens a criterion is about, and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback

from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint
from rtt_lib.methods.fast_rollouts import FastRollouts
from rtt_lib.methods.records import log_verdicts
from rtt_lib.methods.rl import relevance_source
from rtt_lib.methods.serl import Judged, SERLTrainer, config, judge_of
from rtt_lib.methods.task import Task, per_rollout_step, save_policy
from rtt_lib.methods.verification import checked_verdicts, parse_rubric, rubric_dataset
from rtt_lib.relevance.base import RelevanceSource, Rollouts
from rtt_lib.relevance.spans import own_offsets
from rtt_lib.schema import Criterion, chat_text
from rtt_lib.self_credit import spread, standardised_scores
from rtt_lib.self_rewards import ROUNDING, pairs, role_weights

Without = Callable[[str, Criterion], str]


class CriteriaSERLTrainer(SERLTrainer):
    """`SERLTrainer` that judges by criterion and credits tokens.

    relevance:  which tokens a criterion is about (`rtt_lib.relevance`)
    without:    a prompt that no longer asks for a criterion
    token_beta: weight of A_tok
    """

    def __init__(
        self, *positional: Any, relevance: RelevanceSource, without: Without, token_beta: float = 0.5, **kwargs: Any
    ):
        super().__init__(*positional, **kwargs)
        if self.verifier is None:
            raise RTTError("the log and exact relevance need a verifier")
        self.relevance, self.without, self.token_beta = relevance, without, token_beta
        self._scores: Tensor | None = None  # [B, K] of all processes
        self._read: dict[str, Any] = {}

    # --- judging ---

    def self_reward(
        self,
        prompts: list,
        completions: list,
        completion_ids: list[list[int]],
        criteria: list,
        log_metric: Callable,
        **trl: Any,
    ) -> list[float]:
        """The mean of R_A over the criteria, of this process's responses."""
        rubrics = [parse_rubric(value) for value in criteria]
        sizes = {len(rubric) for rubric in rubrics}
        if len(sizes) > 1 or 0 in sizes:
            raise RTTError(f"the rubrics of a batch need equally many criteria, and some; found {sorted(sizes)}")
        questions = [p if isinstance(p, str) else chat_text(p) for p in prompts]
        self._read = self._rollouts(questions, completion_ids, rubrics, log_metric)
        judged = []
        for k in range(sizes.pop()):
            texts = [alone(text, rubric, k, self.without) for text, rubric in zip(questions, rubrics, strict=True)]
            asked = [_in_the_form_of(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
            super().self_reward(asked, completions, log_metric)
            judged.append(self._judged)
        self._judged = together(judged, self.accelerator.num_processes)
        self._scores = torch.stack([one.rewards for one in judged], 1)
        met = [[verdict.as_float() for verdict in row] for row in self._read["verdicts"]]
        truth = self.accelerator.gather(torch.tensor(met, device=self._scores.device))
        self._log_metrics({"serl/right_by_criterion": right_order(self._scores, truth, self._group_size)})
        return self._of_this_process(self._scores, len(prompts)).mean(1).tolist()

    def _rollouts(
        self, questions: list[str], completion_ids: list[list[int]], rubrics: list[list[Criterion]], log: Callable
    ) -> dict[str, Any]:
        """What relevance is read from; the verdicts of the rules are logged and reward nothing."""
        read = [own_offsets(self._tokenizer, ids, [1] * len(ids)) for ids in completion_ids]
        texts, offsets = [text for text, _ in read], [spans for _, spans in read]
        verdicts = checked_verdicts(self.verifier(questions, texts, rubrics), rubrics)
        log_verdicts(log, rubrics, verdicts)
        return {
            "prompts": questions, "responses": texts, "criteria": rubrics, "verdicts": verdicts, "offsets": offsets
        }  # fmt: skip

    def _of_this_process(self, everyone: Tensor, n: int) -> Tensor:
        return everyone[self.accelerator.process_index * n :][:n]

    # --- both roles in one batch ---

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The advantages become [rows, T]: those of SERL for every token, and on the responses beta A_tok beside."""
        output = super()._generate_and_score_completions(inputs)
        n, mask = len(inputs), output["completion_mask"]
        credit = self._token_credit(output["completion_ids"][:n], mask[:n].bool())
        written = self.accelerator.gather(mask[:n].sum().view(1)).sum()
        progress = self.state.global_step / max(1, self.state.max_steps)
        weight = role_weights(progress, self.args.objective)[0] * float(self.args.train_actor)
        scale = weight * output["num_items_in_batch"] / written.clamp(min=1)  # as `SERLTrainer` gives it to A_res
        advantages = output["advantages"].unsqueeze(1).repeat(1, mask.shape[1])
        advantages[:n] += scale * self.token_beta * credit
        return output | {"advantages": advantages * mask}

    def _token_credit(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """A_tok [B, T] of this process's responses."""
        relevance = self.relevance(Rollouts(**self._read, token_ids=token_ids, mask=mask)).to(mask.device)
        standardised = standardised_scores(self._scores, self._group_size).to(mask.device)
        return spread(self._of_this_process(standardised, len(mask)), relevance, mask) * mask

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Columns that are padding in every row are left out of the advantages too."""
        written = max(1, int(inputs["completion_mask"].sum(1).max()))
        return super()._compute_loss(model, inputs | {"advantages": inputs["advantages"][:, :written]})


class FastCriteriaSERLTrainer(FastRollouts, CriteriaSERLTrainer):
    """`CriteriaSERLTrainer` that samples responses and verdicts by the fast loop."""


def alone(question: str, rubric: Sequence[Criterion], k: int, without: Without) -> str:
    """The prompt with criterion k alone."""
    return reduce(without, [criterion for n, criterion in enumerate(rubric) if n != k], question)


def _in_the_form_of(prompt: str | list, text: str) -> str | list:
    return text if isinstance(prompt, str) else [{"role": "user", "content": text}]


def together(judged: Sequence[Judged], processes: int) -> Judged:
    """The judgments of all criteria as one: in each process those of the first criterion, then of the second, ..."""
    ids = {name: [row for one in judged for row in getattr(one, name)] for name in ("prompt_ids", "answer_ids")}
    rewards = torch.stack([one.rewards for one in judged]).mean(0)
    if judged[0].advantages is None:
        return Judged(**ids, rewards=rewards, advantages=None)
    by_process = [one.advantages.reshape(processes, -1) for one in judged]
    return Judged(**ids, rewards=rewards, advantages=torch.stack(by_process, 1).flatten())


def right_order(scores: Tensor, verdicts: Tensor, group_size: int) -> float:
    """Of the pairs in a group of which one response meets a criterion and the other does not, the share whose scores
    say so; equal scores count half. NaN where there is no such pair.

    scores, verdicts [B, K]; the verdicts are those of the rules, 1, 0, or NaN where none could be given
    """
    i, j = pairs(group_size).to(scores.device).unbind(1)
    score, met = (x.view(-1, group_size, x.shape[-1]) for x in (scores, verdicts))
    lead, truth = score[:, i] - score[:, j], met[:, i] - met[:, j]
    sign = torch.where(lead.abs() > ROUNDING, lead.sign(), 0.0)
    return ((1 + sign * truth) / 2)[truth.abs() == 1].mean().item()


# --- an arm of a study ---


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log, one row per rollout step."""
    trainer = trainer_of(task)
    trainer.train(resume_from_checkpoint=last_checkpoint(task.attempt))
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)


def trainer_of(task: Task) -> CriteriaSERLTrainer:
    kind = FastCriteriaSERLTrainer if task.compute.sampler == "fast" else CriteriaSERLTrainer
    trainer = kind(
        task.model,
        judge=judge_of(task),
        verifier=task.world.verifier(),
        relevance=relevance_source(task),
        without=task.world.counterfactual(task.model, task.tokenizer, task.prompts).without,
        token_beta=task.rl.beta if task.arm.beta is None else task.arm.beta,
        args=config(task),
        train_dataset=Dataset.from_list(rubric_dataset(task.prompts, task.chat)),
        processing_class=task.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
