"""CriteriaSERLTrainer on real trainings of a few steps, against loops over the texts of the batch."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean, pstdev, stdev

import pytest
import torch
from arms_toy import Stop, task_of
from serl_criteria_toy import by_criterion
from serl_toy import GROUP, GROUPS, PROMPTS, TOKENIZER, Kept, tiny_model
from transformers import LlamaForCausalLM

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.methods.arms import ARMS
from rtt_lib.methods.serl import Judged
from rtt_lib.methods.serl_criteria import (
    CriteriaSERLTrainer,
    FastCriteriaSERLTrainer,
    alone,
    right_order,
    together,
    trainer_of,
)
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.relevance.sources import Annotated, Uniform
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import results_table
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify import check
from rtt_lib.worlds.micro.world import without_criterion

HERE = Path(__file__).parent
RESPONSES, CRITERIA = GROUP * GROUPS, 4
JUDGMENTS = GROUPS * 6 * 4 * CRITERIA
OwnByCriterion = type("OwnByCriterion", (Kept, CriteriaSERLTrainer), {})


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


def texts(kept: dict, part: str, rows: slice) -> list[str]:
    return TOKENIZER.batch_decode(kept[f"{part}_ids"][rows], skip_special_tokens=True)


def standardised(values: list[float]) -> list[float]:
    return [(value - mean(values)) / (stdev(values) + 1e-4) for value in values]


def slow_scores(kept: dict) -> tuple[list[list[float]], list[float]]:
    """[response][criterion] R_A, and the judge's advantages in the order of the questions, by reading each."""
    responses = texts(kept, "completion", slice(0, RESPONSES))
    questions = texts(kept, "prompt", slice(RESPONSES, None))
    answers = texts(kept, "completion", slice(RESPONSES, None))
    judged, judge = iter(zip(questions, answers, strict=True)), []
    scores = [[0.0] * CRITERIA for _ in responses]
    for k, start in itertools.product(range(CRITERIA), range(0, RESPONSES, GROUP)):
        group, winners = responses[start : start + GROUP], {}
        asked = PROMPTS[start // GROUP].criteria[k].text
        for i, j in itertools.combinations(range(GROUP), 2):
            winners[i, j] = []
            for turned in (False, False, True, True):
                question, answer = next(judged)
                first, second = (j, i) if turned else (i, j)
                assert question == f"<judge> {asked} : <1> {group[first]} <2> {group[second]} ?"
                winner = {"1": first, "2": second}.get(answer)
                winners[i, j].append(winner)
                if winner is not None:
                    own, other = len(group[winner].split()), len(group[i + j - winner].split())
                    scores[start + winner][k] += (0.8 * other < own < 1.2 * other) * other / own / 12
        for (i, j), picked in winners.items():
            lead = round(scores[start + i][k] - scores[start + j][k], 6)
            sign = {i: (lead > 0) - (lead < 0), j: (lead < 0) - (lead > 0), None: -1}
            judge += standardised([float(sign[winner]) for winner in picked])
    return scores, judge


def slow_credit(kept: dict, scores: list[list[float]]) -> torch.Tensor:
    """A_res + A_tok / 2 [responses, T], word by word."""
    total = torch.zeros(RESPONSES, kept["completion_ids"].shape[1])
    rewards = [mean(row) for row in scores]
    for i, response in enumerate(texts(kept, "completion", slice(0, RESPONSES))):
        group, prompt = range(i // GROUP * GROUP, i // GROUP * GROUP + GROUP), PROMPTS[i // GROUP]
        ends = [match.end() for match in re.finditer(r"\S+", response)]
        tokens = int(kept["completion_mask"][i].sum())
        for t in range(tokens):
            total[i, t] += standardised([rewards[g] for g in group])[i % GROUP]
        for k, criterion in enumerate(prompt.criteria):
            column = [scores[g][k] for g in group]
            lead = (scores[i][k] - mean(column)) / pstdev(column)
            label = taxonomy(criterion, check(criterion, "", response), response)
            about = [float(label.whole or any(s < end <= e for s, e in label.spans)) for end in ends]
            about += [float(label.whole)] * (tokens - len(about))  # the end token
            for t in range(tokens):
                total[i, t] += 0.5 / CRITERIA * lead * (about[t] / mean(about) if any(about) else 1)
    return total


def test_scores_by_criterion_reach_the_tokens_they_are_about(tmp_path):
    trainer = by_criterion(tmp_path)
    trainer.train()
    kept = trainer.kept
    assert kept["advantages"].shape == kept["completion_ids"].shape and len(kept["advantages"]) == RESPONSES + JUDGMENTS
    written, spoken = (kept["completion_mask"][rows].sum() for rows in (slice(RESPONSES), slice(RESPONSES, None)))
    assert spoken == JUDGMENTS and kept["num_items_in_batch"] == written + spoken
    scores, judge = slow_scores(kept)
    actor = slow_credit(kept, scores) * (written + spoken) / written
    assert min(pstdev(row) for row in actor.tolist()) > 0.01, "credit differs from token to token"
    torch.testing.assert_close(kept["advantages"][:RESPONSES], actor, atol=2e-4, rtol=1e-4)
    expected = torch.tensor(judge) * (written + spoken) / spoken
    torch.testing.assert_close(kept["advantages"][RESPONSES:, 0], expected, atol=1e-4, rtol=1e-4)
    assert not kept["advantages"][RESPONSES:, 1:].any(), "an answer is one token"


@pytest.mark.parametrize(("step", "weights"), [(0, (0, 1)), (2, (0.2, 0.8))])
def test_the_gradient_is_that_of_two_weighted_token_means(tmp_path, step, weights):
    trainer = by_criterion(tmp_path, max_steps=10, objective="released")
    trainer.state.global_step, trainer.state.max_steps = step, 10
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions([trainer.train_dataset[n // GROUP] for n in range(RESPONSES)])
    trainer.compute_loss(trainer.model, batch).backward()
    kept, reference = trainer.kept, tiny_model()
    scores, judge = slow_scores(kept)
    actor = slow_credit(kept, scores)
    losses, tokens = [0.0, 0.0], [0, 0]
    for row in range(RESPONSES + JUDGMENTS):
        asked = kept["prompt_ids"][row][kept["prompt_mask"][row].bool()]
        answer = kept["completion_ids"][row][kept["completion_mask"][row].bool()]
        logits = reference(input_ids=torch.cat([asked, answer])[None]).logits[0]
        logps = logits[len(asked) - 1 : -1].log_softmax(-1).gather(1, answer[:, None]).squeeze(1)
        role = int(row >= RESPONSES)
        advantage = judge[row - RESPONSES] if role else actor[row][: len(answer)]
        losses[role] = losses[role] - (advantage * logps).sum()
        tokens[role] += len(answer)
    (weights[0] * losses[0] / tokens[0] + weights[1] * losses[1] / tokens[1]).backward()
    for found, wanted in zip(trainer.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, atol=2e-5, rtol=1e-3)


def test_even_credit_is_the_same_for_all_tokens_of_a_response(tmp_path):
    trainer = by_criterion(tmp_path, relevance=Uniform())
    trainer.train()
    mask = trainer.kept["completion_mask"][:RESPONSES].bool()
    rows = [row[own] for row, own in zip(trainer.kept["advantages"], mask, strict=False)]
    assert all((row - row[0]).abs().max() < 1e-4 for row in rows) and len({round(row[0].item(), 3) for row in rows}) > 5


@pytest.mark.parametrize(
    "settings",
    [{"judge_reward": "none"}, {"steps_per_generation": 2, "num_iterations": 2}, {"length_margin": None}],
    ids=str,
)
def test_it_trains_on_the_policys_own_samples(tmp_path, settings):
    trainer = by_criterion(tmp_path, cls=OwnByCriterion, max_steps=2, **settings)
    trainer.train()
    assert not same(trainer.model, tiny_model())
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    rows = [row for row in trainer.state.log_history if "serl/unreadable" in row]
    assert rows and all("verdict/csr" in row for row in rows)


def test_six_steps_are_three_and_three_more(tmp_path):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "objective": "released"}
    whole = by_criterion(tmp_path, cls=CriteriaSERLTrainer, **settings)
    whole.train()
    again = by_criterion(tmp_path, cls=CriteriaSERLTrainer, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.state.global_step == 6 and same(again.model, whole.model) and not same(again.model, tiny_model())


def test_the_fast_loop_samples_both_roles(tmp_path):
    trainer = by_criterion(tmp_path, cls=type("Fast", (Kept, FastCriteriaSERLTrainer), {}))
    trainer.train()
    assert len(trainer.kept["advantages"]) == RESPONSES + JUDGMENTS and not same(trainer.model, tiny_model())


def test_rubrics_of_several_sizes_are_refused(tmp_path):
    trainer = by_criterion(tmp_path)
    rows = [{"text": "no commas", "verifier": "micro:no_commas"}]
    with pytest.raises(RTTError, match=r"equally many criteria.*\[0, 1\]"):
        trainer.self_reward(["a :", "b :"], ["x", "y"], [[1], [1]], [rows, []], lambda name, value: None)


def test_a_prompt_with_one_criterion_alone():
    prompt = PROMPTS[0]
    found = [alone(prompt.prompt, prompt.criteria, k, without_criterion) for k in range(CRITERIA)]
    assert found == [f"{criterion.text} :" for criterion in prompt.criteria]


def test_judgments_are_joined_process_by_process():
    """Of two criteria and two processes: each finds its own rows, one criterion after the other."""
    one, two = (torch.arange(4.0).view(2, 1, 2) + 10 * k for k in (0, 1))
    judged = [Judged([[k]], [[k]], torch.full((4,), float(k)), rows) for k, rows in enumerate((one, two))]
    found = together(judged, processes=2)
    assert found.advantages.tolist() == [0, 1, 10, 11, 2, 3, 12, 13]
    assert found.prompt_ids == [[0], [1]] and found.rewards.tolist() == [0.5] * 4


def test_the_share_of_pairs_in_the_right_order_by_hand():
    scores = torch.tensor([[0.9, 0.1], [0.5, 0.1], [0.1, 0.7]])
    met = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, torch.nan]])
    # Criterion 1: 0 before 1 is right, 2 before 1 is wrong; criterion 2: 0 and 1 score alike. The rest says nothing.
    assert right_order(scores, met, 3) == pytest.approx((1 + 0 + 0.5) / 3)
    assert math.isnan(right_order(scores, torch.ones(3, 2), 3))


SMALL = {"policy.pretrain_steps": "4", "rl.steps": "2", "rl.prompts_per_step": "2", "evaluation.prompts": "8"}


@pytest.mark.slow
def test_an_arm_from_profile_to_record(empty_store, tmp_path):
    profile = load_profile("serl", SMALL)
    names = ("SERL per criterion", "SERL per criterion even", "SERL 16 judgments", "RTT-CSR relative oracle")
    specs = [RunSpec(ARMS[name], "J65", "A0", profile) for name in names]
    assert len({spec.training_fingerprint for spec in specs}) == 4
    list(execute.run_all(specs, tmp_path, workers=1))
    table = results_table(specs, tmp_path).set_index("arm")
    assert table["per constraint"].between(0, 1).all() and list(table.index) == list(names)
    rows = execute.pd.read_csv(specs[0].folder / "log.csv")
    assert rows["serl/actor_weight"].tolist() == [0, 0.5] and rows["serl/right_by_criterion"].between(0, 1).any()


def test_the_arms_differ_in_where_credit_goes(monkeypatch, tmp_path):
    """What reaches the trainer."""
    seen = {}

    def stop(self, *positional, **kwargs):
        seen.update(kwargs)
        raise Stop

    monkeypatch.setattr(CriteriaSERLTrainer, "__init__", stop)
    profile, exact = load_profile("serl", SMALL), Annotated(taxonomy, "oracle")
    for name, expected in (("SERL per criterion", exact), ("SERL per criterion even", Uniform())):
        with pytest.raises(Stop):
            trainer_of(task_of(profile, "J65", name, tmp_path))
        assert seen["relevance"] == expected and seen["token_beta"] == 0.5 and seen["args"].judgments == 4


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(tmp_path):
    """A group's responses sit on both: each process finds its own rows, and the same step is made."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}:{HERE}", "HF_HUB_OFFLINE": "1"}
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    for name, before in (("one", ()), ("two", launch)):
        words = [sys.executable, *before, str(HERE / "serl_criteria_toy.py"), str(tmp_path / name)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one = written(tmp_path / "one" / "rows0.json")
    two = [written(tmp_path / "two" / f"rows{rank}.json") for rank in (0, 1)]
    half, asked = RESPONSES // 2, JUDGMENTS // CRITERIA
    for rank, found in enumerate(two):
        mine = range(rank * half, (rank + 1) * half)
        judged = [RESPONSES + k * asked + rank * asked // 2 + n for k in range(CRITERIA) for n in range(asked // 2)]
        assert len(found) == half + len(judged)
        for row, place in zip(found, [*mine, *judged], strict=True):
            assert row == pytest.approx(one[place], abs=1e-4)
    models = [LlamaForCausalLM.from_pretrained(tmp_path / name / "model") for name in ("one", "two")]
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def written(path: Path) -> list[list[float]]:
    """The advantages of the tokens of each row."""
    rows = read_json(path)
    return [
        [value for value, own in zip(advantages, mask, strict=True) if own]
        for advantages, mask in zip(rows["advantages"], rows["mask"], strict=True)
    ]
