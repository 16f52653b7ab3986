"""Rewards of a response from its verdicts, Eq. 2 and 3, against what unknown verdicts could turn out to be."""

from __future__ import annotations

import math
from itertools import product

import pytest

from rtt_lib.verify.verdict import Verdict, aon, csr


@pytest.mark.parametrize(
    ("verdicts", "all_or_nothing", "rate"),
    [
        ([True, True], 1.0, 1.0),
        ([True, False], 0.0, 0.5),
        ([False, False], 0.0, 0.0),
        ([True, None], math.nan, 1.0),
        ([False, None, True, True], 0.0, 2 / 3),
        ([None], math.nan, math.nan),
        ([], math.nan, math.nan),
    ],
)
def test_rewards_by_hand(verdicts, all_or_nothing, rate):
    assert aon(verdicts) == pytest.approx(all_or_nothing, nan_ok=True)
    assert csr(verdicts) == pytest.approx(rate, nan_ok=True)


@pytest.mark.parametrize("verdicts", list(product((True, False, None), repeat=3)))
def test_all_or_nothing_is_known_when_the_unknown_cannot_change_it(verdicts):
    """With one verdict known at least: a satisfied one leaves it open, a violated one decides."""
    filled = [[value if value is not None else guess for value in verdicts] for guess in (True, False)]
    possible = {float(all(values)) for values in filled}
    assert aon(verdicts) == pytest.approx(possible.pop() if len(possible) == 1 else math.nan, nan_ok=True)


def test_verdicts_travel_as_numbers():
    assert [Verdict(value).as_float() for value in (True, False)] == [1.0, 0.0]
    assert math.isnan(Verdict(None, "no judge").as_float())
