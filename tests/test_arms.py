"""What each arm trains with: the arguments that reach the trainer, against a table read off the paper.

Section 3.2 and 4.2 (reward, beta, clip bounds, loss), App. D (inter), Table 4 and Figure 3 (weights, beta), and what
the released code does instead (mixed rows, truncated, sequence mean); the rest are controls of our own.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from arms_toy import RL, Stop, start_micro, start_text, task_of, trainer_arguments

from rtt_lib.errors import RTTError
from rtt_lib.methods import rl
from rtt_lib.methods.arms import ARMS, find_arm
from rtt_lib.relevance.annotate import taxonomy
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
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec

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
    "packed": {"relevance": "packed's p >= 0.5"},
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
RIVAL = METHOD | {"beta": 1.0, "reward": "csr"}
TABLE |= {
    "CoRT-AON": RIVAL | {"scheme": "CoRT", "relevance": "contrast of all, tau 1, b 0", "reward": "aon"},
    "CoRT-CSR": RIVAL | {"scheme": "CoRT", "relevance": "contrast of all, tau 1, b 0"},
    "CriPO-CSR": RIVAL | {"scheme": "CriPO"},
    "DRACO-CSR": RIVAL | {"scheme": "DRACO"},
    "GDPO-CSR": RIVAL | {"scheme": "GDPO", "relevance": "uniform"},
    "W-REINFORCE": RIVAL | {"scheme": "W-REINFORCE", "relevance": "uniform", "reward": "aon"},
}
LOSSES = {
    ("dapo", True): "mean over the group's tokens",
    ("grpo", False): "mean over responses of their tokens' means",
}


@pytest.fixture
def made(monkeypatch):
    return trainer_arguments(monkeypatch)


def described(source) -> str | None:
    match source:
        case None:
            return None
        case Threshold(inner, threshold):
            return f"{described(inner)} >= {threshold:g}"
        case DiscriminatorSource(folder, raw):
            name = "taxonomy" if folder.name == SHIPPED.name else folder.name.removeprefix(f"{SHIPPED.name}-")
            return f"{name}'s p" + ("" if raw else " >= 0.5")
        case Annotated(annotator):
            return "exact" if annotator is taxonomy else "another annotator's"
        case Noisy(inner, rate, seed):
            return f"{described(inner)}, {rate:g} flipped by seed {seed}"
        case Random(seed):
            return f"random by seed {seed}"
        case Uniform():
            return "uniform"
        case Counterfactual(tau=tau, b=b, together=True):
            return f"contrast of all, tau {tau:g}, b {b:g}"
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


def test_the_base_is_not_trained(empty_store):
    spec = RunSpec(ARMS["base"], "L", "A3", replace(load_profile("ci"), rl=RL))
    execute.train(spec)
    assert not spec.trained and not (spec.folder / "policy").exists() and execute.is_trained(spec)
    others = [arm.name for arm in ARMS.values() if arm.trainer in ("none", "sft", "dpo")]
    assert others == ["base", "SFT", "DPO"]


def test_an_unknown_arm_is_named_with_the_choices():
    with pytest.raises(RTTError, match="unknown arm 'zzz'; there are: base, SFT"):
        find_arm("zzz")
    with pytest.raises(RTTError, match=r"unknown arm 'RTT-AON lrr 0.1'; did you mean"):
        find_arm("RTT-AON lrr 0.1")
    assert all(name == arm.name for name, arm in ARMS.items())


def test_settings_behind_a_name_reach_the_trainer(made, tmp_path):
    task = task_of(replace(load_profile("ci"), rl=replace(RL, warmup_steps=7)), "L",
                   "RTT-AON beta 0.25 lr 0.002 minibatches 4 steps 3", tmp_path)  # fmt: skip
    with pytest.raises(Stop):
        rl.train(task, tmp_path)
    args = made["args"]
    found = (args.token_beta, args.learning_rate, args.steps_per_generation, args.max_steps, args.warmup_steps)
    assert found == (0.25, 0.002, 4, 3 * 4, 7)  # one pass each update, so a rollout step is four of them
    assert args.per_device_train_batch_size == 4 * 8 // 4 and len(task.prompts) == 3 * 4  # 4 prompts a step
    assert row(made) == METHOD | {"beta": 0.25, "reward": "aon"}


def test_an_arm_can_read_the_discriminator_of_another_base_policy(made, tmp_path):
    task = task_of(load_profile("ci"), "L", "RTT-AON discriminator C beta 0.25", tmp_path)
    assert (task.seed, task.number, task.arm.reads) == ("C3", 3, "C"), "the number is the run's own"
    assert replace(find_arm("RTT-AON discriminator C"), name="", about="", reads="") == replace(
        ARMS["RTT-AON"], name="", about=""
    )


def test_settings_change_only_what_they_name():
    plain, tuned = find_arm("RL-CSR"), find_arm("RL-CSR lr 1e-05 minibatches 1")
    assert tuned.over(RL) == replace(RL, learning_rate=1e-5, minibatches=1) and plain.over(RL) is RL
    assert replace(tuned, name=plain.name, about=plain.about, settings=()) == plain
    named = find_arm("RTT-AON beta 0.25 steps 5")
    assert replace(named, name="", about="", settings=()) == replace(ARMS["RTT-AON beta 0.25"], name="", about="")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("RTT-AON lr 1e-3", "learning_rate must be above zero and written 0.001"),
        ("RTT-AON lr 0", "learning_rate must be above zero"),
        ("RTT-AON beta 0.50", "beta must be above zero and written 0.5"),
        ("RTT-AON steps 3 lr 0.1", "unknown arm"),
        ("RTT-AON minibatches 0", "unknown arm"),
        ("RTT-AON discriminator b", "unknown arm"),
        ("RTT-AON lr 0.1 discriminator B", "unknown arm"),
        ("RL-AON discriminator B", "'RL-AON' reads no discriminator"),
        ("RTT-CSR oracle discriminator B", "'RTT-CSR oracle' reads no discriminator"),
        ("RL-AON beta 0.5", "'RL-AON' takes no beta"),
        ("GDPO-CSR beta 0.5", "'GDPO-CSR' takes no beta"),
        ("RTT-AON beta 0.75 beta 0.5", "'RTT-AON beta 0.75' takes no beta"),
        ("SFT lr 0.1", "'SFT' takes no learning_rate"),
        ("base steps 3", "'base' takes no steps"),
    ],
)
def test_a_run_has_one_name_and_no_setting_without_effect(name, says):
    with pytest.raises(RTTError, match=says):
        find_arm(name)
