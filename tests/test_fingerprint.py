"""Digests, and the import closure that says which code a result depends on."""

from __future__ import annotations

import shutil

import pytest

from rtt_lib import fingerprint
from rtt_lib.fingerprint import code_digest, digest, file_digest, import_closure, imports_of, tree_digest

RUN = ("rtt_lib.worlds.micro.world", "rtt_lib.methods.rl")
TEXT = ("rtt_lib.worlds.text.world", "rtt_lib.rubrics", "rtt_lib.verify", "rtt_lib.methods.dpo")


def test_digests_follow_values_and_files(tmp_path):
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    (tmp_path / "a").write_text("x")
    assert file_digest(tmp_path / "a") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    before = tree_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert tree_digest(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_digest(tmp_path) != before


def test_imports_are_read_from_the_source():
    source = """
import rtt_lib.credit
from rtt_lib.worlds import micro
from rtt_lib.verify import check
if TYPE_CHECKING:
    from rtt_lib.report import site
def inside():
    from rtt_lib.methods import rl
"""
    always = ("rtt_lib.credit", "rtt_lib.verify", "rtt_lib.worlds.micro")
    assert imports_of(source, functions=False) == always
    assert imports_of(source) == (always[0], "rtt_lib.methods.rl", *always[1:])


def test_the_closure_of_a_run_holds_what_trains_and_no_report():
    micro, text = import_closure(*RUN), import_closure(*TEXT)
    assert {"rtt_lib.credit", "rtt_lib.methods.rtt_grpo", "rtt_lib.relevance.discriminator"} <= set(micro)
    assert "rtt_lib.bench.generate" in text, "DPO trains on what it writes"
    assert "rtt_lib.verify.ifeval" in text, "reached by the name of a rule"
    for found in (micro, text):
        assert not [name for name in found if name.startswith(("rtt_lib.report", "rtt_lib.analysis", "rtt_lib.run"))]
    assert not [name for name in micro if name.startswith("rtt_lib.worlds.text")]


def test_neutral_modules_exist():
    for name in fingerprint.NEUTRAL:
        assert fingerprint.module_file(name).is_file()


@pytest.fixture
def copied_library(tmp_path, monkeypatch):
    """The library's files where they can be changed; fingerprints are computed from there."""
    shutil.copytree(fingerprint.LIBRARY, tmp_path / "rtt_lib", ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    monkeypatch.setattr(fingerprint, "LIBRARY", tmp_path / "rtt_lib")
    code_digest.cache_clear()
    yield tmp_path / "rtt_lib"
    code_digest.cache_clear()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("credit.py", True),
        ("models.py", True),
        ("methods/rtt_grpo.py", True),
        ("verify/batch.py", True),
        ("verify/micro.py", True),
        ("report/theme.py", False),
        ("files.py", False),
    ],
)
def test_the_digest_follows_the_code_that_matters(copied_library, file, changes):
    before, path = code_digest(*RUN), copied_library / file
    words = path.read_text().split('"""', 2)
    path.write_text(f'"""Other words."""{words[2]}\n# a comment\n')
    code_digest.cache_clear()
    assert code_digest(*RUN) == before, "docstrings and comments decide nothing"
    path.write_text(path.read_text() + "\nSTD_FLOOR = 0.5\n")
    code_digest.cache_clear()
    assert (code_digest(*RUN) != before) is changes


def test_the_digest_follows_the_data_that_a_module_reads(copied_library):
    before = code_digest(*TEXT)
    path = copied_library / "rubrics" / "data" / "tasks.yaml"
    path.write_text(path.read_text() + "\n# changed\n")
    code_digest.cache_clear()
    assert code_digest(*TEXT) != before


def test_another_build_of_a_version_is_the_same_and_another_version_is_not(monkeypatch):
    def code_with(torch: str) -> str:
        code_digest.cache_clear()
        monkeypatch.setattr(fingerprint.importlib.metadata, "version", {"torch": torch}.get)
        monkeypatch.setattr(fingerprint, "VERSIONS_OF", ("torch",))
        return code_digest("rtt_lib.credit")

    assert code_with("2.13.0") == code_with("2.13.0+cpu") != code_with("2.13.1+cpu")
    code_digest.cache_clear()
