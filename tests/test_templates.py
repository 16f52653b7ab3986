"""Questions from files, and JSON out of what a model answers."""

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.relevance.llm_annotate import TEMPLATES
from rtt_lib.templates import fill, load_template, unfenced


def test_templates_are_replaceable_files(tmp_path):
    fields = ("criterion", "response")
    assert load_template("taxonomy", fields, TEMPLATES) != load_template("greedy", fields, TEMPLATES)
    own = tmp_path / "own.txt"
    own.write_text("{criterion} | {response}")
    assert fill(load_template(own, fields, TEMPLATES), {"criterion": "c", "response": "r"}) == "c | r"
    assert load_template("own", fields, tmp_path) == "{criterion} | {response}"
    own.write_text("{criterion}")
    with pytest.raises(RTTError, match="is missing"):
        load_template(own, fields, TEMPLATES)
    with pytest.raises(RTTError, match="nor a readable file"):
        load_template("nothing", fields, TEMPLATES)


def test_braces_in_the_material_stay_as_they_are():
    assert fill("{a} and {b}, {c}", {"a": "{b}", "b": "{a}"}) == "{b} and {a}, {c}"


@pytest.mark.parametrize("answer", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```'])
def test_a_code_fence_is_taken_off(answer):
    assert unfenced(answer) == '{"a": 1}'


def test_words_around_a_fence_stay():
    assert unfenced('Here:\n```json\n{"a": 1}\n```') == 'Here:\n```json\n{"a": 1}\n```'
