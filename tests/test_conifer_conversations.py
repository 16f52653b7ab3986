"""Conversations as JSONL with `messages`, ours and others'."""

from __future__ import annotations

import datasets
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_jsonl
from rtt_lib.rubrics.conifer.conversations import EASY_TO_HARD, EXTERNAL, Conversation, pairs, write_conversations
from rtt_lib.rubrics.sources import load, load_prompts

OURS = [
    Conversation("s1.q1/levels", pairs(("Q1", "A1"), ("Q3", "A3")), EASY_TO_HARD, (1, 3)),
    Conversation("s1.q1/external", pairs(("Q", "bad"), ("No.", "A")), EXTERNAL, (5, 5), (1,)),
]
USER, ASSISTANT = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def test_every_answer_but_a_draft_is_learnt_with_what_was_said_before():
    (first, answer), (second, last) = OURS[0].examples()
    assert (first.id, first.prompt, first.messages, first.criteria) == ("s1.q1/levels#1", "Q1", (), ())
    assert (answer, last) == ("A1", "A3") and second.messages == OURS[0].messages[:3]
    assert second.prompt == "[user]\nQ1\n\n[assistant]\nA1\n\n[user]\nQ3"
    ((revised, answer),) = OURS[1].examples()
    assert [turn["content"] for turn in revised.chat()] == ["Q", "bad", "No."] and answer == "A"


def test_what_is_written_is_read_again(tmp_path):
    path = write_conversations(tmp_path / "out.jsonl", OURS)
    assert load("conifer", path) == OURS
    assert [made.turns for made in OURS] == [2, 2]
    rows = [row["messages"] for _, row in read_jsonl(path)]
    assert rows[0][:2] == [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"}]


def test_the_public_rows_need_no_more_than_messages(tmp_path):
    rows = [
        {"messages": [USER, ASSISTANT], "type": "x"},
        {"messages": [{"role": "system", "content": "S"}, USER, ASSISTANT]},
    ]
    path = tmp_path / "conifer.parquet"
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    first, second = load("conifer", path)
    assert first == Conversation("conifer-1", (("user", "Q"), ("assistant", "A")))
    assert second.id == "conifer-2" and [role for role, _ in second.messages] == ["system", "user", "assistant"]
    with pytest.raises(RTTError, match="'conifer' has responses and no rubrics"):
        load_prompts("conifer", path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "field 'messages' must be a non-empty list"),
        ({"messages": []}, "field 'messages' must be a non-empty list"),
        ({"messages": ["Q"]}, "message 1 needs a role and a text"),
        ({"messages": [USER, ASSISTANT | {"content": " "}]}, "message 2 needs a role and a text"),
        ({"messages": [USER]}, "the assistant must end, found user"),
        ({"messages": [ASSISTANT, USER]}, "the assistant must end, found assistant, user"),
        ({"messages": [USER, USER, ASSISTANT, ASSISTANT]}, "user and assistant must take turns"),
        ({"messages": [{"role": "system", "content": "S"}]}, "the assistant must end, found system"),
        ({"messages": [USER, ASSISTANT], "kind": "odd"}, "field 'kind' must be one of easy to hard, "),
        ({"messages": [USER, ASSISTANT], "levels": [1, 2]}, r"1 questions cannot have the levels \[1, 2\]"),
        ({"messages": [USER, ASSISTANT] * 2, "levels": [2, 1]}, "from easy to hard"),
        ({"messages": [USER, ASSISTANT], "levels": [True]}, "must be a list of whole numbers"),
        ({"messages": [USER, ASSISTANT] * 2, "drafts": [0]}, "must be places of the assistant's turns"),
        ({"messages": [USER, ASSISTANT] * 2, "drafts": [3]}, "and not the last"),
        ({"messages": [USER, ASSISTANT], "id": []}, "field 'id' must be a text"),
    ],
)
def test_what_is_no_conversation_is_an_error_that_names_its_line(tmp_path, row, message):
    with pytest.raises(RTTError, match=f"rows.jsonl:1: .*{message}"):
        load("conifer", write_jsonl(tmp_path / "rows.jsonl", [row]))


def test_what_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(RTTError, match="conversation a: message 2 needs a role and a text"):
        write_conversations(tmp_path / "out.jsonl", [Conversation("a", pairs(("Q", "")))])
    assert not (tmp_path / "out.jsonl").exists()
