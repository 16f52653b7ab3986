"""Steps of both trainers are real ones, and their parts add up."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from markdown_rows import cells_of
from text_toy import save_model
from toys import byte_tokenizer, tiny

from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, TEMPLATE_KEY
from rtt_lib.run.speed import steps as speed


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


def test_a_table_says_where_each_step_goes(capsys):
    speed.whole_step(steps=2, prompts=2)
    first, _, header, _, *rows = capsys.readouterr().out.splitlines()[:7]
    assert first.startswith("micro world, 16 responses a step, five criteria each, median of 2 steps, parts in % of")
    names = [name.strip() for name in header.split("|")[1:-1]]
    assert names == ["step", "ms", "of GRPO's", "generation", "verification", "relevance", "credit", "update", "rest"]
    table = {cells[0]: dict(zip(names[1:], map(float, cells[1:]), strict=True)) for cells in map(cells_of, rows)}
    assert list(table) == ["GRPO", "RTT, per criterion", "RTT, packed"]
    for name, row in table.items():
        assert sum(row[part] for part in names[3:]) == pytest.approx(100, abs=10)  # medians of two steps each
        assert all(row[part] > 0 for part in ("ms", "generation", "verification", "update", "rest"))
        assert (row["relevance"] > 0) == (row["credit"] > 0) == name.startswith("RTT")
    assert table["GRPO"]["of GRPO's"] == 1


def toy_discriminator(kind):
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=4096, outputs=kind.OUTPUTS)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    return kind(parts.model, parts.tokenizer)


def test_steps_on_text_are_timed_the_same_way(tmp_path, capsys):
    name = str(save_model(tmp_path / "model"))
    own = {"tokenizer": partial(load_tokenizer, name), "model": partial(load_causal_lm, name)}
    place = replace(speed.TEXT, about="a toy", policy=name, discriminator=toy_discriminator, **own)
    place = replace(place, sampling=place.sampling | {"max_response_tokens": 8, "max_prompt_tokens": 900})
    speed.whole_step(steps=2, prompts=2, place=place)
    first, _, _, _, *rows = capsys.readouterr().out.splitlines()[:7]
    assert first.startswith("a toy, 16 responses a step, one to five criteria each, median of 2 steps")
    assert [cells_of(row)[0] for row in rows] == ["GRPO", "RTT, per criterion", "RTT, packed"]
    grpo, *rtt = ([float(cell) for cell in cells_of(row)[1:]] for row in rows)
    assert grpo[4] == 0 and all(row[4] > 0 for row in rtt), "relevance"


def test_smollm2s_discriminators_have_its_size():
    found = speed.text_discriminator(speed.KINDS["per criterion"])
    weights = sum(weight.numel() for weight in found.model.parameters())
    assert weights == pytest.approx(134.5e6, rel=0.01)


def test_parts_and_ratios_by_hand():
    spent = {"scored": 6.0, "generation": 3.0, "verification": 1.0}
    grpo = speed.parts_of(10.0, spent)
    assert grpo == {
        "whole": 10,
        "generation": 3,
        "verification": 1,
        "relevance": 0,
        "credit": 0,
        "update": 4,
        "rest": 2,
    }
    rtt = speed.parts_of(12.0, {**spent, "scored": 8.0, "relevance": 1.5, "credit": 0.25})
    assert (rtt["update"], rtt["rest"]) == (4.0, 2.25)
    table = speed.step_table({"GRPO": [grpo, grpo, grpo], "RTT": [rtt, rtt, {**grpo, "whole": 30.0}]}).set_index("step")
    assert table.loc["RTT", "of GRPO's"] == 1.2 and table.loc["RTT", "ms"] == 12_000
    assert table.loc["RTT", "relevance"] == 12.5 and table.loc["GRPO", "generation"] == 30


def test_a_clock_adds_up_what_it_wraps():
    clock = speed.Clock()
    wait = clock.wrap("wait", lambda n, times=1: [n] * times)
    assert wait(2, times=3) == [2, 2, 2] and clock.spent["wait"] > 0
    before = clock.spent["wait"]
    wait(1)
    assert clock.spent["wait"] > before
