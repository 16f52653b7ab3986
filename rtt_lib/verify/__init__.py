"""Is it satisfied? `check` decides one criterion, `verify` is its value."""

from __future__ import annotations

from rtt_lib.schema import JUDGE, Criterion
from rtt_lib.verify.registry import find_rule
from rtt_lib.verify.verdict import Verdict, aon, csr

__all__ = ["Verdict", "aon", "check", "csr", "verify"]


def check(criterion: Criterion, prompt: str, response: str) -> Verdict:
    """I(q, y, c) of Eq. 1 for a criterion that a rule or a shipped checker decides.

    A soft criterion is undecided here: `rtt_lib.verify.judge` asks a judge LLM for many at once.
    """
    if criterion.verifier == JUDGE:
        return Verdict(None, "a soft constraint: needs a judge LLM")
    if criterion.verifier == "code:python":
        from rtt_lib.verify.sandbox import run_checker

        return run_checker(criterion.args, prompt, response)
    return find_rule(criterion.verifier).check(criterion.args, prompt, response)


def verify(criterion: Criterion, prompt: str, response: str) -> bool | None:
    """True satisfied, False violated, None could not be decided."""
    return check(criterion, prompt, response).value
