"""Other papers' credit rules on batches small enough to work by hand."""

from __future__ import annotations

import math

import pytest
import torch
from datasets import Dataset
from toys import micro_tokenizer
from transformers import LlamaForCausalLM, PrinterCallback

from rtt_lib.credit import response_advantage
from rtt_lib.errors import RTTError
from rtt_lib.methods.rtt_grpo import RTTGRPOConfig, RTTGRPOTrainer, rubric_dataset
from rtt_lib.relevance.sources import Oracle
from rtt_lib.rivals import RIVALS, Batch, cort, cripo, draco, gdpo, weighted_negative
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config
from rtt_lib.worlds.micro.world import ON_CPU

NAN = float("nan")


def batch(a_res, verdicts, relevance=None, mask=None, size=2, progress=1.0) -> Batch:
    verdicts = torch.tensor(verdicts)
    relevance = torch.zeros(*verdicts.shape, 4) if relevance is None else torch.tensor(relevance)
    mask = (
        torch.ones(len(verdicts), relevance.shape[2], dtype=torch.bool) if mask is None else torch.tensor(mask).bool()
    )
    return Batch(torch.tensor(a_res), verdicts, relevance, mask.bool(), size, progress)


def test_cort_weighs_the_response_by_its_contrast():
    found = cort(batch([2.0, -1.0], [[1.0], [0.0]], [[[1.0, 0.0]], [[0.5, 0.5]]]))
    # w = 1.5, 0.5, mean 1; and 1, 1
    assert found.tolist() == [[3.0, 1.0], [-1.0, -1.0]]
    assert cort(batch([2.0, -1.0], [[1.0], [0.0]], [[[1.0, 0.0]], [[0.5, 0.5]]], progress=0.0)).tolist() == [
        [2.0, 2.0],
        [-1.0, -1.0],
    ]
    halfway = cort(batch([2.0, 0.0], [[1.0], [0.0]], [[[1.0, 0.0]], [[0.5, 0.5]]], progress=0.1))
    assert halfway[0].tolist() == [2.5, 1.5], "lambda is 1/2 in the middle of the ramp"


def test_cort_keeps_the_mean_over_the_responses_own_tokens():
    one = batch([1.0, 1.0], [[1.0], [1.0]], [[[0.9, 0.2, 0.7]], [[0.3, 0.8, 0.1]]], [[1, 1, 0], [1, 1, 1]])
    found = cort(one)
    assert found[0, 2] == 0 and found[0, :2].mean() == pytest.approx(1) and found[1].mean() == pytest.approx(1)


def test_cripo_rescues_what_a_losing_response_did_right():
    # Criterion 0 is satisfied by the loser alone: suppressed. Criterion 1 by the winner: not.
    verdicts, p = [[1.0, 0.0], [0.0, 1.0]], [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
    found = cripo(batch([-1.0, 1.0], verdicts, p))
    torch.testing.assert_close(found, torch.tensor([[0.1, -1.0], [1.0, 1.0]]))


def test_cripo_never_fires_where_a_criterion_helps():
    found = cripo(batch([1.0, -1.0], [[1.0], [0.0]], [[[1.0, 1.0]], [[1.0, 1.0]]]))
    assert found.tolist() == [[1.0, 1.0], [-1.0, -1.0]]
    assert cripo(batch([0.0, 0.0], [[NAN], [NAN]])).tolist() == [[0.0] * 4] * 2


def test_draco_pays_the_tokens_that_succeeded_and_charges_those_that_failed():
    p = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]] * 2  # token 0 is cited by criterion 0, token 1 by 1, token 2 by nothing
    found = draco(batch([1.0, -1.0], [[1.0, 0.0], [1.0, 0.0]], p))
    # Q = 1, 0, and the mean 1/2: w = Q for the winner, 1 - Q for the loser; N = 3, sum of w = 1.5
    torch.testing.assert_close(found, torch.tensor([[2.0, 0.0, 1.0], [0.0, -2.0, -1.0]]))
    torch.testing.assert_close(found.sum(1), torch.tensor([3.0, -3.0]))
    alike = draco(batch([1.0, 1.0], [[0.0], [0.0]], [[[1.0, 1.0]]] * 2))
    assert alike.tolist() == [[1.0, 1.0]] * 2, "a winner of which everything failed: its advantage, evenly"


def test_gdpo_by_a_slow_obvious_computation():
    verdicts = [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [NAN, 0.0]]
    columns = torch.tensor(verdicts)
    summed = []
    for start in (0, 2):
        z = [response_advantage(columns[start : start + 2, k], 2) for k in range(2)]
        summed += [(z[0][i] + z[1][i]).item() for i in range(2)]
    mean = sum(summed) / 4
    std = math.sqrt(sum((x - mean) ** 2 for x in summed) / 3)
    found = gdpo(batch([0.0] * 4, verdicts))
    assert found[:, 0].tolist() == pytest.approx([(x - mean) / (std + 1e-4) for x in summed], abs=1e-5)
    assert (found == found[:, :1]).all()


def test_weighted_negative_reinforcement():
    found = weighted_negative(batch([9.0] * 4, [[1.0, 1.0], [1.0, 0.0], [1.0, NAN], [NAN, 0.0]]))
    assert found[:, 0].tolist() == pytest.approx([0.1, -1.0, 0.0, -1.0])


@pytest.mark.parametrize("name", RIVALS)
def test_every_rule_is_finite_and_stays_inside_the_mask(name):
    rng = torch.Generator().manual_seed(3)
    for _ in range(50):
        verdicts = (
            torch.randint(0, 3, (8, 3), generator=rng).float().masked_fill_(torch.rand(8, 3, generator=rng) < 0.2, NAN)
        )
        verdicts = torch.where(verdicts > 1, torch.ones(()), verdicts)
        lengths = torch.randint(0, 6, (8, 1), generator=rng)
        mask = torch.arange(5) < lengths
        a_res = response_advantage(torch.rand(8, generator=rng), 4)
        found = RIVALS[name](Batch(a_res, verdicts, torch.rand(8, 3, 5, generator=rng), mask, 4))
        assert found.shape == (8, 5) and found.isfinite().all() and (found[~mask] == 0).all()


@pytest.mark.parametrize("name", RIVALS)
def test_the_trainer_trains_on_the_rules_own_advantage(tmp_path, name):
    """Eq. 7 with alpha and beta 1 adds what the rule gives beyond A_res: together the rule itself, scaled as Eq. 6."""
    trainer = train(tmp_path, name)
    seen = trainer.seen
    for key in ("advantages", "a_res"):
        assert seen[key].isfinite().all()
    one = Batch(seen["a_res"], seen["verdicts"], seen["relevance"], seen["mask"], 4, 0.0)
    torch.testing.assert_close(seen["advantages"], RIVALS[name](one) * seen["mask"])


def train(folder, name):
    """One step on the micro language, with the credit that it was trained on."""
    tokenizer = micro_tokenizer()

    class Watched(RTTGRPOTrainer):
        def _credit(self, rollouts, a_res):
            credit, mask = super()._credit(rollouts, a_res), rollouts.mask
            self.seen = {"advantages": self._advantages(credit) * mask, "a_res": a_res, "mask": mask}
            self.seen |= {"relevance": credit.relevance, "verdicts": rollouts.verdict_tensor()}
            return credit

    args = RTTGRPOConfig(
        str(folder), scheme=name, token_beta=1.0, response_reward="csr", num_generations=4, max_steps=1,
        per_device_train_batch_size=8, max_completion_length=8, per_group_token_mean=False, loss_type="dapo",
        save_strategy="no", **ON_CPU,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer)))
    rows = rubric_dataset(sample_prompts(find_world("L"), 4, 0), conversational=False)
    trainer = Watched(
        model, Verifier(), Oracle(), args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def test_a_rule_takes_the_place_of_eq_7():
    with pytest.raises(RTTError, match=r"gives the whole advantage in place of Eq\. 7: set alpha=1 and token_beta=1"):
        RTTGRPOConfig("x", scheme="CoRT", **ON_CPU)
