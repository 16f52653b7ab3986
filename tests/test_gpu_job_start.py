"""The file that travels beside each part."""

from __future__ import annotations

import ast
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from rtt_lib.run.gpu_job import start


def test_it_needs_nothing_but_python():
    tree = ast.parse(Path(start.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """An archive of one file in two parts, and where it is unpacked."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:xz") as archive:
        entry = tarfile.TarInfo("profile.yaml")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    data, names = whole.getvalue(), [f"{start.NAME}.{n}" for n in (1, 2)]
    halves = dict(zip(names, (data[: len(data) // 2], data[len(data) // 2 :]), strict=True))
    folder = tmp_path / "job"
    monkeypatch.setenv("RTT_JOB", str(folder))
    for name, half in halves.items():
        (tmp_path / name).write_bytes(half)
    digests = {name: start.digest(tmp_path / name) for name in names}

    def run(name: str, *options: str) -> int:
        place = tmp_path / f"place of {name}"
        place.mkdir(exist_ok=True)
        (place / name).write_bytes((tmp_path / name).read_bytes())
        (place / "plan.json").write_text(json.dumps({"part": name, "digests": digests}))
        monkeypatch.setattr(start, "__file__", str(place / "start.py"))
        return start.main(list(options))

    return folder, names, run


def test_the_last_part_unpacks_and_starts_the_job(parts, monkeypatch):
    folder, (first, second), run = parts
    called = []
    monkeypatch.setattr(start.subprocess, "call", lambda command, **options: called.append((command, options)) or 7)
    assert run(first) == 0 and not called
    assert run(second, "--seconds", "540") == 7
    ((command, options),) = called
    assert (folder / "profile.yaml").read_bytes() == b"abc"
    assert command[1:5] == ["-m", "rtt_lib.run.gpu_job.work", str(folder / "profile.yaml"), str(folder / "out")]
    assert command[-2:] == ["--seconds", "540"] and "--since" in command
    assert options["env"]["PYTHONPATH"].endswith(str(folder / "code")) and options["env"]["HF_HUB_OFFLINE"] == "1"


def test_the_last_part_alone_or_a_damaged_one_starts_nothing(parts, monkeypatch, capsys):
    folder, (first, second), run = parts
    monkeypatch.setattr(start.subprocess, "call", lambda *_, **__: pytest.fail("started"))
    assert run(second) == 9
    assert capsys.readouterr().out == f"kept; still missing: {first}\n"
    (folder / first).write_bytes(b"damaged")
    assert run(second) == 9
