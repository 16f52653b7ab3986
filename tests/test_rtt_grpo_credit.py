"""The credit that RTTGRPOTrainer gives, saves and logs, against slow computations."""

from __future__ import annotations

import re
from statistics import fmean, pstdev

import pandas as pd
import pytest
import torch
from rtt_grpo_toy import GROUP, TOKENIZER, Advantages, Snapshots, make, padded, rollouts, tiny_model, train, varied

from rtt_lib.credit import combine, response_advantage, token_advantage
from rtt_lib.relevance.sources import Oracle
from rtt_lib.train import RTTGRPOTrainer


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
