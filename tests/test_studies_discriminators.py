"""A micro profile's discriminators: what is there is handed on, what is not is trained."""

from __future__ import annotations

import pytest
import toy_world

from rtt_lib import store
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.studies.discriminators import is_trained, train_all
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.discriminators import Variant, folder_of

pytestmark = pytest.mark.usefixtures("one_thread", "empty_store")
THERE, MISSING = Variant("taxonomy", ""), Variant("greedy", "", annotator="greedy")


@pytest.fixture
def profile():
    small = {"policy.pretrain_steps": "2", "discriminator.samples": "32", "compute.workers": "2"}
    return load_profile("ci", small)


def test_what_is_there_comes_first_and_is_not_trained(profile, monkeypatch):
    monkeypatch.setattr("rtt_lib.studies.discriminators.worker_pool", toy_world.in_this_process)
    store.make(folder_of(profile, THERE), lambda folder: None, {})
    assert is_trained(profile, THERE) and not is_trained(profile, MISSING)
    ready = train_all(profile, [MISSING, THERE])
    assert next(ready) == THERE and not is_trained(profile, MISSING)
    assert list(ready) == [MISSING] and is_trained(profile, MISSING)
    assert not list(folder_of(profile, THERE).glob("*.safetensors"))
    (relevance, *_) = Discriminator.load(folder_of(profile, MISSING), "cpu").attribute("start bako", "bako desu")
    assert 0 <= relevance.relevance <= 1


def test_without_anything_to_train_no_process_is_started(profile, monkeypatch):
    def no_pool(*_, **__):
        raise AssertionError("a pool of processes for nothing")

    monkeypatch.setattr("rtt_lib.studies.discriminators.worker_pool", no_pool)
    store.make(folder_of(profile, THERE), lambda folder: None, {})
    assert list(train_all(profile, [THERE])) == [THERE]


@pytest.mark.slow
def test_several_are_trained_in_processes_of_their_own(profile):
    assert set(train_all(profile, [THERE, MISSING])) == {THERE, MISSING}
    assert is_trained(profile, THERE) and is_trained(profile, MISSING)
