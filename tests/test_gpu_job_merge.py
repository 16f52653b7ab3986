"""A job from packing to the published records, at toy size on a CPU; and what is not merged."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace

import pytest
import yaml
from nltk import data as nltk_data
from text_toy import IFEVAL, SETTINGS, rows_of, save_model

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json, write_jsonl, write_text
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY
from rtt_lib.run import cli
from rtt_lib.run.gpu_job.arm import of_steps
from rtt_lib.run.gpu_job.merge import JOBS, LEFT_THERE, check_settings, merge
from rtt_lib.run.gpu_job.pack import Machine, pack
from rtt_lib.store import STORE
from rtt_lib.studies import records
from rtt_lib.studies.execute import is_published, run_all
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import RUNS, curves_table, results_table
from rtt_lib.verify.text import NLTK_RESOURCES

SEEDS = ["A0", "A1"]


@pytest.fixture
def home(tmp_path, monkeypatch, offline):
    """A folder with a profile, its benchmark, and NLTK data of the right names. Its model has the path that it will
    have in the job, so that the fingerprints are the same: a path is a part of them.
    """
    folder, model = tmp_path / "home", tmp_path / "elsewhere" / "model"
    save_model(model)
    write_jsonl(folder / "data" / "benchmarks" / "ifeval.jsonl", IFEVAL)
    for place in NLTK_RESOURCES.values():
        write_text(folder / "nltk_data" / place / "some.txt", "data")
    core = {"core": {"arms": ["base", "RL-CSR", "RTT-AON oracle"], "seeds": SEEDS}}
    settings = SETTINGS | {"policy": {"model": str(model)}, "compute": {"sampler": "fast"}, "experiments": core}
    settings["rl"] = SETTINGS["rl"] | {"steps": 3}
    (folder / "toy.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("RTT_TEST_DATA", str(folder / "data"))
    monkeypatch.setenv(STORE, str(folder / "store"))
    monkeypatch.setattr(nltk_data, "path", [str(folder / "nltk_data")])
    return folder


@pytest.mark.slow
def test_a_job_is_packed_run_elsewhere_and_merged(home, tmp_path, capsys):
    profile = load_profile(home / "toy.yaml")
    machine = Machine(python="3.11", part_mib=0.3, parts=9)
    commands = pack(profile, machine, home / "parts")
    assert len(commands) > 1
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RTT_", "PYTHONPATH", "NLTK"))}
    for command in commands:
        words = [sys.executable, *command.split()[1:]]
        words += ["--seconds", "900", "--least", "1", "--answering", "10"] if command is commands[-1] else []
        environment = clean | {"RTT_JOB": str(elsewhere), "OUT": str(out)}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "3 steps of each run, seeds A0, A1" in done.stdout
    archives = [out / f"{seed}.tar.xz" for seed in SEEDS]
    assert sorted(out.iterdir()) == archives
    with tarfile.open(archives[0]) as tar:
        names = tar.getnames()
    assert "runs/RL-CSR/A0/log.csv" in names and "runs/base/A0/result.json" in names
    assert not [name for name in names if name.endswith(".safetensors") or "A1" in name]

    results = tmp_path / "results"
    assert cli.main(["gpu-merge", *map(str, archives), "--results", str(results)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1].endswith("6 of 6 runs published: 3 new, 3 published before")
    specs = plan(profile)
    assert all(is_published(spec, results) for spec in specs), "the same code, settings, packages and precision"
    assert len(results_table(specs, results)) == 6
    curves = curves_table(specs, results)
    assert curves.groupby(["arm", "seed"])["step"].apply(list).map(lambda steps: steps == [1, 2, 3]).all()
    assert list(run_all(specs, results, workers=1)) == specs and not (home / "store").exists(), "nothing is trained"
    for row in rows_of(results / RUNS):
        assert row["policy"] == LEFT_THERE and row["made_with"]["git"] == git_state(REPOSITORY)
    assert len(rows_of(results / "responses" / "RL-CSR" / "A1" / "ifeval.jsonl.gz")) == 6
    assert rows_of(results / "held_out" / "RL-CSR" / "A1.jsonl.gz")
    assert [job["seeds"] for job in read_json(results / JOBS)] == [SEEDS], "one job, whose seeds came one by one"
    with pytest.raises(RTTError, match=r"rl\.steps is 4 here and 3 there"):
        check_settings(of_steps(profile, 4), results)


def test_other_seeds_go_together_other_settings_do_not(home, tmp_path):
    profile, results = load_profile(home / "toy.yaml"), tmp_path / "results"
    check_settings(of_steps(profile, 9), results)  # nothing is there yet
    write_jsonl(results / RUNS, [])
    (results / "profile.yaml").write_text((home / "toy.yaml").read_text())
    check_settings(replace(profile, experiments={}, about="in other words"), results)
    with pytest.raises(RTTError, match=r"holds runs of other settings \(rl\.steps is 9 here and 3 there\)"):
        check_settings(of_steps(profile, 9), results)


@pytest.fixture
def unpacked(home, tmp_path):
    """An archive with one run, the base policy of A0."""
    folder, record = tmp_path / "unpacked", {"world": "composed", "arm": "base", "seed": "A0", "made_with": None}
    write_text(folder / "profile.yaml", (home / "toy.yaml").read_text() + "name: toy\n")
    write_json(folder / "manifest.json", {})
    write_json(folder / "job.json", {"git": None, "seeds": ["A0"]})
    write_json(folder / "runs" / "base" / "A0" / "result.json", record)
    return folder


def test_runs_that_the_archive_does_not_plan_are_not_dropped(unpacked, tmp_path):
    results = tmp_path / "results"
    write_text(results / "profile.yaml", (unpacked / "profile.yaml").read_text())
    published = [{"world": "composed", "arm": arm, "seed": f"A{n}"} for n in (1, 7, 8, 9) for arm in ("base", "RL-CSR")]
    write_jsonl(results / RUNS, published)
    before = sorted(results.glob("[!.]*"))
    named = r"\(composed/base/A7, .*composed/base/A9 and 1 more\)"
    with pytest.raises(RTTError, match=f"holds runs that the archive's profile does not plan {named}: merge into"):
        merge(unpacked, results)
    assert sorted(results.glob("[!.]*")) == before and rows_of(results / RUNS) == published
    write_jsonl(results / RUNS, [])
    assert str(merge(unpacked, results)) == "1 of 6 runs published: 1 new"


def test_it_waits_for_who_publishes(unpacked, tmp_path):
    results = tmp_path / "results"
    merging = threading.Thread(target=merge, args=(unpacked, results))
    with records.locked(results):
        merging.start()
        merging.join(0.5)
        assert merging.is_alive() and not (results / "profile.yaml").exists()
    merging.join()
    assert [row["arm"] for row in rows_of(results / RUNS)] == ["base"]


def test_what_is_no_archive_of_a_job_is_an_error(tmp_path, capsys):
    (tmp_path / "a.tar.xz").write_bytes(b"nothing")
    assert cli.main(["gpu-merge", str(tmp_path / "a.tar.xz")]) == 2
    assert "cannot be read as an archive" in capsys.readouterr().err
    write_json(tmp_path / "job.json", {})
    with tarfile.open(tmp_path / "b.tar.xz", "w:xz") as tar:
        tar.add(tmp_path / "job.json", "job.json")
    assert cli.main(["gpu-merge", str(tmp_path / "b.tar.xz")]) == 2
    assert "no profile.yaml, manifest.json, runs in it" in capsys.readouterr().err
