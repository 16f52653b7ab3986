"""Conifer's pipeline where no server is needed, and once against a real model on a real server."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from model_server import make_model, serving

from rtt_lib.endpoint import Endpoint, EndpointError
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_jsonl
from rtt_lib.rubrics.conifer import pipeline, stages
from rtt_lib.rubrics.conifer.conversations import pairs
from rtt_lib.rubrics.conifer.pipeline import Draft, Rewrite, Run, easy_to_hard, form_constraints, shortlist
from rtt_lib.rubrics.sources import load
from rtt_lib.run import make_conifer
from rtt_lib.templates import fill


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

WORDINGS = {
    "reframe": "reframe {seed}",
    "first_filter": "first {question}",
    "constraints": "constraints {question}",
    "levels": "levels {question} {constraints}",
    "format_number": "form {question} {constraints}",
    "second_filter": "second {question}",
    "answer": "answer {question}",
    "internal": "internal {question} {constraints}",
    "critique": "critique {question} {reference} {draft}",
}
SEED = "Please tell me how kettles work and why so many people like them."
LEVELS = [f"A{n}" for n in range(1, 6)]


def by_heart() -> dict[str, str]:
    """What the model answers to all that it is asked: JSON without white space, and two answers that are of no use.

    Of three questions A goes on; B is filtered, and C allows no constraints. A4 is filtered, A2 gets a form.
    """

    def spoken(value: object) -> str:
        return json.dumps(value, separators=(",", ":")).replace(" ", "\\u0020")

    def asked(template: str, question: str, **more: str) -> str:
        return fill(WORDINGS[template], {"seed": question, "question": question, **more})

    constraints = {"Reader": ["child"], "Form": ["list"]}
    offered = {text: shortlist(Rewrite("s1.q1", n, text), 0) for n, text in enumerate(LEVELS, 1)}
    answers = {
        asked("reframe", SEED): spoken({"questions": ["A", "B", "C"]}),
        asked("first_filter", "A"): "YES",
        asked("first_filter", "B"): "NO",
        asked("first_filter", "C"): "YES",
        asked("constraints", "A"): spoken({"constraints": constraints}),
        asked("constraints", "C"): spoken({"constraints": {}}),
        asked("levels", "A", constraints=stages.listed_by_category(constraints)): spoken(
            {str(n): text for n, text in enumerate(LEVELS, 1)}
        ),
    }
    for text, items in offered.items():
        form = {"question": "F2", "used": [items[0]]} if text == "A2" else {"question": "", "used": []}
        answers[asked("format_number", text, constraints=stages.listed(items))] = spoken(form)
        answers[asked("second_filter", text)] = "NO" if text == "A4" else "YES"
        answers[asked("answer", text)] = f"answer-{text}"
    answers[asked("second_filter", "F2")] = "YES"
    answers[asked("internal", "F2", constraints=stages.listed(offered["A2"][:1]))] = "answer-F2-accounted"
    answers[asked("critique", "A5", reference="answer-A5", draft="answer-A5")] = "NO:too-short"
    return answers


@pytest.mark.slow
def test_the_whole_way_with_a_real_model_on_a_real_server(tmp_path):
    model, own = tmp_path / "model", tmp_path / "own"
    model.mkdir(), own.mkdir()
    make_model(model, by_heart(), [*(word.split()[0] for word in WORDINGS.values()), "A", "B", "C", *LEVELS, "F2"])
    for name, text in WORDINGS.items():
        (own / f"{name}.txt").write_text(text)
    write_jsonl(tmp_path / "seeds.jsonl", [{"prompt": SEED}])
    out = tmp_path / "out.jsonl"
    with serving(model) as url:
        words = [str(tmp_path / "seeds.jsonl"), str(out), "--url", url, "--model", str(model)]
        words += ["--templates", str(own), "--concurrency", "2"]
        assert make_conifer.main(words) == 0
        about = read_json(tmp_path / "out.jsonl.about.json")
        first = out.read_bytes()
        assert make_conifer.main(words) == 0
        again = read_json(tmp_path / "out.jsonl.about.json")
    found = {row.id: row for row in load("conifer", out)}
    assert {id: row.levels for id, row in found.items()} == {
        "s1.q1/levels": (1, 2, 3, 5),
        "s1.q1/form-2": (2,),
        "s1.q1/external": (5, 5),
    }
    assert found["s1.q1/levels"].messages == pairs(*((f"A{n}", f"answer-A{n}") for n in (1, 2, 3, 5)))
    assert found["s1.q1/form-2"].messages == pairs(("F2", "answer-F2-accounted"))
    assert [text for _, text in found["s1.q1/external"].messages][1:3] == [
        "answer-A5",
        "too-short\n\nPlease revise your answer.",
    ]
    counts = {name: (n["asked"], n["refused"], n["filtered"], n["kept"]) for name, n in about["counts"].items()}
    assert counts == {
        "seeds": (1, 0, 0, 1), "reframe": (1, 0, 0, 1), "first filter": (3, 0, 1, 2), "constraints": (2, 1, 0, 1),
        "levels": (1, 0, 0, 1), "format and number": (5, 4, 0, 1), "second filter": (5, 0, 1, 4),
        "second filter, format and number": (1, 0, 0, 1), "answers": (4, 0, 0, 4), "internal feedback": (1, 0, 0, 1),
        "weak drafts": (1, 0, 0, 1), "critiques": (1, 0, 0, 1),
    }  # fmt: skip
    assert about["usage of the last run"]["answers"] == sum(row[0] for row in counts.values()) - 1
    assert about["usage of the last run"]["completion_tokens"] > 0
    assert out.read_bytes() == first and again["usage of the last run"]["requests"] == 0
