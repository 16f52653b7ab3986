"""The rules of composed prompts: verdicts and evidence by hand, and a verdict on any text."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compose import TASKS

from rtt_lib.errors import RTTError
from rtt_lib.rubrics.compose import FAMILIES, compose
from rtt_lib.schema import Criterion
from rtt_lib.verify import check, composed, verify

TEXT = 'Good day.\n\nThe "old way" works, (mostly) for me!\n- a map\n- {time}\nMood: calm\n\nWhy not 5?\nCoda: map it.'


def criterion(name: str, **args) -> Criterion:
    return Criterion(name, f"composed:{name}", args)


@pytest.mark.parametrize(
    ("name", "args", "value", "evidence"),
    [
        ("start", {"phrase": "Good day."}, True, ["Good day."]),
        ("start", {"phrase": "good day."}, False, []),
        ("end", {"phrase": "map it."}, True, ["map it."]),
        ("keywords", {"words": ["MAP", "day"]}, True, ["day", "map", "map"]),
        ("keywords", {"words": ["map", "ma"]}, False, []),
        ("title", {"left": "==", "right": "=="}, False, []),
        ("title", {"left": "Good", "right": "."}, True, ["Good day."]),
        ("postscript", {"marker": "Coda:"}, True, ["Coda: map it."]),
        ("postscript", {"marker": "Mood:"}, False, []),
        ("label", {"label": "Mood:"}, True, ["Mood: calm"]),
        ("placeholder", {}, True, ["{time}"]),
        ("aside", {}, True, ["(mostly)"]),
        ("quotation", {}, True, ['"old way"']),
        ("question", {}, True, ["Why not 5?"]),
        ("nth_start", {"n": 2, "word": "The"}, True, ["The"]),
        ("nth_start", {"n": 9, "word": "The"}, False, []),
        ("no_commas", {}, False, [","]),
        ("forbidden", {"words": ["way", "works", "other"]}, False, ["way", "works"]),
        ("forbidden", {"words": ["wor"]}, True, []),
        ("no_digits", {}, False, ["5"]),
        ("no_exclamations", {}, False, ["!"]),
        ("no_questions", {}, False, ["?"]),
        ("no_quotes", {}, False, ['"', '"']),
        ("no_first_person", {}, False, ["me"]),
        ("no_sentence_start", {"word": "why"}, False, ["Why"]),
        ("no_sentence_start", {"word": "mood"}, True, []),  # that line has no end, so it is no sentence
        ("words", {"min": 20, "max": 20}, True, []),
        ("words", {"max": 19}, False, []),
        ("sentences", {"relation": "exactly", "n": 4}, True, []),
        ("sentences", {"relation": "at_least", "n": 5}, False, []),
        ("paragraphs", {"n": 3}, True, []),
        ("sentence_words", {"max": 6}, False, ['The "old way" works, (mostly) for me!']),
        ("keyword_count", {"word": "map", "relation": "exactly", "n": 2}, True, ["map", "map"]),
        ("keyword_count", {"word": "map", "relation": "at_least", "n": 3}, False, ["map", "map"]),
        ("bullets", {"mark": "-", "n": 2}, True, ["- a map", "- {time}"]),
        ("lowercase", {}, False, ["Good", "The", "Mood", "Why", "Coda"]),
    ],
)
def test_verdicts_and_evidence(name, args, value, evidence):
    verdict = check(criterion(name, **args), "", TEXT)
    assert verdict.value is value, verdict.reason
    assert [TEXT[start:end] for start, end in verdict.spans] == evidence


def test_one_case():
    assert verify(criterion("lowercase"), "", "all small, 3 of them") is True
    assert verify(criterion("uppercase"), "", "ALL BIG") is True
    assert verify(criterion("uppercase"), "", "123") is False  # no letter at all


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("start", {}, "'phrase'"),
        ("words", {}, "'min' or 'max'"),
        ("words", {"min": "ten"}, "'min'"),
        ("sentences", {"relation": "about", "n": 3}, "'relation'"),
        ("keywords", {"words": []}, "'words'"),
        ("forbidden", {"words": [1]}, "'words'"),
        ("bullets", {"mark": "-", "n": True}, "'n'"),
    ],
)
def test_bad_arguments_are_named(name, args, message):
    with pytest.raises(RTTError, match=message):
        check(criterion(name, **args), "", "some text")


SAMPLE = {c.family: c for p in compose(TASKS, 200, seed=3) for c in p.criteria}


@given(st.text(alphabet=st.characters(codec=None), max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_verdict_whose_spans_lie_in_it(text):
    assert set(SAMPLE) == set(FAMILIES)
    for each in SAMPLE.values():
        verdict = check(each, "", text)
        assert verdict.value in (True, False)
        assert all(0 <= start < end <= len(text) for start, end in verdict.spans)


@pytest.mark.parametrize("text", ["a " * 50_000, "\n" * 100_000, '"{(' * 30_000, "?!" * 50_000, "a.\n\n" * 20_000,
                                  "." * 100_000 + "x", "“" * 100_000, "“a" * 50_000, ".”" * 50_000 + "x"])  # fmt: skip
def test_long_texts_take_linear_time(text):
    began = time.process_time()
    for name in ("question", "quotation", "placeholder", "aside", "label"):
        check(SAMPLE[name], "", text)
    for name in ("sentences", "paragraphs"):
        check(SAMPLE[name], "", text)
    assert time.process_time() - began < 5  # quadratic time would be minutes


ENDS_AND_QUOTES = st.text(alphabet="a.!?\"”’') \n“", max_size=25)


@given(ENDS_AND_QUOTES)
@settings(max_examples=500, deadline=None)
def test_fast_patterns_find_what_the_plain_ones_find(text):
    plain = r"[.!?]+[\"”’')\]]*(?=\s|$)|\n"
    assert [m.span() for m in composed.SENTENCE_END.finditer(text)] == [m.span() for m in re.finditer(plain, text)]
    if not re.search("“[^”\n]*“", text):  # of a quotation within another, the plain one finds the outer one
        plain = r"\"[^\"\n]+\"|“[^”\n]+”"
        assert [m.span() for m in composed.QUOTED.finditer(text)] == [m.span() for m in re.finditer(plain, text)]


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_response_violates_everything(blank):
    """It has no comma, no question and few words: to be rewarded for that a policy would only have to end at once."""
    for each in SAMPLE.values():
        assert verify(each, "", blank) is False, each
    assert verify(criterion("sentences", relation="at_most", n=3), "", blank) is False
    with pytest.raises(RTTError, match="'words'"):
        verify(criterion("forbidden", words=[1]), "", blank)
