"""`rtt runs`: what a profile asks for stays, whatever else the store holds goes."""

from __future__ import annotations

import shutil

import pytest

from rtt_lib import store
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.run import cli, kept
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import family
from rtt_lib.worlds.text.checkpoints import own_folder


@pytest.fixture
def only_profiles(tmp_path, monkeypatch):
    """Of all that `params/` holds, these."""

    def leave(*names: str) -> None:
        (tmp_path / "params").mkdir()
        for name in names:
            shutil.copy(REPOSITORY / "params" / f"{name}.yaml", tmp_path / "params")
        monkeypatch.setattr(kept, "REPOSITORY", tmp_path)

    return leave


@pytest.fixture
def a_store(empty_store, only_profiles):
    """A run and a base policy that `ci` asks for, the second only begun, and two things that nobody asks for."""
    only_profiles("ci")
    profile = load_profile("ci")
    spec = plan(profile)[0]
    base = next(folder for folder in family(profile).kept_folders(profile) if folder.parent.name == "bases")
    old, cut = store.folder_of("runs", "0" * 16), store.folder_of("discriminators", "1" * 16)
    store.make(spec.folder, lambda folder: (folder / "log.csv").write_bytes(b"x" * 3_000_000), {"name": "L/base/A0"})
    store.make(old, lambda folder: (folder / "log.csv").write_bytes(b"x" * 2_000_000), {"name": "old"})
    for folder in (base, cut):
        folder.mkdir(parents=True)
    return {"asked": spec.folder, "begun": base, "old": old, "cut": cut}


def lines_of(text: str, **folders) -> dict[str, str]:
    """The line about each folder."""
    return {name: line for name, folder in folders.items() for line in text.splitlines() if folder.name in line}


def test_each_thing_that_is_kept_has_a_line(a_store, capsys):
    assert cli.main(["runs"]) == 0
    text = capsys.readouterr().out
    lines = lines_of(text, **a_store)
    assert lines["asked"].split()[:4] == ["complete", "3.0", "MB", "runs"] and "L/base/A0" in lines["asked"]
    assert lines["begun"].split()[:4] == ["begun", "0.0", "MB", "bases"] and "not complete" in lines["begun"]
    assert lines["old"].startswith(kept.NOT_ASKED) and lines["cut"].startswith(kept.NOT_ASKED)
    assert text.splitlines()[-1] == f"4 kept, 5.0 MB, in {store.root()}"
    assert all(folder.is_dir() for folder in a_store.values()), "to look removes nothing"


def test_pruning_removes_what_nobody_asks_for_and_nothing_else(a_store, capsys):
    assert cli.main(["runs", "--prune"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "2 removed, 2.0 MB freed"
    assert {name for name, folder in a_store.items() if folder.is_dir()} == {"asked", "begun"}
    assert store.made(a_store["asked"])["name"] == "L/base/A0"
    assert cli.main(["runs", "--prune"]) == 0 and "0 removed" in capsys.readouterr().out


def test_what_cannot_be_removed_is_said(a_store, tmp_path, capsys):
    """A run that a person moved to another disk, with a link in its place."""
    a_store["old"].rename(tmp_path / "moved")
    a_store["old"].symlink_to(tmp_path / "moved")
    assert cli.main(["runs", "--prune"]) == 2
    said = capsys.readouterr()
    assert f"{a_store['old']}: cannot be removed" in said.err and "removed runs" not in said.out
    assert (tmp_path / "moved" / "log.csv").is_file()


def test_what_a_process_is_filling_is_not_removed(a_store, capsys):
    with store.locked(a_store["cut"]):
        assert cli.main(["runs"]) == 0 and lines_of(capsys.readouterr().out, **a_store)["cut"].startswith(kept.IN_USE)
        assert cli.main(["runs", "--prune"]) == 0 and a_store["cut"].is_dir() and not a_store["old"].exists()
    assert cli.main(["runs", "--prune"]) == 0 and not a_store["cut"].exists()


def test_what_cannot_be_told_is_not_removed(empty_store, capsys):
    """The full replication needs discriminators that are not here, so nobody can say which runs it asks for."""
    folder, begun = (store.folder_of("runs", digit * 16) for digit in "23")
    store.make(folder, lambda folder: None, {"name": "hir16k/RTT-AON/A0", "profile": "paper-qwen3-4b"})
    (begun / "attempt").mkdir(parents=True)
    _, unknown = kept.asked_for()
    assert "no discriminator in" in unknown["paper-qwen3-4b"] and "ci" not in unknown
    assert cli.main(["runs"]) == 0 and capsys.readouterr().out.count(f"{kept.UNKNOWN} {0:8.1f} MB") == 2
    assert cli.main(["runs", "--prune"]) == 0 and folder.is_dir() and begun.is_dir()


def test_what_a_person_trained_stays_though_another_discriminator_is_lacking(empty_store, only_profiles, capsys):
    only_profiles("paper-qwen3-4b")
    folder = own_folder(load_profile("paper-qwen3-4b"))
    for name in ("model.safetensors", "trained.json"):
        write_text(folder / name, "its weights")
    assert "no discriminator in" in kept.asked_for()[1]["paper-qwen3-4b"], "that of greedy labels"
    assert cli.main(["runs"]) == 0 and lines_of(capsys.readouterr().out, own=folder)["own"].startswith("begun")
    assert cli.main(["runs", "--prune"]) == 0 and (folder / "model.safetensors").is_file()


def test_an_empty_store_is_said(empty_store, capsys):
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == f"0 kept, 0.0 MB, in {store.root()}\n"
