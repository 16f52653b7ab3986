"""What more criteria cost is measured against one criterion."""

from __future__ import annotations

from markdown_rows import cells_of

from rtt_lib.run.speed import discriminators as speed


def test_the_cost_of_criteria_is_relative_to_one(capsys):
    speed.relevance(rounds=2, counts=(1, 12), responses=32)
    first, _, header, _, one_by_one, packed = capsys.readouterr().out.splitlines()[:6]
    assert first.startswith("micro world, 32 responses in groups of 8, median of 2; ") and "commit" in first
    assert cells_of(header) == ["discriminator", "ms for one criterion", "K = 1", "K = 12"]
    one_by_one, packed = cells_of(one_by_one), cells_of(packed)
    assert (one_by_one[0], packed[0]) == ("per criterion", "packed") and float(packed[1]) > 0
    assert float(packed[2]) == float(one_by_one[2]) == 1
    assert float(packed[3]) < float(one_by_one[3])  # which reads every response twelve times
