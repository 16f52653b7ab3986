"""Arms on text, trained for two steps: a transformer of one layer that reads and writes composed prompts."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rtt_lib import models as model_names
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_json, read_jsonl, write_jsonl
from rtt_lib.models import load_causal_lm, load_tokenizer, precision
from rtt_lib.profile import REPOSITORY, Profile, load_profile
from rtt_lib.report import benchmarks as tables
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.run.dry_run import launch_commands
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies import runs, text_runs
from rtt_lib.studies.text_runs import TextRunSpec, is_trained, spec_of
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.text import evaluation as text
from rtt_lib.worlds.text import training as text_run

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SETTINGS = {
    "about": "a toy",
    "data": {"source": "composed", "train_prompts": 6},
    "discriminator": {"model": "smollm2-135m"},
    "rl": {
        "steps": 2,
        "prompts_per_step": 2,
        "group_size": 4,
        "learning_rate": 0.01,
        "warmup_steps": 0,
        "max_prompt_tokens": 900,
        "max_response_tokens": 16,
        "top_k": 0,
    },
    "experiments": {"core": {"arms": ["base", "RL-CSR", "RTT-AON oracle"], "seeds": ["A0"]}},
    "evaluation": {"benchmarks": ["ifeval"], "prompts": 3, "completions": 2, "max_tokens": 5},
}
IFEVAL = [
    {
        "key": key,
        "prompt": f"Say something about number {key} without any commas.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    }
    for key in range(5)
]


def save_model(folder: Path) -> Path:
    """A random Llama of one layer with a byte-level tokenizer of 600 tokens and a chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator((p.prompt for p in compose(default_tasks(), 40, 5)), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=1024, **size, **ends)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with the model, the profile and the benchmark's file; no hub."""
    folder = tmp_path_factory.mktemp("text")
    save_model(folder / "model")
    write_jsonl(folder / "data" / "benchmarks" / "ifeval.jsonl", IFEVAL)
    settings = SETTINGS | {"policy": {"model": str(folder / "model")}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(autouse=True)
def without_hub(here, monkeypatch):
    monkeypatch.setenv("RTT_TEST_DATA", str(here / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model_names.hub_answers.cache_clear()


@pytest.fixture(scope="module")
def profile(here) -> Profile:
    return load_profile(here / "toy.yaml")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


# --- what is to be done ---


def test_a_plan_holds_each_run_once_with_its_discriminator(profile, tmp_path):
    assert runs.plan(profile, ["core", "beyond", "core"], tmp_path) == [
        TextRunSpec(spec.arm, "A0", profile) for spec in runs.plan(profile, ["core"], tmp_path)
    ]
    spec = spec_of(profile, "RTT-AON", "A1", tmp_path)
    assert spec.place == Path("composed/RTT-AON/A1") and (spec.world, spec.number) == ("composed", 1)
    assert spec.discriminator == str(text_runs.SHIPPED)
    greedy = spec_of(profile, "RTT-AON greedy", "A0", tmp_path).discriminator
    assert greedy == f"{text_runs.SHIPPED}-greedy" and Path(greedy).is_dir()
    other = replace(profile, discriminator=replace(profile.discriminator, model="Qwen/Qwen3-4B-Base"))
    place = tmp_path / "discriminator" / "Qwen3-4B-Base"
    assert spec_of(other, "RTT-AON truncated", "A0", tmp_path).discriminator == str(place)
    named = replace(profile, discriminator=replace(profile.discriminator, checkpoint="mine"))
    assert spec_of(named, "RTT-AON", "A0", tmp_path).discriminator == str(REPOSITORY / "mine")
    with pytest.raises(RTTError, match=r"no discriminator in .*mine: name a folder"):
        spec_of(named, "RTT-AON", "A0", tmp_path).fingerprint()


def test_an_evaluation_of_other_size_does_not_train_anew(profile, tmp_path, monkeypatch):
    spec = spec_of(profile, "RL-CSR", "A0", tmp_path)
    here = spec.training_fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(text_runs, "precision", lambda: "bfloat16" if precision() == "float32" else "float32")
        assert spec.training_fingerprint() != here, "a run does not go on in another precision"
    longer = replace(spec, profile=replace(profile, evaluation=replace(profile.evaluation, max_tokens=9)))
    slower = replace(spec, profile=replace(profile, rl=replace(profile.rl, learning_rate=0.02)))
    assert longer.training_fingerprint() == spec.training_fingerprint() != slower.training_fingerprint()
    reworded = replace(spec, arm=replace(spec.arm, about="in other words"))
    assert reworded.training_fingerprint() == spec.training_fingerprint()
    assert len({spec.fingerprint(), longer.fingerprint(), slower.fingerprint()}) == 3


def test_the_plan_of_a_gpu_profile_prints_what_runs(profile):
    gpus = replace(profile, name="toy", compute=replace(profile.compute, policy_gpus=4))
    results = Path("results/toy")
    oracle = text_runs.command_line(gpus, spec_of(gpus, "RTT-AON oracle", "A0", results), results)
    launch, words = oracle.split(" -m ")
    assert launch == "accelerate launch --num_processes 4 --mixed_precision bf16"
    assert shlex.split(words) == [text_runs.MODULE, "toy", "RTT-AON oracle", "A0", "--results", "results/toy"]
    assert launch_commands(gpus, results) == ["rtt run toy --results results/toy"]
    many = launch_commands(replace(gpus, compute=replace(profile.compute, policy_gpus=32)), results)
    assert "--num_machines 4 --machine_rank $MACHINE_RANK" in many[1] and "text_run toy base A0" in many[1]


def test_responses_are_split_into_passes_that_fit(monkeypatch):
    monkeypatch.setattr(text_run, "TOKENS_PER_PASS", {"cpu": 1000, "cuda": 1000})
    assert text_run.passes(16, 100) == (8, 2)
    assert text_run.passes(6, 300) == (3, 2)
    assert text_run.passes(7, 300) == (1, 7)
    assert text_run.passes(4, 5000) == (1, 4)


def test_what_does_not_divide_into_processes_is_named(profile, here, tmp_path, monkeypatch):
    monkeypatch.setattr(text_run, "PartialState", lambda: SimpleNamespace(num_processes=3))
    with pytest.raises(RTTError, match=r"4 responses .*\(rl\.prompts_per_step x rl\.group_size / rl\.minibatches\)"):
        text_run.passes(4, 100)
    given = replace(profile, data=replace(profile.data, responses="strong.jsonl"))
    for case, says in (
        (profile, r"1 responses .*\(rl.prompts_per_step / rl.minibatches\)"),
        (given, "256 .*the paper"),
    ):
        setting = text_run.Setting(spec_of(case, "SFT", "A0", tmp_path), None, None, [], tmp_path, tmp_path)
        with pytest.raises(RTTError, match=says):
            text_run._supervised(setting, 1e-5)


# --- data ---


def test_every_epoch_is_in_an_order_of_its_own_and_long_prompts_are_counted(profile, here, tmp_path):
    tokenizer = load_tokenizer(here / "model")
    spec = replace(
        spec_of(profile, "RL-CSR", "A0", tmp_path), profile=replace(profile, rl=replace(profile.rl, steps=6))
    )
    ordered, left_out = text_run.training_prompts(spec, tokenizer)
    first, second = [p.id for p in ordered[:6]], [p.id for p in ordered[6:]]
    assert left_out == 0 and set(first) == set(second) and first != second
    other, _ = text_run.training_prompts(replace(spec, seed="A1"), tokenizer)
    assert [p.id for p in other[:6]] != first
    lengths = sorted(len(prompt_ids(p.prompt, tokenizer)) for p in ordered[:6])
    short = replace(spec, profile=replace(profile, rl=replace(profile.rl, max_prompt_tokens=lengths[2])))
    kept, left_out = text_run.training_prompts(short, tokenizer)
    assert left_out == sum(length > lengths[2] for length in lengths) and len(kept) == 4
    none = replace(spec, profile=replace(profile, rl=replace(profile.rl, max_prompt_tokens=3)))
    with pytest.raises(RTTError, match=r"longer than rl\.max_prompt_tokens = 3"):
        text_run.training_prompts(none, tokenizer)


def test_held_out_prompts_are_about_other_tasks(profile, tmp_path):
    trained = {p.task for p in text_run.prompt_pool(replace(profile, data=replace(profile.data, train_prompts=50)))}
    held_out = text.held_out_prompts(profile)
    assert len(held_out) == 3 and not trained & {p.task for p in held_out}
    tasks = [{"id": str(n), "prompt": f"Describe thing {n}."} for n in range(20)]
    own = replace(profile, data=replace(profile.data, path=str(write_jsonl(tmp_path / "tasks.jsonl", tasks))))
    assert {p.task for p in text.held_out_prompts(own)} <= {"Describe thing 0.", "Describe thing 10."}
    assert all(p.task.startswith("Describe thing") for p in text_run.prompt_pool(own))


def test_what_training_prompts_share_with_a_benchmark_is_said(profile, tmp_path, monkeypatch, capsys):
    def row(key: int, task: str) -> dict:
        rule = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        return {"key": key, "prompt": f"{task} Do not use any commas in your answer.", **rule}

    shared = "Write a short story about a lighthouse keeper who finds a message in a bottle on the shore."
    (tmp_path / "benchmarks").mkdir()
    write_jsonl(tmp_path / "benchmarks" / "ifeval.jsonl", [row(1, shared)])
    theirs = write_jsonl(tmp_path / "train.jsonl", [row(1, shared), row(2, "Name a river.")])
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    data = replace(profile.data, source="ifeval", path=str(theirs))
    pool = text_run.prompt_pool(
        replace(profile, data=data, evaluation=replace(profile.evaluation, benchmarks=("ifeval",)))
    )
    assert len(pool) == 2
    assert "2 training prompts beside 1 of benchmarks; how many share wordings 0, parameters 0, tasks 1" in (
        capsys.readouterr().out
    )


def test_a_criterion_is_taken_out_with_its_bullet():
    listed = "Write.\n\n- No commas.\n- Two words (or more)."
    assert text_run.without_criterion(listed, Criterion("No commas.")) == "Write.\n\n- Two words (or more)."
    assert text_run.without_criterion(listed, Criterion("Two words (or more).")) == "Write.\n\n- No commas.\n"
    numbered = "Write.\n\nRules:\n1) No commas.\n2) Shout."
    assert text_run.without_criterion(numbered, Criterion("No commas.")) == "Write.\n\nRules:\n2) Shout."
    assert text_run.without_criterion("Write. No commas. Shout.", Criterion("No commas.")) == "Write.  Shout."
    longer = "Write.\n- Use no commas at all.\n- Use no commas"
    assert text_run.without_criterion(longer, Criterion("Use no commas")) == "Write.\n- Use no commas at all.\n"
    for prompt in compose(default_tasks(), 30, 3):
        for criterion in prompt.criteria:
            assert criterion.text not in text_run.without_criterion(prompt.prompt, criterion)


def test_criteria_that_no_prompt_states_are_refused_and_some_are_counted(caplog):
    def prompt(n: int, text: str) -> RubricPrompt:
        return RubricPrompt(str(n), text, (Criterion("No commas."), Criterion("Shout.")))

    stated, half, not_at_all = prompt(0, "Write. No commas. Shout."), prompt(1, "No commas."), prompt(2, "Write.")
    text_run.check_that_criteria_can_be_withheld([stated, stated])
    assert not caplog.records
    text_run.check_that_criteria_can_be_withheld([stated, half, half])
    assert "1 of 4 criteria do not stand in their prompts" in caplog.text
    with pytest.raises(RTTError, match="none of the 2 criteria stands in its prompt word for word: choose another arm"):
        text_run.check_that_criteria_can_be_withheld([not_at_all, not_at_all])


def test_a_counterfactual_arm_looks_for_its_criteria_first(profile, here, tmp_path, monkeypatch):
    unstated = [replace(p, prompt=p.task) for p in compose(default_tasks(), 6, 0)]
    monkeypatch.setattr(text_run, "prompt_pool", lambda profile: unstated)
    with pytest.raises(RTTError, match="stands in its prompt word for word"):
        text_run.train(spec_of(profile, "RTT-AON counterfactual", "A0", tmp_path), tmp_path)


def test_scores_by_hand():
    prompts = [
        RubricPrompt("a", "q", (Criterion("no commas", "composed:no_commas"), Criterion("kind"))),
        RubricPrompt("b", "r", (Criterion("no commas", "composed:no_commas"),)),
    ]
    rows = [
        {"id": "a", "prompt": "q", "response": "one, two"},
        {"id": "a", "prompt": "q", "response": "one"},
        {"id": "b", "prompt": "r", "response": "one"},
    ]
    found = text.grade(prompts, rows, Verifier())
    assert found["satisfied"] == pytest.approx(2 / 3) and found["unknown"] == 2
    # Soft criteria are unknown without a judge: `a` is left out, also where it is violated; `b` is satisfied.
    assert found["families"] == {"judge": None, "no_commas": pytest.approx(2 / 3)}
    assert found["all_satisfied"] == 1 and found["responses_unknown"] == 2


# --- training and evaluating ---


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["RL-CSR", "RTT-AON oracle", "RTT-AON counterfactual", "RTT-CSR greedy", "SFT", "DPO"])
def test_an_arm_trains_and_leaves_a_policy(profile, here, tmp_path, arm):
    spec, folder = spec_of(profile, arm, "A0", tmp_path), tmp_path / "runs" / "composed" / arm / "A0"
    text_run.train(spec, tmp_path)
    assert is_trained(spec, folder) and not (folder / "attempt").exists()
    log = (folder / "log.csv").read_text().splitlines()
    assert log[0].startswith("step,") and [line.split(",")[0] for line in log[1:]] == ["1", "2"]
    assert ("credit/a_tok_abs" in log[0]) is arm.startswith("RTT")
    policy, base = load_causal_lm(folder / "policy"), load_causal_lm(here / "model")
    moved = [not torch.equal(a, b) for a, b in zip(policy.parameters(), base.parameters(), strict=True)]
    assert any(moved) and all(p.isfinite().all() for p in policy.parameters())
    assert load_tokenizer(folder / "policy").chat_template == CHAT and not list(folder.glob("policy/*.bin"))
    before = (folder / "trained.json").stat().st_mtime_ns
    text_run.train(spec, tmp_path)
    assert (folder / "trained.json").stat().st_mtime_ns == before
    shutil.rmtree(folder / "policy")
    assert not is_trained(spec, folder)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["SFT", "DPO"])
def test_on_a_strong_llms_responses_they_are_trained_as_in_the_paper(here, tmp_path, arm, caplog, monkeypatch):
    prompts = [
        {"id": f"p{n}", "source": "type2", "prompt": f"Name animal {n}.", "criteria": ["At least three numbers."],
         "ground_truth": {"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 3}]}} for n in range(6)
    ]  # fmt: skip
    write_jsonl(tmp_path / "hir.jsonl", prompts)
    answers = [{"id": f"p{n}", "response": f"Animal {n} is a cat: 1, 2, 3."} for n in range(5)]
    write_jsonl(tmp_path / "strong.jsonl", [*answers, {"id": "another", "response": "Not asked."}])
    settings = SETTINGS | {
        "data": {"source": "hir16k", "path": "hir.jsonl", "responses": "strong.jsonl", "train_prompts": 6},
        "policy": {"model": str(here / "model")},
        "experiments": {"core": {"arms": ["base", arm], "seeds": ["A0"]}},
        "compute": {"judge_url": "http://127.0.0.1:9/v1", "judge_model": "m"},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    seen = {}
    name = f"train_{arm.lower()}"
    trained = getattr(text_run, name)

    def watched(model, tokenizer, rows, output, **how):
        seen.update(how, rows=rows)
        return trained(model, tokenizer, rows, output, **how)

    monkeypatch.setattr(text_run, name, watched)
    profile = load_profile(tmp_path / "toy.yaml")
    spec, folder = spec_of(profile, arm, "A0", tmp_path), tmp_path / "runs" / "hir16k" / arm / "A0"
    text_run.train(spec, tmp_path)
    assert is_trained(spec, folder) and "1 of 6 prompts have no response" in caplog.text
    paper = ("num_train_epochs", "learning_rate", "warmup_steps", "max_length", "lr_scheduler_type")
    assert [seen[name] for name in paper] == [4, 1e-6, 10, 2048, "constant_with_warmup"]
    assert seen["per_device_train_batch_size"] * seen["gradient_accumulation_steps"] == 256
    given = [row["chosen" if arm == "DPO" else "completion"][0]["content"] for row in seen["rows"]]
    assert sorted(given) == [row["response"] for row in answers]
    moved = load_causal_lm(folder / "policy").state_dict(), load_causal_lm(here / "model").state_dict()
    assert any(not torch.equal(moved[0][name], moved[1][name]) for name in moved[0])
    rl = spec_of(profile, "RL-CSR", "A0", tmp_path)
    before = rl.training_fingerprint()
    write_jsonl(tmp_path / "strong.jsonl", answers[:1])
    assert not is_trained(spec, folder), "other responses are another training"
    assert rl.training_fingerprint() == before, "but not of RL, which does not read them"
    write_jsonl(tmp_path / "strong.jsonl", [{"id": "another", "response": "Not asked."}])
    with pytest.raises(RTTError, match=r"strong.jsonl: holds a response to none of the 6 training prompts"):
        text_run.train(spec, tmp_path)


@pytest.mark.usefixtures("one_thread")
def test_lora_leaves_an_ordinary_checkpoint(profile, here, tmp_path):
    lora = replace(profile, policy=replace(profile.policy, lora_rank=2))
    text_run.train(spec_of(lora, "RL-CSR", "A0", tmp_path), tmp_path)
    policy = load_causal_lm(tmp_path / "runs" / "composed" / "RL-CSR" / "A0" / "policy")
    base = load_causal_lm(here / "model")
    assert policy.state_dict().keys() == base.state_dict().keys()
    assert torch.equal(policy.model.embed_tokens.weight, base.model.embed_tokens.weight)
    assert not torch.equal(policy.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)


@pytest.mark.usefixtures("one_thread")
def test_the_evaluation_leaves_responses_and_a_row_of_the_tables(profile, here, tmp_path, monkeypatch):
    more = replace(profile, evaluation=replace(profile.evaluation, benchmarks=("ifeval", "ifbench")))
    specs = [spec_of(more, "base", seed, tmp_path) for seed in ("A0", "A1")]
    for spec in specs:
        text_run.train(spec, tmp_path)
        text.evaluate(spec, tmp_path)
        assert text_runs.is_done(spec, tmp_path / "runs")
    record = read_json(tmp_path / "runs" / "composed" / "base" / "A0" / "result.json")
    assert record["benchmarks"]["ifeval"]["responses"] == 6 and record["benchmarks"]["ifeval"]["unknown"] == 0
    assert record["out_of_domain"]["satisfied"] == record["benchmarks"]["ifeval"]["satisfied"]
    assert "the hub does not answer" in record["benchmarks"]["ifbench"]["missing"]
    assert "IFBench is left out: " in tables.left_out(tmp_path) and "IFEval" not in tables.left_out(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(text_runs, "_can_be_had", lambda benchmark, profile: benchmark == "ifbench")
        assert not text_runs.is_done(specs[0], tmp_path / "runs"), "tried again as soon as it can be had"
    responses = [rows_of(tmp_path / "responses" / "base" / seed / "ifeval.jsonl") for seed in ("A0", "A1")]
    assert [row["id"] for row in responses[0]] == [row["id"] for row in responses[1]]
    assert [row["response"] for row in responses[0]] != [row["response"] for row in responses[1]]
    assert not (tmp_path / "responses" / "base" / "A0" / "ifbench.jsonl").exists()
    table = runs.results_table(specs, tmp_path)
    assert list(table["world"]) == ["composed"] * 2 and table["per constraint"].between(0, 1).all()
    assert table["language loss"].isna().all() and table["language loss"].dtype == float
    assert list(runs.curves_table(specs, tmp_path)) == ["arm", "world", "seed", "step"]


def environment(here: Path) -> dict[str, str]:
    paths = {"PYTHONPATH": str(REPOSITORY), "RTT_TEST_DATA": str(here / "data"), "HF_HUB_OFFLINE": "1"}
    return os.environ | paths | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(here: Path, results: Path, arm: str) -> list[str]:
    words = ["-m", text_runs.MODULE, str(here / "toy.yaml"), arm, "A0", "--results", str(results)]
    return [sys.executable, *words]


@pytest.mark.slow
def test_the_notebooks_way_trains_and_evaluates_in_a_process_of_its_own(profile, tmp_path):
    specs = [spec_of(profile, "RL-CSR", "A0", tmp_path)]
    assert list(runs.run_all(specs, tmp_path, workers=2)) == specs
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(runs.run_all(specs, tmp_path, workers=2)) == specs
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(runs.results_table(specs, tmp_path)["arm"]) == ["RL-CSR"]
    assert list(runs.curves_table(specs, tmp_path)["step"]) == [1, 2]
    assert (tmp_path / "responses" / "RL-CSR" / "A0" / "ifeval.jsonl").exists()
    assert not (tmp_path / "runs" / "composed" / "RL-CSR" / "A0.log").exists()


@pytest.mark.slow
def test_a_failure_shows_what_was_printed(profile, tmp_path):
    broken = replace(profile, rl=replace(profile.rl, max_prompt_tokens=3))
    with pytest.raises(RTTError, match=r"exit code 2(.|\n)*longer than rl\.max_prompt_tokens = 3"):
        list(runs.run_all([spec_of(broken, "RL-CSR", "A0", tmp_path)], tmp_path, workers=1))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_ends_as_an_undisturbed_one(profile, here, tmp_path):
    settings = yaml.safe_load((here / "toy.yaml").read_text())
    settings["rl"]["steps"] = 12
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    spec = spec_of(load_profile(tmp_path / "toy.yaml"), "RTT-AON oracle", "A0", tmp_path / "whole")
    start = [*command(tmp_path, tmp_path / "killed", spec.arm.name)]
    killed = subprocess.Popen(start, env=environment(here), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    attempt = tmp_path / "killed" / "runs" / spec.place / "attempt"
    while last_checkpoint(attempt) is None:
        assert killed.poll() is None, killed.stderr.read()[-2000:]
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not is_trained(spec, attempt.parent) and last_checkpoint(attempt)
    text_run.train(spec, tmp_path / "killed")
    text_run.train(spec, tmp_path / "whole")
    for name in ("log.csv", "policy/model.safetensors", "trained.json"):
        paths = [tmp_path / side / "runs" / spec.place / name for side in ("killed", "whole")]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name


@pytest.mark.slow
def test_two_processes_train_one_policy(profile, here, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    ports = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, *ports, *command(here, tmp_path, "RTT-AON oracle")[1:]],
        env=environment(here), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert text_runs.is_done(spec_of(profile, "RTT-AON oracle", "A0", tmp_path), tmp_path / "runs")


def test_the_micro_world_has_its_own_way(tmp_path, capsys):
    assert text_run.main(["ci", "RTT-AON", "A0", "--results", str(tmp_path)]) == 2
    assert "trains in the micro world: `rtt run ci` does it" in capsys.readouterr().err


def test_a_run_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "import time; from rtt_lib.studies.text_runs import end_with_parent; end_with_parent();"
        " print(1, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {text_runs.PARENT: str(parent.pid), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    parent.kill()
    parent.wait()
    assert child.wait(timeout=30) == 1
