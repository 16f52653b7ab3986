"""Which prompts RL trains on when: orders, a bandit, a value filter, a scaffold; by hand and in real short runs."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from levels_toy import spec_of, task_of

from rtt_lib.methods.curriculum import (
    Bandit,
    ChosenPrompts,
    InOrder,
    ValueFilter,
    absolute_advantage,
    chooser_of,
    level_of,
    shown,
    trainer_of,
)
from rtt_lib.models import load_causal_lm
from rtt_lib.studies import execute


@pytest.fixture(scope="module")
def prompts():
    return spec_of("RL-CSR", rl__steps="20", rl__prompts_per_step="10").home.prompts(0, None)[0]


def levels(prompts, places) -> list[int]:
    return [level_of(prompts[place]) for place in places]


def test_fixed_orders_use_every_prompt_once(prompts):
    for kind, sign in (("easy to hard", 1), ("reversed", -1)):
        chooser = chooser_of(kind, prompts, 0)
        steps = [chooser.choose(10) for _ in range(20)]
        every = [place for step in steps for place in step]
        assert sorted(every) == list(range(200))
        assert all(sign * (b - a) >= 0 for a, b in pairwise(levels(prompts, every)))
        # within a level the order of training is the one of the other arms
        assert [p for p in every if level_of(prompts[p]) == 3] == [p for p in range(200) if level_of(prompts[p]) == 3]
    assert chooser_of("scaffold", prompts, 0).choose(3) == [0, 1, 2]


def test_grpos_advantage_in_size():
    # 1, 1, 0, 0: mean 1/2, deviation sqrt(1/3)
    assert absolute_advantage([1, 1, 0, 0]) == pytest.approx(0.5 / math.sqrt(1 / 3), abs=1e-3)
    assert absolute_advantage([1, 1, 1]) == 0


def test_the_bandit_goes_where_advantages_are_large(prompts):
    bandit = Bandit(prompts, 0)
    assert max(Counter(levels(prompts, bandit.choose(1000))).values()) < 260, "all levels alike at first"
    for _ in range(10):
        places = bandit.choose(20)
        bandit.learn(places, [[1, 0] if level_of(prompts[p]) == 4 else [0, 0] for p in places], [0.0] * 20)
    counts = Counter(levels(prompts, bandit.choose(1000)))
    size = absolute_advantage([1, 0])
    assert bandit.values[4] == pytest.approx(size, rel=0.01) and bandit.values[1] == 0
    share = math.exp(size / 0.2) / (math.exp(size / 0.2) + 4)
    assert counts[4] / 1000 == pytest.approx(share, abs=0.03)


def test_the_bandit_forgets_half_each_time():
    prompts = spec_of("RL-CSR").home.prompts(0, None)[0]
    bandit = Bandit(prompts, 0)
    place = next(p for p, prompt in enumerate(prompts) if level_of(prompt) == 1)
    size = absolute_advantage([1, 0])
    bandit.learn([place], [[1, 0]], [0.5])
    assert bandit.values[1] == pytest.approx(size / 2)
    bandit.learn([place], [[0, 0]], [0.0])
    assert bandit.values[1] == pytest.approx(size / 4)


def test_the_value_filter_learns_which_prompts_are_met_half_the_time(prompts):
    truth = {1: 0.95, 2: 0.8, 3: 0.5, 4: 0.1, 5: 0.02}
    chooser = ValueFilter(prompts, 0)
    assert chooser.values(range(200)).tolist() == [0.5] * 200
    assert chooser.choose(5) == [0, 1, 2, 3, 4], "nothing is known: the first of the candidates"
    for _ in range(150):
        places = chooser.choose(10)
        chooser.learn(places, [], [truth[level_of(prompts[p])] for p in places])
    values = {
        level: np.mean([chooser.values([p])[0] for p in range(200) if level_of(prompts[p]) == level]) for level in truth
    }
    assert values[1] > values[3] > values[5] and abs(values[3] - 0.5) < 0.2
    late = Counter(level for _ in range(10) for level in levels(prompts, chooser.choose(10)))
    assert late[3] + late[2] + late[4] > 90 and late[3] == max(late.values())


def test_the_sampler_repeats_as_trl_does():
    sampler = ChosenPrompts(InOrder([7, 3, 5, 1]), steps=2, n=2, group=3, times=2)
    assert list(sampler) == [7, 7, 7, 3, 3, 3] * 2 + [5, 5, 5, 1, 1, 1] * 2 and len(sampler) == 24


def test_a_fixed_order_is_sampled_as_trls_own_sampler_would(tmp_path):
    trainer = trainer_of(task_of(spec_of("RL-CSR easy to hard"), tmp_path))
    ours = list(trainer._get_train_sampler())
    order = sorted(range(12), key=lambda place: level_of(trainer._task.prompts[place]))
    reordered = trainer.train_dataset.select(order)
    theirs = [order[k] for k in super(type(trainer).__mro__[1], trainer)._get_train_sampler(reordered)]
    assert ours == theirs


def test_the_scaffold_fades():
    assert shown(0, 0, 8) == pytest.approx(1) and shown(0, 7, 8) == 0
    assert shown(0, 3, 8) == pytest.approx(4 / 7) and shown(0.2, 0, 8) == pytest.approx(0.5)
    assert shown(0.3, 0, 8) < 1e-4


@pytest.mark.usefixtures("one_thread", "empty_store")
def test_the_scaffold_is_seen_in_sampling_and_not_in_learning(tmp_path, monkeypatch):
    trainer = trainer_of(task_of(spec_of("RL-CSR scaffold"), tmp_path))
    seen, learned = [], []
    generate, loss = type(trainer).__mro__[2]._generate_single_turn, trainer._compute_loss

    def watched(self, prompt_ids, *rest):
        seen.append(prompt_ids)
        return generate(self, prompt_ids, *rest)

    monkeypatch.setattr(type(trainer).__mro__[2], "_generate_single_turn", watched)
    trainer._compute_loss = lambda model, inputs: learned.append(inputs["prompt_ids"]) or loss(model, inputs)
    trainer.train()
    tokenizer = trainer.processing_class
    first = [tokenizer.decode(ids).split() for ids in seen[0]]
    for n, prompt in enumerate(trainer._task.prompts[:4]):
        group = first[4 * n : 4 * n + 4]
        bare = prompt.prompt.split()
        assert all(words[-len(bare) :] == bare for words in group)
        parts = [len(words) > len(bare) for words in group]
        expected = [round(shown(0, i, 4) * level_of(prompt)) > 0 for i in range(4)]
        assert parts == expected and not parts[3]
        assert all("<eos>" in words[: -len(bare)] for words, is_there in zip(group, parts, strict=True) if is_there)
    bare = {" ".join(prompt.prompt.split()) for prompt in trainer._task.prompts}
    for batch in learned:
        assert {tokenizer.decode(ids, skip_special_tokens=True) for ids in batch} <= bare


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "empty_store")
@pytest.mark.parametrize("arm", ["RL-CSR bandit", "RTT-CSR filter", "RL-CSR reversed"])
def test_it_trains_on_the_same_number_of_responses_and_says_which_levels(arm):
    spec = spec_of(arm)
    execute.run(spec)
    base, trained = (load_causal_lm(place).state_dict() for place in (spec.home.base("A0"), spec.policy))
    assert any(not torch.equal(base[name], trained[name]) for name in base)
    log = pd.read_csv(spec.folder / "log.csv")
    assert log["step"].tolist() == [1, 2, 3] and log["curriculum/level"].between(1, 5).all()
    if arm == "RL-CSR reversed":
        assert log["curriculum/level"].is_monotonic_decreasing
