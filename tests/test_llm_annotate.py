"""What is made of an LLM's answers about a response's tokens."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_server import Handler, Server, fails, says

from rtt_lib.endpoint import Endpoint
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.llm_annotate import (
    Annotation,
    annotate_many,
    locate,
    occurrences,
    occurrences_normalised,
    parse_answer,
)


def answer(kind: str, *segments: str) -> str:
    return json.dumps({"type": kind, "segments": list(segments)})


def read_annotation(answer: str, response: str) -> Annotation:
    return locate(*parse_answer(answer), response)


def test_answers_become_labels():
    text = "yes no yes"
    assert read_annotation(answer("all relevant"), text).label == Label(((0, 10),), whole=True)
    assert read_annotation(answer("all irrelevant"), text).label == Label()
    assert read_annotation(answer("partial relevant", "yes"), text).label.spans == ((0, 3), (7, 10))
    fenced = "```json\n" + answer("partial relevant", "no") + "\n```"
    assert read_annotation(fenced, text).label.spans == ((4, 6),)


def test_segments_are_repaired_or_counted_as_dropped():
    text = "She said “it’s  a\nlong way” and left."
    found = read_annotation(answer("partial relevant", '"it\'s a long way"', "she ran", "left"), text)
    assert [text[a:b] for a, b in found.label.spans] == ["“it’s  a\nlong way”", "left"]
    assert found.dropped == 1
    lost = read_annotation(answer("partial relevant", "she ran"), text)
    assert lost.label is None and lost.dropped == 1 and "none of the quoted" in lost.problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Sure! " + answer("all relevant"), "not JSON alone"),
        ("", "not JSON alone"),
        ("[" * 100_000, "not JSON alone"),
        ('{"type": "relevant"}', "'type' must be one of"),
        ('["all relevant"]', "'type' must be one of"),
        ('{"type": ["all relevant"]}', "'type' must be one of"),
        ('{"type": "partial relevant", "segments": "yes"}', "must be a list"),
        ('{"type": "partial relevant", "segments": [1]}', "must be a list"),
        ('{"type": "partial relevant", "segments": []}', "without segments"),
    ],
)
def test_unusable_answers_say_why(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_answer(text)


@given(st.text("ab \n\t“\"'’", max_size=12), st.text("ab \n\t“\"'’", max_size=30))
def test_occurrences_are_occurrences(segment, response):
    assert all(response[a:b] == segment for a, b in occurrences(segment, response))
    wanted = " ".join(segment.replace("“", '"').replace("’", "'").split())
    for a, b in occurrences_normalised(segment, response):
        assert " ".join(response[a:b].replace("“", '"').replace("’", "'").split()) == wanted


@given(st.text("ab", min_size=1, max_size=3), st.text("ab", max_size=20))
def test_no_occurrence_is_missed(segment, response):
    places = [n for n in range(len(response)) if response.startswith(segment, n)]
    assert [a for a, _ in occurrences(segment, response)] == places


def test_annotations_come_in_order_and_a_failure_stands_in_its_place():
    def label(handler: Handler) -> None:
        question = handler.body["messages"][0]["content"]
        if "broken" in question:
            fails(400)(handler)
        else:
            says("<think>Let me see.</think>\n" + answer("partial relevant", "yes", "gone"))(handler)

    with Server() as server:
        server.script = [label]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        pairs = [("Say {response} yes.", "yes {criterion}"), ("b", "broken"), ("c", "no")]
        found = annotate_many(pairs, Endpoint(server.url, "m", retries=0, concurrency=1))
        server.shutdown()
    asked = server.seen[0][2]["messages"][0]["content"]
    assert "Say {response} yes." in asked and "yes {criterion}" in asked
    assert found[0].label.spans == ((0, 3),) and found[0].dropped == 1
    assert found[1].label is None and "400" in found[1].problem
    assert found[2].label is None and "none of the quoted" in found[2].problem
