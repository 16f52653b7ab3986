"""The fast loop gives the tokens of `model.generate`: greedy and sampled, padded, grouped, compacted, in bfloat16."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    MistralConfig,
    MistralForCausalLM,
)

from rtt_lib.bench import fast
from rtt_lib.bench.draw import draw, noise
from rtt_lib.bench.fast import Batch, FastSampler, Llama, unsupported
from rtt_lib.bench.generate import SeededSampling, generate, until_stop
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.profile import Evaluation
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import pretrain

PAD, STOPS, VOCABULARY = 0, [1, 2], 50
TINY = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
SAMPLED = Evaluation(temperature=0.8, top_p=0.95, top_k=30, max_tokens=24)
GREEDY = replace(SAMPLED, temperature=0.0)
LENGTHS = (9, 3, 12, 1, 12, 5)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3["original_max_position_embeddings"] = 16
KINDS = {
    "grouped queries": {"num_key_value_heads": 2},
    "one key head, tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "wide heads": {"num_key_value_heads": 4, "head_dim": 16},
    "llama3 positions": {"num_key_value_heads": 2, "rope_parameters": LLAMA3},
}


def llama(kind: str = "grouped queries", seed: int = 0) -> LlamaForCausalLM:
    """Random and tiny, with large weights, so that its responses differ and some of them end."""
    torch.manual_seed(seed)
    settings = {"tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}
    config = LlamaConfig(**TINY | {"initializer_range": 0.3} | settings | KINDS[kind])
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    return model


def prompts_of(lengths=LENGTHS, seed: int = 0) -> list[list[int]]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (length,), generator=rng).tolist() for length in lengths]


def reference(model, prompts, settings, seeds, stops=STOPS, pad=PAD) -> list[list[int]]:
    """`model.generate` as the transformers backend uses it, up to the stop token."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    model.generation_config = GenerationConfig(
        eos_token_id=stops, pad_token_id=pad, max_new_tokens=settings.max_tokens, do_sample=False
    )
    seeded = [SeededSampling(settings, seeds, width)] if settings.temperature else []
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=mask, logits_processor=LogitsProcessorList(seeded))
    return [until_stop(row, stops).ids for row in out[:, width:].tolist()]


def fast_ones(model, prompts, settings, seeds, stops=STOPS, pad=PAD, dtype=None) -> list[list[int]]:
    ids = FastSampler(model, stops, pad, dtype).sample(prompts, settings, noise(seeds, settings.max_tokens))
    return [until_stop(row, stops).ids for row in ids.tolist()]


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    """A base policy of the micro world, whose responses end by themselves."""
    folder = tmp_path_factory.mktemp("micro")
    pretrain(find_world("L"), steps=60, seed=0, output=folder, batch=32)
    return folder


# --- the same tokens ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [GREEDY, SAMPLED, replace(SAMPLED, top_p=1.0, top_k=0)], ids=["0", "cut", "all"])
def test_the_tokens_are_those_of_generate(kind, settings):
    model, prompts = llama(kind), prompts_of()
    expected = reference(model, prompts, settings, range(6), stops=[])
    assert fast_ones(model, prompts, settings, range(6), stops=[]) == expected
    assert len({tuple(ids) for ids in expected}) == 6 and {len(ids) for ids in expected} == {24}


def test_without_padding_too():
    model, prompts = llama(), prompts_of([7, 7, 7])
    assert fast_ones(model, prompts, SAMPLED, range(3)) == reference(model, prompts, SAMPLED, range(3))


def test_a_response_does_not_depend_on_those_beside_it():
    model, prompts = llama(), prompts_of()
    together = fast_ones(model, prompts, SAMPLED, range(6))
    alone = [fast_ones(model, [prompt], SAMPLED, [seed])[0] for seed, prompt in enumerate(prompts)]
    assert together == alone


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_the_micro_base_policy_says_the_same(micro, settings):
    model, tokenizer = load_causal_lm(micro).eval(), load_tokenizer(micro)
    prompts = [tokenizer(p.prompt).input_ids for p in sample_prompts(find_world("L"), 40, "fast")]
    stops, pad = [tokenizer.eos_token_id], tokenizer.pad_token_id
    expected = reference(model, prompts, settings, range(40), stops, pad)
    assert fast_ones(model, prompts, settings, range(40), stops, pad) == expected
    assert len(set(map(len, prompts))) > 1 and sum(len(ids) < 24 for ids in expected) > 10


def test_responses_that_have_ended_leave_the_batch(monkeypatch):
    sizes, whole = [], Batch.shrink
    monkeypatch.setattr(Batch, "shrink", lambda *a: sizes.append(a[1:3]) or whole(*a))
    monkeypatch.setattr(fast, "CHECK_EVERY", 2)
    model, prompts = llama(), prompts_of([3, 8, 5] * 8)
    expected = reference(model, prompts, SAMPLED, range(24))
    assert fast_ones(model, prompts, SAMPLED, range(24)) == expected
    assert len(sizes) >= 2 and sizes[0][0] == 24 and all(fewer <= 0.75 * rows for rows, fewer in sizes)
    assert {len(ids) for ids in expected} >= {0, 24}, "some end at once, some never"


def test_the_responses_to_one_prompt_share_its_pass(monkeypatch):
    passes, whole = [], Llama.__call__
    seen = lambda self, ids, *rest: passes.append(tuple(ids.shape)) or whole(self, ids, *rest)  # noqa: E731
    monkeypatch.setattr(Llama, "__call__", seen)
    monkeypatch.setattr(fast, "PROMPT_TOKENS", 24)
    model, (a, b, c) = llama(), prompts_of([9, 4, 12])
    prompts = [a, a, b, c, a, c, c]  # in no order
    assert fast_ones(model, prompts, SAMPLED, range(7)) == reference(model, prompts, SAMPLED, range(7))
    assert passes[:3] == [(2, 12), (1, 12), (7, 1)], "two prompts fit into a pass of 24 tokens"


def test_the_next_batch_finds_nothing_of_the_last():
    model, first, second = llama(), prompts_of(), prompts_of([2, 6], seed=1)
    sampler = FastSampler(model, STOPS, PAD)
    sampler.sample(first, SAMPLED, noise(range(6), 24))
    batch = sampler.batch
    found = sampler.sample(second, SAMPLED, noise([8, 9], 24))
    assert sampler.batch is batch, "it is large enough"
    assert [until_stop(row, STOPS).ids for row in found.tolist()] == reference(model, second, SAMPLED, [8, 9])
    sampler.sample(first * 2, SAMPLED, noise(range(12), 24))
    assert sampler.batch is not batch


@pytest.mark.parametrize("kind", ["grouped queries", "one key head, tied"])
def test_after_load_it_is_the_other_model(kind):
    model, other, prompts = llama(kind), llama(kind, seed=1), prompts_of()
    sampler = FastSampler(model, STOPS, PAD)
    before = sampler.sample(prompts, GREEDY, noise(range(6), 24))
    sampler.load(other)
    after = [until_stop(row, STOPS).ids for row in sampler.sample(prompts, GREEDY, noise(range(6), 24)).tolist()]
    assert after == reference(other, prompts, GREEDY, range(6))
    sampler.load(model)
    assert torch.equal(sampler.sample(prompts, GREEDY, noise(range(6), 24)), before)


def test_what_is_behind_the_stop_token_is_padding():
    model, prompts = llama(), prompts_of()
    expected = reference(model, prompts, SAMPLED, range(6))
    found = FastSampler(model, STOPS, PAD).sample(prompts, SAMPLED, noise(range(6), 24)).tolist()
    for row, said in zip(found, expected, strict=True):
        assert row[: len(said)] == said and set(row[len(said) : len(said) + 1]) <= set(STOPS)
        assert set(row[len(said) + 1 :]) <= {PAD}
    assert sum(len(said) < 20 for said in expected) >= 3


def test_sizes_as_graphs_want_them_change_no_token(monkeypatch):
    """There is no GPU here: a stand-in for a graph runs the step that would have been captured."""
    replayed, shrunk, whole = [], [], Batch.shrink

    def captured(sampler, *size):
        return SimpleNamespace(replay=lambda: replayed.append(size[:2]) or sampler._next(*size))

    monkeypatch.setattr(FastSampler, "_captured", captured)
    monkeypatch.setattr(Batch, "shrink", lambda *a: shrunk.append(a[1:3]) or whole(*a))
    monkeypatch.setattr(fast, "GRAPH_ROWS", 8)
    monkeypatch.setattr(fast, "GRAPH_COLUMNS", 16)
    monkeypatch.setattr(fast, "CHECK_EVERY", 2)
    model, prompts = llama(), prompts_of([3, 8, 5] * 7)
    sampler = FastSampler(model, STOPS, PAD)
    sampler.use_graphs = True
    for seeds in (range(21), range(21, 42)):  # the second batch finds the graphs of the first
        expected = reference(model, prompts, SAMPLED, seeds)
        found = sampler.sample(prompts, SAMPLED, noise(seeds, 24))
        assert [until_stop(row, STOPS).ids for row in found.tolist()] == expected
    assert len(replayed) > 20 and shrunk[0][0] == 24
    assert {rows % 8 for rows, _ in replayed} == {columns % 16 for _, columns in replayed} == {0}


# --- bfloat16 ---


@pytest.mark.parametrize("autocast", [False, True])
def test_in_bfloat16_the_greedy_tokens_agree(micro, autocast):
    """Token by token after what `generate` said in float32, so that one difference does not make all that follow."""
    model, tokenizer = load_causal_lm(micro).eval(), load_tokenizer(micro)
    stops, pad, two = [tokenizer.eos_token_id], tokenizer.pad_token_id, replace(GREEDY, max_tokens=2)
    asked = [tokenizer(p.prompt).input_ids for p in sample_prompts(find_world("L"), 30, "fast")]
    said = reference(model, asked, SAMPLED, range(30), stops, pad)
    prefixes = [p + ids[:n] for p, ids in zip(asked, said, strict=True) for n in range(0, len(ids), 3)]
    model = model if autocast else model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected = reference(model, prefixes, two, range(len(prefixes)), [], pad)
    found = fast_ones(model, prefixes, two, range(len(prefixes)), [], pad, torch.bfloat16)
    same = torch.tensor(found) == torch.tensor(expected)
    assert same.shape[0] > 100 and same.float().mean() > 0.97


# --- mistakes that these tests would see ---


def positions_that_stop(patch):
    whole = Llama.__call__
    patch.setattr(Llama, "__call__", lambda self, ids, at, attend: whole(self, ids, at.clamp(max=12), attend))


def positions_of_padding(patch):
    """Prompt tokens counted with the padding before them, the response's without."""
    whole = Llama.__call__

    def call(self, ids, positions, attend):
        counted = torch.arange(ids.shape[1]).expand_as(ids)
        return whole(self, ids, counted if ids.shape[1] > 1 else positions, attend)

    patch.setattr(Llama, "__call__", call)


def attention_with(patch, change):
    """The mask of prompts is of booleans, and that of responses is added."""
    whole = F.scaled_dot_product_attention
    wrong = lambda *qkv, attn_mask, **how: whole(*qkv, attn_mask=change(attn_mask), **how)  # noqa: E731
    patch.setattr(fast.F, "scaled_dot_product_attention", wrong)


def prompts_that_see_ahead(patch):
    attention_with(patch, lambda mask: mask | mask.any(2, keepdim=True) if mask.dtype == torch.bool else mask)


def padding_that_is_seen(patch):
    attention_with(patch, lambda mask: mask if mask.dtype == torch.bool else torch.zeros_like(mask))


def settings_with(**changes):
    return lambda patch: patch.setattr(fast, "draw", lambda x, u, settings: draw(x, u, replace(settings, **changes)))


def one_token_late(patch):
    patch.setattr(fast, "draw", lambda x, u, settings: draw(x, u.roll(1), settings))


MISTAKES = {
    "positions stop": positions_that_stop,
    "positions count padding": positions_of_padding,
    "prompts see ahead": prompts_that_see_ahead,
    "padding is seen": padding_that_is_seen,
    "no temperature": settings_with(temperature=1.0),
    "no top-k": settings_with(top_k=0, top_p=1.0),
    "another row's noise": one_token_late,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_seen(mistake, monkeypatch):
    model, prompts, settings = llama(), prompts_of(), replace(SAMPLED, temperature=0.7, top_k=5)
    expected = reference(model, prompts, settings, range(6))
    assert fast_ones(model, prompts, settings, range(6)) == expected
    MISTAKES[mistake](monkeypatch)
    assert fast_ones(model, prompts, settings, range(6)) != expected


# --- what it does not run ---


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"attention_bias": True}, "biases"),
        ({"mlp_bias": True}, "biases"),
        ({"hidden_act": "gelu"}, "gelu, not silu"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}}, "dynamic, not one of"),
        ({"dtype": torch.float16}, "float16, not float32"),
    ],
)
def test_other_llamas_are_refused_with_the_reason(changes, reason):
    settings = {"dtype": torch.float32} | changes
    dtype = settings.pop("dtype")
    model = LlamaForCausalLM(LlamaConfig(**TINY | settings)).to(dtype)
    assert reason in unsupported(model)
    with pytest.raises(RTTError, match=reason):
        FastSampler(model, STOPS, PAD)


def test_other_models_are_refused():
    mistral = MistralForCausalLM(MistralConfig(**TINY, num_key_value_heads=2))
    assert "MistralForCausalLM" in unsupported(mistral)
    adapter = get_peft_model(llama(), LoraConfig(r=2, target_modules="all-linear"))
    assert "PeftModel" in unsupported(adapter)
    assert unsupported(llama()) is None


def test_more_tokens_than_the_model_has_positions_are_refused():
    with pytest.raises(RTTError, match="45 tokens of prompt and 24 of response: the model has 64"):
        fast_ones(llama(), prompts_of([45]), GREEDY, [0])


# --- as a backend ---


@pytest.mark.parametrize("settings", [replace(SAMPLED, completions=3), replace(GREEDY, completions=1)])
def test_the_backend_writes_what_the_transformers_backend_writes(micro, tmp_path, settings):
    prompts = sample_prompts(find_world("L"), 6, "backend")
    slow = generate(prompts, micro, settings, tmp_path / "slow.jsonl", batch_size=7)
    quick = generate(prompts, micro, settings, tmp_path / "quick.jsonl", "fast", batch_size=7)
    assert quick.read_bytes() == slow.read_bytes()
    assert len(list(read_jsonl(quick))) == 6 * settings.completions
    assert read_json(tmp_path / "quick.jsonl.json")["backend"] == "fast"


def test_the_backend_refuses_a_model_with_the_reason(micro, tmp_path):
    folder = tmp_path / "other"
    MistralForCausalLM(MistralConfig(**TINY, num_key_value_heads=2)).save_pretrained(folder)
    load_tokenizer(micro).save_pretrained(folder)
    with pytest.raises(RTTError, match=r"MistralForCausalLM.*sampler 'transformers'"):
        generate(sample_prompts(find_world("L"), 1, "x"), folder, GREEDY, tmp_path / "r.jsonl", "fast")
