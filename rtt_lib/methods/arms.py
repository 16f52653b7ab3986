"""The arms of every comparison by name: what is trained, with which reward, relevance, partition and loss."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from rtt_lib.errors import RTTError
from rtt_lib.profile import RL
from rtt_lib.yaml_tree import nearest

Relevance = Literal[
    "discriminator",
    "packed",
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
    relevance:     `discriminator`: a learned one, p rounded at 0.5 (the paper is silent on a threshold); `packed`: the
                   same from one that reads all criteria in one pass; `raw`: p as it is, whose noise near zero intra
                   scales to unit variance (notebook 11 compares the two). `truncated` keeps p > 0.998, as the released
                   code does. `oracle`: exact labels; `noisy`: those with one in five flipped; the others are controls
    sequence_mean: per-response mean, then batch mean, as the released code; else Eq. 6's token mean per group
    reads:         the letter of another base policy, whose discriminator the arm reads; else its own policy's
    settings:      fields of the profile's `rl` that the arm sets otherwise, as pairs of name and value
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
    reads: str = ""
    settings: tuple[tuple[str, float], ...] = ()

    def over(self, rl: RL) -> RL:
        """The profile's `rl` with the arm's own settings."""
        return replace(rl, **dict(self.settings)) if self.settings else rl

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
        """The discriminator that the arm reads, by its labels or as `packed`; None where it reads none."""
        kinds = {"discriminator": "taxonomy", "raw": "taxonomy", "truncated": "taxonomy"}
        kinds |= {name: name for name in ("greedy", "packed")}
        return None if self.response_only else kinds.get(self.relevance)


@dataclass(frozen=True)
class ConversationArm(Arm):
    """How the rungs of a question become conversations to learn from (`rtt_lib.methods.conversations`).

    pieces:     the levels of each of the conversations that one question gives
    level:      every turn is of this level, each from a question of its own; else a question gives all levels
    order:      of the turns of a conversation; over_time: of the conversations in training
    loss:       on the answers of all turns, or of the last one; draft_loss: on weak drafts too
    numbers:    prompts ask for counts and lengths too
    internal:   what follows an answer that had to count; external: the reply to a weak draft of level 5. `no draft`
                leaves out draft and reply
    dpo:        DPO on given pairs, the same for all arms, follows
    """

    trainer: str = "conversations"
    beta: float | None = 0.0
    pieces: tuple[tuple[int, ...], ...] = ((1, 2, 3, 4, 5),)
    level: int | None = None
    order: Literal["easy to hard", "shuffled", "reversed"] = "easy to hard"
    over_time: Literal["mixed", "easy first", "hard first"] = "mixed"
    loss: Literal["all", "last"] = "all"
    draft_loss: bool = False
    numbers: bool = True
    internal: Literal["none", "true", "false", "filler"] = "none"
    external: Literal["none", "full", "bare", "wrong", "no draft"] = "none"
    dpo: bool = False


@dataclass(frozen=True)
class CurriculumArm(Arm):
    """Which level RL trains on when (`rtt_lib.methods.curriculum`)."""

    trainer: str = "curriculum"
    curriculum: Literal["easy to hard", "reversed", "bandit", "filter", "scaffold"] = "easy to hard"


@dataclass(frozen=True)
class SelfRewardArm(Arm):
    """A policy that rewards itself (`rtt_lib.methods.serl`, `serl_criteria`); the settings are `SERLConfig`'s."""

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
    return [
        base,
        replace(base, name="SFT", about="supervised on responses that satisfy every constraint", trainer="sft"),
        replace(base, name="DPO", about="those responses preferred to the base policy's own", trainer="dpo"),
        rl_aon,
        rl_csr,
        aon,
        csr,
        *_variants(aon),
        *_variants(csr),
        *_rivals(),
        *_conversations(),
        *_curricula(rl_csr, csr),
        *_self_rewarding(),
    ]


def _variants(arm: Arm) -> list[Arm]:
    """RTT with one thing changed, or several that belong together."""

    def variant(suffix: str, about: str, **changes: object) -> Arm:
        return replace(arm, name=f"{arm.name} {suffix}", about=about, **changes)

    return [
        variant("packed", "relevance for all criteria in one pass", relevance="packed"),
        variant("raw", "the discriminator's p as it is, not rounded", relevance="raw"),
        variant("oracle", "exact relevance instead of the discriminator's", relevance="oracle"),
        variant("inter", "standardised over the group's responses together (App. D)", scheme="inter"),
        variant("joint", "standardised over all criteria of a response together", scheme="joint"),
        variant("position", "standardised over the group's tokens in the same quarter", scheme="position"),
        variant("mass", "the response's mean token reward, standardised over the group", scheme="mass"),
        variant(
            "decoupled",
            "each verdict standardised over the group, spread evenly",
            scheme="decoupled",
            relevance="uniform",
        ),
        variant(
            "decoupled strong",
            "the same with beta = 1.4: credit as large as that of `relative`",
            scheme="decoupled",
            relevance="uniform",
            beta=1.4,
        ),
        variant("relative", "each verdict standardised, spread by relevance (ours)", scheme="relative"),
        variant("relative oracle", "ours with exact relevance", scheme="relative", relevance="oracle"),
        variant("relative noisy", "ours, one label in five flipped", scheme="relative", relevance="noisy"),
        variant("noisy", "exact relevance with one label in five flipped", relevance="noisy"),
        variant("random", "random relevance", relevance="random"),
        variant("greedy", "a discriminator trained on greedy labels", relevance="greedy"),
        variant(
            "counterfactual",
            "each criterion's log-probability contrast, not D",
            relevance="counterfactual",
        ),
        variant("no EOS", "EOS gets no token credit", credit_eos=False),
        variant("decay", "beta decays to zero over the run", beta_schedule="linear"),
        variant("mixed rows", "rows mixed up as in the released code (D1)", scheme="released"),
        variant("truncated", "relevance below 0.998 is zero (D2)", relevance="truncated"),
        variant("sequence mean", "per-response mean loss (D3)", sequence_mean=True),
        variant(
            "as released",
            "D1, D2 and D3 together",
            scheme="released",
            relevance="truncated",
            sequence_mean=True,
        ),
        *(variant(f"beta {beta:g}", f"beta = {beta:g}", beta=beta) for beta in (0.25, 0.75, 1.0)),
    ]


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


def _conversations() -> list[Arm]:
    """Conifer's data by rule: one question at five levels is a conversation of five turns, easy to hard."""
    halves, separate, last = ((1, 2), (3, 4, 5)), ((1,), (2,), (3,), (4,), (5,)), ((1, 2, 3, 4), (5,))

    def arm(name: str, about: str, **changes: Any) -> Arm:
        return ConversationArm(f"Conifer {name}".strip(), about, **changes)

    return [
        arm("", "conversations of five turns, easy to hard"),
        arm("shuffled", "the same turns in a random order", order="shuffled"),
        arm("reversed", "the same turns, hard to easy", order="reversed"),
        arm("separate", "the same turns, each a sample of its own", pieces=separate),
        arm("separate easy first", "separate turns, easy ones early in training", pieces=separate,
            over_time="easy first"),
        arm("separate hard first", "separate turns, hard ones early in training", pieces=separate,
            over_time="hard first"),
        arm("halves", "levels 1 and 2 apart from 3 to 5", pieces=halves),
        arm("halves reversed", "the same, turns hard to easy", pieces=halves, order="reversed"),
        arm("halves easy first", "the same, levels 1 and 2 early in training", pieces=halves, over_time="easy first"),
        arm("halves reversed easy first", "turns hard to easy, levels 1 and 2 early in training", pieces=halves,
            order="reversed", over_time="easy first"),
        *(arm(f"level {k}", f"five turns of level {k}, each of another question", level=k) for k in (1, 3, 5)),
        arm("last turn", "loss on the last turn only", loss="last"),
        arm("no numbers", "no prompt asks for a count or a length", numbers=False),
        arm("internal", "an account of the counts reached follows the answer", internal="true"),
        arm("internal false", "an account with other numbers", internal="false"),
        arm("internal filler", "a filler as long as the account", internal="filler"),
        arm("external", "level 5 apart: a weak draft, what it breaks, the answer", pieces=last, external="full"),
        arm("external bare", "the same, the reply is no more than no", pieces=last, external="bare"),
        arm("external wrong", "the same, the reply names criteria that the draft meets", pieces=last,
            external="wrong"),
        arm("external no draft", "level 5 apart, without draft and reply", pieces=last, external="no draft"),
        arm("external draft loss", "as external, loss on the weak draft too", pieces=last, external="full",
            draft_loss=True),
        arm("both", "internal and external feedback", pieces=last, internal="true", external="full"),
        arm("DPO", "conversations easy to hard, then DPO", dpo=True),
        arm("level 1 DPO", "five turns of level 1, then DPO", level=1, dpo=True),
    ]  # fmt: skip


def _curricula(*arms: Arm) -> list[Arm]:
    """RL on levels; the arms themselves train on all levels mixed."""
    abouts = {
        "easy to hard": "level 1 first, level 5 last",
        "reversed": "level 5 first, level 1 last",
        "bandit": "a bandit draws the levels whose advantages are large (Self-Evolving Curriculum)",
        "filter": "prompts that a value model puts near one half (Prompt Curriculum Learning)",
        "scaffold": "a worked part of the criteria before the prompt, fading (after RuscaRL)",
    }
    return [
        CurriculumArm(f"{arm.name} {name}", about, reward=arm.reward, beta=arm.beta, curriculum=name)
        for arm in arms
        for name, about in abouts.items()
    ]


def _self_rewarding() -> list[Arm]:
    """SERL, the parts that its paper takes away, and our controls."""
    by_criterion: dict[str, Any] = {"trainer": "serl-criteria", "beta": None, "scheme": "relative"}
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
        SelfRewardArm("SERL 16 judgments", "K = 16, as many questions as four criteria take", judgments=16),
        SelfRewardArm("SERL per criterion", "own verdicts by criterion, credit to the tokens it is about",
                      **by_criterion, relevance="oracle"),
        SelfRewardArm("SERL per criterion even", "the same verdicts, their credit spread evenly", **by_criterion,
                      relevance="uniform"),
    ]  # fmt: skip


ARMS = {arm.name: arm for arm in _arms()}
# A name may go on with settings, in this order: `RTT-AON discriminator B beta 0.25 lr 0.001 minibatches 4 steps 240`.
_NUMBER, _COUNT = r"\d+(?:\.\d+)?(?:e-\d+)?", r"[1-9]\d*"
_NAME = re.compile(
    rf"(?P<arm>.+?)(?: discriminator (?P<reads>[A-Z]))?"
    rf"(?: beta (?P<beta>{_NUMBER}))?(?: lr (?P<learning_rate>{_NUMBER}))?"
    rf"(?: minibatches (?P<minibatches>{_COUNT}))?(?: steps (?P<steps>{_COUNT}))?"
)


def find_arm(name: str) -> Arm:
    """An arm of `ARMS`, or one of them with settings behind its name."""
    if name in ARMS:
        return ARMS[name]
    found = _NAME.fullmatch(name)
    if found is None or found["arm"] not in ARMS:
        raise RTTError(f"unknown arm '{name}'{nearest(name, ARMS) or '; there are: ' + ', '.join(ARMS)}")
    texts = {field: text for field, text in found.groupdict().items() if text and field not in ("arm", "reads")}
    return _with_settings(_reading(ARMS[found["arm"]], name, found["reads"]), name, texts)


def _reading(arm: Arm, name: str, letter: str | None) -> Arm:
    if letter is None:
        return arm
    if arm.discriminator is None:
        raise RTTError(f"arm '{name}': '{arm.name}' reads no discriminator")
    about = f"{arm.about}, with the discriminator of base policy {letter}"
    return replace(arm, name=name, about=about, reads=letter)


def _with_settings(arm: Arm, name: str, texts: dict[str, str]) -> Arm:
    """Every number in its shortest form, so that a run has one name."""
    values = {field: int(text) if field in ("minibatches", "steps") else float(text) for field, text in texts.items()}
    if not values:
        return arm
    for field, value in values.items():
        if value <= 0 or f"{value:g}" != texts[field]:
            raise RTTError(f"arm '{name}': {field} must be above zero and written {value:g}")
    if arm.trainer != "rtt-grpo" or ("beta" in values and arm.beta is not None):
        raise RTTError(f"arm '{name}': '{arm.name}' takes no {next(iter(values))}")
    about = ", ".join([arm.about, *(f"{field.replace('_', ' ')} {value:g}" for field, value in values.items())])
    beta = values.pop("beta", arm.beta)
    return replace(arm, name=name, about=about, beta=beta, settings=tuple(values.items()))
