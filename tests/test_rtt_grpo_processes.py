"""RTTGRPOTrainer in processes of its own: two that share a step, and the script of the README."""

from __future__ import annotations

import re

import pytest
import torch
from rtt_grpo_toy import HERE, byte_tokenizer, rollouts, run_python, tiny_model
from transformers import LlamaForCausalLM


@pytest.mark.slow
def test_two_processes_give_the_advantages_of_one(tmp_path):
    script = str(HERE / "two_processes.py")
    run_python(script, str(tmp_path / "one"), cwd=tmp_path)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    run_python(*launch, script, str(tmp_path / "two"), cwd=tmp_path)
    for name in ("intra", "inter", "relative", "inter without EOS"):
        one, two = (rollouts(tmp_path / folder / name) for folder in ("one", "two"))
        assert [row["response"] for row in one] == [row["response"] for row in two] and len(one) == 12
        assert len({len(row["tokens"]) for row in one}) > 3
        for a, b in zip(one, two, strict=True):
            assert a["a_res"] == pytest.approx(b["a_res"], abs=1e-5)
            assert a["a_tok"] == pytest.approx(b["a_tok"], abs=2e-4)
        assert any(any(row["a_tok"]) for row in one[4:8]), "the group that sits on both has no credit to compare"
        models = [LlamaForCausalLM.from_pretrained(tmp_path / folder / name / "model") for folder in ("one", "two")]
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    eos = [row["a_tok"][-1] for row in rollouts(tmp_path / "two" / "inter without EOS") if row["tokens"][-1] == "<eos>"]
    assert eos and not any(eos)


@pytest.mark.slow
def test_the_script_in_the_readme_trains(tmp_path):
    """As printed, but for the model (a tiny one) and the length of the run."""
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    [script] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "RTTGRPOTrainer" in block]
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    tokenizer = byte_tokenizer()
    tiny_model(len(tokenizer)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    short = "max_steps=2, max_completion_length=8, use_cpu=True, bf16=False, save_rollouts_every=1, "
    for old, new in (
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "model"),
        ('RTTGRPOConfig("out", ', f'RTTGRPOConfig("out", {short}'),
    ):
        assert script.count(old) == 1
        script = script.replace(old, new)
    (tmp_path / "script.py").write_text(script)
    run_python("script.py", cwd=tmp_path)
    rows = rollouts(tmp_path / "out")
    assert len(rows) == 8 and all(len(row["verdicts"]) == len(row["criteria"]) == 2 for row in rows)
    assert any(any(row["a_tok"]) for row in rows)
