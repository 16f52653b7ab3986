"""The arms of every comparison by name: what is trained, with which reward, relevance, partition and loss."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from rtt_lib.errors import RTTError

Relevance = Literal[
    "discriminator",
    "raw",
    "oracle",
    "uniform",
    "random",
    "greedy",
    "counterfactual",
    "contrast",
    "truncated",
    "noisy",
]


@dataclass(frozen=True)
class Arm:
    """One way to train the policy; None for `beta` means the profile's.

    trainer:       a method of `rtt_lib.methods`; `none` evaluates the base policy as it is
    relevance:     `discriminator`: a learned one, p rounded at 0.5 (the paper is silent on a threshold); `raw`: p as
                   it is, whose noise near zero intra scales to unit variance (notebook 11 compares the two).
                   `truncated` keeps p > 0.998, as the released code does. `oracle`: exact labels; `noisy`: those
                   with one in five flipped; the others are controls
    sequence_mean: per-response mean, then batch mean, as the released code; else Eq. 6's token mean per group
    """

    name: str
    about: str
    trainer: str = "rtt-grpo"
    reward: Literal["aon", "csr"] = "aon"
    beta: float | None = None
    scheme: str = "intra"
    relevance: Relevance = "discriminator"
    credit_eos: bool = True
    beta_schedule: Literal["constant", "linear"] = "constant"
    sequence_mean: bool = False

    @property
    def response_only(self) -> bool:
        """No token-level advantage: plain GRPO on the rubric reward."""
        return self.beta == 0

    @property
    def supervised(self) -> bool:
        """It learns from given responses."""
        return self.trainer in ("sft", "dpo")

    @property
    def discriminator(self) -> str | None:
        """The labels of the discriminator that the arm reads; None where it reads none."""
        kinds = {"discriminator": "taxonomy", "raw": "taxonomy", "truncated": "taxonomy", "greedy": "greedy"}
        return None if self.response_only else kinds.get(self.relevance)


@dataclass(frozen=True)
class SelfRewardArm(Arm):
    """A policy that rewards itself (`rtt_lib.methods.serl`); the settings are those of `SERLConfig`."""

    trainer: str = "serl"
    beta: float | None = 0.0
    reward: Literal["aon", "csr"] = "csr"
    judgments: int = 4
    swap_orders: bool = True
    length_margin: float | None = 0.2
    scores: Literal["mean", "majority", "pointwise"] = "mean"
    judge_reward: Literal["agreement", "other pairs", "random", "none"] = "agreement"
    train_actor: bool = True
    frozen_judge: bool = False
    objective: Literal["released", "summed"] = "released"

    def serl(self) -> dict[str, Any]:
        """For the trainer."""
        return {own.name: getattr(self, own.name) for own in fields(self) if own.name not in _OF_EVERY_ARM}


_OF_EVERY_ARM = frozenset(own.name for own in fields(Arm))


def _arms() -> list[Arm]:
    base = Arm("base", "the base policy, not trained", trainer="none", beta=0.0)
    rl_aon = Arm("RL-AON", "GRPO on the all-or-nothing reward", beta=0.0)
    rl_csr = Arm("RL-CSR", "GRPO on the constraint satisfaction rate", reward="csr", beta=0.0)
    aon = Arm("RTT-AON", "RTT-GRPO, relevance rounded at 0.5, all-or-nothing reward")
    csr = Arm("RTT-CSR", "RTT-GRPO, relevance rounded at 0.5, constraint satisfaction rate", reward="csr")

    def variant(arm: Arm, suffix: str, about: str, **changes: object) -> Arm:
        return replace(arm, name=f"{arm.name} {suffix}", about=about, **changes)

    arms = [
        base,
        replace(base, name="SFT", about="supervised on responses that satisfy every constraint", trainer="sft"),
        replace(base, name="DPO", about="those responses preferred to the base policy's own", trainer="dpo"),
        rl_aon,
        rl_csr,
        aon,
        csr,
    ]
    for arm in (aon, csr):
        arms += [
            variant(arm, "raw", "the discriminator's p as it is, not rounded", relevance="raw"),
            variant(arm, "oracle", "exact relevance instead of the discriminator's", relevance="oracle"),
            variant(arm, "inter", "standardised over the group's responses together (App. D)", scheme="inter"),
            variant(arm, "joint", "standardised over all criteria of a response together", scheme="joint"),
            variant(arm, "position", "standardised over the group's tokens in the same quarter", scheme="position"),
            variant(arm, "mass", "the response's mean token reward, standardised over the group", scheme="mass"),
            variant(
                arm,
                "decoupled",
                "each verdict standardised over the group, spread evenly",
                scheme="decoupled",
                relevance="uniform",
            ),
            variant(
                arm,
                "decoupled strong",
                "the same with beta = 1.4: credit as large as that of `relative`",
                scheme="decoupled",
                relevance="uniform",
                beta=1.4,
            ),
            variant(arm, "relative", "each verdict standardised, spread by relevance (ours)", scheme="relative"),
            variant(arm, "relative oracle", "ours with exact relevance", scheme="relative", relevance="oracle"),
            variant(arm, "relative noisy", "ours, one label in five flipped", scheme="relative", relevance="noisy"),
            variant(arm, "noisy", "exact relevance with one label in five flipped", relevance="noisy"),
            variant(arm, "random", "random relevance", relevance="random"),
            variant(arm, "greedy", "a discriminator trained on greedy labels", relevance="greedy"),
            variant(
                arm,
                "counterfactual",
                "each criterion's log-probability contrast, not D",
                relevance="counterfactual",
            ),
            variant(arm, "no EOS", "EOS gets no token credit", credit_eos=False),
            variant(arm, "decay", "beta decays to zero over the run", beta_schedule="linear"),
            variant(arm, "mixed rows", "rows mixed up as in the released code (D1)", scheme="released"),
            variant(arm, "truncated", "relevance below 0.998 is zero (D2)", relevance="truncated"),
            variant(arm, "sequence mean", "per-response mean loss (D3)", sequence_mean=True),
            variant(
                arm,
                "as released",
                "D1, D2 and D3 together",
                scheme="released",
                relevance="truncated",
                sequence_mean=True,
            ),
        ]
        arms += [variant(arm, f"beta {beta:g}", f"beta = {beta:g}", beta=beta) for beta in (0.25, 0.75, 1.0)]
    return [*arms, *_rivals(), *_self_rewarding()]


def _rivals() -> list[Arm]:
    """Other papers' rules (`rtt_lib.rivals`), which give the whole advantage: beta is 1."""
    learned: dict[str, Any] = {"reward": "csr", "beta": 1.0}
    return [
        Arm("CoRT-AON", "A_res weighted by what the criteria change about each token", beta=1.0, scheme="CoRT",
            relevance="contrast"),
        Arm("CoRT-CSR", "the same with the share of criteria", scheme="CoRT", relevance="contrast", **learned),
        Arm("CriPO-CSR", "tokens of suppressed criteria are rescued", scheme="CriPO", **learned),
        Arm("DRACO-CSR", "A_res shared out by what succeeded at each token", scheme="DRACO", **learned),
        Arm("GDPO-CSR", "criteria standardised, summed, standardised", scheme="GDPO", relevance="uniform", **learned),
        Arm("W-REINFORCE", "+0.1 for all satisfied, else -1, no baseline", beta=1.0, scheme="W-REINFORCE",
            relevance="uniform"),
    ]  # fmt: skip


def _self_rewarding() -> list[Arm]:
    """SERL, the parts that its paper takes away, and our controls."""
    return [
        SelfRewardArm("SERL", "one policy writes and judges, as in the released code"),
        SelfRewardArm("SERL summed", "both losses count 1 all along, as in the paper", objective="summed"),
        SelfRewardArm("SERL no R_J", "verdicts reward responses and are not trained", judge_reward="none"),
        SelfRewardArm("SERL no R_A", "only the judge's role is trained", train_actor=False),
        SelfRewardArm("SERL one order", "every pair is shown in one order only", swap_orders=False),
        SelfRewardArm("SERL no length control", "no filter and no weight by length", length_margin=None),
        SelfRewardArm("SERL pointwise", "own marks of single responses, as many questions", scores="pointwise",
                      judge_reward="none"),
        SelfRewardArm("SERL random R_J", "verdicts are rewarded by a coin", judge_reward="random"),
        SelfRewardArm("SERL frozen judge", "the base policy judges all along", judge_reward="none", frozen_judge=True),
        SelfRewardArm("SERL Copeland", "a pair counts for the response that won most of it", scores="majority"),
        SelfRewardArm("SERL other pairs", "R_J by scores without the judged pair", judge_reward="other pairs"),
    ]  # fmt: skip


ARMS = {arm.name: arm for arm in _arms()}


def find_arm(name: str) -> Arm:
    if name not in ARMS:
        raise RTTError(f"unknown arm '{name}': choose among {', '.join(ARMS)}")
    return ARMS[name]
