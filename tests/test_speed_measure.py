"""What is compared runs in turn, and the first round is not counted."""

from __future__ import annotations

import time

import pytest

from rtt_lib.run.speed.__main__ import main
from rtt_lib.run.speed.measure import in_turn


def test_a_round_in_turn_warms_up_and_is_not_counted():
    done = []

    def work(name: str, first: float) -> None:
        time.sleep(0 if name in done else first)
        done.append(name)

    times = in_turn({"a": lambda: work("a", 0.2), "b": lambda: work("b", 0)}, 2)
    assert done == ["a", "b"] * 3
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2}
    assert max(times["a"]) < 0.1


def test_other_words_are_refused():
    with pytest.raises(SystemExit, match=r"relevance\|credit\|step\|sampler"):
        main(["memory"])
