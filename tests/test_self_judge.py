"""What the policy is asked as a judge, and how its answer is read."""

from __future__ import annotations

import pytest

from rtt_lib.self_judge import TextJudge


def test_both_responses_stand_under_their_numbers_also_with_braces_in_them():
    asked = TextJudge().compare("Write {json}.", "{a}", "{b}")
    assert asked.index("Write {json}.") < asked.index("[Response 1]\n{a}") < asked.index("[Response 2]\n{b}")
    assert r"\boxed{1} or \boxed{2}" in asked


@pytest.mark.parametrize(
    ("answer", "picked"),
    [
        (r"The first. \boxed{1}", 1),
        (r"\boxed{1}? No: \boxed{ 2 }", 2),
        (r"\boxed{3}", 0),
        ("1", 0),
        ("", 0),
        (r"\boxed{1", 0),
    ],
)
def test_the_last_box_is_the_verdict(answer, picked):
    assert TextJudge().picked(answer) == picked


@pytest.mark.parametrize(("answer", "mark"), [(r"\boxed{5}", 5), (r"\boxed{0}", 0), (r"\boxed{6}", 0), ("five", 0)])
def test_a_mark_outside_the_scale_is_none(answer, mark):
    assert TextJudge().mark(answer) == mark


def test_templates_can_be_replaced():
    judge = TextJudge(comparing="{prompt}|{first}|{second}", rating="{prompt}|{response}")
    assert judge.compare("q", "a", "b") == "q|a|b" and judge.rate("q", "a") == "q|a"
