"""Memory of a GPU: the arithmetic of a dry run, against a real model spread over 32 processes on the meta device."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from rtt_lib.run.memory import lines, parts
from rtt_lib.studies.execute import FSDP2
from rtt_lib.studies.profiles import load_profile

# Qwen3-4B as its card gives it; no weights are needed to count them.
ON_META = """
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM, Qwen3Config

dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=32)
mesh = init_device_mesh("cpu", (32,))
config = Qwen3Config(
    hidden_size=2560, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
    intermediate_size=9728, vocab_size=151936, tie_word_embeddings=True,
)
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config)
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
print(sum(p.to_local().numel() for p in model.parameters()))
"""


def test_the_sum_of_the_4b_profile_by_hand():
    profile = load_profile("paper-qwen3-4b")
    found = {part.name: part.gigabytes for part in parts(profile)}
    assert found == {"policy": 16 * 4 / 32, "discriminator": 2 * 4, "vLLM": 0.3 * 80}
    assert "together         34.0 GB" in lines(profile)[-1] and "; fits a card of 80 GB" in lines(profile)[-1]
    alone = replace(profile, compute=replace(profile.compute, policy_gpus=1))
    assert "; does not fit" in lines(alone)[-1], "64 + 8 + 24 GB"
    assert lines(load_profile("micro")) == []


@pytest.mark.slow
def test_it_is_what_fsdp2_keeps_on_each_gpu():
    done = subprocess.run([sys.executable, "-c", ON_META], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    policy = parts(load_profile("paper-qwen3-4b"))[0]
    assert 16 * int(done.stdout.split()[-1]) / 1e9 == pytest.approx(policy.gigabytes, rel=0.02)


def test_accelerate_reads_its_configuration():
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(FSDP2))
    assert config.distributed_type == "FSDP" and config.fsdp_config["fsdp_version"] == 2
    assert yaml.safe_load(FSDP2.read_text())["mixed_precision"] == "bf16"
