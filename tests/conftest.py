"""What tests share. They keep what they train in a store of their own, one for each process of pytest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from english_toy import TOY
from judge_server import Server
from model_server import make_model, serving
from small_profile import SMALL
from text_toy import IFEVAL, SETTINGS, save_model

from rtt_lib import models, store
from rtt_lib.files import write_jsonl
from rtt_lib.profile import Profile
from rtt_lib.store import STORE
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.english import policy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks first: they take minutes, and begun last they would leave the other processes idle."""
    items.sort(key=lambda item: item.get_closest_marker("notebook") is None)


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE, str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    """Nothing has been trained before, and the package brings nothing."""
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "store"


@pytest.fixture
def one_thread():
    """What is trained has to be the same, byte for byte."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def offline(monkeypatch):
    """No test waits for a hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def server() -> Iterator[Server]:
    """Serves a judge's answers, or faults, as a test says."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture(scope="session")
def model_server(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """(url, model) of a real server; the model says YES to `good`, NO to `bad`, and a nonword to `odd`."""
    folder = tmp_path_factory.mktemp("model")
    answers = {"polite good": "YES", "polite bad": "NO", "polite odd": "HM"}
    make_model(folder, answers, ["polite", "good", "bad", "odd"])
    with serving(folder) as url:
        yield url, str(folder)


@pytest.fixture
def commit_during(monkeypatch) -> Callable[[object, object, str], None]:
    """Somebody commits while a function is at work: the state of git is commit `a` before it, then `b`."""

    def arrange(asks: object, owner: object, name: str) -> None:
        commits, work = ["a"], getattr(owner, name)

        def then_commit(*arguments):
            found = work(*arguments)
            commits.append("b")
            return found

        monkeypatch.setattr(owner, name, then_commit)
        monkeypatch.setattr(asks, "git_state", lambda _: {"commit": commits[-1], "dirty": False})

    return arrange


@pytest.fixture
def write_profile(tmp_path) -> Callable[..., Path]:
    def write(text: str = SMALL, name: str = "small.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


# --- a world of text ---


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory) -> Path:
    """A folder with the model, the profile and the benchmark's file."""
    folder = tmp_path_factory.mktemp("text")
    save_model(folder / "model")
    write_jsonl(folder / "data" / "benchmarks" / "ifeval.jsonl", IFEVAL)
    settings = SETTINGS | {"policy": {"model": str(folder / "model")}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="session")
def text_profile(text_folder) -> Profile:
    return load_profile(text_folder / "toy.yaml")


@pytest.fixture
def without_hub(text_folder, offline, monkeypatch):
    """The toy's benchmark is here, and no hub."""
    monkeypatch.setenv("RTT_TEST_DATA", str(text_folder / "data"))
    models.hub_answers.cache_clear()


# --- the English world ---


@pytest.fixture
def small_english(monkeypatch, one_thread):
    """Its policies have one small layer."""
    monkeypatch.setattr(policy, "SIZE", TOY)
