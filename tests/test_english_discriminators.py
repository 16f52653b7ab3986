"""The English discriminators: trained on constructed and sampled responses, labelled by rule, kept in the store."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from english_toy import toy_profile

from rtt_lib import store
from rtt_lib.models import load_tokenizer
from rtt_lib.relevance.annotate import greedy, taxonomy
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.verify import check
from rtt_lib.worlds.english import discriminators
from rtt_lib.worlds.english.corpus import HELD_OUT, held_out_prompts, training_prompts
from rtt_lib.worlds.english.policy import base_policy

pytestmark = pytest.mark.usefixtures("small_english")


@pytest.fixture
def profile():
    return toy_profile()


def test_labels_come_from_both_sources_by_the_rule_annotator(profile, tmp_path):
    base = base_policy(discriminators.BACKBONE_BASE, profile.policy.pretrain_steps)
    examples = discriminators.examples_for(profile, taxonomy, base, tmp_path, 0)
    made = Counter("sampled" if e.split == discriminators.SAMPLED else "constructed" for e in examples)
    assert 10 <= made["sampled"] <= 40 and 30 <= made["constructed"] <= 40  # of each kind of label what there is
    for example in examples:
        verdict = check(example.criterion, "", example.response)
        assert (example.verdict, example.label) == (
            verdict.value, taxonomy(example.criterion, verdict, example.response)
        )  # fmt: skip
    assert not {e.criterion.family for e in examples} & set(HELD_OUT)
    assert {True, False} == {e.verdict for e in examples if e.split != discriminators.SAMPLED}


def test_constructed_responses_satisfy_violate_and_keep_a_part():
    (prompt,) = [p for p in training_prompts(40, 0) if len(p.criteria) == 3][:1]
    found = list(discriminators.by_rule(prompt, 0))
    assert [name for name, _ in found][:2] == ["positive", "partly kept"]
    assert all(check(criterion, prompt.prompt, found[0][1]).value for criterion in prompt.criteria)
    broken = [response for name, response in found if name == "minimal"]
    assert broken
    for response in broken:
        assert [check(c, prompt.prompt, response).value for c in prompt.criteria].count(False) == 1


def test_a_discriminator_trains_and_marks_tokens_of_another_policy(profile):
    folder = discriminators.trained(profile, "taxonomy")
    assert store.made(folder)["name"] == "english, taxonomy, seed 0"
    loaded = Discriminator.load(folder)
    assert loaded.template == discriminators.TEMPLATE
    tokenizer = load_tokenizer(base_policy("B", 2))
    text = "A lamp helps. The night is long."
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    (prompt,) = training_prompts(1, 5)
    p = loaded.predict([prompt.criteria], [text], [offsets]).numpy()
    assert p.shape == (1, len(prompt.criteria), len(offsets)) and np.isfinite(p).all() and 0 <= p.min() <= p.max() <= 1
    before = (folder / store.MADE).stat().st_mtime_ns
    assert discriminators.trained(profile, "taxonomy") == folder
    assert (folder / store.MADE).stat().st_mtime_ns == before


def test_settings_labels_base_and_sampling_decide_whether_it_is_trained_again(profile):
    first = discriminators.fingerprint(profile, "taxonomy")
    others = [
        replace(profile, discriminator=replace(profile.discriminator, learning_rate=1e-4)),
        replace(profile, policy=replace(profile.policy, pretrain_steps=31)),
        replace(profile, rl=replace(profile.rl, temperature=0.5)),
        replace(profile, compute=replace(profile.compute, sampler="transformers")),
    ]
    found = {discriminators.fingerprint(other, "taxonomy") for other in others}
    assert len(found | {first, discriminators.fingerprint(profile, "greedy")}) == 6
    for same in (
        replace(profile, rl=replace(profile.rl, learning_rate=1e-5)),
        replace(profile, discriminator=replace(profile.discriminator, seeds=(0, 1))),
    ):
        assert discriminators.fingerprint(same, "taxonomy") == first


def test_no_prompt_of_a_test_asks_for_what_a_training_prompt_asks_for():
    """Criteria, in their order: with one seed every list would have the same ones, on other tasks."""
    known, other = (
        [tuple(c.text for c in p.criteria) for p in make(64, seed)]
        for make, seed in ((training_prompts, discriminators.POLICYS), (held_out_prompts, discriminators.WRITTEN))
    )
    longer = {rubric for rubric in known if len(rubric) > 2}
    assert longer and not longer & set(other)
    assert {p.id for p in training_prompts(8, discriminators.POLICYS)}.isdisjoint(
        p.id for p in held_out_prompts(8, discriminators.WRITTEN)
    )


def test_greedy_labels_are_other_labels():
    ours = discriminators.constructed(20, taxonomy, 0)
    theirs = discriminators.constructed(20, greedy, 0)
    assert any(example.label.whole for example in ours) and not any(example.label.whole for example in theirs)
