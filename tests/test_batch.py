"""The batch verifier: every criterion goes to the right place, and the verdicts come back in order."""

from __future__ import annotations

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify import registry
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.sandbox import Sandbox, isolation
from rtt_lib.verify.verdict import Verdict

CODE = Criterion("Hold an x", "code:python", {"code": "def f(response): return 'x' in response", "function": "f"})
RULE = Criterion("Be long", "test:long", {"at_least": 3})
SOFT = Criterion("Be polite")


class Polite:
    """Stands in for the judge: `kind` responses are polite. (The judge itself is tested against servers.)"""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def check_many(self, questions: list[tuple[str, str, str]]) -> list[Verdict]:
        self.asked += questions
        return [Verdict("kind" in response, criterion) for criterion, _, response in questions]


@pytest.fixture(autouse=True)
def long_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    def long(args: dict, prompt: str, response: str) -> Verdict:
        return Verdict(len(response) >= args["at_least"], prompt)

    monkeypatch.setitem(registry.FAMILIES, "test", "rtt_lib.verify.verdict")
    monkeypatch.setitem(registry.RULES, "test:long", registry.Rule("test:long", long, "global"))


@pytest.mark.skipif(not isolation(), reason="this system has no seccomp: shipped code is not run")
def test_each_criterion_goes_to_its_verifier_in_order() -> None:
    prompts, responses = ["p0", "p1", "p2"], ["x kind", "", "xx"]
    rubrics = [[SOFT, CODE, RULE], [], [RULE, SOFT, CODE, SOFT]]
    judge = Polite()
    with Sandbox(workers=2) as pool:
        verdicts = Verifier(judge, pool)(prompts, responses, rubrics)
        assert verdicts == Verifier(Polite(), pool)(prompts, responses, rubrics)
    assert [[v.value for v in row] for row in verdicts] == [[True, True, True], [], [False, False, True, False]]
    assert verdicts[0][2].reason == "p0" and verdicts[2][0].reason == "p2"
    assert judge.asked == [("Be polite", "p0", "x kind"), ("Be polite", "p2", "xx"), ("Be polite", "p2", "xx")]


def test_without_a_judge_soft_criteria_are_undecided() -> None:
    ((soft, rule),) = Verifier()(["p"], ["long"], [[SOFT, RULE]])
    assert soft.value is None and "no judge" in soft.reason and rule.value is True


def test_nothing_to_verify() -> None:
    assert Verifier()([], [], []) == []


def test_a_bug_in_a_rule_shows_before_the_judge_is_asked() -> None:
    judge = Polite()
    with pytest.raises(KeyError):
        Verifier(judge)(["p"], ["r"], [[SOFT, Criterion("Be long", "test:long", {})]])
    assert judge.asked == []


def test_an_unknown_verifier_and_unequal_lengths_are_errors() -> None:
    with pytest.raises(RTTError, match="unknown verifier 'nope:x'"):
        Verifier()(["p"], ["r"], [[Criterion("c", "nope:x")]])
    with pytest.raises(RTTError, match="1 prompts, 2 responses and 1 rubrics"):
        Verifier()(["p"], ["r", "s"], [[]])
