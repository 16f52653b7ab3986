"""What `test_fault_kills` kills: each goes on where an earlier attempt in the same folder was killed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from toys import micro_tokenizer, tiny

from rtt_lib import profile
from rtt_lib.bench.generate import generate
from rtt_lib.endpoint import Endpoint
from rtt_lib.files import write_json
from rtt_lib.methods.arms import find_arm
from rtt_lib.relevance.discriminator import train_discriminator
from rtt_lib.relevance.llm_annotate import annotate_many
from rtt_lib.store import STORE
from rtt_lib.studies import execute
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify.judge import Judge
from rtt_lib.worlds.micro.corpus import micro_examples
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.world import MicroWorld

CASES = [(f"Criterion {n}", "Prompt", f"a response {n}") for n in range(60)]
RL = profile.RL(
    steps=12, prompts_per_step=2, group_size=2, learning_rate=1e-3, warmup_steps=1,
    temperature=1.0, top_p=1.0, top_k=0, max_response_tokens=8,
)  # fmt: skip
PROFILE = profile.Profile(
    "storm", "", profile.Data("micro"), profile.Policy("micro", 2), profile.Discriminator("micro"), RL,
    evaluation=profile.Evaluation(prompts=16),
)  # fmt: skip
SPEC = RunSpec(find_arm("RTT-CSR oracle"), "L", "A0", PROFILE)
DISCRIMINATOR = profile.Discriminator(
    model="micro", epochs=1, learning_rate=1e-2, micro_batch=16, global_batch=32, max_length=64
)


def judge(url: str, folder: Path) -> None:
    verdicts = Judge(Endpoint(url, "some-model", concurrency=4), cache=folder / "cache").check_many(CASES)
    write_json(folder / "verdicts.json", [verdict.value for verdict in verdicts])


def annotate(url: str, folder: Path) -> None:
    pairs = [(criterion, response) for criterion, _, response in CASES]
    found = annotate_many(pairs, Endpoint(url, "some-model", concurrency=4), cache=folder / "cache")
    write_json(folder / "labels.json", [one.label.spans for one in found])


def responses(model: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    settings = profile.Evaluation(completions=2, temperature=0.9, top_p=0.95, top_k=30, max_tokens=10)
    prompts = sample_prompts(find_world("L"), 20, "storm")
    generate(prompts, model, settings, folder / "responses.jsonl", batch_size=2)


def policy(folder: Path) -> None:
    """An RL run with a checkpoint every second rollout, in a store of its own."""
    torch.set_num_threads(1)
    os.environ[STORE] = str(folder)
    MicroWorld.checkpoint_every = 2
    execute.run(SPEC)


def discriminator(folder: Path) -> None:
    torch.set_num_threads(1)
    examples = micro_examples([find_world("L")], 200, seed=0)
    options = {"save_strategy": "steps", "save_steps": 1}
    backbone = tiny("llama", micro_tokenizer())
    train_discriminator(examples, backbone, folder, replace(DISCRIMINATOR), 0, options=options)
