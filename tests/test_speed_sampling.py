"""Both samplers do the same work."""

from __future__ import annotations

import re

import pytest

from rtt_lib.bench.fast import FastSampler
from rtt_lib.run.speed import sampling as speed


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
