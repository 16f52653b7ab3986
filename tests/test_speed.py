"""What measures speed compares what it says: real runs, small ones."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from text_toy import IFEVAL
from transformers import LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

from rtt_lib.bench.fast import FastSampler
from rtt_lib.credit import token_advantage
from rtt_lib.files import write_jsonl
from rtt_lib.run import speed
from rtt_lib.worlds.micro.policy import micro_config


def test_the_list_based_way_is_the_released_scheme():
    batch = speed.random_batch(responses=24, tokens=12)
    assert [x.shape for x in batch] == [(24, speed.CRITERIA), (24, speed.CRITERIA, 12), (24, 12)]
    found = torch.cat(speed.list_based(speed.nested_lists(*batch)))
    released = token_advantage(*(x.double() for x in batch), speed.GROUP, "released")
    torch.testing.assert_close(found, released, atol=1e-6, rtol=0)
    assert found.abs().max() > 0.1


def test_credit_prints_times_and_memory(capsys, monkeypatch):
    def in_this_process(command, **options):
        """What a process of its own would print: starting one takes seconds."""
        assert command[:3] == [sys.executable, "-m", "rtt_lib.run.speed"]
        found = StringIO()
        with redirect_stdout(found):
            speed.main(command[3:])
        return SimpleNamespace(stdout=found.getvalue())

    monkeypatch.setattr(subprocess, "run", in_this_process)
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


def cells_of(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")[1:-1]]


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


def test_the_cost_of_criteria_is_relative_to_one(capsys):
    speed.relevance(rounds=2, counts=(1, 12), responses=32)
    first, _, header, _, one_by_one, packed = capsys.readouterr().out.splitlines()[:6]
    assert first.startswith("micro world, 32 responses in groups of 8, median of 2; ") and "commit" in first
    assert cells_of(header) == ["discriminator", "ms for one criterion", "K = 1", "K = 12"]
    one_by_one, packed = cells_of(one_by_one), cells_of(packed)
    assert (one_by_one[0], packed[0]) == ("per criterion", "packed") and float(packed[1]) > 0
    assert float(packed[2]) == float(one_by_one[2]) == 1
    assert float(packed[3]) < float(one_by_one[3])  # which reads every response twelve times


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


def test_shared_prompts_give_the_same_loss_and_gradient(capsys):
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(50))
    speed.shared_prompts(model, "tiny", prompts=2, prompt_tokens=24, tokens=6, rounds=2)
    first, header, _, training, old, last = filter(None, capsys.readouterr().out.splitlines())
    assert first.startswith("tiny; 2 x 8 responses of 6 tokens, prompts of 24; ") and "commit" in first
    assert cells_of(header) == ["pass", "seconds without", "seconds with", "times faster", "least", "most"]
    for row, name in ((training, "training"), (old, "old log-probabilities")):
        task, *numbers = cells_of(row)
        without, shared, ratio, least, most = map(float, numbers)
        assert task == name and without > 0 and shared > 0 and 0 < least <= ratio <= most
    loss, gradient = map(float, re.search(r"differs by (\S+), the gradient by (\S+) of", last).groups())
    assert loss < 1e-5 and gradient < 1e-4


def test_a_wrong_way_would_be_seen():
    """Both ways compute something that differs where responses differ."""
    model = LlamaForCausalLM(micro_config(50))
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids, mask = speed.prompts_and_responses(model, 2, 5, 3)
    assert ids.shape == (16, 8) and torch.equal(ids[0, :5], ids[7, :5]) and not torch.equal(ids[7, :5], ids[8, :5])
    plain = speed.plain_log_probs(model, ids, mask, 3)
    assert plain.shape == (16, 3) and plain.std() > 0
    loss, gradient = speed.loss_and_gradient(model, lambda: speed.plain_log_probs(model, ids, mask, 3))
    other, other_gradient = speed.loss_and_gradient(model, lambda: speed.plain_log_probs(model, ids.flip(0), mask, 3))
    assert (
        loss == pytest.approx(-other, abs=1e-5)
        and (gradient + other_gradient).abs().max() < 1e-4 < gradient.abs().max()
    )


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
    with pytest.raises(SystemExit, match=r"relevance\|credit\|step\|sampler"):
        speed.main(["memory"])
