"""Conifer's pipeline where no server is needed, and once against a real model on a real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtt_lib.endpoint import Endpoint, EndpointError
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_jsonl
from rtt_lib.models import resolve
from rtt_lib.rubrics.conifer import pipeline, stages
from rtt_lib.rubrics.conifer.pipeline import Draft, Rewrite, Run, easy_to_hard, form_constraints, shortlist
from rtt_lib.run import make_conifer


def run(tmp_path: Path) -> Run:
    nobody = Endpoint("http://127.0.0.1:9/v1", "nobody", retries=0)
    return Run(nobody, nobody, nobody, tmp_path)


def test_there_are_as_many_constraints_as_in_the_released_code():
    found = form_constraints()
    assert {kind: len(texts) for kind, texts in found.items()} == {"format": 21, "number": 12}
    assert len(set(found["format"]) | set(found["number"])) == 33
    assert not [text for texts in found.values() for text in texts if text != " ".join(text.split())]


def test_a_shortlist_has_three_of_form_and_two_of_number_and_depends_on_the_text_alone():
    one = shortlist(Rewrite("s1.q1", 1, "Why?"), 0)
    assert [len(set(one) & set(texts)) for texts in form_constraints().values()] == [3, 2]
    assert one == shortlist(Rewrite("s7.q3", 4, "Why?"), 0)
    assert one != shortlist(Rewrite("s1.q1", 1, "Why not?"), 0) and one != shortlist(Rewrite("s1.q1", 1, "Why?"), 1)
    drawn = Counter(text for n in range(2000) for text in shortlist(Rewrite("q", 1, f"Question {n}?"), 0))
    for kind, n in stages.OFFERED.items():
        expected = 2000 * n / len(form_constraints()[kind])
        assert all(abs(drawn[text] - expected) < 5 * expected**0.5 for text in form_constraints()[kind])


def test_seeds_stop_when_there_are_enough(tmp_path):
    book = run(tmp_path)
    texts = [f"How do I repair a broken chair, number {n}?" for n in range(5)]
    assert pipeline.fit_seeds(["Too short.", texts[0], *texts], 3, book) == texts[:3]
    assert dict(book.counts["seeds"]) == {"asked": 5, "filtered": 1, "kept": 4, "twice": 1, "made": 3}
    assert [row["outcome"] for row in book.lost] == ["filtered", "twice"]


def test_a_group_is_sorted_from_easy_to_hard():
    made = [Rewrite("b", 5, "Q5", answer="A5"), Rewrite("a", 2, "Q", answer="A"), Rewrite("b", 1, "Q1", answer="A1")]
    (first, second) = easy_to_hard(made)
    assert (first.id, first.levels) == ("b/levels", (1, 5)) and (second.id, second.levels) == ("a/levels", (2,))
    assert [text for _, text in first.messages] == ["Q1", "A1", "Q5", "A5"]


def test_a_critique_asks_for_a_revision():
    draft = Draft(Rewrite("q", 5, "Q", answer="good"), "bad")
    objected, praised = draft.conversation("No list."), draft.conversation("")
    assert objected.drafts == (1,) and objected.levels == (5, 5)
    assert [text for _, text in objected.messages] == ["Q", "bad", "No list.\n\nPlease revise your answer.", "good"]
    assert [text for _, text in praised.messages] == ["Q", "good"] and praised.drafts == ()


def test_an_answer_is_read_without_what_the_model_thought_aloud():
    assert pipeline.read(stages.FIRST_FILTER, "<think>No, wait.</think>\n\nYes", {}) is True
    assert str(pipeline.read(stages.ANSWER, "half \ud800", {"question": "Q"})) == "half a surrogate pair"
    failed = EndpointError("gone")
    assert pipeline.read(stages.ANSWER, failed, {}) is failed and pipeline.outcome_of(failed) == "failed"


def test_a_server_that_is_not_there_ends_the_run(tmp_path):
    book = run(tmp_path)
    with pytest.raises(RTTError, match=r"reframe: 12 of 12 questions got no answer, the last: .*; the same command"):
        pipeline.build([f"Seed {n}." for n in range(12)], book)
    assert book.counts["reframe"]["failed"] == 12 == len(book.lost)


# --- a real model on a real server ---


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(url, model) of `transformers serve` with SmolLM2-135M-Instruct, offline."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason=f"`transformers serve` needs {package}: pip install transformers[serving]")
    try:
        model = resolve("smollm2-135m").location
    except RTTError as error:
        pytest.skip(f"SmolLM2-135M is not to be had here: {error}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        for _ in range(1800):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                pytest.fail(f"transformers serve ended: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.kill()
        process.wait()


SIMPLE = {
    "reframe": 'Write {"questions": ["What is rain?", "What is snow?", "What is hail?"]}, no word besides. {seed}',
    "answer": "{question} Answer in one short sentence.",
}


@pytest.mark.slow
def test_a_small_model_on_a_real_server(smollm2, tmp_path, monkeypatch, capsys):
    """A model of 135 M weights can do little of this. Whatever it says is counted, and nothing is asked twice."""
    url, model = smollm2
    for stage in stages.STAGES:
        monkeypatch.setitem(stage.parameters, "max_tokens", min(40, stage.parameters["max_tokens"]))
    write_jsonl(tmp_path / "seeds.jsonl", [{"prompt": "Can you tell me something about the weather in spring?"}])
    own = tmp_path / "own"
    own.mkdir()
    for name, text in SIMPLE.items():
        (own / f"{name}.txt").write_text(text)
    words = [str(tmp_path / "seeds.jsonl"), str(tmp_path / "out.jsonl"), "--url", url, "--model", model]
    words += ["--templates", str(own), "--concurrency", "1", "--rewritten", "2"]
    assert make_conifer.main(words) == 0
    about = read_json(tmp_path / "out.jsonl.about.json")
    counts = about["counts"]
    asked = sum(count["asked"] for name, count in counts.items() if name != "seeds")
    assert counts["reframe"]["asked"] == 1 and about["usage of the last run"]["answers"] == asked > 0
    assert about["usage of the last run"]["completion_tokens"] > 0
    for name, count in counts.items():
        assert count["asked"] == sum(count[outcome] for outcome in pipeline.COLUMNS[1:6]), name
    lost = [row for _, row in read_jsonl(tmp_path / "out.jsonl.lost.jsonl")]
    assert len(lost) == sum(count["asked"] - count["kept"] + count["twice"] for count in counts.values())
    assert sum(about["conversations"].values()) == len((tmp_path / "out.jsonl").read_text().splitlines())
    first = {name: (tmp_path / name).read_bytes() for name in ("out.jsonl", "out.jsonl.lost.jsonl")}
    failed = sum(count["failed"] for count in counts.values())
    assert make_conifer.main(words) == 0
    assert read_json(tmp_path / "out.jsonl.about.json")["usage of the last run"]["requests"] == failed == 0
    assert {name: (tmp_path / name).read_bytes() for name in first} == first
    print(json.dumps(counts))
