"""Examples for the discriminator in the micro world."""

from __future__ import annotations

import random
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st
from test_micro_language import LANGUAGE, seeds

from rtt_lib.verify import verify
from rtt_lib.worlds.micro.corpus import minimal_modification, responses_for
from rtt_lib.worlds.micro.language import WORLDS, construct, sample_prompts


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([WORLDS["L"], WORLDS["M"]]), seeds, st.integers(0, 4))
def test_a_minimal_modification_flips_exactly_one_verdict_by_one_token(world, seed, k):
    [prompt] = sample_prompts(world, 1, seed)
    rng = random.Random(seed)
    response = construct(prompt.criteria, world, LANGUAGE, rng)
    edited = minimal_modification(prompt, response, k, rng)
    if edited is None:  # some verdicts cannot be flipped alone
        return
    values = [verify(c, prompt.prompt, edited) for c in prompt.criteria]
    assert values == [j != k for j in range(len(values))]
    old, new = response.split(), edited.split()
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    assert {len(new) - len(old)} <= {-1, 0, 1}
    assert old[same + 1 :] == new[same + 1 :] or old[same:] == new[same + 1 :] or old[same + 1 :] == new[same:]


def test_most_verdicts_can_be_flipped_alone():
    world, rng = WORLDS["L"], random.Random(0)
    found = []
    for prompt in sample_prompts(world, 40, "flip"):
        response = construct(prompt.criteria, world, LANGUAGE, rng)
        found += [minimal_modification(prompt, response, k, rng) is not None for k in range(5)]
    assert fmean(found) > 0.7


def test_omission_withholds_and_positives_satisfy():
    world, rng = WORLDS["L"], random.Random(1)
    omitted = []
    for prompt in sample_prompts(world, 60, "omission"):
        made = responses_for(prompt, world, LANGUAGE, rng)
        assert all(verify(c, prompt.prompt, made["positive"]) for c in prompt.criteria)
        violated = [not verify(c, prompt.prompt, made["omission"]) for c in prompt.criteria]
        assert sum(violated) <= 1
        omitted.append(any(violated))
    assert fmean(omitted) > 0.4
