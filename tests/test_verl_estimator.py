"""verl's own registry and `compute_advantage` on CPU, against TRL's trainer. Needs verl 0.9, see docs/verl.md."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from rtt_grpo_toy import HERE
from test_token_rewards import trained_on

from rtt_lib.errors import RTTError

pytest.importorskip("verl")
NAMED = """
import os, verl
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
print(get_adv_estimator_fn("rtt").__module__)
"""


def compute(batch, config: dict) -> torch.Tensor:
    from verl import DataProto
    from verl.trainer.ppo.ray_trainer import compute_advantage

    tensors = {"token_level_rewards": batch.token_rewards(), "response_mask": batch.mask.long()}
    data = DataProto.from_dict(tensors=tensors, non_tensors={"uid": np.array(batch.groups, dtype=object)})
    return compute_advantage(data, "rtt", config=config).batch["advantages"]


def test_verls_advantages_are_trls(tmp_path):
    import rtt_lib.methods.verl_estimator  # noqa: F401

    batch = trained_on(tmp_path, "intra")
    found = compute(batch, {})
    torch.testing.assert_close(found, batch.advantages * batch.mask, atol=1e-6, rtol=0)
    assert found.std(1).max() > 0.1


def test_a_penalty_inside_the_rewards_is_refused(tmp_path):
    import rtt_lib.methods.verl_estimator  # noqa: F401

    with pytest.raises(RTTError, match="which would be read as token credit"):
        compute(trained_on(tmp_path, "intra"), {"use_kl_in_reward": True})


def test_verl_finds_it_by_the_variable_of_the_recipe():
    """In a process of its own, as verl's workers are."""
    import os

    environment = os.environ | {
        "VERL_USE_EXTERNAL_MODULES": "rtt_lib.methods.verl_estimator", "PYTHONPATH": str(HERE.parent)
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", NAMED], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["rtt_lib.methods.verl_estimator"], done.stderr[-2000:]
