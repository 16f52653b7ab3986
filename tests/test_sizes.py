"""How large models are, read off their names."""

from __future__ import annotations

import pytest

from rtt_lib.run.sizes import billions_of


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("Qwen/Qwen3-4B-Base", 4),
        ("Qwen/Qwen2.5-7B-Instruct", 7),
        ("meta-llama/Llama-3.2-3B", 3),
        ("Qwen/Qwen2.5-0.5b", 0.5),
        ("smollm2-135m", 0.135),
        ("deepseek-ai/DeepSeek-V3", None),
        ("someone/4Bits", None),
    ],
)
def test_sizes_are_read_off_the_models_names(model, billions):
    assert billions_of(model) == billions
