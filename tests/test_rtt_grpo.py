"""RTTGRPOTrainer on real trainings of a few steps: a transformer of one layer, a language of forty words."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rtt_lib.credit import SCHEMES, combine, response_advantage, token_advantage
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.methods.verification import parse_rubric, rubric_dataset, undecidable
from rtt_lib.relevance.sources import Oracle, Random
from rtt_lib.schema import Criterion
from rtt_lib.train import RTTGRPOConfig, RTTGRPOTrainer
from rtt_lib.verify import batch
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import Verdict, csr
from rtt_lib.worlds.micro.language import find_world, sample_prompts
from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer
from rtt_lib.worlds.micro.world import ON_CPU

HERE = Path(__file__).parent
TOKENIZER = micro_tokenizer()
EOS = TOKENIZER.eos_token_id
DATA = Dataset.from_list(rubric_dataset(sample_prompts(find_world("L"), 24, "trainer"), conversational=False))
GROUP = 4


def tiny_model(vocabulary: int = len(TOKENIZER)) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(micro_config(vocabulary, width=16, layers=1, heads=2))


def settings(folder: Path, **changes) -> dict:
    return {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 2 * GROUP,
        "num_generations": GROUP,
        "max_completion_length": 10,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "linear",
        "save_strategy": "no",
        "logging_steps": 1,
        **ON_CPU,
    } | changes


def make(folder, *, model=None, verifier=None, relevance=None, cls=RTTGRPOTrainer, extra=None, **changes):
    changes = {"response_reward": "csr"} | changes
    trainer = cls(
        model or tiny_model(),
        verifier or Verifier(),
        relevance or Random(),
        args=RTTGRPOConfig(**settings(folder, **changes)),
        processing_class=TOKENIZER,
        **{"train_dataset": DATA, **(extra or {})},
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(folder, **kwargs) -> RTTGRPOTrainer:
    trainer = make(folder, **kwargs)
    trainer.train()
    return trainer


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


def finite(model: torch.nn.Module) -> bool:
    return all(p.isfinite().all() for p in model.parameters())


def logged(trainer, name: str) -> list:
    return [row[name] for row in trainer.state.log_history if name in row]


def rollouts(folder: Path, step: int = 0) -> list[dict]:
    return [row for _, row in read_jsonl(folder / "rollouts" / f"step_{step:05d}.jsonl.gz")]


def padded(rows: list[list[float]], fill: float = 0.0) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, fill)


def fixed(*completions: list[int]):
    """A rollout function: these completions, over and over, as many as there are prompts."""

    def rollout(prompts: list[str], trainer: GRPOTrainer) -> dict:
        return {
            "prompt_ids": [TOKENIZER(prompt).input_ids for prompt in prompts],
            "completion_ids": [list(completions[i % len(completions)]) for i in range(len(prompts))],
            "logprobs": None,
        }

    return {"rollout_func": rollout}


def varied(n: int = 2 * GROUP):
    """Completions of different lengths, some cut, some ended, some with a comma: an untrained policy's are alike."""
    rng = torch.Generator().manual_seed(1)
    words = torch.randint(2, 42, (n, 8), generator=rng).tolist()
    comma = TOKENIZER.convert_tokens_to_ids(",")
    return fixed(*([comma] * (i % 2) + row[: 2 + i] + [EOS] * (i % 3 > 0) for i, row in enumerate(words)))


# --- against plain GRPO, and against the equations by hand ---


def test_token_beta_zero_is_plain_grpo(tmp_path):
    def reward(prompts, completions, criteria, **kwargs):
        rubrics = [parse_rubric(value) for value in criteria]
        return [csr([v.value for v in row]) for row in Verifier()(prompts, completions, rubrics)]

    few = {"max_steps": 3, "steps_per_generation": 2}
    ours = train(tmp_path / "ours", token_beta=0.0, per_group_token_mean=False, **few).model
    plain = GRPOTrainer(
        tiny_model(),
        reward_funcs=reward,
        args=GRPOConfig(**settings(tmp_path / "plain", **few)),
        train_dataset=DATA,
        processing_class=TOKENIZER,
    )
    plain.train()
    assert not same(ours, tiny_model())
    assert same(ours, plain.model)
    assert not same(train(tmp_path / "rtt", per_group_token_mean=False, **few).model, plain.model)


def surrogate(model, rows: list[dict], advantages: list[torch.Tensor], old_shift: float) -> torch.Tensor:
    """Eq. 6 one response at a time: the group's clipped surrogate over the group's tokens, then over groups.

    The old policy gave token x the probability that `model` gives it, times exp(old_shift * sin x).
    """
    per_group = []
    for start in range(0, len(rows), GROUP):
        total, count = 0.0, 0
        for i in range(start, start + GROUP):
            prompt = TOKENIZER(rows[i]["prompt"], return_tensors="pt").input_ids
            ids = torch.tensor([TOKENIZER.convert_tokens_to_ids(rows[i]["tokens"])])
            logits = model(torch.cat([prompt, ids], 1)).logits[0, prompt.shape[1] - 1 : -1]
            logp = torch.log_softmax(logits, -1).gather(1, ids[0, :, None])[:, 0]
            ratio = (logp - logp.detach() - old_shift * torch.sin(ids[0].float())).exp()
            a = advantages[i]
            total = total + torch.minimum(ratio * a, ratio.clamp(0.8, 1.27) * a).sum()
            count += len(a)
        per_group.append(total / count)
    return -torch.stack(per_group).mean()


@pytest.mark.parametrize("old_shift", [0.0, 0.5], ids=["ratio 1", "clipped"])
def test_the_loss_is_equation_6_and_so_is_its_gradient(tmp_path, old_shift):
    trainer = make(tmp_path, max_steps=1, epsilon_high=0.27, save_rollouts_every=1, extra=varied())
    trainer.model.train()
    [inputs] = [trainer._prepare_inputs(list(DATA.select([0] * GROUP + [1] * GROUP)))]
    trainer.current_gradient_accumulation_steps = 1
    rows = rollouts(tmp_path)
    lengths = [sum(len(row["tokens"]) for row in rows[start : start + GROUP]) for start in (0, GROUP)]
    assert lengths[0] != lengths[1], "groups of equal length would not tell Eq. 6 from a mean over all tokens"
    advantages = [row["a_res"] + 0.5 * torch.tensor(row["a_tok"]) for row in rows]

    if old_shift:
        ids, prompts = inputs["completion_ids"], inputs["prompt_ids"]
        attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        logp, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, torch.cat([prompts, ids], 1), attention, ids.shape[1]
        )
        inputs["old_per_token_logps"] = logp.detach() + old_shift * torch.sin(ids.float())
    loss = trainer._compute_loss(trainer.model, inputs)
    expected = surrogate(trainer.model, rows, advantages, old_shift)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-3)
    if not old_shift:
        by_sum = -sum(torch.cat(advantages[s : s + GROUP]).mean() for s in (0, GROUP)) / 2
        torch.testing.assert_close(loss.detach(), by_sum, atol=1e-4, rtol=1e-3)
    got = torch.autograd.grad(loss, list(trainer.model.parameters()))
    wanted = torch.autograd.grad(expected, list(trainer.model.parameters()))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("scheme", ["intra", "inter", "relative"])
def test_saved_rollouts_hold_the_credit_that_the_loss_gets(tmp_path, scheme):
    seen = {}

    class Recorder(RTTGRPOTrainer):
        def _compute_loss(self, model, inputs):
            for ids, mask, a in zip(
                *(inputs[k] for k in ("completion_ids", "completion_mask", "advantages")), strict=True
            ):
                seen[tuple(ids[mask.bool()].tolist())] = a[mask.bool()]
            return super()._compute_loss(model, inputs)

    trainer = train(
        tmp_path, cls=Recorder, relevance=Oracle(), scheme=scheme, max_steps=1, steps_per_generation=1,
        save_rollouts_every=1, per_group_token_mean=False, alpha=0.7, token_beta=0.4, extra=varied(),
    )  # fmt: skip
    rows = rollouts(tmp_path)
    assert len(rows) == trainer.args.generation_batch_size
    verdicts = torch.tensor([row["verdicts"] for row in rows]).float()
    lengths = torch.tensor([len(row["tokens"]) for row in rows])
    mask = torch.arange(lengths.max()) < lengths[:, None]
    relevance = torch.stack([padded([*row["relevance"], [0.0] * lengths.max()])[:-1] for row in rows])
    a_res = torch.tensor([row["a_res"] for row in rows])
    a_tok = token_advantage(verdicts, relevance, mask, GROUP, scheme)
    assert a_tok.abs().max() > 0.1
    torch.testing.assert_close(padded([row["a_tok"] for row in rows]), a_tok, atol=1e-4, rtol=0)
    torch.testing.assert_close(a_res, response_advantage(verdicts.mean(1), GROUP), atol=1e-3, rtol=0)
    advantages = combine(a_res, a_tok, 0.7, 0.4)
    for i, row in enumerate(rows):
        ids = tuple(TOKENIZER.convert_tokens_to_ids(row["tokens"]))
        torch.testing.assert_close(seen[ids], advantages[i, : len(ids)], atol=2e-4, rtol=0)
        for token, (start, end) in zip(row["tokens"], row["offsets"], strict=True):
            assert row["response"][start:end].strip() == ("" if token in ("<eos>", "<pad>") else token)


def test_the_log_says_what_was_credited(tmp_path):
    trainer = train(tmp_path, relevance=Oracle(), max_steps=1, extra=varied())
    names = """verdict/aon verdict/csr verdict/unknown verdict/exclude credit/a_res_abs credit/a_tok_abs
        credit/a_tok_max credit/eos credit/silent_groups credit/silent_groups_with_token_credit rtt/verify_seconds
        rtt/relevance_seconds rtt/skipped_steps entropy clip_ratio/region_mean completions/mean_length"""
    row = trainer.state.log_history[0]
    assert set(names.split()) <= set(row)
    assert row["verdict/unknown"] == 0 and 0 < row["verdict/csr"] < 1 and row["credit/a_tok_abs"] > 0


@pytest.mark.parametrize("token_beta", [0.0, 0.5])
def test_trls_table_of_completions_shows_what_is_trained_on(tmp_path, token_beta):
    trainer = train(
        tmp_path, cls=Advantages, token_beta=token_beta, relevance=Oracle(), max_steps=1, extra=varied(),
        log_completions=True, num_completions_to_print=0, steps_per_generation=1, scheme="relative",
        save_rollouts_every=1,
    )  # fmt: skip
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    rows, inputs = rollouts(tmp_path), trainer.inputs
    found = {}
    for ids, mask, a in zip(*(inputs[k] for k in ("completion_ids", "completion_mask", "advantages")), strict=True):
        tokens = tuple(TOKENIZER.convert_ids_to_tokens(ids[mask.bool()].tolist()))
        found[tokens] = (a[mask.bool()] if a.dim() else a.repeat(int(mask.sum()))).tolist()
    assert len(table) == len(rows) == 2 * GROUP
    for (_, shown), row in zip(table.iterrows(), rows, strict=True):
        trained = found[tuple(row["tokens"])]
        assert shown["advantage"] == pytest.approx(fmean(trained), abs=1e-6)
        strongest = [f"{value:+.2f}" for value in sorted(trained, reverse=True)]
        strongest = strongest if len(strongest) <= 6 else strongest[:3] + strongest[-3:]
        assert re.findall(r"[+-]\d\.\d\d", shown["token advantages"]) == strongest
        assert shown["verdicts"].split(", ") == ["yes" if verdict else "no" for verdict in row["verdicts"]]
    eps = [abs(a - row["a_res"]) for a, row in zip(table["advantage"], rows, strict=True)]
    assert max(eps) > 0.05, "Eq. 6's scale alone makes them differ from TRL's"


def slow_log_probs(model, row: dict) -> torch.Tensor:
    prompt = TOKENIZER(row["prompt"]).input_ids
    ids = TOKENIZER.convert_tokens_to_ids(row["tokens"])
    with torch.no_grad():
        logits = model(torch.tensor([prompt + ids])).logits[0]
    return torch.tensor([torch.log_softmax(logits[len(prompt) + t - 1], -1)[id].item() for t, id in enumerate(ids)])


def slow_intra(row: dict) -> list[float]:
    """The mean over criteria of s (p - mean p) / std p."""
    credit = [0.0] * len(row["tokens"])
    for verdict, p in zip(row["verdicts"], row["relevance"], strict=True):
        if pstdev(p) > 0:
            for t, value in enumerate(p):
                credit[t] += (1 if verdict else -1) * (value - fmean(p)) / pstdev(p) / len(row["verdicts"])
    return credit


def test_the_logged_credit_and_divergence_are_what_a_slow_computation_finds(tmp_path):
    """Two updates on three groups: equal rewards and some relevance, equal rewards and none, different rewards."""

    def verifier(prompts, responses, rubrics):
        return [
            [k < 2 if i < 2 * GROUP else k <= i % GROUP for k in range(len(rubric))] for i, rubric in enumerate(rubrics)
        ]

    def relevance(rollouts):
        ids = rollouts.token_ids[:, None, :] + torch.arange(rollouts.shape[1])[None, :, None]
        p = (ids % 3 == 0).float()
        p[GROUP : 2 * GROUP] = 1
        return p * rollouts.mask[:, None, :]

    snapshots = Snapshots()
    extra = varied(3 * GROUP) | {"callbacks": [snapshots]}
    trainer = train(
        tmp_path, verifier=verifier, relevance=relevance, num_iterations=2, save_rollouts_every=1,
        per_device_train_batch_size=3 * GROUP, extra=extra,
    )  # fmt: skip
    rows, (first, second) = rollouts(tmp_path), trainer.state.log_history[:2]
    assert len(rows) == 3 * GROUP

    credit = [slow_intra(row) for row in rows]
    at_end = [tokens[-1] for tokens, row in zip(credit, rows, strict=True) if row["tokens"][-1] == "<eos>"]
    assert 0 < len(at_end) < len(rows) and any(at_end)
    assert first["credit/a_tok_max"] == pytest.approx(max(abs(a) for tokens in credit for a in tokens), abs=1e-4)
    assert first["credit/eos"] == pytest.approx(fmean(at_end), abs=1e-4)
    assert first["credit/silent_groups"] == pytest.approx(2 / 3)
    assert first["credit/silent_groups_with_token_credit"] == pytest.approx(1 / 3)

    before, after = tiny_model().eval(), tiny_model().eval()
    for parameter, value in zip(after.parameters(), snapshots.parameters[0], strict=True):
        parameter.data.copy_(value)
    log_ratio = torch.cat([slow_log_probs(after, row) - slow_log_probs(before, row) for row in rows])
    divergence = (log_ratio.exp() - 1 - log_ratio).mean().item()
    assert divergence > 1e-4
    assert first["rtt/kl_to_old_policy"] == pytest.approx(0, abs=1e-6)
    assert second["rtt/kl_to_old_policy"] == pytest.approx(divergence, rel=1e-2)


def test_equal_rewards_are_a_silent_group_that_tokens_still_speak_in(tmp_path):
    # Three of five hold in every response: 0.6 is no binary fraction, the mean of its copies may miss it.
    def verifier(prompts, responses, rubrics):
        return [[True, True, True, False, False] for _ in responses]

    row = train(tmp_path, verifier=verifier, max_steps=1, num_generations=8).state.log_history[0]
    assert row["credit/silent_groups"] == 1 and row["credit/silent_groups_with_token_credit"] == 1


def test_the_schedule_takes_token_beta_to_zero(tmp_path):
    trainer = make(tmp_path, token_beta=0.8, token_beta_schedule="linear", max_steps=4)
    trainer.state.max_steps = 4
    betas = []
    for trainer.state.global_step in range(5):
        betas.append(trainer._token_beta())
    assert betas == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])


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


class Snapshots(TrainerCallback):
    """Parameters and optimizer moments after every step."""

    def __init__(self):
        self.parameters, self.moments = [], []

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.parameters.append([p.detach().clone() for p in model.parameters()])
        self.moments.append(copy.deepcopy(optimizer.state_dict()["state"]))


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


class Advantages(RTTGRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.inputs, self.advantages = inputs, inputs["advantages"]
        return super()._compute_loss(model, inputs)


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


# --- in processes of their own ---


def run_python(*command: str, cwd: Path) -> None:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONPATH": str(HERE.parent),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_give_the_advantages_of_one(tmp_path):
    script = str(HERE / "two_processes.py")
    run_python(script, str(tmp_path / "one"), cwd=tmp_path)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    run_python(*launch, script, str(tmp_path / "two"), cwd=tmp_path)
    for name in ("intra", "inter", "relative", "inter without EOS"):
        one, two = (rollouts(tmp_path / folder / name) for folder in ("one", "two"))
        assert [row["response"] for row in one] == [row["response"] for row in two] and len(one) == 12
        assert len({len(row["tokens"]) for row in one}) > 3
        for a, b in zip(one, two, strict=True):
            assert a["a_res"] == pytest.approx(b["a_res"], abs=1e-5)
            assert a["a_tok"] == pytest.approx(b["a_tok"], abs=2e-4)
        assert any(any(row["a_tok"]) for row in one[4:8]), "the group that sits on both has no credit to compare"
        models = [LlamaForCausalLM.from_pretrained(tmp_path / folder / name / "model") for folder in ("one", "two")]
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    eos = [row["a_tok"][-1] for row in rollouts(tmp_path / "two" / "inter without EOS") if row["tokens"][-1] == "<eos>"]
    assert eos and not any(eos)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte: knows every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


@pytest.mark.slow
def test_the_script_in_the_readme_trains(tmp_path):
    """As printed, but for the model (a tiny one) and the length of the run."""
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    [script] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "RTTGRPOTrainer" in block]
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    tokenizer = byte_tokenizer()
    tiny_model(len(tokenizer)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    short = "max_steps=2, max_completion_length=8, use_cpu=True, bf16=False, save_rollouts_every=1, "
    for old, new in (
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "model"),
        ('RTTGRPOConfig("out", ', f'RTTGRPOConfig("out", {short}'),
    ):
        assert script.count(old) == 1
        script = script.replace(old, new)
    (tmp_path / "script.py").write_text(script)
    run_python("script.py", cwd=tmp_path)
    rows = rollouts(tmp_path / "out")
    assert len(rows) == 8 and all(len(row["verdicts"]) == len(row["criteria"]) == 2 for row in rows)
    assert any(any(row["a_tok"]) for row in rows)
