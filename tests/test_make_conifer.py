"""The command that makes Conifer's conversations, against a real server with faults that are known beforehand."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conifer_llm import SEED, make, serving, words

from rtt_lib.files import read_json, read_jsonl
from rtt_lib.profile import REPOSITORY
from rtt_lib.rubrics.conifer import pipeline
from rtt_lib.rubrics.conifer.pipeline import COLUMNS, table
from rtt_lib.rubrics.sources import load
from rtt_lib.run import make_conifer
from rtt_lib.run.make_conifer import summary


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, server) of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("conifer")
    with serving() as server:
        assert make(folder, server) == 0
        yield folder, server


# asked, failed, refused, unparsable, filtered, kept, twice, made: by hand, from what conifer_llm.answer does
COUNTS = {
    "seeds": (10, 0, 0, 0, 3, 7, 1, 6),
    "reframe": (6, 0, 1, 1, 0, 4, 1, 11),
    "first filter": (11, 0, 0, 1, 3, 7, 0, 7),
    "constraints": (7, 0, 1, 1, 0, 5, 0, 5),
    "levels": (5, 0, 0, 1, 0, 4, 0, 20),
    "format and number": (20, 0, 4, 4, 0, 12, 0, 12),
    "second filter": (20, 0, 0, 0, 2, 18, 0, 18),
    "second filter, format and number": (12, 0, 0, 0, 2, 10, 0, 10),
    "answers": (18, 1, 1, 0, 0, 16, 0, 16),
    "internal feedback": (10, 0, 0, 1, 0, 9, 0, 9),
    "weak drafts": (3, 0, 0, 0, 0, 3, 0, 3),
    "critiques": (3, 0, 0, 1, 0, 2, 0, 2),
}


def test_every_answer_is_counted_and_every_loss_is_written_down(made):
    folder, server = made
    counts = read_json(folder / "out.jsonl.about.json")["counts"]
    assert {name: tuple(count[column] for column in COLUMNS) for name, count in counts.items()} == COUNTS
    for asked, failed, refused, unparsable, filtered, kept, _, _ in COUNTS.values():
        assert asked == failed + refused + unparsable + filtered + kept
    lost = [row for _, row in read_jsonl(folder / "out.jsonl.lost.jsonl")]
    for name, (asked, *_, kept, twice, _) in COUNTS.items():
        assert sum(row["stage"] == name for row in lost) == asked - kept + twice
    why = {row["item"]: row["why"] for row in lost if row["stage"] == "reframe" and row["outcome"] != "twice"}
    assert why[SEED.format("violins")] == "the model declines: 'Sorry, I cannot help with violins.'"
    assert why[SEED.format("cameras")].startswith("not JSON alone: 'Here are three questions")
    assert server.asked == {"weak": 3, "strong": sum(row[0] for row in COUNTS.values()) - 10 - 3}


def test_the_table_has_a_line_for_each_stage():
    lines = table({name: Counter(dict(zip(COLUMNS, row, strict=True))) for name, row in COUNTS.items()}).splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert lines[5] == "levels                          " + "".join(f" {n:>10}" for n in COUNTS["levels"])
    assert len({len(line) for line in lines}) == 1 and len(lines) == 1 + len(COUNTS)


def test_the_conversations_are_those_that_are_left(made):
    conversations = load("conifer", made[0] / "out.jsonl")
    assert summary(conversations) == (
        "15 conversations (4 easy to hard, 9 internal feedback, 2 external feedback), 1.87 answers each on average"
    )
    rows = {row.id: row for row in conversations}
    levels = {id: row.levels for id, row in rows.items() if row.kind == "easy to hard"}
    # of kettles level 4 was refused, of bridges 3 and 5 were filtered, of the last question on lamps 2 failed
    assert levels == {
        "s1.q1/levels": (1, 2, 3, 5), "s2.q1/levels": (1, 2, 4),
        "s6.q1/levels": (1, 2, 3, 4, 5), "s6.q2/levels": (1, 3, 4, 5),
    }  # fmt: skip
    question = "Level {} of: How do bridges work, seen from side 1?"
    assert rows["s2.q1/levels"].messages == tuple(
        (role, f"{start}{question.format(n)}")
        for n in (1, 2, 4)
        for role, start in (("user", ""), ("assistant", "Strong: "))
    )
    hardest = "Level 5 of: How do kettles work, seen from side 1?"
    assert rows["s1.q1/external"].drafts == (1,)
    assert [text for _, text in rows["s1.q1/external"].messages] == [
        hardest,
        f"Weak: {hardest}",
        "it says nothing of water.\n\nPlease revise your answer.",
        f"Strong: {hardest}",
    ]
    assert rows["s6.q1/external"].drafts == () and len(rows["s6.q1/external"].messages) == 2
    assert "s6.q2/external" not in rows and "s2.q1/external" not in rows
    (_, asked), (_, answer) = rows["s1.q1/form-4"].messages
    assert asked == "Level 4 of: How do kettles work, seen from side 1? Mind the form."
    assert answer.endswith(" Accounted.") and rows["s1.q1/form-4"].kind == "internal feedback"
    order = [id.rpartition("/")[0] for id in rows]
    assert order == sorted(order)


def test_the_settings_are_those_of_the_released_code(made):
    found = {}
    for body in made[1].seen:
        settings = (body["temperature"], body.get("top_p"), body["max_tokens"])
        found.setdefault(body["messages"][0]["content"].split()[0], set()).add(settings)
    assert found == {
        "Below": {(0.7, 0.8, 1024)}, "Read": {(0.0, None, 5)}, "Somebody": {(1.0, 0.8, 2048)},
        "Rewrite": {(0.4, 0.3, 1024)}, "The": {(0.4, 0.3, 1024)}, "Level": {(0.8, 0.6, 2048)},
        "Answer": {(0.8, 0.6, 2048)}, "A": {(0.8, 0.6, 1024)},
    }  # fmt: skip


def test_the_commit_is_that_of_the_start(tmp_path, server, commit_during):
    commit_during(make_conifer, pipeline, "build")
    assert make(tmp_path, server) == 0
    assert read_json(tmp_path / "out.jsonl.about.json")["commit"] == "a"


@pytest.mark.slow
def test_a_second_time_only_what_failed_is_asked(tmp_path, server):
    assert make(tmp_path, server) == 0
    first, asked = (tmp_path / "out.jsonl").read_bytes(), server.asked.total()
    assert make(tmp_path, server) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == first
    assert server.asked.total() == asked + COUNTS["answers"][1]


@pytest.mark.slow
def test_a_killed_run_comes_to_the_same_file(tmp_path, made, server):
    whole, needed = made[0], made[1].asked.total()
    server.seconds = 0.1
    command = [sys.executable, "-m", "rtt_lib.run.make_conifer", *words(tmp_path, server, "--concurrency", "2")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while server.asked.total() < needed // 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (tmp_path / "out.jsonl").exists()
    server.seconds = 0.0
    assert make(tmp_path, server) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()
    assert (tmp_path / "out.jsonl.lost.jsonl").read_bytes() == (whole / "out.jsonl.lost.jsonl").read_bytes()
    assert needed <= server.asked.total() <= needed + 2  # what was in flight is asked again


@pytest.mark.slow
def test_own_wordings_take_the_place_of_ours(tmp_path, server, capsys):
    own = tmp_path / "own"
    own.mkdir()
    (own / "second_filter.txt").write_text("Read the QUESTION below. Is each of them fine?\n{question} IMPOSSIBLE")
    assert make(tmp_path, server, "--templates", str(own)) == 0
    counts = read_json(tmp_path / "out.jsonl.about.json")["counts"]
    assert counts["second filter"]["filtered"] == 20 and counts["answers"]["asked"] == 0
    assert "no conversation; the table says where all were lost" in capsys.readouterr().out
    (own / "levels.txt").write_text("{question}")
    asked = server.asked.total()
    assert make(tmp_path, server, "--templates", str(own)) == 2
    assert "levels.txt: {constraints} is missing" in capsys.readouterr().err and server.asked.total() == asked


def test_mistakes_are_messages(tmp_path, server, capsys):
    assert make(tmp_path, server, "--seeds", "0") == 2
    assert "--seeds must be at least 1" in capsys.readouterr().err
    assert make(tmp_path, server, "--templates", str(tmp_path / "no")) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "none.jsonl").write_text('{"text": "a"}\n')
    url = f"http://127.0.0.1:{server.server_port}/v1"
    options = [str(tmp_path / "out.jsonl"), "--url", url, "--model", "strong"]
    assert make_conifer.main([str(tmp_path / "none.jsonl"), *options]) == 2
    assert "none.jsonl:1: no text in 'prompt'" in capsys.readouterr().err
    (tmp_path / "none.jsonl").write_text('{"prompt": "Too short."}\n')
    assert make_conifer.main([str(tmp_path / "none.jsonl"), *options]) == 2
    assert "no seed is left: {'fewer than 5 words': 1}" in capsys.readouterr().err
    assert not Path(tmp_path / "out.jsonl").exists() and server.asked.total() == 0


@pytest.mark.slow
def test_a_dead_server_ends_the_run_and_the_same_command_carries_on(tmp_path, server, monkeypatch, capsys):
    monkeypatch.setattr("rtt_lib.rubrics.conifer.pipeline.AT_LEAST", 2)
    monkeypatch.setattr("conifer_llm.questions", lambda topic: "FAILS")
    assert make(tmp_path, server) == 2
    assert "reframe: 6 of 6 questions got no answer, the last: the server answered 400" in capsys.readouterr().err
    monkeypatch.undo()
    assert make(tmp_path, server) == 0
    assert read_json(tmp_path / "out.jsonl.about.json")["counts"]["reframe"]["kept"] == 4
