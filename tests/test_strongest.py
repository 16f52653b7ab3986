"""The strongest core arm of each world, and its runs under one name."""

from __future__ import annotations

import pandas as pd
import pytest
from test_claims import CORE, SEEDS, scores

from rtt_lib.analysis import strongest


def test_the_strongest_is_another_arm_in_another_world():
    other = scores(world="M", **CORE | {"RTT__AON": 0.3, "RTT__CSR": 0.3, "RL__CSR": 0.7})
    runs = pd.concat([scores(world="L", **CORE | {"RTT__AON": 0.8}), other], ignore_index=True)
    rivals = strongest.strongest_rivals(runs)
    assert rivals == {"L": "RTT-AON", "M": "RL-CSR"}
    again = strongest.with_strongest(runs, rivals)
    assert len(again) == len(runs) + 2 * len(SEEDS)
    means = again[again["arm"] == strongest.STRONGEST].groupby("world")["all satisfied"].mean()
    assert means.to_dict() == pytest.approx({"L": 0.8, "M": 0.7})


def test_without_both_kinds_there_is_no_rival():
    runs = scores(world="L", RL__AON=0.5, RL__CSR=0.6)
    assert strongest.strongest_rivals(runs) == {}
    both = pd.concat([runs, scores(world="L", seeds=SEEDS[:2], RTT__AON=0.9)])
    assert strongest.strongest_rivals(both) == {} and strongest.strongest_rivals(both, least=1) == {"L": "RTT-AON"}
