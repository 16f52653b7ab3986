"""The contrasts are sums of arms that there are, over columns that a world of levels measures."""

from __future__ import annotations

import pytest

from rtt_lib.analysis.conifer_claims import CLAIMS, SECONDARY, TWIN
from rtt_lib.methods.arms import ARMS
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.levels.evaluation import scores_by_level

EVERY = [*CLAIMS, *TWIN, *SECONDARY]


@pytest.mark.parametrize("contrast", EVERY, ids=lambda contrast: contrast.statement)
def test_a_contrast_compares_arms_that_there_are_on_a_column_that_there_is(contrast):
    assert sum(contrast.weights.values()) == 0 and set(contrast.weights) <= set(ARMS)
    graded = {level: {"all_satisfied": 0.5} for level in (1, 2, 3, 4, 5)}
    assert contrast.column in {"all satisfied", "numbers", *scores_by_level(graded)}


def test_the_profile_trains_every_arm_of_every_contrast():
    """On eight base policies where a claim rests on it, on three or more elsewhere."""
    seeds: dict[tuple[str, str], set[str]] = {}
    for spec in plan(load_profile("conifer")):
        seeds.setdefault((spec.world, spec.arm.name), set()).add(spec.seed)
    for contrast in EVERY:
        least = 8 if contrast in (*CLAIMS, *TWIN) else 3
        shared = set.intersection(*(seeds[contrast.world, arm] for arm in contrast.weights))
        assert len(shared) >= least, contrast.statement


def test_claims_are_numbered_and_each_has_one_contrast():
    assert [claim.id for claim in CLAIMS] == [f"K-C{n}" for n in range(1, 8)]
    assert [claim.id for claim in TWIN] == [f"K-R{n}" for n in range(1, 6)]
    assert not any(contrast.id for contrast in SECONDARY)
