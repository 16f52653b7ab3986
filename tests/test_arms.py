"""What each arm trains with: the arguments that reach the trainer, against a table read off the paper.

Section 3.2 and 4.2 (reward, beta, clip bounds, loss), App. D (inter), Table 4 and Figure 3 (weights, beta), and what
the released code does instead (mixed rows, truncated, sequence mean); the rest are controls of our own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.methods import dpo, rl, sft
from rtt_lib.methods.arms import ARMS, find_arm
from rtt_lib.methods.task import Task
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.shipped import SHIPPED
from rtt_lib.relevance.sources import (
    Annotated,
    Counterfactual,
    DiscriminatorSource,
    Noisy,
    Random,
    Threshold,
    Uniform,
)
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify import verify
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.world import MicroWorld

RL = replace(load_profile("paper-qwen3-4b").rl, steps=1, prompts_per_step=4)

METHOD = {
    "beta": 0.5,
    "beta over the run": "constant",
    "scheme": "intra",
    "EOS gets credit": True,
    "loss": "mean over the group's tokens",
    "relevance": "taxonomy's p >= 0.5",
}
CHANGES = {
    "": {},
    "raw": {"relevance": "taxonomy's p"},
    "oracle": {"relevance": "exact"},
    "inter": {"scheme": "inter"},
    "joint": {"scheme": "joint"},
    "position": {"scheme": "position"},
    "mass": {"scheme": "mass"},
    "decoupled": {"scheme": "decoupled", "relevance": "uniform"},
    "decoupled strong": {"scheme": "decoupled", "relevance": "uniform", "beta": 1.4},
    "relative": {"scheme": "relative"},
    "relative oracle": {"scheme": "relative", "relevance": "exact"},
    "relative noisy": {"scheme": "relative", "relevance": "exact, 0.2 flipped by seed 3"},
    "noisy": {"relevance": "exact, 0.2 flipped by seed 3"},
    "random": {"relevance": "random by seed 3"},
    "greedy": {"relevance": "greedy's p >= 0.5"},
    "counterfactual": {"relevance": "contrast, tau 1, b 0"},
    "no EOS": {"EOS gets credit": False},
    "decay": {"beta over the run": "linear"},
    "mixed rows": {"scheme": "released"},
    "truncated": {"relevance": "taxonomy's p >= 0.998"},
    "sequence mean": {"loss": "mean over responses of their tokens' means"},
    "as released": {
        "scheme": "released",
        "relevance": "taxonomy's p >= 0.998",
        "loss": "mean over responses of their tokens' means",
    },
    "beta 0.25": {"beta": 0.25},
    "beta 0.75": {"beta": 0.75},
    "beta 1": {"beta": 1.0},
}
REWARDS = {"AON": "aon", "CSR": "csr"}
TABLE = {
    f"RTT-{name} {suffix}".strip(): METHOD | changes | {"reward": reward}
    for name, reward in REWARDS.items()
    for suffix, changes in CHANGES.items()
} | {f"RL-{name}": METHOD | {"reward": reward, "beta": 0, "relevance": None} for name, reward in REWARDS.items()}
LOSSES = {
    ("dapo", True): "mean over the group's tokens",
    ("grpo", False): "mean over responses of their tokens' means",
}


class Stop(Exception):
    """The trainer is made; it need not train."""


@pytest.fixture
def made(monkeypatch):
    """The keyword arguments of the last trainer; discriminators stand for their folders."""
    seen = {}

    def trainer(model, **arguments):
        seen.update(arguments)
        raise Stop

    monkeypatch.setattr(rl, "RTTGRPOTrainer", trainer)
    monkeypatch.setattr(Discriminator, "load", staticmethod(Path))
    monkeypatch.setattr(MicroWorld, "discriminator", lambda self, kind: Path(kind))
    return seen


def task_of(profile, world: str, arm: str, folder: Path) -> Task:
    spec = RunSpec(ARMS[arm], world, "A3", profile)
    model, tokenizer = SimpleNamespace(num_parameters=lambda: 1), SimpleNamespace(chat_template=None)
    if world == "composed":
        prompts = compose(default_tasks(), 4, 0)
    else:
        prompts, _ = spec.home.prompts(spec.number, tokenizer)
    return Task(spec.arm, profile.rl, profile.compute, 3, spec.home, model, tokenizer, prompts, folder)


def start_micro(arm: str, folder: Path, rl=RL) -> Task:
    return task_of(replace(load_profile("ci"), rl=rl), "L", arm, folder)


def start_text(arm: str, folder: Path, rl=RL) -> Task:
    return task_of(replace(load_profile("smol-cpu"), rl=rl), "composed", arm, folder)


def described(source) -> str | None:
    match source:
        case None:
            return None
        case Threshold(inner, threshold):
            return f"{described(inner)} >= {threshold:g}"
        case DiscriminatorSource(folder, raw):
            name = {SHIPPED.name: "taxonomy", f"{SHIPPED.name}-greedy": "greedy"}.get(folder.name, folder.name)
            return f"{name}'s p" + ("" if raw else " >= 0.5")
        case Annotated(annotator):
            return "exact" if annotator is taxonomy else "another annotator's"
        case Noisy(inner, rate, seed):
            return f"{described(inner)}, {rate:g} flipped by seed {seed}"
        case Random(seed):
            return f"random by seed {seed}"
        case Uniform():
            return "uniform"
        case Counterfactual(tau=tau, b=b):
            return f"contrast, tau {tau:g}, b {b:g}"
    raise AssertionError(source)


def row(made) -> dict:
    args = made["args"]
    return {
        "beta": args.token_beta,
        "beta over the run": args.token_beta_schedule,
        "scheme": args.scheme,
        "EOS gets credit": args.credit_eos,
        "loss": LOSSES[args.loss_type, args.per_group_token_mean],
        "relevance": described(made["relevance"]),
        "reward": args.response_reward,
    }


@pytest.mark.parametrize("start", [start_micro, start_text])
def test_every_arm_trains_with_what_its_name_says(made, tmp_path, start):
    found = {}
    for arm in ARMS.values():
        if arm.trainer == "rtt-grpo":
            with pytest.raises(Stop):
                rl.train(start(arm.name, tmp_path), tmp_path)
            found[arm.name] = row(made)
    assert found == TABLE


@pytest.mark.parametrize("start", [start_micro, start_text])
def test_what_all_arms_share_comes_from_the_profile(made, tmp_path, start):
    for arm, beta in (("RTT-AON", 0.3), ("RTT-AON beta 0.75", 0.75), ("RL-CSR", 0)):
        with pytest.raises(Stop):
            rl.train(start(arm, tmp_path, replace(RL, beta=0.3)), tmp_path)
        assert made["args"].token_beta == beta
    args = made["args"]
    assert (args.epsilon, args.epsilon_high) == (0.2, 0.27)
    assert (args.alpha, args.beta, args.num_generations, args.learning_rate) == (1, 0, 8, 1e-6)  # TRL's beta: no KL
    assert (args.temperature, args.top_p, args.top_k, args.max_completion_length) == (0.99, 0.99, 100, 4096)
    assert (args.warmup_steps, args.seed, args.max_steps, args.num_iterations) == (20, 3, 2, 1)
    one_update = args.per_device_train_batch_size * args.gradient_accumulation_steps
    assert one_update == 4 * 8 / 2 and args.generation_batch_size == 4 * 8


@pytest.mark.parametrize(("arm", "method"), [("SFT", sft), ("DPO", dpo)])
def test_in_the_micro_world_responses_by_rule_are_learned_and_preferred(tmp_path, monkeypatch, arm, method):
    seen = {}

    def trainer(model, args, train_dataset, processing_class):
        seen.update(args=args, rows=list(train_dataset))
        raise Stop

    def own(self, prompts, *rest):
        return [f"own response to {prompt.prompt}" for prompt in prompts]

    monkeypatch.setattr(method, f"{arm}Trainer", trainer)
    monkeypatch.setattr(MicroWorld, "own_responses", own)
    with pytest.raises(Stop):
        method.train(start_micro(arm, tmp_path, replace(RL, steps=3, prompts_per_step=8, minibatches=4)), tmp_path)
    assert (seen["args"].max_steps, seen["args"].per_device_train_batch_size) == (3 * 4, 8 / 4)
    prompts = sample_prompts(find_world("L"), 3 * 8, "train 3")
    assert [row["prompt"] for row in seen["rows"]] == [prompt.prompt for prompt in prompts]
    for row, prompt in zip(seen["rows"], prompts, strict=True):
        good = row["chosen" if arm == "DPO" else "completion"]
        assert all(verify(criterion, prompt.prompt, good.strip()) for criterion in prompt.criteria)
        assert arm == "SFT" or row["rejected"] == f" own response to {prompt.prompt}"


def test_the_base_is_not_trained(empty_store):
    spec = RunSpec(ARMS["base"], "L", "A3", replace(load_profile("ci"), rl=RL))
    execute.train(spec)
    assert not spec.trained and not (spec.folder / "policy").exists() and execute.is_trained(spec)
    assert [arm.name for arm in ARMS.values() if arm.trainer != "rtt-grpo"] == ["base", "SFT", "DPO"]


def test_an_unknown_arm_is_named_with_the_choices():
    with pytest.raises(RTTError, match="unknown arm 'RTT': choose among base, SFT"):
        find_arm("RTT")
    assert all(name == arm.name for name, arm in ARMS.items())
