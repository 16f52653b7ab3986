"""SIGKILL at random moments, twenty times in the long run: what is there in the end is what is there without it.

The pipeline's short variant is `test_pipeline.py::test_killed_at_any_moment_it_ends_with_the_same_tables`, that of
generation `test_generate.py::test_killed_in_the_middle_nothing_is_lost_or_repeated`.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import work
from judge_server import Handler, Server, says
from sizes import sized
from storm import files_of, storm
from test_generate import save_model
from test_pipeline import House

from rtt_lib.run import pipeline

KILLS = 20
LABEL = json.dumps({"type": "partial relevant", "segments": ["response"]})


@pytest.fixture
def server() -> Iterator[Server]:
    """Takes ten milliseconds for an answer; an annotator is answered with a label, a judge with YES."""

    def answer(handler: Handler) -> None:
        time.sleep(0.01)
        question = handler.body["messages"][0]["content"]
        says("YES" if "YES" in question else LABEL)(handler)

    with Server() as server:
        server.script = [answer]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.slow
@sized("kills", 3, KILLS)
@pytest.mark.parametrize("task", [work.judge, work.annotate], ids=["judge", "annotation"])
def test_answers_that_were_paid_for_are_kept(tmp_path, server, task, kills):
    found = storm(partial(task, server.url), tmp_path, lambda folder: files_of(folder, "*.json"), kills)
    assert found.in_the_middle or kills < KILLS
    # Once in peace and once a round; twice only what was under way at a kill, four at a time.
    once = len(work.CASES) * (1 + found.rounds)
    assert once <= len(server.seen) <= once + 4 * kills


@pytest.mark.faults
def test_generation(tmp_path):
    model = save_model(tmp_path / "model")
    assert storm(partial(work.responses, model), tmp_path, files_of_responses, KILLS).in_the_middle


def files_of_responses(folder):
    return files_of(folder, "responses.jsonl", "responses.jsonl.json")


@pytest.mark.slow
@sized("kills", 2, KILLS)
def test_reinforcement_learning(tmp_path, kills):
    spec = work.SPEC
    evaluation = Path("evaluations", spec.fingerprint, "result.json")
    names = [f"runs/{spec.training_fingerprint}/{name}" for name in (evaluation, "log.csv", "policy/model.safetensors")]
    assert (
        storm(work.policy, tmp_path, lambda folder: files_of(folder, *names), kills).in_the_middle or kills < KILLS
    )  # two kills can both miss


@pytest.mark.slow
@sized("kills", 2, KILLS)
def test_training_of_the_discriminator(tmp_path, kills):
    train = work.discriminator
    assert (
        storm(train, tmp_path, lambda folder: files_of(folder, "model.safetensors"), kills).in_the_middle
        or kills < KILLS
    )  # two kills can both miss


@pytest.mark.faults
def test_pipeline(tmp_path):
    unused = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(pipeline.REPOSITORY / "rtt_lib", tmp_path / "rtt_lib", ignore=unused)  # nobody edits this copy
    calm, stormy = (House(tmp_path / name, ["01_first", "02_second"]) for name in ("calm", "stormy"))
    began = time.monotonic()
    assert_done(calm.command(tmp_path))
    seconds, kills, moments = time.monotonic() - began, 0, random.Random(KILLS)
    expected = files_of(calm.results, "tables/*")
    while kills < KILLS:
        process = stormy.command(tmp_path)
        try:
            process.wait(moments.uniform(0.1, 1) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert_done(process)
        assert files_of(stormy.results, "tables/*") == expected
        shutil.rmtree(stormy.results)
    assert_done(stormy.command(tmp_path))
    assert files_of(stormy.results, "tables/*") == expected


def assert_done(process: subprocess.Popen) -> None:
    _, message = process.communicate()
    assert process.returncode == 0, message
