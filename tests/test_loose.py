"""Loose verdicts: the eight variants of a response."""

from __future__ import annotations

from rtt_lib.verify.loose import loose_verdict, strict_verdict, variants
from rtt_lib.verify.registry import find_rule


def test_the_eight_variants():
    assert variants("Sure:\n*a*\n*b*\nBye") == [
        "Sure:\n*a*\n*b*\nBye",
        "Sure:\na\nb\nBye",
        "*a*\n*b*\nBye",
        "Sure:\n*a*\n*b*",
        "*a*\n*b*",
        "a\nb\nBye",
        "Sure:\na\nb",
        "a\nb",
    ]
    assert variants("one line") == ["one line"]  # without a line nothing is left, and that never counts
    assert variants("***") == ["***"]


def test_loose_forgives_an_introduction():
    rule = find_rule("ifeval:startend:quotation")
    response = 'Here you are:\n"All of it."'
    assert strict_verdict(rule, {}, "", response).value is False
    assert loose_verdict(rule, {}, "", response).value is True
