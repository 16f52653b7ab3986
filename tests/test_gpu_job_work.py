"""A job by the clock: how many steps, and the end."""

from __future__ import annotations

import subprocess
import time

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.profile import REPOSITORY
from rtt_lib.run.gpu_job.work import Job, choose
from rtt_lib.studies.profiles import load_profile


@pytest.mark.parametrize(
    ("left", "seeds", "most", "found"),
    [
        (500, 2, 120, (55, 2)),  # 0.9 x 500 / 2 - 60 = 165 s for steps of 3 s
        (500, 3, 120, (55, 2)),  # three would have 30 steps each
        (500, 1, 120, (120, 1)),  # 130 fit, the profile asks for 120
        (100, 2, 120, (10, 1)),  # fewer than the least, but better than nothing
    ],
)
def test_as_many_seeds_as_have_enough_steps(left, seeds, most, found):
    assert choose(left, step=3.0, answering=60.0, seeds=seeds, least=40, most=most) == found


def test_no_time_for_a_step_is_an_error():
    with pytest.raises(RTTError, match=r"60 s are left: too few"):
        choose(60, 3.0, 60.0, 2, 40, 120)


@pytest.mark.parametrize(("measured", "found"), [({}, None), ({"base": 0.0}, None), ({"base": 0.0, "RTT": 2.5}, 2.5)])
def test_the_slowest_arm_decides_and_one_that_is_not_trained_does_not(tmp_path, measured, found):
    job = Job(load_profile("smol-ten"), tmp_path, tmp_path, ["A0"], since=0.0, end=time.monotonic() + 60)
    for arm, seconds in measured.items():
        write_json(tmp_path / f"{arm}.seconds", seconds)
    assert job.measure() == found


def test_what_still_runs_is_ended_and_what_failed_is_said_once(tmp_path, capsys):
    job = Job(load_profile("smol-ten"), tmp_path, tmp_path, ["A0"], since=time.monotonic(), end=time.monotonic())
    (tmp_path / "logs").mkdir()
    job.log("RL-CSR").write_text("out of memory")
    job.workers = {
        "RL-AON": subprocess.Popen(["sleep", "100"], start_new_session=True),
        "RL-CSR": subprocess.Popen(["false"], start_new_session=True),
        "base": subprocess.Popen(["true"], start_new_session=True),
    }
    for arm in ("RL-CSR", "base"):
        job.workers[arm].wait()
    assert job.alive() == ["RL-AON"] and job.dead == {"RL-CSR"}
    job.stop()
    assert job.workers["RL-AON"].returncode == -9 and job.alive() == []
    said = capsys.readouterr().out
    assert said.count("RL-CSR ended with exit code 1:\nout of memory") == 1
    assert "RL-AON ended by the clock" in said and "base" not in said


def test_the_page_says_what_two_jobs_noted():
    page = " ".join((REPOSITORY / "docs" / "gpu-job.md").read_text(encoding="utf-8").split())
    jobs = read_json(REPOSITORY / "results" / "smol-ten" / "jobs.json")
    assert [job["seeds"] for job in jobs] == [["A0"], ["A1"]]
    runs = [(arm, each) for job in jobs for arm, each in job["timing"].items()]
    reading = [each for arm, each in runs if arm.startswith("RTT") and arm != "RTT-CSR oracle"]
    steps = sorted((each["seconds"] - each["waited"]) / each["steps"] for each in reading)
    alone = jobs[1]["alone on the card"]["RTT-CSR"]["seconds of a step"]
    assert f"took {steps[0]:.1f} to {steps[-1]:.1f} s, with five policies on the card, and {alone:.1f} s alone" in page
    assert f"takes at most {max(each['peak GiB'] for _, each in runs)} GiB" in page
    first = jobs[0]["probe"]
    seconds = {name: text.split(" s")[0] for name, text in first.items() if name.startswith("sampler")}
    graphs, eager = (float(seconds[f"sampler, {how}, 128 x 128"]) for how in ("graphs", "eager"))
    assert f"in {graphs:.2f} s with CUDA graphs and in {eager:.2f} s without" in page
    assert f"512 responses take {float(seconds['sampler, 512 x 128']):.2f} s" in page
    assert f"takes {1000 * graphs / 128:.1f} ms; `generate` needs 26.6 ms" in page
    assert first["model.generate, 128 x 24"].startswith("26.6 ms a token")
    took = sorted(each["evaluation"] for _, each in runs)
    assert f"took {took[0]:.0f} to {took[-1]:.0f} s, six at once" in page
    assert "were packed after {:.0f} and {:.0f} s".format(*(job["seconds until packed"] for job in jobs)) in page
    weights = 134.5e6 * 2
    assert f"{weights / 1e9:.2f} GB" in page and f"{weights / (graphs / 128) / 3.35e12:.0%} of the card's" in page
