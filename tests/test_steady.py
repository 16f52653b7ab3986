"""What `SteadyGRPOTrainer` adds to TRL's, beside what tests/test_rtt_grpo.py shows of it through RTT-GRPO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_rtt_grpo import HERE, rollouts, run_python, settings
from transformers import LlamaForCausalLM

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


# --- FSDP2 ---


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in LlamaForCausalLM.from_pretrained(folder).parameters()])


def log_of(checkpoint: Path) -> list[dict]:
    return json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]


def test_fsdp2_in_two_processes_is_one_process(tmp_path):
    """Advantages, gradients, weights, a checkpoint between two minibatches, a step that is not finite, sampling."""
    script, launch = str(HERE / "two_processes.py"), ("-m", "torch.distributed.run", "--standalone")
    run_python(script, str(tmp_path / "one"), "unsharded", cwd=tmp_path)
    run_python(*launch, "--nproc_per_node", "2", script, str(tmp_path / "two"), "fsdp2", cwd=tmp_path)

    for step in (0, 2):
        one, two = (rollouts(tmp_path / name, step) for name in ("one", "two"))
        assert [row["tokens"] for row in one] == [row["tokens"] for row in two] and len(one) == 12
        for a, b in zip(one, two, strict=True):
            assert a["a_res"] == pytest.approx(b["a_res"], abs=1e-5)
            assert a["a_tok"] == pytest.approx(b["a_tok"], abs=1e-5)
        assert sum(any(row["a_tok"]) for row in one) > 6
    one, two = (log_of(tmp_path / name / "checkpoint-4") for name in ("one", "two"))
    assert [row["grad_norm"] for row in one] == pytest.approx([row["grad_norm"] for row in two], rel=1e-4)

    trained = weights(tmp_path / "one" / "model")
    for name in ("model", "resumed"):
        torch.testing.assert_close(weights(tmp_path / "two" / name), trained, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        weights(tmp_path / "two" / "resumed"), weights(tmp_path / "two" / "model"), atol=0, rtol=0
    )
    assert (weights(tmp_path / "one" / "checkpoint-3") - trained).abs().max() > 1e-3

    first, second, third = (weights(tmp_path / "two" / "bad" / f"checkpoint-{n}") for n in (1, 2, 3))
    assert torch.equal(first, second) and not torch.equal(second, third)
    assert [row["rtt/skipped_steps"] for row in log_of(tmp_path / "two" / "bad" / "checkpoint-3")] == [0, 1, 0]
    assert weights(tmp_path / "two" / "sampled" / "model").isfinite().all()
    assert len(rollouts(tmp_path / "two" / "sampled")) == 12
