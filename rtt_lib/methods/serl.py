"""SERL on TRL: one policy writes responses, judges them in pairs, and learns from both (arXiv 2511.07922).

What differs from `trl.GRPOTrainer`:

- The reward of a response is what the policy's own verdicts on its group say of it (`rtt_lib.self_rewards`).
- The verdicts are trained too: they join the generation batch as further rows, each with the advantage of its reward
  among the judgments of its pair.
- Each role's loss is a mean over that role's tokens, and the two are added with the weights of the schedule. The
  advantages carry these factors, since the loss is linear in them.

`docs/serl.md` says what the paper, the released code and our own choices are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback
from trl.trainer.utils import pad

from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint
from rtt_lib.methods.arms import SelfRewardArm
from rtt_lib.methods.fast_rollouts import FastRollouts
from rtt_lib.methods.records import log_verdicts
from rtt_lib.methods.rl import step_settings, vllm_settings
from rtt_lib.methods.steady import SteadyGRPOConfig, SteadyGRPOTrainer
from rtt_lib.methods.task import Task, per_rollout_step, save_policy
from rtt_lib.methods.verification import Verifier, checked_verdicts, parse_rubric, rubric_dataset
from rtt_lib.schema import chat_text
from rtt_lib.self_judge import SelfJudge, TextJudge
from rtt_lib.self_rewards import (
    actor_rewards,
    group_advantages,
    judge_rewards,
    length_weight,
    majority,
    pairs,
    role_weights,
    scores_without_the_pair,
    swapped,
    verdicts,
    wins,
)

ROWS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "old_per_token_logps")


@dataclass
class SERLConfig(SteadyGRPOConfig):
    """`trl.GRPOConfig` with SERL's settings; each can be turned off, as in the paper's ablations."""

    judgments: int = field(default=4, metadata={"help": "K: judgments of a pair, half of them in each order."})
    swap_orders: bool = field(default=True, metadata={"help": "False shows every pair in one order only."})
    length_margin: float | None = field(
        default=0.2, metadata={"help": "alpha of the length filter; None: no filter and no weight by length."}
    )
    scores: Literal["mean", "majority", "pointwise"] = field(
        default="mean",
        metadata={"help": "R_A: share of judgments won, share of pairs won (Copeland), or the mean of own marks."},
    )
    judge_reward: Literal["agreement", "other pairs", "random", "none"] = field(
        default="agreement",
        metadata={"help": "R_J: agreement with R_A, with R_A from the other pairs, a coin flip; none trains no judge."},
    )
    train_actor: bool = field(default=True, metadata={"help": "False trains the judge's role alone."})
    frozen_judge: bool = field(default=False, metadata={"help": "The policy as it starts out judges all along."})
    objective: Literal["released", "summed"] = field(
        default="released", metadata={"help": "Weights of both losses by the released schedule, or 1 as in the paper."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        swapped(self.judgments)
        for name, choices in (
            ("scores", ("mean", "majority", "pointwise")),
            ("judge_reward", ("agreement", "other pairs", "random", "none")),
            ("objective", ("released", "summed")),
        ):
            if getattr(self, name) not in choices:
                raise RTTError(f"{name}={getattr(self, name)!r} is unknown: choose one of {', '.join(choices)}")
        if self.judge_reward != "none" and (self.frozen_judge or self.scores == "pointwise"):
            raise RTTError("a frozen judge and one that marks single responses are not trained: judge_reward='none'")
        if self.judge_reward == "none" and not self.train_actor:
            raise RTTError("judge_reward='none' and train_actor=False train nothing")
        self._refuse_other_losses()

    def _refuse_other_losses(self) -> None:
        if self.beta != 0:
            raise RTTError("SERL has no KL penalty, and verdicts have no reference to be held to: set beta=0")
        if self.loss_type != "dapo":
            raise RTTError(f"both roles' token means are written for loss_type='dapo', found {self.loss_type!r}")
        if self.use_vllm and self.vllm_importance_sampling_correction:
            raise RTTError(
                "TRL's correction for vLLM does not reach verdicts: vllm_importance_sampling_correction=False"
            )
        if self.off_policy_mask_threshold is not None:
            raise RTTError("TRL's mask for stale responses does not reach verdicts: off_policy_mask_threshold=None")
        if self.frozen_judge and self.use_vllm:
            raise RTTError("vLLM holds the policy of now and no frozen judge: use_vllm=False")


@dataclass(frozen=True)
class Judged:
    """What the policy said of the responses of all processes.

    prompt_ids, answer_ids: of this process's questions to the judge
    rewards     [groups x N]    R_A
    advantages  [groups, P, K]  of the judge; None where it is not trained
    """

    prompt_ids: Sequence[Sequence[int]]
    answer_ids: Sequence[Sequence[int]]
    rewards: Tensor
    advantages: Tensor | None


class SERLTrainer(SteadyGRPOTrainer):
    """GRPO that rewards itself.

    model, args, train_dataset, processing_class, ...: as in TRL; the data set has a column `prompt`
    judge:    what the policy is asked about its responses
    verifier: if given, decides the data set's `criteria` for the log; no policy learns from it
    """

    args: SERLConfig

    def __init__(
        self,
        model: Any,
        judge: SelfJudge | None = None,
        verifier: Verifier | None = None,
        args: SERLConfig | None = None,
        **kwargs: Any,
    ):
        args = args or SERLConfig("serl")
        self.judge, self.verifier = judge or TextJudge(), verifier
        self._judged: Judged | None = None
        super().__init__(model, reward_funcs=[self.self_reward], args=args, **kwargs)
        if self.tools or self.environment_factories or self.rollout_func is not None:
            raise RTTError("SERL judges one turn of text, without tools, an environment or a rollout_func")
        self._frozen = copy.deepcopy(self.accelerator.unwrap_model(self.model)).eval() if args.frozen_judge else None

    # --- judging ---

    def self_reward(self, prompts: list, completions: list, log_metric: Callable, **trl: Any) -> list[float]:
        """R_A of this process's responses; the judgments are kept for `_with_verdicts`."""
        questions = [p if isinstance(p, str) else chat_text(p) for p in prompts]
        responses = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        self._measure(questions, responses, trl.get("criteria"), log_metric)
        everyone = gather_object(list(zip(questions, responses, strict=True)))
        asked, share = self._questions(everyone), len(prompts) * (self._group_size - 1) * self.args.judgments // 2
        own = asked[self.accelerator.process_index * share :][:share]
        if prompts and not isinstance(prompts[0], str):
            own = [[{"role": "user", "content": text}] for text in own]
        prompt_ids, answer_ids = self._answers(own)
        read = self.judge.mark if self.args.scores == "pointwise" else self.judge.picked
        answers = self.processing_class.batch_decode(answer_ids, skip_special_tokens=True)
        said = torch.tensor([float(read(answer)) for answer in answers], device=self.accelerator.device)
        lengths = torch.tensor([len(response.split()) for _, response in everyone], device=self.accelerator.device)
        rewards, advantages = self._reward(self.accelerator.gather(said), lengths)
        self._judged = Judged(prompt_ids, answer_ids, rewards, advantages)
        return rewards[self.accelerator.process_index * len(prompts) :][: len(prompts)].tolist()

    def _questions(self, responses: Sequence[tuple[str, str]]) -> list[str]:
        """What the judge is asked, group by group; equal questions follow each other, as vLLM wants them."""
        n, k = self._group_size, self.args.judgments
        orders = swapped(k, self.args.swap_orders).tolist()
        asked = []
        for start in range(0, len(responses), n):
            group = responses[start : start + n]
            if self.args.scores == "pointwise":
                asked += [self.judge.rate(*row) for row in group for _ in range((n - 1) * k // 2)]
                continue
            for i, j in pairs(n).tolist():
                prompt, both = group[i][0], (group[i][1], group[j][1])
                asked += [self.judge.compare(prompt, *(both[::-1] if turned else both)) for turned in orders]
        return asked

    def _answers(self, prompts: list) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids of the questions and of the answers."""
        prompt_ids, images, fields = self._tokenize_prompts(prompts)
        if self._frozen is not None:
            return prompt_ids, self._frozen_answers(prompt_ids)
        equal = self.args.judgments // 2 * (self._group_size - 1 if self.args.scores == "pointwise" else 1)
        with self._longest(self.judge.tokens):
            return prompt_ids, self._generate_single_turn(prompt_ids, images, fields, equal)[0]

    @torch.no_grad()
    def _frozen_answers(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        rows, device = [torch.tensor(ids) for ids in prompt_ids], self.accelerator.device
        ids = pad(rows, padding_value=self._tokenizer.pad_token_id, padding_side="left").to(device)
        mask = pad([torch.ones_like(row) for row in rows], padding_value=0, padding_side="left").to(device)
        with self._longest(self.judge.tokens):
            found = self._frozen.generate(input_ids=ids, attention_mask=mask, generation_config=self.generation_config)
        return found[:, ids.shape[1] :].tolist()

    @contextmanager
    def _longest(self, tokens: int) -> Iterator[None]:
        """Generate at most so many tokens, by whichever engine."""
        places = [(self, "max_completion_length"), (getattr(self, "generation_config", None), "max_new_tokens")]
        if self.use_vllm:
            places.append((self.vllm_generation, "max_completion_length"))
        before = [(place, name, getattr(place, name)) for place, name in places if place is not None]
        try:
            for place, name, _ in before:
                setattr(place, name, tokens)
            yield
        finally:
            for place, name, value in before:
                setattr(place, name, value)

    # --- rewards ---

    def _reward(self, said: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """R_A of the responses of all processes, and the judge's advantages."""
        n, k = self._group_size, self.args.judgments
        if self.args.scores == "pointwise":
            rewards = said.view(-1, (n - 1) * k // 2).mean(1)
            self._log_metrics({"serl/unreadable": (said == 0).float().mean().item()})
            return rewards, None
        verdict = verdicts(said.view(-1, n * (n - 1) // 2, k), self.args.swap_orders)  # [groups, P, K]
        won, weight = wins(verdict, n), length_weight(lengths.view(-1, n), self.args.length_margin)
        counted = majority(won) if self.args.scores == "majority" else won
        rewards = actor_rewards(counted, weight)
        self._log_metrics(_metrics(said, verdict, weight))
        if self.args.judge_reward == "none":
            return rewards.flatten(), None
        scores = scores_without_the_pair(counted, weight) if self.args.judge_reward == "other pairs" else rewards
        r_j = self._coins(verdict) if self.args.judge_reward == "random" else judge_rewards(verdict, scores)
        self._log_metrics({"serl/judge_reward": r_j.mean().item()})
        return rewards.flatten(), group_advantages(r_j)

    def _coins(self, verdict: Tensor) -> Tensor:
        """+1 or -1 for every judgment, the same in all processes and after resuming."""
        generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + self.state.global_step)
        return (torch.randint(2, verdict.shape, generator=generator) * 2.0 - 1).to(verdict.device)

    # --- both roles in one batch ---

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        progress = self.state.global_step / max(1, self.state.max_steps)
        actor, judge = role_weights(progress, self.args.objective)
        self._log_metrics({"serl/actor_weight": actor})
        written = output["completion_mask"].sum()
        if self._judged.advantages is None:
            return output | {"advantages": actor * output["advantages"]}
        verdict = self._verdict_rows("old_per_token_logps" in output)
        spoken = verdict["completion_mask"].sum()
        everyone = self.accelerator.gather(torch.stack([written, spoken]).view(1, 2)).sum(0)  # tokens by role
        scale = [
            weight * everyone.sum() / tokens.clamp(min=1)
            for weight, tokens in zip((actor, judge), everyone, strict=True)
        ]
        output["advantages"] = output["advantages"] * scale[0] * float(self.args.train_actor)
        verdict["advantages"] = verdict["advantages"] * scale[1]
        return self._joined(output, verdict) | {"num_items_in_batch": everyone.sum()}

    def _verdict_rows(self, with_logps: bool) -> dict[str, Tensor]:
        """This process's judgments as rows of a batch."""
        judged, device = self._judged, self.accelerator.device
        asked, said = ([torch.tensor(ids) for ids in rows] for rows in (judged.prompt_ids, judged.answer_ids))
        fill = self._tokenizer.pad_token_id
        advantages = judged.advantages.flatten()
        rows = {
            "prompt_ids": pad(asked, padding_value=fill, padding_side="left").to(device),
            "prompt_mask": pad([torch.ones_like(ids) for ids in asked], 0, "left").to(device),
            "completion_ids": pad(said, padding_value=fill, padding_side="right").to(device),
            "completion_mask": pad([torch.ones_like(ids) for ids in said], 0, "right").to(device),
            "advantages": advantages[self.accelerator.process_index * len(said) :][: len(said)],
        }
        if with_logps:
            ids, mask = (torch.cat([rows[f"prompt_{x}"], rows[f"completion_{x}"]], 1) for x in ("ids", "mask"))
            with torch.no_grad():
                rows["old_per_token_logps"] = self._get_per_token_logps_and_entropies(
                    self.model, ids, mask, rows["completion_ids"].shape[1], self.args.per_device_train_batch_size
                )[0]
        return rows

    def _joined(self, actor: Mapping[str, Tensor], judge: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The rows of both roles, padded to the longest; what else TRL keeps of the responses is not used."""
        fill = {"prompt_ids": self._tokenizer.pad_token_id, "completion_ids": self._tokenizer.pad_token_id}
        joined = {}
        for name in ROWS:
            if name not in actor:
                continue
            rows = [*actor[name], *judge[name]]
            side = "left" if name.startswith("prompt") else "right"
            joined[name] = torch.stack(rows) if rows[0].dim() == 0 else pad(rows, fill.get(name, 0), side)
        return joined

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Rows of similar length in one pass: questions to the judge are long and its answers short."""
        order = inputs["prompt_mask"].sum(1).argsort(stable=True)
        inputs = {name: x[order] if isinstance(x, Tensor) and x.dim() else x for name, x in inputs.items()}
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        return super()._compute_loss(model, _without_padding(inputs))

    @property
    def _group_size(self) -> int:
        return self.num_generations if self.model.training else self.num_generations_eval

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple:
        """In mixed precision, cast the weights once for the whole generation, not for every sampled token."""
        with nullcontext() if self.use_vllm else self.accelerator.autocast():
            return super()._generate_single_turn(*args, **kwargs)

    # --- what is logged ---

    def _measure(self, questions: list[str], responses: list[str], criteria: list | None, log: Callable) -> None:
        if self.verifier is not None and criteria is not None:
            rubrics = [parse_rubric(value) for value in criteria]
            log_verdicts(log, rubrics, checked_verdicts(self.verifier(questions, responses, rubrics), rubrics))

    def _log_metrics(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._metrics["train" if self.model.training else "eval"][name].append(value)


class FastSERLTrainer(FastRollouts, SERLTrainer):
    """`SERLTrainer` that samples responses and verdicts by the fast loop."""


def _metrics(said: Tensor, verdict: Tensor, weight: Tensor) -> dict[str, float]:
    """Of the judgments: unreadable, the first shown picked, unanimous pairs; of the pairs: no win counts by length."""
    read = verdict != 0
    first, second = pairs(weight.shape[-1]).to(weight.device).unbind(1)
    filtered = (weight[..., first, second] == 0) & (weight[..., second, first] == 0)
    return {
        "serl/unreadable": 1 - read.float().mean().item(),
        "serl/first_picked": ((said == 1).sum() / read.sum().clamp(min=1)).item(),
        "serl/unanimous": (verdict.sum(-1).abs() == verdict.shape[-1]).float().mean().item(),
        "serl/filtered_pairs": filtered.float().mean().item(),
    }


def _without_padding(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Columns that are padding in every row left out."""
    asked = inputs["prompt_mask"].any(0).int().argmax()
    written = max(1, int(inputs["completion_mask"].sum(1).max()))
    cut = {"prompt": slice(int(asked), None), "completion": slice(0, written), "old_per_token_logps": slice(0, written)}
    columns = {name: cut.get(name, cut.get(name.split("_")[0])) for name in ROWS if name != "advantages"}
    return {name: x[:, columns[name]] if name in columns else x for name, x in inputs.items()}


# --- an arm of a study ---


def train(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Leaves the policy in `folder`; returns the log, one row per rollout step."""
    trainer = trainer_of(task)
    trainer.train(resume_from_checkpoint=last_checkpoint(task.attempt))
    save_policy(trainer, task.tokenizer, folder)
    return per_rollout_step(trainer.state.log_history, task.rl.minibatches)


def trainer_of(task: Task) -> SERLTrainer:
    kind = FastSERLTrainer if task.compute.sampler == "fast" else SERLTrainer
    trainer = kind(
        task.model,
        judge=judge_of(task),
        verifier=task.world.verifier(),
        args=config(task),
        train_dataset=Dataset.from_list(rubric_dataset(task.prompts, task.chat)),
        processing_class=task.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def judge_of(task: Task) -> SelfJudge:
    """The world's own judge; for English text ours, whose answers may be twice as long as responses, as released."""
    if hasattr(task.world, "self_judge"):
        return task.world.self_judge()
    return TextJudge(tokens=2 * task.rl.max_response_tokens)


def config(task: Task) -> SERLConfig:
    rl, longest = task.rl, task.rl.max_prompt_tokens + task.rl.max_response_tokens
    responses = rl.prompts_per_step * rl.group_size // rl.minibatches
    batch, accumulate = task.world.passes(responses, longest, "rl.prompts_per_step x rl.group_size / rl.minibatches")
    arm: SelfRewardArm = task.arm
    return SERLConfig(
        str(task.attempt),
        per_device_train_batch_size=batch,
        save_steps=task.world.checkpoint_every * rl.minibatches,
        seed=task.number,
        loss_type="dapo",
        **arm.serl(),
        **step_settings(rl, accumulate),
        **vllm_settings(task.compute, longest),
        **task.world.trainer_settings(task.model),
    )
