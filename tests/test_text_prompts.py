"""Prompts of a world of text: those trained on, those held out, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtt_lib.bench.generate import prompt_ids
from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl
from rtt_lib.models import load_tokenizer
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.text.prompts import (
    check_that_criteria_can_be_withheld,
    held_out_prompts,
    prompt_pool,
    training_prompts,
    without_criterion,
)

pytestmark = pytest.mark.usefixtures("without_hub")


def test_every_epoch_is_in_an_order_of_its_own_and_long_prompts_are_counted(text_profile, text_folder):
    tokenizer = load_tokenizer(text_folder / "model")
    six = replace(text_profile, rl=replace(text_profile.rl, steps=6))
    ordered, left_out = training_prompts(six, 0, tokenizer)
    first, second = [p.id for p in ordered[:6]], [p.id for p in ordered[6:]]
    assert left_out == 0 and set(first) == set(second) and first != second
    other, _ = training_prompts(six, 1, tokenizer)
    assert [p.id for p in other[:6]] != first
    lengths = sorted(len(prompt_ids(p.prompt, tokenizer)) for p in ordered[:6])
    short = replace(text_profile, rl=replace(text_profile.rl, max_prompt_tokens=lengths[2]))
    kept, left_out = training_prompts(short, 0, tokenizer)
    assert left_out == sum(length > lengths[2] for length in lengths) and len(kept) == 4
    none = replace(text_profile, rl=replace(text_profile.rl, max_prompt_tokens=3))
    with pytest.raises(RTTError, match=r"longer than rl\.max_prompt_tokens = 3"):
        training_prompts(none, 0, tokenizer)


def test_held_out_prompts_are_about_other_tasks(text_profile, tmp_path):
    trained = {p.task for p in prompt_pool(replace(text_profile, data=replace(text_profile.data, train_prompts=50)))}
    held_out = held_out_prompts(text_profile)
    assert len(held_out) == 3 and not trained & {p.task for p in held_out}
    tasks = [{"id": str(n), "prompt": f"Describe thing {n}."} for n in range(20)]
    own = replace(text_profile, data=replace(text_profile.data, path=str(write_jsonl(tmp_path / "tasks.jsonl", tasks))))
    assert {p.task for p in held_out_prompts(own)} <= {"Describe thing 0.", "Describe thing 10."}
    assert all(p.task.startswith("Describe thing") for p in prompt_pool(own))


def test_what_training_prompts_share_with_a_benchmark_is_said(text_profile, tmp_path, monkeypatch, capsys):
    def row(key: int, task: str) -> dict:
        rule = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        return {"key": key, "prompt": f"{task} Do not use any commas in your answer.", **rule}

    shared = "Write a short story about a lighthouse keeper who finds a message in a bottle on the shore."
    (tmp_path / "benchmarks").mkdir()
    write_jsonl(tmp_path / "benchmarks" / "ifeval.jsonl", [row(1, shared)])
    theirs = write_jsonl(tmp_path / "train.jsonl", [row(1, shared), row(2, "Name a river.")])
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    data = replace(text_profile.data, source="ifeval", path=str(theirs))
    pool = prompt_pool(
        replace(text_profile, data=data, evaluation=replace(text_profile.evaluation, benchmarks=("ifeval",)))
    )
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
