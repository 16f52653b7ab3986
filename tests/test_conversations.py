"""Ladders become conversations: order, pieces, feedback, masks; and the budgets of the arms that are compared."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from levels_toy import short_profile, spec_of, task_of

from rtt_lib.errors import RTTError
from rtt_lib.methods import conversations
from rtt_lib.methods.arms import ARMS, ConversationArm, find_arm
from rtt_lib.methods.conversations import lessons, sft_trainer
from rtt_lib.methods.turns import UNLEARNED, Encoded, encode
from rtt_lib.models import load_causal_lm
from rtt_lib.studies import execute
from rtt_lib.verify import verify
from rtt_lib.worlds.levels.feedback import account, without_account

SAME_TURNS = (
    *("Conifer", "Conifer shuffled", "Conifer reversed", "Conifer separate", "Conifer separate easy first"),
    *("Conifer separate hard first", "Conifer halves", "Conifer halves reversed", "Conifer halves easy first"),
    "Conifer halves reversed easy first",
)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """arm -> its conversations, of 48 questions: four times as many as three rollout steps of four prompts have."""

    def lessons_of(arm: str | ConversationArm, **overrides: str):
        return lessons(task_of(spec_of(arm, **overrides), tmp_path_factory.mktemp("attempt")))

    return lessons_of


def levels_of(conversation) -> list[int]:
    return [turn.text.count(" ; ") + 1 for turn in conversation if turn.role == "user"]


def has_draft(conversation) -> bool:
    return any(turn.text.startswith("<ask> no ; ") for turn in conversation)


def encoded(rows, tokenizer) -> list[list[Encoded]]:
    return [[encode(turns, tokenizer, chat=False) for turns in row] for row in rows]


def test_turns_come_easy_to_hard_reversed_or_shuffled(taught):
    easy, hard, mixed = (taught(f"Conifer{name}") for name in ("", " reversed", " shuffled"))
    assert len(easy) == len(hard) == len(mixed) == 48
    for (a,), (b,), (c,) in zip(easy, hard, mixed, strict=True):
        assert levels_of(a) == sorted(levels_of(a)) == levels_of(b)[::-1] and sorted(levels_of(c)) == levels_of(a)
        assert Counter(a) == Counter(b) == Counter(c), "the same turns"
    assert any(levels_of(c) not in (levels_of(a), levels_of(a)[::-1]) for (a,), (c,) in zip(easy, mixed, strict=True))


def test_pieces_over_time(taught):
    separate, early, late = (taught(f"Conifer separate{name}") for name in ("", " easy first", " hard first"))
    assert all(len(one) == 2 for row in separate for one in row)
    assert [levels_of(one)[0] for row in early for one in row] == sorted(levels_of(o)[0] for r in separate for o in r)
    assert [levels_of(o)[0] for r in late for o in r] == [levels_of(o)[0] for r in early for o in r][::-1]
    halves = taught("Conifer halves reversed easy first")
    firsts = [max(levels_of(one)) <= 2 for row in halves for one in row]
    assert firsts == sorted(firsts, reverse=True) and 0 < sum(firsts) < len(firsts)
    assert all(levels_of(one) == sorted(levels_of(one), reverse=True) for row in halves for one in row)


@pytest.mark.slow
def test_arms_that_differ_in_order_have_exactly_the_same_tokens_and_steps(taught, tmp_path):
    tokenizer = task_of(spec_of("Conifer"), tmp_path).tokenizer
    budgets = {}
    for arm in SAME_TURNS:
        rows = encoded(taught(arm), tokenizer)
        all_of_them = [one for row in rows for one in row]
        learned = Counter(label for one in all_of_them for label in one.labels if label != UNLEARNED)
        budgets[arm] = len(rows), sum(len(one.ids) for one in all_of_them), learned
    assert all(budget == budgets["Conifer"] for budget in budgets.values())


@pytest.mark.parametrize("arm", ["Conifer", "Conifer shuffled", "Conifer reversed", "Conifer separate"])
def test_so_has_every_step_of_those_that_are_mixed(taught, tmp_path, arm):
    tokenizer = task_of(spec_of("Conifer"), tmp_path).tokenizer
    per_row = [[sum(one.learned for one in row) for row in encoded(taught(a), tokenizer)] for a in ("Conifer", arm)]
    assert per_row[0] == per_row[1]


@pytest.mark.slow
def test_one_level_has_as_many_turns_and_nearly_as_many_learned_tokens(tmp_path):
    settings = {"rl__steps": "20", "rl__prompts_per_step": "16"}
    learned, shapes = {}, []
    for arm in ("Conifer", "Conifer level 1", "Conifer level 3", "Conifer level 5"):
        task = task_of(spec_of(arm, **settings), tmp_path)
        rows = lessons(task)
        learned[arm] = sum(one.learned for row in encoded(rows, task.tokenizer) for one in row)
        turns = [len(levels_of(one)) for row in rows for one in row]
        assert arm == "Conifer" or set(levels_of(rows[0][0])) == {int(arm[-1])}
        shapes.append(turns)
    assert all(shape == shapes[0] for shape in shapes)
    for arm, tokens in learned.items():
        assert tokens / learned["Conifer"] == pytest.approx(1, abs=0.06), arm


def test_one_level_from_too_few_questions_is_an_error(monkeypatch, taught):
    monkeypatch.setattr(conversations, "LESSONS", 1)
    with pytest.raises(RTTError, match="too few rungs of level 3"):
        taught("Conifer level 3")


def test_the_loss_can_be_on_the_last_turn_only(taught):
    for row in taught("Conifer last turn"):
        learned = [turn.learned for turn in row[0] if turn.role == "assistant"]
        assert learned == [False] * (len(learned) - 1) + [True]


def test_an_account_follows_answers_that_had_to_count_and_controls_are_as_long(taught):
    answers = {
        kind: [turn.text for row in taught(f"Conifer {kind}".strip()) for turn in row[0] if turn.role == "assistant"]
        for kind in ("", "internal", "internal false", "internal filler")
    }
    with_account = [text for text in answers["internal"] if "=" in text]
    assert 0 < len(with_account) < len(answers["internal"])
    assert [without_account(text) for text in answers["internal"]] == answers[""]
    for kind in ("internal false", "internal filler"):
        assert [len(text.split()) for text in answers[kind]] == [len(text.split()) for text in answers["internal"]]
        different = sum(a != b for a, b in zip(answers[kind], answers["internal"], strict=True))
        assert different == len(with_account)
    for text in with_account:
        answer, said = text.split(" = ")
        words = [word for word in answer.split() if word != ","]
        for what, number in zip(said.split()[::2], said.split()[1::2], strict=True):
            assert int(number) == (len(words) if what == "words" else words.count(what))


def test_a_weak_draft_is_the_policys_own_and_the_reply_names_what_it_breaks(taught, tmp_path):
    rows = {kind: taught(f"Conifer external{kind}") for kind in ("", " bare", " wrong", " no draft", " draft loss")}
    drafted = [row[-1] for row in rows[""] if has_draft(row[-1])]
    assert len(drafted) >= 5, "a policy of two steps fails level 5"
    for task, draft, reply, answer in drafted:
        assert [turn.role for turn in (task, draft, reply, answer)] == ["user", "assistant", "user", "assistant"]
        assert (draft.learned, answer.learned) == (False, True) and reply.text.startswith("<ask> no ; ")
    for full, bare, wrong, none, loss in zip(*rows.values(), strict=True):
        assert full[:-1] == bare[:-1] == wrong[:-1] == none[:-1] == loss[:-1], "levels 1 to 4 are the same"
        assert full[-1][-1] == bare[-1][-1] == none[-1][-1], "the answer is the same"
        if has_draft(full[-1]):
            assert bare[-1][2].text == "<ask> no :" and len(none[-1]) == 2 and loss[-1][1].learned
            named, spared = (set(one[-1][2].text[6:-2].split(" ; ")[1:]) for one in (full, wrong))
            assert not named & spared and named


def test_both_kinds_of_feedback_go_together(taught):
    rows = taught("Conifer both")
    assert any(has_draft(row[-1]) for row in rows)
    assert any("=" in turn.text for row in rows for one in row for turn in one if turn.role == "assistant")


def test_the_trainer_is_given_the_rows_in_their_order_and_the_masks(tmp_path):
    task = task_of(spec_of("Conifer separate easy first"), tmp_path)
    rows = encoded(lessons(task), task.tokenizer)
    trainer = sft_trainer(task, rows)
    batches = list(trainer.get_train_dataloader())
    per_step = task.world.supervised("conversations").responses
    assert (len(rows), per_step, len(batches)) == (48, 2, 24) and trainer.args.max_steps == 24
    for n, batch in enumerate(batches):
        expected = [one for row in rows[per_step * n : per_step * (n + 1)] for one in row]
        assert batch["input_ids"].shape[0] == len(expected)
        for ids, labels, one in zip(batch["input_ids"], batch["labels"], expected, strict=True):
            assert ids[: len(one.ids)].tolist() == one.ids and labels[: len(one.ids)].tolist() == one.labels
            assert (labels[len(one.ids) :] == UNLEARNED).all()


def test_the_first_loss_is_the_mean_over_the_learned_tokens_of_the_step(tmp_path, one_thread):
    task = task_of(spec_of("Conifer separate"), tmp_path)
    rows = encoded(lessons(task), task.tokenizer)
    first = [one for row in rows[:2] for one in row]
    total, number = 0.0, 0
    with torch.no_grad():
        for one in first:
            logits = task.model(input_ids=torch.tensor([one.ids])).logits[0].log_softmax(-1)
            total -= sum(logits[t - 1, id].item() for t, id in enumerate(one.labels) if id != UNLEARNED)
            number += one.learned
    trainer = sft_trainer(task, rows)
    trainer.args.logging_steps, trainer.state.logging_steps = 1, 1
    trainer.args.max_steps = 1
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(total / number, rel=1e-4)


@pytest.mark.slow
def test_it_learns_and_leaves_a_policy(empty_store, one_thread):
    spec = spec_of("Conifer")
    execute.run(spec)
    base, trained = (load_causal_lm(place).state_dict() for place in (spec.home.base("A0"), spec.policy))
    assert any(not torch.equal(base[name], trained[name]) for name in base)
    assert execute.is_done(spec)
    assert len((spec.folder / "log.csv").read_text().splitlines()) == 1 + 12


@pytest.mark.slow
def test_dpo_follows_on_pairs_that_are_the_same_for_every_arm(empty_store, one_thread, tmp_path):
    given = [
        conversations.given_pairs(task_of(spec_of(arm), tmp_path)) for arm in ("Conifer DPO", "Conifer level 1 DPO")
    ]
    assert given[0] == given[1] and len(given[0]) == 3 * 4
    spec = spec_of("Conifer DPO")
    prompts, _ = spec.home.prompts(0, None)
    for prompt, pair in zip(prompts, given[0], strict=True):
        assert pair["prompt"] == prompt.prompt
        assert all(verify(criterion, "", pair["chosen"].strip()) for criterion in prompt.criteria)
    execute.run(spec)
    log = (spec.folder / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log[1:]] == [str(step) for step in range(1, 16)]
    first = dict(zip(log[0].split(","), log[13].split(","), strict=True))
    # Two steps with the reference's own weights: the loss of DPO starts at log 2.
    assert float(first["loss"]) == pytest.approx(math.log(2), abs=0.02)


def test_dpo_starts_from_the_policy_after_sft(empty_store, one_thread, tmp_path):
    sft, task = spec_of("Conifer"), task_of(spec_of("Conifer DPO"), tmp_path)
    execute.train(sft)
    trainer = conversations.dpo_trainer(task, sft.policy, conversations.given_pairs(task))
    wanted = load_causal_lm(sft.policy).state_dict()
    for model in (trainer.model, trainer.ref_model):
        own = model.state_dict()
        assert all(torch.equal(own[name], wanted[name]) for name in wanted)


def test_a_world_without_levels_says_so(tmp_path):
    with pytest.raises(RTTError, match=r"no levels: this arm needs data.source = levels"):
        conversations.teaching(type("World", (), {"name": "L"})())


def test_the_arms_are_what_their_names_say():
    arms = {name: arm for name, arm in ARMS.items() if isinstance(arm, ConversationArm)}
    assert all(name.startswith("Conifer") and arm.trainer == "conversations" for name, arm in arms.items())
    settings = [replace(arm, name="", about="") for arm in arms.values()]
    assert len(set(settings)) == len(settings), "no two arms are the same"
    assert find_arm("Conifer internal").internal == "true" and find_arm("Conifer external bare").external == "bare"
    assert short_profile("Conifer").experiments["core"].arms == ("Conifer",)
    assert account([], "", "true", None) == ""
