"""How an arm and a profile's `rl` section become a trainer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from arms_toy import RL, Stop, start_micro, start_text, trainer_arguments

from rtt_lib.methods import rl


@pytest.fixture
def made(monkeypatch):
    return trainer_arguments(monkeypatch)


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
