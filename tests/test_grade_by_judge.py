"""`rtt grade` of InFoBench and AdvancedIF: a judge decides every criterion; their scores by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import datasets
import pytest
from judge_server import Handler, completion
from test_sources import ADVANCEDIF, INFOBENCH

from rtt_lib.bench.grade import summarise_judged
from rtt_lib.files import read_jsonl, write_json, write_jsonl
from rtt_lib.profile import REPOSITORY
from rtt_lib.run.cli import main

ROWS = {
    "infobench": [
        INFOBENCH,
        {**INFOBENCH, "id": "domain_2", "input": "Ann", "decomposed_questions": ["Is Ann named?"]},
        {**INFOBENCH, "id": "domain_3"},
    ],
    "advancedif": [ADVANCEDIF] * 2,
}
# (criterion, response) -> what the judge says
ANSWERS = {
    ("Is it a greeting?", "Hello."): "YES",
    ("Is it a greeting?", "Go away."): "NO",
    ("Is Ann named?", "Who?"): "perhaps",
    ("Is it brief?", "Hello."): "Yes.",
    ("Is it brief?", "Go away."): "YES",
    ("Is it brief?", "Who?"): "perhaps",
    ("Does it greet?", "Hello."): "YES",
    ("Does it greet?", "Go away."): "no",
    ("Does it greet?", "Who?"): "NO",
}
NO_JUDGE = "a soft constraint: no judge LLM is set"
UNCLEAR = "the judge answered neither YES nor NO, twice"


def fenced(question: str, tag: str) -> str:
    return question.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def reply(handler: Handler) -> None:
    question = handler.body["messages"][0]["content"]
    handler.send(200, completion(ANSWERS[fenced(question, "criterion"), fenced(question, "response")]))


@pytest.fixture
def judge(server) -> list[str]:
    """The options that name the server."""
    server.script = [reply]
    return ["--judge-url", server.url, "--judge-model", "m"]


@pytest.fixture
def grade(tmp_path, capsys):
    """(exit status, verdicts with their ids, summary, standard error) of responses (id, text)."""

    def call(name, responses, *options, data=None):
        data = data or write_jsonl(tmp_path / "data.jsonl", ROWS[name])
        lines = [{"id": id, "response": text} for id, text in responses]
        answers, out = write_jsonl(tmp_path / "answers.jsonl", lines), tmp_path / "verdicts.jsonl"
        status = main(["grade", name, str(answers), "--data", str(data), "--out", str(out), *options])
        said = capsys.readouterr()
        graded = [(row["id"], row["verdicts"]) for _, row in read_jsonl(out)] if out.exists() else None
        return status, graded, json.loads(said.out or "null"), said.err

    return call


def test_drfr_by_hand(grade, judge, server):
    """Three of the four answers that are known are yes. The unclear one was asked again and is left out."""
    status, graded, summary, _ = grade(
        "infobench", [("domain_1", "Hello."), ("domain_1", "Go away."), ("domain_2", "Who?")], *judge
    )
    assert status == 0
    assert graded == [("domain_1", [True, True]), ("domain_1", [False, True]), ("domain_2", [None])]
    assert summary == {
        "benchmark": "infobench",
        "prompts_without_response": 1,
        "responses": 3,
        "undecided_responses": 1,
        "undecided_verdicts": 1,
        "drfr": 3 / 4,
        "undecided_reasons": {UNCLEAR: 1},
    }
    assert len(server.seen) == 5 + 1
    asked = [body["messages"][0]["content"] for _, _, body in server.seen]
    assert {fenced(question, "prompt") for question in asked} == {"Greet.", "Greet.\n\nAnn"}


def test_the_shares_of_advancedif_by_hand(grade, judge, server):
    """Of the two responses that are wholly decided one satisfies its rubric; three of the five verdicts hold."""
    status, graded, summary, _ = grade(
        "advancedif", [("advancedif-2", "Hello."), ("advancedif-1", "Go away."), ("advancedif-2", "Who?")], *judge
    )
    assert status == 0
    assert graded == [("advancedif-2", [True, True]), ("advancedif-1", [True, False]), ("advancedif-2", [None, False])]
    assert summary == {
        "benchmark": "advancedif",
        "prompts_without_response": 0,
        "responses": 3,
        "undecided_responses": 1,
        "undecided_verdicts": 1,
        "overall_pass_rate": 1 / 2,
        "micro_pass_rate": 3 / 5,
        "undecided_reasons": {UNCLEAR: 1},
    }
    asked = [body["messages"][0]["content"] for _, _, body in server.seen]
    assert {fenced(question, "prompt") for question in asked} == {"[system]\nBe brief.\n\n[user]\nHi"}


def test_without_a_judge_nothing_is_decided(grade):
    _, graded, summary, _ = grade("infobench", [("domain_1", "Hello."), ("domain_2", "Who?")])
    assert graded == [("domain_1", [None, None]), ("domain_2", [None])]
    assert (summary["drfr"], summary["undecided_responses"], summary["undecided_verdicts"]) == (None, 2, 3)
    assert summary["undecided_reasons"] == {NO_JUDGE: 3}
    _, graded, summary, _ = grade("advancedif", [("advancedif-1", "Hello.")])
    assert graded == [("advancedif-1", [None, None])] and summary["undecided_reasons"] == {NO_JUDGE: 2}
    assert (summary["overall_pass_rate"], summary["micro_pass_rate"]) == (None, None)


def test_a_failed_response_with_an_undecided_verdict_is_no_failure():
    """For a satisfied one with an undecided verdict would not count either."""
    rows = [[False, None], [True, None], [True, True]]
    assert summarise_judged("advancedif", rows)["overall_pass_rate"] == 1.0
    assert summarise_judged("advancedif", rows)["micro_pass_rate"] == 3 / 4


@pytest.mark.parametrize(("name", "good"), [("infobench", "domain_1"), ("advancedif", "advancedif-1")])
def test_an_unknown_prompt_is_an_error_before_the_judge_is_asked(grade, judge, server, name, good):
    status, graded, summary, err = grade(name, [(good, "Hello."), ("domain_9", "Hello.")], *judge)
    assert (status, graded, summary, server.seen) == (2, None, None, [])
    assert "answers.jsonl:2: this id is not in the benchmark file: 'domain_9'" in err


def test_a_judge_needs_both_its_names(grade):
    for option in ("--judge-url", "--judge-model"):
        status, _, _, err = grade("infobench", [("domain_1", "Hello.")], option, "http://localhost/v1")
        assert status == 2 and "name both: --judge-url and --judge-model" in err


def test_a_row_that_is_malformed_is_named(grade, tmp_path):
    data = write_jsonl(tmp_path / "rows.jsonl", [INFOBENCH, {**INFOBENCH, "id": "b", "decomposed_questions": []}])
    status, _, _, err = grade("infobench", [("domain_1", "Hello.")], data=data)
    assert status == 2 and f"{data}:2: field 'decomposed_questions' must be a list of non-empty strings" in err


# --- where the data come from ---


def test_data_of_any_form_are_the_same(grade, tmp_path, monkeypatch):
    """A folder named like the hub id is what `datasets` takes first: the same call as with the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    array, table = write_json(tmp_path / "data.json", ROWS["infobench"]), tmp_path / "data.parquet"
    datasets.Dataset.from_list(ROWS["infobench"]).to_parquet(str(table))
    write_jsonl(tmp_path / "kqsong" / "InFoBench" / "rows.jsonl", ROWS["infobench"])
    for data in (array, table, "kqsong/InFoBench"):
        status, graded, summary, _ = grade("infobench", [("domain_2", "Who?")], data=data)
        assert (status, graded, summary["prompts_without_response"]) == (0, [("domain_2", [None])], 2)


RUN = """
import sys
from rtt_lib.run.cli import main
status = main(["grade", "infobench", "answers.jsonl", "--data", sys.argv[1], "--out", "verdicts.jsonl"])
print(status, sorted({"torch", "numpy", "pandas", "transformers", "datasets"} & set(sys.modules)))
"""


def in_a_process_of_its_own(folder, data: str) -> tuple[str, str]:
    """The last line of standard output, and standard error; there is no hub."""
    write_jsonl(folder / "answers.jsonl", [{"id": "domain_1", "response": "Hello."}])
    place = {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, data], cwd=folder, env=os.environ | place, capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1], done.stderr


def test_grading_a_file_imports_nothing_heavy(tmp_path):
    write_jsonl(tmp_path / "data.jsonl", ROWS["infobench"])
    assert in_a_process_of_its_own(tmp_path, "data.jsonl") == ("0 []", "")


def test_a_hub_that_cannot_be_reached_is_the_loaders_error(tmp_path):
    out, err = in_a_process_of_its_own(tmp_path, "kqsong/InFoBench")
    assert out.startswith("2 ")
    assert "rtt: kqsong/InFoBench: cannot be loaded (" in err and "Give a local file, or see that the hub can be" in err
