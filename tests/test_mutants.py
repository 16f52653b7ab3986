"""The mutation test of our own checkers: the changes it makes, and that the conformance set notices them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from rtt_lib.bench.conform import mutants
from rtt_lib.bench.conform.mutants import EQUIVALENT, FAMILIES, Mutant
from rtt_lib.verify.text import nltk_missing

ENGLISH = ("punkt_tab", "stopwords", "averaged_perceptron_tagger_eng")
needs_data = pytest.mark.skipif(nltk_missing(*ENGLISH) is not None, reason=str(nltk_missing(*ENGLISH)))

SOURCE = '''
LIMIT = 3
def check(args, response, least=5):
    """A text with 7 in it."""
    if not response.strip() and any(response):
        raise ValueError(8)
    text = response.lower()
    value = len(text) > 9
    return Verdict(value and text == "x", f"{10} words", (11, 12))
def count_arg(args):
    return args < 13
'''


def test_the_places_and_what_they_become():
    places = mutants._Places()
    places.visit(ast.parse(SOURCE))
    assert [(function, kind, change) for function, _, kind, change in places.found] == [
        ("module", "off by one", "3  ->  4"),
        ("check", "any/all", "not response.strip() and any(response)  ->  not response.strip() or any(response)"),
        ("check", "not", "not response.strip()  ->  response.strip()"),
        ("check", "strip", "response.strip()  ->  response"),
        ("check", "any/all", "any(response)  ->  all(response)"),
        ("check", "case", "response.lower()  ->  response"),
        ("check", "off by one", "len(text) > 9  ->  len(text) >= 9"),
        ("check", "off by one", "9  ->  10"),
        ("check", "any/all", "value and text == 'x'  ->  value or text == 'x'"),
        ("check", "not", "text == 'x'  ->  text != 'x'"),
    ]


def test_one_place_changes_at_a_time():
    for number, mutant in enumerate(mutants.mutants("ifeval.py")[::10]):
        before = ast.dump(ast.parse((mutants.VERIFY / mutant.file).read_text()))
        after = ast.dump(mutants.changed_module(mutant))
        assert before != after, (number, mutant)
    assert len({(m.file, m.number) for m in mutants.mutants("muldimif/*.py")}) == len(mutants.mutants("muldimif/*.py"))


def test_what_is_called_equivalent_exists():
    assert set(EQUIVALENT) <= {mutant.key for pattern in FAMILIES for mutant in mutants.mutants(pattern)}


def test_shares_by_hand():
    def tried(outcome: str, change: str = "") -> Mutant:
        return Mutant("ifeval.py", "end_checker", 1, "strip", change, 0, outcome)

    rows = [tried("noticed"), tried("noticed"), tried("survived", "x  ->  y"), tried("evidence")]
    rows.append(tried("survived", "0  ->  1"))  # is among the equivalent ones
    assert mutants.noticed(rows) == 2 / 3
    text = mutants.report(rows)
    assert "2 of 3 noticed (66.7%); 1 change evidence alone, 1 nothing that can be seen" in text
    assert text.splitlines()[-1] == "ifeval.py:1 end_checker: strip: x  ->  y"


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("pattern", FAMILIES)
def test_a_sample_of_changes_is_noticed(pattern):
    """At least 95% of all; of a sample of one in fifteen one may get away."""
    tried = mutants.try_out(pattern, share=1.0 if pattern == "text.py" else 1 / 15)
    assert {mutant.outcome for mutant in tried} <= {"noticed", "evidence", "survived"}
    survivors = [mutant for mutant in tried if mutant.outcome == "survived" and mutant.key not in EQUIVALENT]
    assert len(survivors) <= 1, survivors
    assert sum(mutant.outcome == "noticed" for mutant in tried) >= 0.6 * len(tried) - 1


def test_the_published_survivors_are_of_todays_checkers():
    """The file is made anew when a checker changes: its counts are those of today's places."""
    text = (Path(__file__).parents[1] / "docs" / "mutants.md").read_text()
    (everything,) = re.findall(
        r"^all +(\d+) of (\d+) noticed .*; (\d+) change evidence alone, (\d+) nothing", text, re.M
    )
    noticed, told, evidence, equivalent = map(int, everything)
    assert told + evidence + equivalent == sum(len(mutants.mutants(pattern)) for pattern in FAMILIES)
    assert noticed >= 0.95 * told
    listed = re.findall(r"^([\w/]+\.py):\d+ (\w+): [\w /]+: (.+)$", text, re.M)
    assert len(listed) == told - noticed
    assert set(listed) <= {mutant.key for pattern in FAMILIES for mutant in mutants.mutants(pattern)}
