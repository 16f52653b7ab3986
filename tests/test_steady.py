"""What `SteadyGRPOTrainer` adds to TRL's, beside what tests/test_rtt_grpo.py shows of it through RTT-GRPO."""

from __future__ import annotations

import pytest
from test_rtt_grpo import settings

from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig
from rtt_lib.methods.steady import SteadyGRPOConfig

# --- DeepSpeed ---


@pytest.mark.parametrize("config", [SteadyGRPOConfig, RTTGRPOConfig])
def test_deepspeed_is_refused_with_the_reason(tmp_path, config, monkeypatch):
    with pytest.raises(RTTError, match=r"inside the backward pass.*could not be skipped.*FSDP2"):
        config(**settings(tmp_path, deepspeed={"zero_optimization": {"stage": 3}}))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")  # what `accelerate launch --use_deepspeed` sets
    with pytest.raises(RTTError, match="inside the backward pass"):
        config(**settings(tmp_path))
