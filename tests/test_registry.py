"""Rules are found by their id, each family imported at first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.verify.registry import FAMILIES, RULES, find_rule, rule
from rtt_lib.verify.verdict import Verdict


def test_a_family_is_imported_when_its_first_rule_is_asked_for():
    code = (
        "import sys\nfrom rtt_lib.verify.registry import RULES, find_rule\n"
        "assert not RULES and 'rtt_lib.verify.micro' not in sys.modules\n"
        "print(find_rule('micro:start').id, {name.split(':')[0] for name in RULES})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "micro:start {'micro'}\n", done.stderr


def test_what_is_not_there_is_named_with_the_choices():
    with pytest.raises(RTTError, match=r"unknown verifier 'nothing:x': families are ifeval, ifbench, .*'judge'"):
        find_rule("nothing:x")
    with pytest.raises(RTTError, match=r"unknown verifier 'micro:x': micro has micro:at_least, .*micro:start"):
        find_rule("micro:x")


def test_a_rule_is_registered_once(monkeypatch):
    def long(args, prompt, response) -> Verdict:
        return Verdict(len(response) > args["n"])

    monkeypatch.setitem(FAMILIES, "test", __name__)
    try:
        assert rule("test:long", "global")(long) is long
        found = find_rule("test:long")
        assert (found.scope, found.polarity) == ("global", "positive")
        assert found.check({"n": 2}, "", "abc").value is True and found.check({"n": 3}, "", "abc").value is False
        with pytest.raises(ValueError, match="'test:long' is registered twice"):
            rule("test:long", "local")(long)
    finally:
        RULES.pop("test:long", None)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_rule_has_its_place_in_the_taxonomy(family):
    with pytest.raises(RTTError):
        find_rule(f"{family}:no such rule")  # which imports the family
    rules = [found for id, found in RULES.items() if id.startswith(f"{family}:")]
    assert rules
    for found in rules:
        assert found.scope in ("global", "local") and found.polarity in ("positive", "negative"), found.id
