"""What each arm trains with: the arguments that reach the trainer, against a table read off the paper.

Section 3.2 and 4.2 (reward, beta, clip bounds, loss), App. D (inter), Table 4 and Figure 3 (weights, beta), and what
the released code does instead (mixed rows, truncated, sequence mean); the rest are controls of our own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtt_lib.methods.arms import ARMS
from rtt_lib.profile import load_profile
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.relevance.discriminator import Discriminator
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
from rtt_lib.studies import runs
from rtt_lib.studies.text_runs import SHIPPED, spec_of
from rtt_lib.verify import verify
from rtt_lib.worlds.micro import evaluation as bench_micro
from rtt_lib.worlds.micro import training as micro_run
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.text import training as text_run

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

    for module in (micro_run, text_run):
        monkeypatch.setattr(module, "RTTGRPOTrainer", trainer)
    monkeypatch.setattr(Discriminator, "load", staticmethod(Path))
    return seen


def start_micro(arm: str, folder: Path, rl=RL) -> None:
    place = runs._discriminator_folder(ARMS[arm], folder)
    micro_run.train(None, None, runs.RunSpec(ARMS[arm], "L", "A3", rl, 1, 1, place), folder)


def start_text(arm: str, folder: Path, rl=RL) -> None:
    spec = spec_of(replace(load_profile("smol-cpu"), rl=rl), arm, "A3", folder)
    model, tokenizer = SimpleNamespace(num_parameters=lambda: 1), SimpleNamespace(chat_template=None)
    text_run.train_rl(text_run.Setting(spec, model, tokenizer, compose(default_tasks(), 4, 0), folder, folder), folder)


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
                start(arm.name, tmp_path)
            found[arm.name] = row(made)
    assert found == TABLE


@pytest.mark.parametrize("start", [start_micro, start_text])
def test_what_all_arms_share_comes_from_the_profile(made, tmp_path, start):
    for arm, beta in (("RTT-AON", 0.3), ("RTT-AON beta 0.75", 0.75), ("RL-CSR", 0)):
        with pytest.raises(Stop):
            start(arm, tmp_path, replace(RL, beta=0.3))
        assert made["args"].token_beta == beta
    args = made["args"]
    assert (args.epsilon, args.epsilon_high) == (0.2, 0.27)
    assert (args.alpha, args.beta, args.num_generations, args.learning_rate) == (1, 0, 8, 1e-6)  # TRL's beta: no KL
    assert (args.temperature, args.top_p, args.top_k, args.max_completion_length) == (0.99, 0.99, 100, 4096)
    assert (args.warmup_steps, args.seed, args.max_steps, args.num_iterations) == (20, 3, 2, 1)
    one_update = args.per_device_train_batch_size * args.gradient_accumulation_steps
    assert one_update == 4 * 8 / 2 and args.generation_batch_size == 4 * 8


@pytest.mark.parametrize("arm", ["SFT", "DPO"])
def test_in_the_micro_world_responses_by_rule_are_learned_and_preferred(tmp_path, monkeypatch, arm):
    seen = {}

    def trainer(model, tokenizer, rows, output, **settings):
        seen.update(settings, rows=rows)
        return []

    def respond(model, tokenizer, prompts, max_tokens, greedy):
        assert not greedy
        return [f"own response to {prompt}" for prompt in prompts], [False] * len(prompts)

    monkeypatch.setattr(micro_run, f"train_{arm.lower()}", trainer)
    monkeypatch.setattr(bench_micro, "respond", respond)
    start_micro(arm, tmp_path, replace(RL, steps=3, prompts_per_step=8, minibatches=4))
    assert (seen["max_steps"], seen["per_device_train_batch_size"]) == (3 * 4, 8 / 4)
    prompts = sample_prompts(find_world("L"), 3 * 8, "train 3")
    assert [row["prompt"] for row in seen["rows"]] == [prompt.prompt for prompt in prompts]
    for row, prompt in zip(seen["rows"], prompts, strict=True):
        good = row["chosen" if arm == "DPO" else "completion"]
        assert all(verify(criterion, prompt.prompt, good.strip()) for criterion in prompt.criteria)
        assert arm == "SFT" or row["rejected"] == f" own response to {prompt.prompt}"


def test_the_base_is_not_trained(tmp_path):
    assert micro_run.train(None, None, runs.RunSpec(ARMS["base"], "L", "A3", RL, 1, 1), tmp_path) == []
    assert [arm.name for arm in ARMS.values() if arm.trainer != "rtt-grpo"] == ["base", "SFT", "DPO"]
