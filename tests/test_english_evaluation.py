"""The record of an English policy: complete, on prompts that no policy is trained on, the same every time."""

from __future__ import annotations

import math

import pytest
import torch
from english_toy import toy_profile

from rtt_lib.files import read_jsonl
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.studies.records import KEYS, _flat
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.english import corpus, evaluation, policy
from rtt_lib.worlds.text.evaluation import Examination

pytestmark = pytest.mark.usefixtures("small_english")


def examination(folder, number: int = 0) -> Examination:
    profile = toy_profile()
    return Examination(profile, policy.base_policy("A", profile.policy.pretrain_steps), number, folder)


def test_half_of_the_questions_are_in_new_wordings():
    asked = evaluation.questions(7)
    assert len(asked) == len({prompt.id for prompt in asked}) == 7 and evaluation.questions(7) == asked
    known = corpus.held_out_prompts(4, evaluation.HELD_OUT_SEED)
    assert asked[:4] == known
    firsts = {texts[0].split("{")[0] for texts in corpus.new_wordings().values()}
    assert all(any(c.text.startswith(first) for first in firsts) for p in asked[4:] for c in p.criteria)
    twins = list(zip(asked[:3], asked[4:], strict=True))
    assert all((a.task, [c.args for c in a.criteria]) == (b.task, [c.args for c in b.criteria]) for a, b in twins)
    assert all(a.prompt != b.prompt and f"{a.id}-new" == b.id for a, b in twins), "the same, said in other words"
    assert {c.family for p in evaluation.foreign_questions(30) for c in p.criteria} == set(corpus.HELD_OUT)


def test_the_record_has_what_the_tables_read_and_is_the_same_again(tmp_path):
    record = evaluation.evaluate(examination(tmp_path / "one"))
    assert record == evaluation.evaluate(examination(tmp_path / "two"))
    assert evaluation.evaluate(examination(tmp_path / "three", number=1))["examples"] != record["examples"]
    row = _flat(record | dict.fromkeys(KEYS, ""))
    measured = {"all satisfied", "per constraint", "greedy all satisfied", "out of domain", "language loss"}
    assert all(math.isfinite(row[name]) for name in measured | {"mean words", "truncated"})
    families = {c.family for prompt in evaluation.questions(6) for c in prompt.criteria}
    assert families <= set(row) and set(record["out_of_domain"]["families"]) <= set(corpus.HELD_OUT)


def test_scores_are_those_of_the_responses(tmp_path):
    """Against a plain count over the files that the examination leaves."""
    record = evaluation.evaluate(examination(tmp_path))
    asked, (rows, foreign) = evaluation.questions(6), (_rows(tmp_path, name) for name in ("sampled", "out_of_domain"))
    values = _values(asked, rows)
    assert record["sampled"]["satisfied"] == pytest.approx(sum(sum(v) for v in values) / sum(map(len, values)))
    assert record["sampled"]["all_satisfied"] == pytest.approx(sum(map(all, values)) / 6)
    for name, part in (("known", values[:3]), ("new", values[3:])):
        assert record["wordings"][name] == pytest.approx(sum(sum(v) for v in part) / sum(map(len, part)))
        assert record["by_wording"][name]["all_satisfied"] == pytest.approx(sum(map(all, part)) / 3)
    outside = _values(evaluation.foreign_questions(3), foreign)
    assert record["out_of_domain"]["satisfied"] == pytest.approx(sum(sum(v) for v in outside) / sum(map(len, outside)))


def _rows(folder, name: str) -> list[dict]:
    return [row for _, row in read_jsonl(folder / f"{name}.jsonl")]


def _values(asked, rows) -> list[list[bool]]:
    assert [row["id"] for row in rows] == [prompt.id for prompt in asked]
    verdicts = Verifier()([p.prompt for p in asked], [r["response"] for r in rows], [p.criteria for p in asked])
    return [[verdict.value for verdict in row] for row in verdicts]


def test_the_language_loss_is_a_mean_over_tokens(monkeypatch):
    """By hand from the logits, one sentence after the other."""
    monkeypatch.setattr(policy, "precision", lambda: "float32")
    folder = policy.base_policy("A", 1)
    model, tokenizer = load_causal_lm(folder).eval(), load_tokenizer(folder)
    monkeypatch.setattr(evaluation, "TOGETHER", 2)
    total, tokens = 0.0, 0
    for task, response in corpus.plain_sentences(5):
        prompt, answer = policy.encode(tokenizer, task, response)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        total -= logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)].sum().item()
        tokens += len(answer)
    assert evaluation.language_loss(model, tokenizer, 5) == pytest.approx(total / tokens, rel=1e-4)
