"""Annotators by rule: the taxonomy's cases by hand, and the greedy baseline."""

from __future__ import annotations

import pytest

from rtt_lib.relevance.annotate import greedy, label_with, taxonomy, taxonomy_spans
from rtt_lib.schema import Criterion
from rtt_lib.verify import check
from rtt_lib.verify.registry import Rule
from rtt_lib.verify.verdict import Verdict

EVIDENCE = ((2, 5), (7, 9))


def rule(scope: str, polarity: str = "positive") -> Rule:
    return Rule("test:rule", lambda args, prompt, response: Verdict(None), scope, polarity)


@pytest.mark.parametrize(
    ("scope", "polarity", "value", "expected"),
    [
        ("global", "positive", True, [(0, 10)]),
        ("global", "positive", False, [(0, 10)]),
        ("global", "negative", False, [(0, 10)]),
        ("local", "positive", True, list(EVIDENCE)),
        ("local", "positive", False, []),
        ("local", "negative", False, list(EVIDENCE)),
        ("local", "negative", True, []),
        ("global", "positive", None, None),
        ("local", "negative", None, None),
    ],
)
def test_taxonomy(scope, polarity, value, expected):
    assert taxonomy_spans(rule(scope, polarity), Verdict(value, spans=EVIDENCE), "x" * 10) == expected


def test_the_taxonomys_labels_on_tokens():
    start = Criterion("start bako", "micro:start", {"word": "bako"})
    short = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})
    commas = Criterion("no commas", "micro:no_commas")
    response, offsets = "bako , desu", [(0, 4), (4, 6), (6, 11), (11, 11)]
    found = {c.text: taxonomy(c, check(c, "", response), response) for c in (start, short, commas)}
    labels = {text: label_with(label, offsets, 4) for text, label in found.items()}
    assert labels == {"start bako": [1, 0, 0, 0], "at most 8 words": [1, 1, 1, 1], "no commas": [0, 1, 0, 0]}
    assert taxonomy(start, Verdict(None), response) is None


def test_taxonomy_does_not_know_soft_criteria():
    assert taxonomy(Criterion("be kind"), Verdict(True), "hello") is None


def test_greedy_ignores_scope_and_verdict():
    keyword = Criterion("Mention the word ocean.", "x:y", {"keywords": ["ocean"]})
    text = "The Ocean is wide. An ocean! Oceans?"
    assert greedy(keyword, Verdict(True), text).spans == ((4, 9), (22, 27))
    assert greedy(keyword, Verdict(False), text) == greedy(keyword, Verdict(None), text)
    # No argument: the content words of the criterion; no match at all: the first clause, eight words at most.
    assert greedy(Criterion("Describe the harbour."), Verdict(True), "A harbour.").spans == ((2, 9),)
    limit = Criterion("Use at most 100 words.", "x:y", {"n": 100})
    assert greedy(limit, Verdict(True), " One two, three.").spans == ((1, 8),)
    assert greedy(limit, Verdict(True), "a b c d e f g h i j").spans == ((0, 15),)
    assert greedy(limit, Verdict(True), "").spans == ()
    assert not greedy(limit, Verdict(True), "text").whole
