"""The paper's way to the discriminator's data: what every step has to be can be said beforehand."""

import re
from collections import Counter
from pathlib import Path

import pytest
from strong_llm import HIR, RULE, TONE, answer, make, serving, write_profile

from rtt_lib.files import read_json, read_jsonl, write_jsonl
from rtt_lib.relevance import llm_corpus
from rtt_lib.relevance.corpus import read_labelled


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def profile(tmp_path, server) -> Path:
    return write_profile(tmp_path, server)


def test_a_corpus_of_the_papers_size_has_the_papers_parts():
    assert llm_corpus.shares(62_714) == (22_656, 16_969, 62_714 - 22_656 - 16_969)
    assert sum(llm_corpus.shares(1001)) == 1001


@pytest.mark.slow
def test_every_example_is_what_it_says_it_is(profile, server):
    weak = ("--omitter", f"http://127.0.0.1:{server.server_port}/v1", "weak")
    assert make(profile, *weak) == 0
    rows = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    by_way = Counter(example.split for _, example in rows)
    about = read_json(profile.with_name("labels.jsonl.about.json"))
    # 36 of Tulu-3 (those that require something, among 60), 27 of HiR-16K, 37 negatives of both kinds
    ids = {id for id, example in rows if example.split == "positive"}
    assert (sum(id.startswith("tulu") for id in ids), sum(id.startswith("hir") for id in ids)) == (36, 27)
    assert by_way["minimal"] + by_way["omission"] == 37 and min(by_way.values()) > 10
    assert about["lost"]["rubrics"] and about["lost"]["prompts that require nothing"]
    assert about["examples"] == 100 and {n: c["examples"] for n, c in about["made"].items()} == by_way
    assert server.asked["weak"] == by_way["omission"]  # these and nothing else
    given = list(read_jsonl(profile.with_name("labels.jsonl.responses.jsonl")))
    assert {row["id"] for _, row in given} == {id for id in ids if id.startswith("hir")}
    assert all(re.fullmatch(r"The town \d+ is fine\.", row["response"]) for _, row in given)
    for id, example in rows:
        commas = [(match.start(), match.end()) for match in re.finditer(",", example.response)]
        if example.criterion.text == TONE:
            assert example.label.whole and example.verdict is None
        else:
            assert list(example.label.spans) == commas and not example.label.whole
        if example.split == "positive":
            assert bool(commas) is id.startswith("tulu")  # what the data hold; the others were written
        if example.split == "minimal":
            assert example.response.endswith(" Well, well.")
        if example.split == "omission":
            assert bool(commas) is (example.criterion.text == RULE)  # only what was withheld is broken
        if example.criterion.hard:
            assert example.verdict is (not commas)


@pytest.mark.slow
def test_one_answer_more_changes_nothing_else(profile, server, monkeypatch):
    """A server that failed once and now answers: all that was asked about other prompts is kept and used."""
    whole = answer

    def failing(asked: str) -> str:
        return "" if asked.startswith("Carry out the TASK") and re.search(r"town (3|17)\.", asked) else whole(asked)

    monkeypatch.setattr("strong_llm.answer", failing)
    assert make(profile) == 0
    first = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    lost = read_json(profile.with_name("labels.jsonl.about.json"))["lost"]["responses"]
    monkeypatch.setattr("strong_llm.answer", whole)
    asked = server.asked.total()
    assert make(profile) == 0
    second = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert lost and len(set(map(repr, second)) - set(map(repr, first))) <= 2 * lost  # their positives, some negatives
    assert server.asked.total() - asked < 40


@pytest.mark.slow
def test_a_server_that_does_not_do_its_work_stops_it_until_it_does(profile, monkeypatch, capsys):
    whole = answer
    monkeypatch.setattr("strong_llm.answer", lambda asked: "<think>What may that be?</think>")
    assert make(profile) == 2
    error = capsys.readouterr().err
    assert "responses: 27 of 27 questions got no usable answer, the last: an empty answer" in error
    assert "labels.jsonl.answers" in error and not profile.with_name("labels.jsonl").exists()
    monkeypatch.setattr("strong_llm.answer", lambda asked: "<think>So be it.</think>" + whole(asked))
    assert make(profile) == 0
    rows = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert not any("think" in example.response for _, example in rows)


@pytest.mark.slow
def test_a_server_that_dies_late_is_noticed(profile, server, monkeypatch, capsys):
    whole, count = answer, Counter()

    def dying(asked: str) -> str:
        labels = asked.startswith("You decide which parts")
        count["labels"] += labels
        return "" if labels and count["labels"] > 70 else whole(asked)

    monkeypatch.setattr("strong_llm.answer", dying)
    monkeypatch.setattr(llm_corpus, "PART", 20)
    assert make(profile) == 2  # 30 of 100 labels are lost: less than half, but all of the last
    assert "labels: " in capsys.readouterr().err and not profile.with_name("labels.jsonl").exists()


def test_an_answer_that_was_cut_is_none(profile, server, capsys):
    server.finished = "length"
    assert make(profile) == 2
    assert "the last: the answer was cut at max_tokens" in capsys.readouterr().err


def test_a_mistake_in_the_data_shows_before_anybody_is_asked(profile, server, capsys):
    bad = {**HIR[0], "id": "bad", "ground_truth": {"instruction_id_list": ["length_constraints:number_words"] * 2}}
    bad["ground_truth"]["kwargs"] = [{"relation": "nearly"}] * 2
    write_jsonl(profile.with_name("hir.jsonl"), [bad])
    assert make(profile) == 2
    assert "hir.jsonl:1: ground_truth: instruction 1" in capsys.readouterr().err and not server.asked
