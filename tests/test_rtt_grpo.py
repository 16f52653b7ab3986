"""RTTGRPOTrainer on real trainings of a few steps: a transformer of one layer, a language of forty words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from rtt_grpo_toy import (
    DATA,
    EOS,
    GROUP,
    TOKENIZER,
    Advantages,
    Snapshots,
    finite,
    fixed,
    logged,
    make,
    same,
    settings,
    tiny_model,
    train,
    varied,
)
from trl import GRPOConfig

from rtt_lib.credit import SCHEMES
from rtt_lib.errors import RTTError
from rtt_lib.methods.verification import parse_rubric, undecidable
from rtt_lib.relevance.sources import Oracle, Random
from rtt_lib.schema import Criterion
from rtt_lib.train import RTTGRPOConfig, RTTGRPOTrainer
from rtt_lib.verify import batch
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import Verdict

# --- resuming ---


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps_per_generation": 2},
        {"num_iterations": 3},
        {"gradient_accumulation_steps": 2, "steps_per_generation": 4},
    ],
)
def test_ten_steps_are_five_and_five_more(tmp_path, changes):
    """Step 5 falls between two minibatches of one generation batch in all but the first."""
    settings = {"max_steps": 10, "save_strategy": "steps", "save_steps": 5, "relevance": Oracle(), **changes}
    whole = train(tmp_path, **settings)
    again = make(tmp_path, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert again.state.global_step == 10 and not same(again.model, tiny_model())
    assert same(again.model, whole.model)
    for name in ("loss", "reward", "credit/a_tok_abs"):
        assert logged(again, name) == logged(whole, name)


# --- faults ---


def undecided(prompts, responses, rubrics):
    return [[None] * len(rubric) for rubric in rubrics]


def one_scorable(prompts, responses, rubrics):
    return [[None if i % GROUP else k < 2 for k in range(len(rubric))] for i, rubric in enumerate(rubrics)]


def nan_reward(completions, **kwargs):
    return [math.nan] * len(completions)


def infinite_reward(completions, **kwargs):
    return [math.inf] + [0.0] * (len(completions) - 1)


WORD = TOKENIZER("bako").input_ids[0]


@pytest.mark.parametrize("scheme", ["intra", "inter", "relative"])
@pytest.mark.parametrize(
    ("kwargs", "metric", "value"),
    [
        ({"verifier": undecided}, "verdict/unknown", 1),
        ({"verifier": one_scorable}, "verdict/unknown", 0.75),
        ({"extra": {"reward_funcs": [nan_reward]}}, "verdict/unknown", 0),
        ({"extra": {"reward_funcs": [infinite_reward]}}, "verdict/unknown", 0),
        ({"extra": fixed([EOS])}, "completions/mean_length", 1),
        ({"extra": fixed([EOS], [WORD, EOS])}, "completions/mean_length", 1.5),
        ({"extra": fixed([WORD] * 10)}, "completions/clipped_ratio", 1),
        ({"extra": fixed([WORD] * 10), "mask_truncated_completions": True}, "completions/clipped_ratio", 1),
    ],
    ids=["undecided", "one scorable", "NaN reward", "infinite reward", "EOS first", "some EOS", "cut", "cut, masked"],
)  # fmt: skip
def test_faults_neither_crash_nor_poison(tmp_path, scheme, kwargs, metric, value):
    trainer = train(tmp_path, scheme=scheme, relevance=Random(), max_steps=1, credit_eos=False, **kwargs)
    assert finite(trainer.model)
    assert logged(trainer, "rtt/skipped_steps") == [0]
    assert math.isfinite(logged(trainer, "grad_norm")[0])
    assert logged(trainer, metric) == [pytest.approx(value)]


def test_an_unknown_rubric_reward_stays_unknown_beside_other_rewards(tmp_path):
    seen = []

    class Recorder(RTTGRPOTrainer):
        def _calculate_rewards(self, *args, **kwargs):
            seen.append(super()._calculate_rewards(*args, **kwargs))
            return seen[-1]

    friendly = {"reward_funcs": [lambda completions, **kwargs: [0.2] * len(completions)]}
    train(tmp_path, cls=Recorder, verifier=one_scorable, extra=friendly, max_steps=1)
    unknown = torch.arange(len(seen[0])) % GROUP > 0
    assert seen[0][unknown].isnan().all() and seen[0][~unknown].isfinite().all()


def test_in_bfloat16_it_learns_from_the_same_rollouts(tmp_path):
    """Autocast around the sampling must not leave weights without gradient to the loss."""
    pair = {name: train(tmp_path / name, max_steps=2, bf16=name == "bf16", extra=varied()) for name in ("bf16", "full")}
    start = tiny_model()
    moved = [
        torch.cat([(a - b).flatten() for a, b in zip(t.model.parameters(), start.parameters(), strict=True)])
        for t in pair.values()
    ]
    assert torch.cosine_similarity(*moved, dim=0) > 0.9


class Counted:
    """Decides nothing from a batch on; says why."""

    def __init__(self, from_batch: int = 0, share: float = 1.0):
        self.from_batch, self.share, self.batches = from_batch, share, 0

    def __call__(self, prompts, responses, rubrics):
        self.batches += 1
        unknown = round(self.share * len(rubrics)) if self.batches > self.from_batch else 0
        return [
            [Verdict(None, "the judge is silent") if i < unknown else Verdict(k < 2) for k in range(len(rubric))]
            for i, rubric in enumerate(rubrics)
        ]


def test_a_verifier_that_decides_nothing_stops_the_run(tmp_path):
    """40 verdicts a batch: from the second on there are 50 to judge by."""
    verifier = Counted()
    with pytest.raises(RTTError, match=r"100% of the last 80 verdicts are unknown.*max_unknown = 50%.*silent"):
        train(tmp_path, verifier=verifier, max_steps=9)
    assert verifier.batches == 2


def test_a_verifier_that_fell_silent_stops_the_run(tmp_path):
    verifier = Counted(from_batch=3)
    with pytest.raises(RTTError, match="57% of the last 280 verdicts are unknown"):
        train(tmp_path, verifier=verifier, max_steps=9)
    assert verifier.batches == 7  # three that were decided, four that were not


@pytest.mark.parametrize(("share", "max_unknown"), [(0.5, 0.5), (1.0, 1.0)])
def test_unknown_verdicts_up_to_the_limit_do_not_stop_the_run(tmp_path, share, max_unknown):
    trainer = train(tmp_path, verifier=Counted(share=share), max_steps=3, max_unknown=max_unknown)
    assert logged(trainer, "verdict/unknown") == [share] * 3


def with_soft_criteria(soft: int) -> Dataset:
    rubric = ["Be kind."] * soft + [{"text": "no commas", "verifier": "micro:no_commas"}] * (5 - soft)
    return Dataset.from_list([{"prompt": "no commas :", "criteria": json.dumps(rubric)}] * 8)


def test_data_that_cannot_be_verified_stop_the_run_before_it_starts(tmp_path):
    trainer = make(tmp_path, extra={"train_dataset": with_soft_criteria(3)})
    with pytest.raises(RTTError, match=r"60% of the training data's criteria cannot be .*no judge LLM is set"):
        trainer.train()
    assert trainer.state.global_step == 0 and not trainer._metrics["train"]


def test_data_that_can_partly_be_verified_are_trained_on_and_it_is_said(tmp_path, caplog):
    train(tmp_path, extra={"train_dataset": with_soft_criteria(1)}, max_steps=1)
    assert "20% of the training data's criteria cannot be decided here" in caplog.text


def test_code_checkers_ask_for_the_sandbox(monkeypatch):
    checker = Criterion(
        "Rhyme.", "code:python", {"code": "def check(prompt, response): return True", "function": "check"}
    )
    assert undecidable(Verifier(), [[checker, Criterion("no commas", "micro:no_commas")]])[0] == 0
    monkeypatch.setattr(batch, "isolation", list)
    share, reasons = undecidable(Verifier(), [[checker, Criterion("no commas", "micro:no_commas")]])
    assert share == 0.5 and reasons == {batch.NO_ISOLATION: 1}


def test_a_verifier_that_raises_stops_the_run(tmp_path):
    def broken(prompts, responses, rubrics):
        raise ConnectionError("the judge is gone")

    with pytest.raises(ConnectionError, match="the judge is gone"):
        train(tmp_path, verifier=broken)


def test_a_verifier_with_too_few_verdicts_is_refused(tmp_path):
    with pytest.raises(RTTError, match="1 verdicts on response 0, whose rubric has 5"):
        train(tmp_path, verifier=lambda prompts, responses, rubrics: [[True] for _ in responses])


@pytest.mark.parametrize("value", [0, 1, 0.0, "yes", torch.tensor(False), np.int64(0), Verdict(0)], ids=repr)
def test_a_verdict_of_another_kind_is_refused(tmp_path, value):
    def verifier(prompts, responses, rubrics):
        return [[value if (i, k) == (1, 2) else False for k in range(len(rubric))] for i, rubric in enumerate(rubrics)]

    kind = type(value.value if isinstance(value, Verdict) else value).__name__
    with pytest.raises(RTTError, match=rf"verdict on response 1, criterion '.+' is {kind} .*must be True, False or"):
        train(tmp_path, verifier=verifier)


def test_numpys_booleans_are_verdicts(tmp_path):
    def verifier(prompts, responses, rubrics):
        return np.array([[k < 2 for k in range(len(rubric))] for rubric in rubrics])

    row = train(tmp_path, verifier=verifier, max_steps=1, response_reward="aon").state.log_history[0]
    assert row["verdict/aon"] == 0 and row["verdict/csr"] == pytest.approx(0.4)


def test_a_verifier_that_forgets_a_response_is_refused(tmp_path):
    def verifier(prompts, responses, rubrics):
        return [[True] * len(rubric) for rubric in rubrics[1:]]

    with pytest.raises(RTTError, match=f"gave verdicts on {2 * GROUP - 1} responses, there are {2 * GROUP}"):
        train(tmp_path, verifier=verifier)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ('{"text": "Name a cat."}', "str .*Name a cat"),
        ('"Name a cat."', "str .*Name a cat"),
        ("Name a cat.", "str .*Name a cat"),
        ({"text": "Name a cat."}, "dict .*Name a cat"),
        ("3", "str '3'"),
        (None, "nothing"),
    ],
)
def test_a_cell_that_is_no_rubric_is_refused(cell, found):
    with pytest.raises(RTTError, match=f"column 'criteria': found {found}.*expected a list of texts or of criterion"):
        parse_rubric(cell)


def test_a_rubric_is_texts_or_objects():
    assert parse_rubric('["Name a cat."]') == parse_rubric(["Name a cat."]) == [Criterion("Name a cat.")]
    assert parse_rubric([{"text": "Name a cat.", "verifier": "judge", "args": {}}]) == [Criterion("Name a cat.")]
    with pytest.raises(RTTError, match=r"criteria\[1\]: a criterion must be an object, found int"):
        parse_rubric(["Name a cat.", 3])


def test_a_data_set_without_criteria_is_refused(tmp_path):
    trainer = make(tmp_path)
    with pytest.raises(RTTError, match="column 'criteria': found nothing"):
        trainer.rubric_reward(["a"], [[WORD, EOS]])


class BadLoss(RTTGRPOTrainer):
    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        return loss * math.nan if self.state.global_step in self.bad_steps else loss


class BadGradient(RTTGRPOTrainer):
    """The loss is finite, one parameter's gradient is not; with two minibatches a step, the first one's."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.state.global_step in self.bad_steps:
            next(model.parameters()).grad[0] = math.inf
        return loss


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("cls", [BadLoss, BadGradient])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, cls, accumulation):
    snapshots = Snapshots()
    trainer = make(
        tmp_path, cls=cls, max_steps=4, gradient_accumulation_steps=accumulation, extra={"callbacks": [snapshots]}
    )
    trainer.bad_steps = {1}
    trainer.train()
    assert logged(trainer, "rtt/skipped_steps") == [0, 1, 0, 0]
    after = snapshots.parameters
    assert all(torch.equal(a, b) for a, b in zip(after[0], after[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(after[1], after[2], strict=True))
    for key, state in snapshots.moments[0].items():
        for name, value in state.items():
            assert torch.equal(value, snapshots.moments[1][key][name])
    assert finite(trainer.model) and all(math.isfinite(loss) for loss in logged(trainer, "loss"))


@pytest.mark.parametrize("cls", [BadLoss, BadGradient])
def test_too_many_in_a_row_stop_the_run(tmp_path, cls):
    trainer = make(tmp_path, cls=cls, max_steps=9, max_skipped_in_a_row=3)
    trainer.bad_steps = {1, 3, 4, 5, 6}
    with pytest.raises(RTTError, match=r"not finite 3 steps in a row \(step 5\): lower the learning rate"):
        trainer.train()
    assert finite(trainer.model)


# --- options ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "intre"}, "choose one of intra, inter"),
        ({"response_reward": "mean"}, "'aon' or 'csr'"),
        ({"token_beta_schedule": "cosine"}, "'constant' or 'linear'"),
        ({"max_unknown": 50}, "max_unknown=50 is no share"),
        ({"max_skipped_in_a_row": 0}, "max_skipped_in_a_row=0 .*at least 1"),
        ({"loss_type": "grpo"}, "per_group_token_mean.*'dapo'.*set it to False"),
        ({"importance_sampling_level": "sequence"}, "token credit, whose sum over a response is zero, cancels"),
        ({"off_policy_mask_threshold": 0.5}, "some tokens of a response that has drifted and not the others"),
        ({"use_vllm": True, "top_p": 0.99}, r"with top_p=0.99 TRL's importance correction .* shrinks with its length"),
        ({"use_vllm": True, "top_k": 100, "min_p": 0.1}, r"with top_k=100 and min_p=0.1 TRL's importance"),
        ({"use_vllm": True, "generation_kwargs": {"top_p": 0.9}}, r"with top_p=0.9 TRL's importance"),
    ],
)
def test_the_config_names_what_can_be_chosen(tmp_path, changes, message):
    with pytest.raises(RTTError, match=message):
        RTTGRPOConfig(**settings(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"importance_sampling_level": "sequence", "token_beta": 0.0},
        {"off_policy_mask_threshold": 0.5, "token_beta": 0.0},
        {"use_vllm": True},
        {"use_vllm": True, "top_p": 0.99, "vllm_importance_sampling_correction": False},
        {"top_p": 0.99, "top_k": 100},
    ],
    ids=str,
)
def test_the_config_takes_what_does_no_harm(tmp_path, changes):
    RTTGRPOConfig(**settings(tmp_path, **changes))


def test_token_credit_needs_a_relevance_source(tmp_path):
    with pytest.raises(RTTError, match="relevance source, unless token_beta is 0"):
        RTTGRPOTrainer(tiny_model(), Verifier(), args=RTTGRPOConfig(**settings(tmp_path)), train_dataset=DATA)


def test_the_config_leaves_trls_own_settings_alone(tmp_path):
    ours, trls = RTTGRPOConfig(str(tmp_path), use_cpu=True), GRPOConfig(str(tmp_path), use_cpu=True)
    assert ours.report_to == trls.report_to and ours.beta == trls.beta and ours.epsilon == trls.epsilon


@pytest.mark.parametrize(
    "changes",
    [{"gradient_accumulation_steps": 2}, {"num_iterations": 2}, {"loss_type": "grpo", "per_group_token_mean": False}],
    ids=str,
)
def test_trls_own_options_train(tmp_path, changes):
    trainer = train(tmp_path, cls=Advantages, **changes)
    assert trainer.advantages.dim() == 2 and trainer.advantages.isfinite().all()
    assert trainer.state.global_step == 2 and finite(trainer.model) and not same(trainer.model, tiny_model())


def test_lora_trains_the_adapter_alone(tmp_path):
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    trainer = train(tmp_path, cls=Advantages, extra={"peft_config": lora})
    assert trainer.advantages.dim() == 2 and trainer.advantages.isfinite().all()
    trained, start = dict(trainer.model.named_parameters()), tiny_model().state_dict()
    adapter = [p for name, p in trained.items() if "lora_B" in name]
    assert adapter and any(p.abs().sum() > 0 for p in adapter)
    frozen = trained["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert torch.equal(frozen, start["model.layers.0.self_attn.q_proj.weight"])


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_every_scheme_trains(tmp_path, scheme):
    trainer = train(tmp_path, scheme=scheme, max_steps=1, extra=varied())
    assert finite(trainer.model) and logged(trainer, "credit/a_tok_abs")[0] > 0
