"""What is made of an answer in each of Conifer's stages: what goes on, and why the rest does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.rubrics.conifer import pipeline, stages
from rtt_lib.rubrics.conifer.stages import Lost
from rtt_lib.templates import load_template


def lost(read, answer: str, fields=None) -> tuple[str, str]:
    with pytest.raises(Lost) as caught:
        read(answer, fields or {})
    return caught.value.outcome, str(caught.value)


def test_the_first_thing_a_user_says():
    sharegpt = [{"from": "system", "value": "s"}, {"from": "human", "value": " h "}, {"from": "human", "value": "x"}]
    assert stages.first_turn({"prompt": " p "}, "w") == "p"
    assert stages.first_turn({"messages": [{"role": "user", "content": "m"}]}, "w") == "m"
    assert stages.first_turn({"conversations": sharegpt}, "w") == "h"
    for row in ({}, {"prompt": 1}, {"messages": "x"}, {"conversations": [{"from": "gpt", "value": "a"}, 3]}):
        with pytest.raises(RTTError, match="w: no text in 'prompt'"):
            stages.first_turn(row, "w")


def test_seeds_are_short_english_texts():
    seed = "How do I grow tomatoes on a small balcony?"
    assert stages.unfit(seed) is None
    assert stages.unfit("Grow tomatoes on balconies?") == "fewer than 5 words"
    exact = seed + " " + "Tell me how the plants are watered in the summer. " * 4
    assert stages.unfit(exact[:200]) is None
    assert stages.unfit(exact[:201]) == "longer than 200 characters"
    assert stages.unfit("Wie ziehe ich Tomaten auf einem kleinen Balkon?") == "not English"


def test_at_least_three_distinct_questions():
    def answer(*questions):
        return json.dumps({"questions": questions})

    assert stages.read_questions(answer("A  a?", "B?", "a A?", "C?"), {}) == ("A a?", "B?", "C?")
    assert lost(stages.read_questions, answer("A?", "B?", "a?")) == (
        "unparsable",
        "2 distinct questions, at least 3 needed",
    )
    assert lost(stages.read_questions, answer())[0] == "refused"
    for broken in (
        "",
        "A? B? C?",
        '{"questions": ["A?",',
        '["A?", "B?", "C?"]',
        '{"questions": "A?"}',
        answer("", "B"),
    ):
        assert lost(stages.read_questions, broken)[0] == "unparsable"
    assert lost(stages.read_questions, answer("\ud800", "B", "C"))[1] == "half a surrogate pair"


@pytest.mark.parametrize("answer", ["yes", "YES.", "**Yes**", " Yes, it", '"yes"'])
def test_yes_goes_on(answer):
    assert stages.read_yes(answer, {}) is True


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        *(("no", "filtered"), ("**NO**, because", "filtered"), ("No.", "filtered")),
        *(("", "unparsable"), ("Yesterday", "unparsable"), ("Nothing", "unparsable"), ("It is. YES", "unparsable")),
    ],
)
def test_all_else_does_not(answer, outcome):
    assert lost(stages.read_yes, answer)[0] == outcome


def test_constraints_by_category():
    found = stages.read_constraints('{"constraints": {" Reader ": ["child", "Child", "old"], "Form": ["list"]}}', {})
    assert found == {"Reader": ("child", "old"), "Form": ("list",)}
    assert stages.listed_by_category(found) == "- Reader: child; old\n- Form: list"
    assert lost(stages.read_constraints, '{"constraints": {}}')[0] == "refused"
    for broken in ('{"constraints": []}', '{"constraints": {"a": []}}', '{"constraints": {"a": "b"}}', "{}"):
        assert lost(stages.read_constraints, broken)[0] == "unparsable"


def test_five_different_levels():
    levels = {str(n): f"Level {n}. " for n in range(1, 6)}
    assert stages.read_levels(json.dumps(levels), {}) == tuple(f"Level {n}." for n in range(1, 6))
    assert lost(stages.read_levels, json.dumps(levels | {"5": "level  4."}))[1] == "two levels are the same"
    for broken in (levels | {"3": ""}, levels | {"3": 3}, {n: levels[n] for n in "1245"}):
        assert lost(stages.read_levels, json.dumps(broken))[0] == "unparsable"


def test_only_constraints_that_were_offered():
    fields = {"question": "Why?", "constraints": stages.listed(["As a list.", "In verse."])}

    def answer(question="Why, in verse?", used=("In verse.",)):
        return json.dumps({"question": question, "used": used})

    assert stages.read_format_number(answer(), fields) == ("Why, in verse?", ("In verse.",))
    assert lost(stages.read_format_number, answer(used=()), fields)[0] == "refused"
    assert lost(stages.read_format_number, answer("why? "), fields)[1] == "the question is the same as before"
    assert lost(stages.read_format_number, answer(""), fields)[1] == "'question' must be a text"
    assert "not offered: 'As a song.'" in lost(stages.read_format_number, answer(used=["As a song."]), fields)[1]


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "Sorry, I cannot provide this.",
        "As an AI language model, I am unable to write such a text.",
        "I’m not able to help here.",
        "I cannot comply with the request",
    ],
)
def test_a_refusal_in_words_is_one(answer):
    assert lost(stages.read_answer, answer)[0] == "refused"
    assert lost(stages.read_questions, answer)[0] == "refused"
    assert stages.read_draft(answer, {}) == answer, "a weak model's refusal is a draft like any other"


@pytest.mark.parametrize(
    "answer",
    [
        "Why I can't sleep: a diary.",
        "Sorry I missed your call. Let us meet on Monday.",
        "The plant needs light. I cannot provide an exact number of days.",
        "You cannot help everybody.",
    ],
)
def test_other_answers_are_not_refusals(answer):
    assert stages.read_answer(answer, {}) == answer


def test_an_empty_answer_is_none():
    for read in (stages.read_answer, stages.read_draft):
        assert lost(read, "") == ("unparsable", "an empty answer")


def test_a_critique_begins_with_its_verdict():
    assert stages.read_critique("YES", {}) == stages.read_critique("Yes. All is met.", {}) == ""
    assert stages.read_critique("NO. It came yesterday.", {}) == "It came yesterday."
    assert lost(stages.read_critique, "No.")[0] == "unparsable"
    assert lost(stages.read_critique, "The draft does not follow: yes?")[0] == "unparsable"


@settings(deadline=None)
@given(
    st.text()
    | st.recursive(st.none() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)
)
def test_any_answer_is_read_or_lost(value):
    fields = {"question": "Why?", "constraints": "- In verse."}
    for stage in stages.STAGES:
        for answer in (value if isinstance(value, str) else json.dumps(value), json.dumps({"questions": value})):
            try:
                stage.read(answer.strip(), fields)
            except Lost as found:
                assert found.outcome in ("refused", "unparsable", "filtered") and str(found)


def test_every_stage_has_a_wording_with_its_fields_and_no_file_is_left_over():
    folder = pipeline.HERE / "templates"
    assert all(load_template(stage.template, stage.fields, folder) for stage in stages.STAGES)
    assert {path.stem for path in folder.iterdir()} == {stage.template for stage in stages.STAGES}
    assert load_template("answer", ("question",), folder).strip() == "{question}", "answers are to the bare question"
