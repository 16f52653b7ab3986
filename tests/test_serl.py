"""SERLTrainer on real trainings of a few steps: a transformer of one layer that writes and judges."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import pytest
import torch
import yaml
from serl_toy import GROUP, GROUPS, TOKENIZER, Kept, Ruled, make, tiny_model
from text_toy import SETTINGS as OF_TEXT
from text_toy import spec_of
from transformers import LlamaForCausalLM

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_jsonl
from rtt_lib.methods.arms import ARMS, SelfRewardArm
from rtt_lib.methods.serl import FastSERLTrainer, SERLConfig, SERLTrainer
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile

HERE = Path(__file__).parent
RESPONSES, JUDGMENTS = GROUP * GROUPS, GROUPS * 6 * 4
WEIGHTS = {"actor": 1.0, "judge": 1.0}


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


def texts(kept: dict, part: str, rows: slice) -> list[str]:
    return TOKENIZER.batch_decode(kept[f"{part}_ids"][rows], skip_special_tokens=True)


def logged(trainer, name: str) -> list:
    return [row[name] for row in trainer.state.log_history if name in row]


def standardised(values: list[float]) -> list[float]:
    return [(value - mean(values)) / (stdev(values) + 1e-4) for value in values]


def slow_advantages(kept: dict) -> tuple[list[float], list[float]]:
    """Of actor and judge, from the texts of the batch alone: whose number was said, and where its response stood."""
    responses = texts(kept, "completion", slice(0, RESPONSES))
    questions = texts(kept, "prompt", slice(RESPONSES, None))
    answers = texts(kept, "completion", slice(RESPONSES, None))
    judged = iter(zip(questions, answers, strict=True))
    actor, judge = [], []
    for start in range(0, RESPONSES, GROUP):
        group = responses[start : start + GROUP]
        score, verdicts = [0.0] * GROUP, {}
        for i, j in itertools.combinations(range(GROUP), 2):
            verdicts[i, j] = []
            for turned in (False, False, True, True):
                question, answer = next(judged)
                first, second = (j, i) if turned else (i, j)
                assert question.endswith(f"<1> {group[first]} <2> {group[second]} ?")
                winner = {"1": first, "2": second}.get(answer)
                verdicts[i, j].append(winner)
                if winner is None:
                    continue
                own, other = len(group[winner].split()), len(group[i + j - winner].split())
                score[winner] += (0.8 * other < own < 1.2 * other) * other / own / 12
        actor += standardised(score)
        for (i, j), winners in verdicts.items():
            sign = {i: round(score[i] - score[j], 6), j: round(score[j] - score[i], 6)}
            judge += standardised([-1.0 if w is None else float((sign[w] > 0) - (sign[w] < 0)) for w in winners])
    return actor, judge


def slow_role_losses(model, kept: dict, advantages: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """-A log pi with the ratio's gradient at 1, as a mean over the tokens of each role: its value is -mean A."""
    losses = [torch.zeros(()), torch.zeros(())]
    tokens = [0, 0]
    for row, advantage in enumerate(advantages):
        asked = kept["prompt_ids"][row][kept["prompt_mask"][row].bool()]
        said = kept["completion_ids"][row][kept["completion_mask"][row].bool()]
        logits = model(input_ids=torch.cat([asked, said])[None]).logits[0]
        logps = logits[len(asked) - 1 : -1].log_softmax(-1).gather(1, said[:, None]).squeeze(1)
        role = int(row >= RESPONSES)
        losses[role] = losses[role] - (advantage * (logps - logps.detach()).exp()).sum()
        tokens[role] += len(said)
    return losses[0] / tokens[0], losses[1] / tokens[1]


def test_both_roles_get_the_advantages_of_their_rewards(tmp_path):
    trainer = make(tmp_path)
    trainer.train()
    kept = trainer.kept
    assert len(kept["advantages"]) == RESPONSES + JUDGMENTS
    written, spoken = (kept["completion_mask"][rows].sum() for rows in (slice(RESPONSES), slice(RESPONSES, None)))
    assert spoken == JUDGMENTS and kept["num_items_in_batch"] == written + spoken
    actor, judge = slow_advantages(kept)
    assert len(set(actor)) > 5 and len({round(x, 3) for x in judge}) > 3
    scale = [(written + spoken) / written, (written + spoken) / spoken]
    torch.testing.assert_close(kept["advantages"][:RESPONSES], torch.tensor(actor) * scale[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(kept["advantages"][RESPONSES:], torch.tensor(judge) * scale[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "step", "weights"),
    [
        ({"objective": "summed"}, 0, (1, 1)),
        ({"objective": "released"}, 1, (0.1, 0.9)),
        ({"objective": "released", "train_actor": False}, 8, (0, 0.5)),
        ({"objective": "released", "judge_reward": "none"}, 9, (0.5, 0)),
    ],
)
def test_the_gradient_is_that_of_two_weighted_token_means(tmp_path, settings, step, weights):
    """In passes of a few rows, the longest questions apart from the responses."""
    trainer = make(tmp_path, max_steps=10, **settings)
    trainer.state.global_step, trainer.state.max_steps = step, 10
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    rows = [trainer.train_dataset[n // GROUP] for n in range(RESPONSES)]
    batch = trainer._generate_and_score_completions(rows)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    reference, kept = tiny_model(), trainer.kept
    if settings.get("judge_reward") == "none":
        full = make(tmp_path)
        full.model.train()
        full._generate_and_score_completions(rows)
        kept = full.kept
    actor, judge = slow_advantages(kept)
    losses = slow_role_losses(reference, kept, [*actor, *judge])
    expected = weights[0] * losses[0] + weights[1] * losses[1]
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-4)
    for found, wanted in zip(trainer.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, atol=2e-5, rtol=1e-3)


SETTINGS = [
    {"judge_reward": "none"},
    {"train_actor": False},
    {"swap_orders": False},
    {"length_margin": None},
    {"scores": "pointwise", "judge_reward": "none"},
    {"judge_reward": "random"},
    {"judge_reward": "none", "frozen_judge": True},
    {"scores": "majority"},
    {"judge_reward": "other pairs"},
    {"objective": "released"},
    {"steps_per_generation": 2, "num_iterations": 2},
    {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 6},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_part_can_be_changed_and_trains(tmp_path, settings):
    """On the policy's own samples."""
    trainer = make(tmp_path, cls=type("Own", (Kept, SERLTrainer), {}), max_steps=2, **settings)
    trainer.train()
    assert not same(trainer.model, tiny_model())
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    generated = 1 if "num_iterations" in settings else 2
    assert len(logged(trainer, "serl/unreadable")) == generated == len(logged(trainer, "verdict/csr"))


def test_a_policy_whose_verdicts_cannot_be_read_learns_nothing(tmp_path):
    class Mumbling(Ruled):
        def _generate_single_turn(self, prompt_ids, *args, **kwargs):
            ids, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            judges = prompt_ids[0][0] == TOKENIZER.convert_tokens_to_ids("<judge>")
            return [TOKENIZER("bako").input_ids for _ in ids] if judges else ids, logps

    trainer = make(tmp_path, cls=Mumbling)
    trainer.train()
    assert (trainer.kept["advantages"] == 0).all()
    assert logged(trainer, "serl/unreadable") == [1] and logged(trainer, "serl/judge_reward") == [-1]
    assert logged(trainer, "grad_norm") == [0]


def test_empty_responses_win_nothing(tmp_path):
    class Silent(Ruled):
        def _generate_single_turn(self, prompt_ids, *args, **kwargs):
            ids, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            judges = prompt_ids[0][0] == TOKENIZER.convert_tokens_to_ids("<judge>")
            return ids if judges else [[TOKENIZER.eos_token_id] for _ in ids], logps

    trainer = make(tmp_path, cls=Silent)
    trainer.train()
    assert (trainer.kept["advantages"][:RESPONSES] == 0).all()
    assert logged(trainer, "serl/filtered_pairs") == [1] and logged(trainer, "reward") == [0]


@pytest.mark.parametrize("settings", [{}, {"steps_per_generation": 2}, {"judge_reward": "random"}], ids=str)
def test_six_steps_are_three_and_three_more(tmp_path, settings):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "objective": "released", **settings}
    whole = make(tmp_path, cls=SERLTrainer, **settings)
    whole.train()
    again = make(tmp_path, cls=SERLTrainer, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.state.global_step == 6 and same(again.model, whole.model) and not same(again.model, tiny_model())
    for name in ("loss", "reward", "serl/judge_reward"):
        assert logged(again, name) == logged(whole, name)


def test_a_frozen_judge_stays_the_policy_as_it_was_also_after_resuming(tmp_path):
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "judge_reward": "none"}
    whole = make(tmp_path, cls=SERLTrainer, frozen_judge=True, **settings)
    whole.train()
    again = make(tmp_path, cls=SERLTrainer, frozen_judge=True, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert same(whole._frozen, tiny_model()) and same(again._frozen, tiny_model())
    assert same(again.model, whole.model) and not same(whole.model, tiny_model())


def test_the_coins_are_tossed_anew_in_every_step_and_again_alike(tmp_path):
    trainer = make(tmp_path, judge_reward="random")
    verdict = torch.zeros(50, 6, 4)
    first, again = trainer._coins(verdict), trainer._coins(verdict)
    trainer.state.global_step = 1
    assert torch.equal(first, again) and not torch.equal(first, trainer._coins(verdict))
    assert set(first.unique().tolist()) == {-1, 1} and abs(first.mean()) < 0.1


def test_verdicts_are_as_long_as_the_judge_says_and_responses_as_the_profile(tmp_path):
    trainer = make(tmp_path, cls=type("Own", (Kept, SERLTrainer), {}))
    trainer.train()
    lengths = trainer.kept["completion_mask"].sum(1)
    assert (lengths[RESPONSES:] == 1).all() and lengths[:RESPONSES].max() == 10
    assert trainer.max_completion_length == trainer.generation_config.max_new_tokens == 10


def test_the_fast_loop_samples_both_roles(tmp_path):
    trainer = make(tmp_path, cls=type("Fast", (Kept, FastSERLTrainer), {}))
    trainer.train()
    assert len(trainer.kept["advantages"]) == RESPONSES + JUDGMENTS and not same(trainer.model, tiny_model())


def test_lora_trains_the_adapter_alone(tmp_path):
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    trainer = make(tmp_path, extra={"peft_config": lora})
    trainer.train()
    trained, start = dict(trainer.model.named_parameters()), tiny_model().state_dict()
    assert any(p.abs().sum() > 0 for name, p in trained.items() if "lora_B" in name)
    frozen = trained["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert torch.equal(frozen, start["model.layers.0.self_attn.q_proj.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judgments": 3}, "K is even"),
        ({"scores": "borda"}, "scores='borda' is unknown"),
        ({"judge_reward": "oracle"}, "is unknown"),
        ({"objective": "mean"}, "is unknown"),
        ({"frozen_judge": True}, "are not trained"),
        ({"scores": "pointwise"}, "are not trained"),
        ({"judge_reward": "none", "train_actor": False}, "train nothing"),
        ({"beta": 0.1}, "no KL"),
        ({"loss_type": "grpo"}, "loss_type='dapo'"),
        ({"off_policy_mask_threshold": 0.5}, "stale"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(RTTError, match=message):
        SERLConfig(str(tmp_path), **{"loss_type": "dapo", **changes}, use_cpu=True, bf16=False)


def test_every_arm_of_serl_is_a_config_that_can_be(tmp_path):
    arms = [arm for arm in ARMS.values() if isinstance(arm, SelfRewardArm) and arm.trainer == "serl"]
    assert len(arms) >= 12 and all(arm.response_only for arm in arms)
    configs = [SERLConfig(str(tmp_path), loss_type="dapo", use_cpu=True, bf16=False, **arm.serl()) for arm in arms]
    assert len({repr(arm.serl()) for arm in arms}) == len(arms) and configs[0].judgments == 4


@pytest.mark.usefixtures("without_hub")
def test_a_policy_of_english_text_is_asked_in_its_chat_template(text_profile, monkeypatch):
    """A toy that writes noise: nothing can be read from its answers, and the run says so."""
    asked = []
    answers = SERLTrainer._answers
    monkeypatch.setattr(SERLTrainer, "_answers", lambda self, own: asked.extend(own) or answers(self, own))
    spec = spec_of(text_profile, "SERL", "A0")
    execute.train(spec)
    log = pd.read_csv(spec.folder / "log.csv")
    assert len(log) == 2 and (log["serl/unreadable"] == 1).all() and (log["serl/judge_reward"] == -1).all()
    assert len(asked) == 2 * 2 * 6 * 4, "steps, prompts, pairs, judgments"
    assert asked[0][0]["role"] == "user" and "[Response 2]" in asked[0][0]["content"]
    assert asked[0] == asked[1] != asked[2] == asked[3], "each order twice, one after the other"


@pytest.mark.usefixtures("one_thread", "without_hub")
def test_prompts_without_criteria_train_it(text_folder, empty_store, tmp_path):
    """As of UltraFeedback. Rules have nothing to say here, and nothing is logged of them."""
    rows = [{"prompt": f"Name animal {n}.", "chosen": []} for n in range(4)]
    write_jsonl(tmp_path / "prompts.jsonl", rows)
    settings = OF_TEXT | {
        "data": {"source": "ultrafeedback", "path": str(tmp_path / "prompts.jsonl"), "train_prompts": 3},
        "policy": {"model": str(text_folder / "model")},
        "experiments": {"core": {"arms": ["base", "SERL"], "seeds": ["A0"]}},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    spec = spec_of(load_profile(tmp_path / "toy.yaml"), "SERL", "A0")
    execute.train(spec)
    log = pd.read_csv(spec.folder / "log.csv")
    assert len(log) == 2 and (log["serl/unreadable"] == 1).all()
    assert "verdict/csr" not in log or log["verdict/csr"].isna().all()


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}:{HERE}", "HF_HUB_OFFLINE": "1"}
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    for name, before in (("one", ()), ("two", launch)):
        words = [sys.executable, *before, str(HERE / "serl_toy.py"), str(tmp_path / name)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one = read_json(tmp_path / "one" / "rows0.json")
    two = [read_json(tmp_path / "two" / f"rows{rank}.json") for rank in (0, 1)]
    half = RESPONSES // 2
    parts = [(slice(0, half), 0, slice(0, half)), (slice(half, RESPONSES), 1, slice(0, half))]
    judged = RESPONSES + JUDGMENTS // 2
    parts += [(slice(RESPONSES, judged), 0, slice(half, None)), (slice(judged, None), 1, slice(half, None))]
    for here, rank, there in parts:
        assert one["advantages"][here] == pytest.approx(two[rank]["advantages"][there], abs=1e-4)
    assert one["num_items_in_batch"] == two[0]["num_items_in_batch"] == two[1]["num_items_in_batch"]
    models = [LlamaForCausalLM.from_pretrained(tmp_path / name / "model") for name in ("one", "two")]
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
