"""What measures speed compares what it says: real runs, small ones."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from text_toy import IFEVAL

from rtt_lib.bench.fast import FastSampler
from rtt_lib.credit import token_advantage
from rtt_lib.files import write_jsonl
from rtt_lib.run import speed


def test_the_list_based_way_is_the_released_scheme():
    batch = speed.random_batch(responses=24, tokens=12)
    assert [x.shape for x in batch] == [(24, speed.CRITERIA), (24, speed.CRITERIA, 12), (24, 12)]
    found = torch.cat(speed.list_based(speed.nested_lists(*batch)))
    released = token_advantage(*(x.double() for x in batch), speed.GROUP, "released")
    torch.testing.assert_close(found, released, atol=1e-6, rtol=0)
    assert found.abs().max() > 0.1


def test_credit_prints_times_and_memory(capsys):
    speed.credit(rounds=2, responses=64, tokens=128, schemes=("intra",))
    first, lists, scheme = capsys.readouterr().out.splitlines()
    assert first.startswith(f"64 x {speed.CRITERIA} x 128, ") and lists.startswith("nested lists: ")
    found = re.fullmatch(r"intra +(\d+\.\d+) s, (\d+) times faster, peak memory (\d+\.\d+) x its input", scheme)
    assert found, scheme


def test_the_peak_is_that_of_the_call(capsys):
    """Credit makes several tensors as large as its input, and not a hundred."""
    speed.memory("intra", 64, 4096)
    assert 0 <= float(capsys.readouterr().out) < 20


def test_a_step_of_each_is_timed(capsys):
    speed.step(steps=2, prompts=2)
    first, second, third = capsys.readouterr().out.splitlines()[-3:]
    assert first.startswith("micro world, 16 responses a step") and first.endswith("median of 2 alternating steps")
    grpo, rtt = map(float, re.fullmatch(r"GRPO (\S+) ms, RTT-GRPO (\S+) ms", second).groups())
    assert grpo > 0 and rtt > 0
    ratio = float(re.match(r"ratio of medians (\S+), ", third)[1])
    assert ratio == pytest.approx(rtt / grpo, rel=0.1)


def test_both_trainers_learn_nothing_and_only_one_credits_tokens(tmp_path):
    """With a learning rate of 0 the same seed gives both the same responses, so what differs is the credit."""
    rtt, grpo = (speed._trainer(str(tmp_path), beta, steps=1, prompts=2) for beta in (0.5, 0.0))
    before = [weight.clone() for weight in rtt.model.parameters()]
    for trainer in (rtt, grpo):
        speed._rollout_step(trainer, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, rtt.model.parameters(), strict=True))
    logs = [trainer.state.log_history[-1] for trainer in (rtt, grpo)]
    assert logs[0]["verdict/csr"] == logs[1]["verdict/csr"]
    assert logs[0]["credit/a_tok_abs"] > 0 and "rtt/relevance_seconds" in logs[0]


def test_the_samplers_do_the_same_work(capsys, monkeypatch):
    lengths, made = [], {}
    for name in ("_generate", "_fast"):
        whole = getattr(speed, name)
        monkeypatch.setattr(speed, name, lambda *a, whole=whole, name=name: made.update({name: a[1:]}) or whole(*a))
    whole = FastSampler.sample
    monkeypatch.setattr(FastSampler, "sample", lambda *a: lengths.append(whole(*a).shape))
    speed.sampler(("micro", "no model"), batches=(2, 12), tokens=5, rounds=1)
    first, second, left_out = capsys.readouterr().out.splitlines()
    for line, batch in ((first, 2), (second, 12)):
        found = re.fullmatch(
            rf"micro, torch.float32, {batch} x 5 tokens, \d+ threads, cpu, median of 1: "
            r"generate (\d+), fast (\d+) tokens/s, (\d+\.\d+) times",
            line,
        )
        generate, fast, ratio = map(float, found.groups())
        assert generate > 0 and ratio == pytest.approx(fast / generate, rel=0.2, abs=0.01)
    assert left_out.startswith("no model: left out, model 'no model': not a folder")
    assert lengths == [(2, 5)] * 2 + [(12, 5)] * 2 and made["_generate"] == made["_fast"]
    prompts, tokens = made["_fast"]
    assert tokens == 5 and len(prompts) == 12 and len(set(map(tuple, prompts))) == 2


def test_a_command_is_timed_with_its_processor_time():
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    wall, processor = speed.wall_and_processor([sys.executable, "-c", busy])
    assert 0.6 <= processor < 5 and wall > 0.5
    wall, processor = speed.wall_and_processor([sys.executable, "-c", "import time; time.sleep(1)"])
    assert wall > 1 and processor < 0.9


def test_grading_is_compared_with_another_command(tmp_path, capsys):
    write_jsonl(tmp_path / "ifeval.jsonl", IFEVAL)
    rows = [{"prompt": row["prompt"], "response": "One"} for row in IFEVAL]
    write_jsonl(tmp_path / "responses.jsonl", rows)
    command = f"{sys.executable} -c pass"
    speed.grading(str(tmp_path / "ifeval.jsonl"), str(tmp_path / "responses.jsonl"), command, rounds=1)
    wall, processor = capsys.readouterr().out.splitlines()
    for line, kind in ((wall, "wall"), (processor, "processor")):
        found = re.fullmatch(rf"{kind} time, median of 1: ours (\S+) s, other (\S+) s, (\S+) times", line)
        ours, other, ratio = map(float, found.groups())
        assert ours > other > 0 and ratio == pytest.approx(ours / other, rel=0.3)
    with pytest.raises(subprocess.CalledProcessError):
        speed.grading("nothing", "nothing", command, rounds=1)


def test_other_words_are_refused():
    with pytest.raises(SystemExit, match=r"credit\|step\|sampler"):
        speed.main(["memory"])
