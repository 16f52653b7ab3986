"""The micro discriminators: trained once, the same every time, kept when nothing changed."""

from __future__ import annotations

import dataclasses

import pytest

from rtt_lib import store
from rtt_lib.files import read_json
from rtt_lib.relevance.discriminator import TEMPLATE_KEY, Discriminator
from rtt_lib.studies.discriminators import is_trained, train_all
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import open_world
from rtt_lib.worlds.micro import discriminators as micro_training
from rtt_lib.worlds.micro.discriminators import Variant
from rtt_lib.worlds.micro.policy import base_policy

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def profile():
    small = {"policy.pretrain_steps": "2", "discriminator.samples": "64", "compute.workers": "1"}
    return load_profile("ci", small)


@pytest.fixture(scope="module")
def base(profile):
    return base_policy("M", "A", profile.policy.pretrain_steps)


def test_a_discriminator_is_a_function_of_code_and_profile(profile, tmp_path, monkeypatch):
    variant, folders = Variant("taxonomy", ""), []
    for place in ("one", "two"):
        monkeypatch.setenv(store.STORE, str(tmp_path / place))
        folders.append(micro_training.trained(profile, variant))
    one, two = folders
    names = sorted(path.name for path in one.iterdir() if path.name not in (store.MADE, ".lock"))
    assert {"model.safetensors", "training.json"} <= set(names)
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert any("loss" in row for row in read_json(one / "training.json")["log"])
    before = (one / store.MADE).stat().st_mtime_ns
    monkeypatch.setenv(store.STORE, str(tmp_path / "one"))
    assert list(train_all(profile, [variant])) == [variant]
    assert (one / store.MADE).stat().st_mtime_ns == before


def test_settings_seed_and_base_decide_whether_it_is_trained_again(profile, empty_store):
    variant = Variant("taxonomy", "")
    first = micro_training.fingerprint(profile, variant)
    settings = dataclasses.replace(profile.discriminator, learning_rate=1e-4)
    slower = dataclasses.replace(profile, discriminator=settings)
    more_seeds = dataclasses.replace(profile, discriminator=dataclasses.replace(profile.discriminator, seeds=(0, 1)))
    other_base = dataclasses.replace(profile, policy=dataclasses.replace(profile.policy, pretrain_steps=3))
    changed = {
        micro_training.fingerprint(slower, variant),
        micro_training.fingerprint(profile, dataclasses.replace(variant, seed=1)),
        micro_training.fingerprint(other_base, variant),
    }
    assert len(changed | {first}) == 4
    assert micro_training.fingerprint(more_seeds, variant) == first  # another seed does not redo this one
    assert micro_training.fingerprint(profile, dataclasses.replace(variant, about="other words")) == first
    assert not is_trained(profile, variant)
    store.make(micro_training.folder_of(profile, variant), lambda folder: None, {})
    assert is_trained(profile, variant) and not is_trained(slower, variant)


def test_what_is_trained_and_where(profile):
    five = dataclasses.replace(profile.discriminator, seeds=(0, 1, 2))
    names = [v.name for v in micro_training.examined(dataclasses.replace(profile, discriminator=five))]
    assert names[:5] == ["taxonomy", "greedy", "packed", "taxonomy-seed1", "taxonomy-seed2"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", micro_training.KINDS)
def test_each_base_policy_has_a_discriminator_of_its_own(profile, kind):
    """A0 reads the one of seed 0, B1 that of seed 1, and another number changes nothing."""
    world = open_world(profile, "U")
    of = {seed: world.training_inputs(seed, kind)["discriminator"] for seed in ("A0", "A7", "B1", "C2")}
    assert of["A0"] == of["A7"] == micro_training.fingerprint(profile, micro_training.of_kind(kind))
    assert of["B1"] == micro_training.fingerprint(profile, micro_training.of_kind(kind, 1))
    assert len(set(of.values())) == 3


def test_held_out_families_are_not_trained_on_and_annotators_differ(profile):
    seen = {e.criterion.family for e in micro_training.examples_for(profile, Variant("v", ""))}
    held_out = micro_training.examples_for(profile, Variant("v", "", held_out=("start", "include")))
    assert {"start", "include"} <= seen
    assert {e.criterion.family for e in held_out} == seen - {"start", "include"}
    greedy = micro_training.examples_for(profile, Variant("v", "", annotator="greedy"))
    assert not any(example.label.whole for example in greedy)
    assert any(example.label.whole for example in micro_training.examples_for(profile, Variant("v", "")))


def test_fresh_examples_are_not_the_training_ones(profile):
    trained = {(e.criterion.text, e.response) for e in micro_training.examples_for(profile, Variant("v", ""))}
    fresh = {(e.criterion.text, e.response) for e in micro_training.fresh_examples(200)}
    assert not trained & fresh


@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_the_control_sees_the_future_also_after_loading(base, tmp_path, bidirectional):
    parts = micro_training.backbone(base, Variant("v", "", bidirectional=bidirectional))
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    Discriminator(parts.model, parts.tokenizer).save(tmp_path)
    loaded = Discriminator.load(tmp_path, "cpu")
    first, second = loaded.attribute("end bako", "mera bako"), loaded.attribute("end bako", "mera desu")
    assert (first[0].relevance != pytest.approx(second[0].relevance, abs=1e-5)) == bidirectional
