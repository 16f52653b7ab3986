"""vLLM for real, engine and server, on SmolLM2: `make test-vllm` runs these in an environment of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import torch

from rtt_lib.bench.generate import generate, prompt_ids
from rtt_lib.endpoint import Endpoint
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.models import load_causal_lm, load_tokenizer, resolve
from rtt_lib.profile import Evaluation
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.verify.judge import Judge

pytestmark = pytest.mark.vllm
MODEL = "smollm2-135m"
PROMPTS = compose(default_tasks(), 50, seed=3)
GREEDY = Evaluation(completions=1, temperature=0.0, max_tokens=32)
SMALL_CACHE = ("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; otherwise vLLM wants nearly all memory for itself
TIE = 0.01  # of the logits: two kernels that sum in another order differ by less than that in float32


@pytest.fixture(autouse=True)
def small_cache(monkeypatch):
    monkeypatch.setenv(*SMALL_CACHE)


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


def test_both_backends_agree_greedily(tmp_path):
    """Token for token on 50 prompts; where they part, the two tokens must be as good as tied."""
    ours = rows_of(generate(PROMPTS, MODEL, GREEDY, tmp_path / "transformers.jsonl"))
    theirs = rows_of(generate(PROMPTS, MODEL, GREEDY, tmp_path / "vllm.jsonl", backend="vllm"))
    assert [row["id"] for row in ours] == [row["id"] for row in theirs] == [prompt.id for prompt in PROMPTS]
    parted = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    print(f"{len(PROMPTS) - len(parted)} of {len(PROMPTS)} responses are the same token for token")
    model, tokenizer = load_causal_lm(MODEL).eval(), load_tokenizer(MODEL)
    for one, two in parted:
        assert gap_where_they_part(model, tokenizer, one, two) < TIE, (one["response"], two["response"])
    assert len(parted) <= 5


@torch.inference_mode()
def gap_where_they_part(model, tokenizer, one: dict, two: dict) -> float:
    """Between the logits of the two tokens at the first place where the responses differ."""
    first, second = (tokenizer(row["response"], add_special_tokens=False).input_ids for row in (one, two))
    place = next((n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    assert place is not None, "one response is the beginning of the other"
    ids = torch.tensor([prompt_ids(one["prompt"], tokenizer) + first[:place]])
    logits = model(ids).logits[0, -1]
    return abs(float(logits[first[place]] - logits[second[place]]))


def test_sampling_repeats_and_has_a_seed_for_each_response(tmp_path):
    settings = replace(GREEDY, completions=3, temperature=0.7, top_p=0.8, top_k=20)
    first = generate(PROMPTS[:4], MODEL, settings, tmp_path / "first.jsonl", backend="vllm")
    again = generate(PROMPTS[:4], MODEL, settings, tmp_path / "again.jsonl", backend="vllm")
    assert first.read_bytes() == again.read_bytes()
    rows = rows_of(first)
    assert [row["completion"] for row in rows] == [0, 1, 2] * 4
    assert len({row["response"] for row in rows}) > 8  # of 12
    about = read_json(tmp_path / "first.jsonl.json")
    assert about["backend"] == "vllm" and about["responses"] == 12


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of vLLM's OpenAI-compatible server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    # The module behind `vllm serve`: that command of the package vllm-cpu looks for the metadata of "vllm" and fails.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(resolve(MODEL).location)]
    command += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--max-model-len", "2048"]
    environment = os.environ | dict([SMALL_CACHE])
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-6000:]
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    pytest.fail(f"no answer from {url}: {log.read_text()[-6000:]}")


def test_the_judge_asks_a_real_server(server, tmp_path):
    """A model this small judges badly; what is shown is that questions travel, answers are read and kept."""
    judge = Judge(Endpoint(server, MODEL, timeout=300), cache=tmp_path / "judge", max_unknown=1)
    criterion = "The response must mention a colour."
    questions = [(criterion, "Describe a flag.", text) for text in ("It is red.", "It has a pole.")]
    verdicts = judge.check_many(questions)
    assert [verdict.value in (True, False, None) for verdict in verdicts] == [True, True]
    assert judge.usage.requests >= 2
    again = Judge(Endpoint("http://127.0.0.1:9/v1", MODEL, retries=0), cache=tmp_path / "judge", max_unknown=1)
    known = [n for n, verdict in enumerate(verdicts) if verdict.value is not None]
    kept = again.check_many([questions[n] for n in known])
    assert [verdict.value for verdict in kept] == [verdicts[n].value for n in known]
