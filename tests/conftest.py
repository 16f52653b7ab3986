"""Tests keep what they train in a store of their own, one for each process of pytest."""

from __future__ import annotations

import pytest

from rtt_lib.store import STORE


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE, str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    """Nothing has been trained before."""
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    return tmp_path / "store"
