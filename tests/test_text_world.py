"""A world of text: arms trained for two steps on a transformer of one layer that reads and writes composed prompts."""

from __future__ import annotations

import os
import shlex
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
from rtt_lib import store
from rtt_lib.analysis import benchmarks as tables
from rtt_lib.bench.generate import prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.files import last_checkpoint, read_json, read_jsonl, write_jsonl
from rtt_lib.methods import dpo, sft
from rtt_lib.methods.arms import find_arm
from rtt_lib.methods.task import Task
from rtt_lib.models import load_causal_lm, load_tokenizer, precision
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.relevance.shipped import SHIPPED
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.run.dry_run import launch_commands
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_done, is_trained
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import curves_table, records_of, results_table
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.text import prompts as text_prompts
from rtt_lib.worlds.text import world as text_world
from rtt_lib.worlds.text.checkpoints import discriminator_folder
from rtt_lib.worlds.text.evaluation import grade
from rtt_lib.worlds.text.prompts import (
    check_that_criteria_can_be_withheld,
    held_out_prompts,
    prompt_pool,
    training_prompts,
    without_criterion,
)

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


def spec_of(profile: Profile, arm: str, seed: str) -> RunSpec:
    return RunSpec(find_arm(arm), profile.data.source, seed, profile)


def rows_of(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


# --- what is to be done ---


def test_a_plan_holds_each_run_once_with_its_discriminator(profile, empty_store):
    assert plan(profile, ["core", "beyond", "core"]) == [
        RunSpec(spec.arm, "composed", "A0", profile) for spec in plan(profile, ["core"])
    ]
    spec = spec_of(profile, "RTT-AON", "A1")
    assert spec.place == Path("composed/RTT-AON/A1") and (spec.world, spec.number) == ("composed", 1)
    assert discriminator_folder(profile, "taxonomy") == SHIPPED
    greedy = discriminator_folder(profile, "greedy")
    assert str(greedy) == f"{SHIPPED}-greedy" and greedy.is_dir()
    other = replace(profile, discriminator=replace(profile.discriminator, model="Qwen/Qwen3-4B-Base"))
    assert discriminator_folder(other, "taxonomy") == empty_store / "discriminators" / "Qwen3-4B-Base"
    named = replace(profile, discriminator=replace(profile.discriminator, checkpoint="mine"))
    assert discriminator_folder(named, "taxonomy") == REPOSITORY / "mine"
    with pytest.raises(RTTError, match=r"no discriminator in .*mine: name a folder"):
        _ = spec_of(named, "RTT-AON", "A0").fingerprint


def test_an_evaluation_of_other_size_does_not_train_anew(profile, monkeypatch):
    here = spec_of(profile, "RL-CSR", "A0").training_fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(text_world, "precision", lambda: "bfloat16" if precision() == "float32" else "float32")
        other = spec_of(profile, "RL-CSR", "A0").training_fingerprint
        assert other != here, "a run does not go on in another precision"
    longer = replace(profile, evaluation=replace(profile.evaluation, max_tokens=9))
    slower = replace(profile, rl=replace(profile.rl, learning_rate=0.02))
    specs = [spec_of(one, "RL-CSR", "A0") for one in (profile, longer, slower)]
    assert specs[0].training_fingerprint == specs[1].training_fingerprint == here != specs[2].training_fingerprint
    assert len({spec.fingerprint for spec in specs}) == 3


def test_the_plan_of_a_gpu_profile_prints_what_runs(profile):
    gpus = replace(profile, name="toy", compute=replace(profile.compute, policy_gpus=4))
    oracle = execute.command_line(spec_of(gpus, "RTT-AON oracle", "A0"), "toy")
    launch, words = oracle.split(" -m ")
    assert launch == f"accelerate launch --config_file {execute.FSDP2} --num_processes 4 --mixed_precision bf16"
    assert shlex.split(words) == [execute.MODULE, "toy", "RTT-AON oracle", "composed", "A0"]
    results = Path("results/toy")
    assert launch_commands(gpus, results) == ["rtt run toy --results results/toy"]
    many = launch_commands(replace(gpus, compute=replace(profile.compute, policy_gpus=32)), results)
    assert "--num_machines 4 --machine_rank $MACHINE_RANK" in many[1] and "execute toy base composed A0" in many[1]


def test_responses_are_split_into_passes_that_fit(monkeypatch):
    monkeypatch.setattr(text_world, "TOKENS_PER_PASS", {"cpu": 1000, "cuda": 1000})
    assert text_world.passes(16, 100, "") == (8, 2)
    assert text_world.passes(6, 300, "") == (3, 2)
    assert text_world.passes(7, 300, "") == (1, 7)
    assert text_world.passes(4, 5000, "") == (1, 4)


def test_what_does_not_divide_into_processes_is_named(profile, tmp_path, monkeypatch):
    monkeypatch.setattr(text_world, "PartialState", lambda: SimpleNamespace(num_processes=3))
    given = replace(profile, data=replace(profile.data, responses="strong.jsonl"))
    for case, says in (
        (profile, r"1 responses .*\(rl.prompts_per_step / rl.minibatches\)"),
        (given, "256 .*the paper"),
    ):
        spec = spec_of(case, "SFT", "A0")
        task = Task(spec.arm, case.rl, case.compute, 0, spec.home, None, None, [], tmp_path)
        with pytest.raises(RTTError, match=says):
            task.supervised_settings()


# --- data ---


def test_every_epoch_is_in_an_order_of_its_own_and_long_prompts_are_counted(profile, here):
    tokenizer = load_tokenizer(here / "model")
    six = replace(profile, rl=replace(profile.rl, steps=6))
    ordered, left_out = training_prompts(six, 0, tokenizer)
    first, second = [p.id for p in ordered[:6]], [p.id for p in ordered[6:]]
    assert left_out == 0 and set(first) == set(second) and first != second
    other, _ = training_prompts(six, 1, tokenizer)
    assert [p.id for p in other[:6]] != first
    lengths = sorted(len(prompt_ids(p.prompt, tokenizer)) for p in ordered[:6])
    short = replace(profile, rl=replace(profile.rl, max_prompt_tokens=lengths[2]))
    kept, left_out = training_prompts(short, 0, tokenizer)
    assert left_out == sum(length > lengths[2] for length in lengths) and len(kept) == 4
    none = replace(profile, rl=replace(profile.rl, max_prompt_tokens=3))
    with pytest.raises(RTTError, match=r"longer than rl\.max_prompt_tokens = 3"):
        training_prompts(none, 0, tokenizer)


def test_held_out_prompts_are_about_other_tasks(profile, tmp_path):
    trained = {p.task for p in prompt_pool(replace(profile, data=replace(profile.data, train_prompts=50)))}
    held_out = held_out_prompts(profile)
    assert len(held_out) == 3 and not trained & {p.task for p in held_out}
    tasks = [{"id": str(n), "prompt": f"Describe thing {n}."} for n in range(20)]
    own = replace(profile, data=replace(profile.data, path=str(write_jsonl(tmp_path / "tasks.jsonl", tasks))))
    assert {p.task for p in held_out_prompts(own)} <= {"Describe thing 0.", "Describe thing 10."}
    assert all(p.task.startswith("Describe thing") for p in prompt_pool(own))


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
    pool = prompt_pool(replace(profile, data=data, evaluation=replace(profile.evaluation, benchmarks=("ifeval",))))
    assert len(pool) == 2
    assert "2 training prompts beside 1 of benchmarks; how many share wordings 0, parameters 0, tasks 1" in (
        capsys.readouterr().out
    )


def test_a_criterion_is_taken_out_with_its_bullet():
    listed = "Write.\n\n- No commas.\n- Two words (or more)."
    assert without_criterion(listed, Criterion("No commas.")) == "Write.\n\n- Two words (or more)."
    assert without_criterion(listed, Criterion("Two words (or more).")) == "Write.\n\n- No commas.\n"
    numbered = "Write.\n\nRules:\n1) No commas.\n2) Shout."
    assert without_criterion(numbered, Criterion("No commas.")) == "Write.\n\nRules:\n2) Shout."
    assert without_criterion("Write. No commas. Shout.", Criterion("No commas.")) == "Write.  Shout."
    longer = "Write.\n- Use no commas at all.\n- Use no commas"
    assert without_criterion(longer, Criterion("Use no commas")) == "Write.\n- Use no commas at all.\n"
    for prompt in compose(default_tasks(), 30, 3):
        for criterion in prompt.criteria:
            assert criterion.text not in without_criterion(prompt.prompt, criterion)


def test_criteria_that_no_prompt_states_are_refused_and_some_are_counted(caplog):
    def prompt(n: int, text: str) -> RubricPrompt:
        return RubricPrompt(str(n), text, (Criterion("No commas."), Criterion("Shout.")))

    stated, half, not_at_all = prompt(0, "Write. No commas. Shout."), prompt(1, "No commas."), prompt(2, "Write.")
    check_that_criteria_can_be_withheld([stated, stated])
    assert not caplog.records
    check_that_criteria_can_be_withheld([stated, half, half])
    assert "1 of 4 criteria do not stand in their prompts" in caplog.text
    with pytest.raises(RTTError, match="none of the 2 criteria stands in its prompt word for word: choose another arm"):
        check_that_criteria_can_be_withheld([not_at_all, not_at_all])


def test_a_counterfactual_arm_looks_for_its_criteria_first(profile, empty_store, monkeypatch):
    unstated = [replace(p, prompt=p.task) for p in compose(default_tasks(), 6, 0)]
    monkeypatch.setattr(text_prompts, "prompt_pool", lambda profile: unstated)
    with pytest.raises(RTTError, match="stands in its prompt word for word"):
        execute.train(spec_of(profile, "RTT-AON counterfactual", "A0"))


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
    found = grade(prompts, rows, Verifier())
    assert found["satisfied"] == pytest.approx(2 / 3) and found["unknown"] == 2
    # Soft criteria are unknown without a judge: `a` is left out, also where it is violated; `b` is satisfied.
    assert found["families"] == {"judge": None, "no_commas": pytest.approx(2 / 3)}
    assert found["all_satisfied"] == 1 and found["responses_unknown"] == 2


# --- training and evaluating ---


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["RL-CSR", "RTT-AON oracle", "RTT-AON counterfactual", "RTT-CSR greedy", "SFT", "DPO"])
def test_an_arm_trains_and_leaves_a_policy(profile, here, empty_store, arm):
    spec = spec_of(profile, arm, "A0")
    folder = spec.folder
    execute.train(spec)
    assert is_trained(spec) and not (folder / "attempt").exists()
    log = (folder / "log.csv").read_text().splitlines()
    assert log[0].startswith("step,") and [line.split(",")[0] for line in log[1:]] == ["1", "2"]
    assert ("credit/a_tok_abs" in log[0]) is arm.startswith("RTT")
    policy, base = load_causal_lm(folder / "policy"), load_causal_lm(here / "model")
    moved = [not torch.equal(a, b) for a, b in zip(policy.parameters(), base.parameters(), strict=True)]
    assert any(moved) and all(p.isfinite().all() for p in policy.parameters())
    assert load_tokenizer(folder / "policy").chat_template == CHAT and not list(folder.glob("policy/*.bin"))
    before = (folder / store.MADE).stat().st_mtime_ns
    execute.train(spec)
    assert (folder / store.MADE).stat().st_mtime_ns == before


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("arm", ["SFT", "DPO"])
def test_on_a_strong_llms_responses_they_are_trained_as_in_the_paper(
    here, empty_store, tmp_path, arm, caplog, monkeypatch
):
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
    module, trainer = {"SFT": (sft, "SFTTrainer"), "DPO": (dpo, "DPOTrainer")}[arm]

    class Watched(getattr(module, trainer)):
        def __init__(self, model, args, train_dataset, **rest):
            seen.update({name: getattr(args, name) for name in vars(args)}, rows=list(train_dataset))
            super().__init__(model, args=args, train_dataset=train_dataset, **rest)

    monkeypatch.setattr(module, trainer, Watched)
    profile = load_profile(tmp_path / "toy.yaml")
    spec = spec_of(profile, arm, "A0")
    execute.train(spec)
    assert is_trained(spec) and "1 of 6 prompts have no response" in caplog.text
    paper = ("num_train_epochs", "learning_rate", "warmup_steps", "max_length", "lr_scheduler_type")
    assert [seen[name] for name in paper] == [4, 1e-6, 10, 2048, "constant_with_warmup"]
    assert seen["per_device_train_batch_size"] * seen["gradient_accumulation_steps"] == 256
    given = [row["chosen" if arm == "DPO" else "completion"][0]["content"] for row in seen["rows"]]
    assert sorted(given) == [row["response"] for row in answers]
    moved = load_causal_lm(spec.policy).state_dict(), load_causal_lm(here / "model").state_dict()
    assert any(not torch.equal(moved[0][name], moved[1][name]) for name in moved[0])
    before = spec_of(profile, "RL-CSR", "A0").training_fingerprint
    write_jsonl(tmp_path / "strong.jsonl", answers[:1])
    assert not is_trained(spec_of(profile, arm, "A0")), "other responses are another training"
    assert spec_of(profile, "RL-CSR", "A0").training_fingerprint == before, "but not of RL, which does not read them"
    write_jsonl(tmp_path / "strong.jsonl", [{"id": "another", "response": "Not asked."}])
    with pytest.raises(RTTError, match=r"strong.jsonl: holds a response to none of the 6 training prompts"):
        execute.train(spec_of(profile, arm, "A0"))


@pytest.mark.usefixtures("one_thread")
def test_lora_leaves_an_ordinary_checkpoint(profile, here, empty_store):
    lora = replace(profile, policy=replace(profile.policy, lora_rank=2))
    spec = spec_of(lora, "RL-CSR", "A0")
    execute.train(spec)
    policy = load_causal_lm(spec.policy)
    base = load_causal_lm(here / "model")
    assert policy.state_dict().keys() == base.state_dict().keys()
    assert torch.equal(policy.model.embed_tokens.weight, base.model.embed_tokens.weight)
    assert not torch.equal(policy.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)


@pytest.mark.usefixtures("one_thread")
def test_the_evaluation_leaves_responses_and_a_row_of_the_tables(profile, empty_store, tmp_path, monkeypatch):
    more = replace(profile, evaluation=replace(profile.evaluation, benchmarks=("ifeval", "ifbench")))
    specs = [spec_of(more, "base", seed) for seed in ("A0", "A1")]
    for spec in specs:
        execute.train(spec)
        execute.evaluate(spec)
        assert is_done(spec)
    record = read_json(specs[0].evaluation / "result.json")
    assert record["benchmarks"]["ifeval"]["responses"] == 6 and record["benchmarks"]["ifeval"]["unknown"] == 0
    assert record["out_of_domain"]["satisfied"] == record["benchmarks"]["ifeval"]["satisfied"]
    assert "the hub does not answer" in record["benchmarks"]["ifbench"]["missing"]
    said = tables.left_out(records_of(specs, tmp_path))
    assert "IFBench is left out: " in said and "IFEval" not in said
    with monkeypatch.context() as patch:
        patch.setattr(text_world, "_can_be_had", lambda benchmark, profile: benchmark == "ifbench")
        assert not is_done(specs[0]), "tried again as soon as it can be had"
    assert list(execute.run_all(specs, tmp_path, workers=1)) == specs
    responses = [rows_of(tmp_path / "responses" / "base" / seed / "ifeval.jsonl.gz") for seed in ("A0", "A1")]
    assert [row["id"] for row in responses[0]] == [row["id"] for row in responses[1]]
    assert [row["response"] for row in responses[0]] != [row["response"] for row in responses[1]]
    assert not (tmp_path / "responses" / "base" / "A0" / "ifbench.jsonl.gz").exists()
    table = results_table(specs, tmp_path)
    assert list(table["world"]) == ["composed"] * 2 and table["per constraint"].between(0, 1).all()
    assert table["language loss"].isna().all() and table["language loss"].dtype == float
    assert list(curves_table(specs, tmp_path)) == ["arm", "world", "seed", "step"]


def environment(here: Path, place: Path) -> dict[str, str]:
    paths = {"PYTHONPATH": str(REPOSITORY), "RTT_TEST_DATA": str(here / "data"), "HF_HUB_OFFLINE": "1"}
    return os.environ | paths | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", store.STORE: str(place)}


def command(here: Path, arm: str) -> list[str]:
    return [sys.executable, "-m", execute.MODULE, str(here / "toy.yaml"), arm, "composed", "A0"]


@pytest.mark.slow
def test_the_notebooks_way_trains_and_evaluates_in_a_process_of_its_own(profile, empty_store, tmp_path):
    specs, results = [spec_of(profile, "RL-CSR", "A0")], tmp_path / "results"
    assert list(execute.run_all(specs, results, workers=2)) == specs
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(execute.run_all(specs, results, workers=2)) == specs
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert list(results_table(specs, results)["arm"]) == ["RL-CSR"]
    assert list(curves_table(specs, results)["step"]) == [1, 2]
    assert (results / "responses" / "RL-CSR" / "A0" / "ifeval.jsonl.gz").exists()
    assert not (specs[0].folder / "output.log").exists()


@pytest.mark.slow
def test_a_failure_names_the_run(profile, empty_store, tmp_path):
    broken = replace(profile, rl=replace(profile.rl, max_prompt_tokens=3))
    with pytest.raises(RTTError, match=r"run composed/RL-CSR/A0: (.|\n)*longer than rl\.max_prompt_tokens = 3"):
        list(execute.run_all([spec_of(broken, "RL-CSR", "A0")], tmp_path, workers=1))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_ends_as_an_undisturbed_one(profile, here, tmp_path, monkeypatch):
    settings = yaml.safe_load((here / "toy.yaml").read_text())
    settings["rl"]["steps"] = 12
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    whole, disturbed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv(store.STORE, str(whole))
    spec = spec_of(load_profile(tmp_path / "toy.yaml"), "RTT-AON oracle", "A0")
    start = command(tmp_path, spec.arm.name)
    killed = subprocess.Popen(
        start, env=environment(here, disturbed), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    folder = disturbed / spec.folder.relative_to(whole)
    while last_checkpoint(folder / "attempt") is None:
        assert killed.poll() is None, killed.stderr.read()[-2000:]
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (folder / store.MADE).exists() and last_checkpoint(folder / "attempt")
    execute.train(spec)
    monkeypatch.setenv(store.STORE, str(disturbed))
    execute.train(spec)
    for name in ("log.csv", "policy/model.safetensors"):
        paths = [side / "runs" / spec.training_fingerprint / name for side in (whole, disturbed)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["RTT-AON oracle", "DPO"])
def test_two_processes_train_one_policy(profile, here, empty_store, arm):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    ports = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, *ports, *command(here, arm)[1:]],
        env=environment(here, empty_store), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert is_done(spec_of(profile, arm, "A0"))
