"""The shipped SmolLM2 discriminator on the verifiable rows of the paper's Table 6: the pattern, not a picture.

The examples are written by hand; the training data are composed prompts with wordings of their own.
"""

from __future__ import annotations

import json

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.models import resolve
from rtt_lib.relevance.shipped import load
from rtt_lib.run import attribute


@pytest.fixture(scope="module")
def discriminator():
    try:
        resolve("smollm2-135m")
    except RTTError as error:
        pytest.skip(f"SmolLM2-135M is not to be had here: {error}")
    return load(None)


def split(discriminator, criterion: str, response: str, segment: str = "") -> tuple[list[float], list[float]]:
    """p of the tokens that touch `segment` (every occurrence), and of the others."""
    places = [i for i in range(len(response)) if segment and response.startswith(segment, i)]
    inside, outside = [], []
    for token in discriminator.attribute(criterion, response):
        touched = any(token.start < place + len(segment) and token.end > place for place in places)
        (inside if touched else outside).append(token.relevance)
    return inside, outside


def mean_relevance(discriminator, criterion: str, response: str) -> float:
    _, everywhere = split(discriminator, criterion, response)
    return sum(everywhere) / len(everywhere)


@pytest.mark.parametrize(
    ("criterion", "response"),
    [
        ("The response must contain at least 10 words.", "The old town lay silent in the morning fog and waited."),
        ("The response must contain at least 40 words.", "The old town lay silent in the morning fog and waited."),
        ("Write in all lowercase.", "the old town lay silent."),
    ],
)
def test_a_global_criterion_marks_everything_satisfied_or_not(discriminator, criterion, response):
    assert mean_relevance(discriminator, criterion, response) > 0.9


def test_a_satisfied_positive_one_marks_its_segment(discriminator):
    """All of it; after its last token a causal model may go on for some tokens more."""
    response = "My Answer: 42 is the number that everybody knows."
    inside, outside = split(discriminator, 'Your response should start with "My Answer:"', response, "My Answer:")
    assert min(inside) >= 0.5 and sum(outside) / len(outside) < 0.4 and max(outside[-5:]) < 0.1


def test_a_segment_at_the_end_is_marked_and_nothing_before_it(discriminator):
    """Of its first tokens a causal model cannot know yet that they are the end."""
    response = "We went home early. That is all."
    inside, outside = split(discriminator, 'Finish your response with "That is all."', response, "That is all.")
    assert max(inside) >= 0.5 and max(outside) < 0.1


@pytest.mark.parametrize(
    ("criterion", "response"),
    [
        ('Your response should start with "My Answer:"', "I think that 42 is the number that everybody knows."),
        ('Finish your response with "That is all."', "We went home early and slept."),
    ],
)
def test_a_violated_positive_one_marks_nothing(discriminator, criterion, response):
    assert mean_relevance(discriminator, criterion, response) < 0.1


def test_a_violated_negative_one_marks_the_offence(discriminator):
    inside, outside = split(discriminator, 'Avoid the word "very".', "It was a very cold and long night.", "very")
    assert max(inside) >= 0.5 > max(outside)


def test_a_satisfied_negative_one_marks_nothing(discriminator):
    assert mean_relevance(discriminator, 'Avoid the word "very".', "It was a cold and long night.") < 0.1


def test_the_command_uses_it(discriminator, capsys):
    response = "My Answer: 42 <script>"
    command = ["--criterion", 'Your response should start with "My Answer:"', "--response", response, "--json"]
    assert attribute.main(command) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "".join(row["text"] for row in rows) == response
    assert rows[0]["relevance"] > 0.5
