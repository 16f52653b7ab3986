"""`rtt judge-check`: error rates by hand, and the whole way against a real local server."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from judge_server import Handler, Server, completion, fails

from rtt_lib.bench.judge_check import Answer, Case, cases, counts, report, tables
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.run.cli import main
from rtt_lib.verify.judge import parse_answer


def answer(family: str, followed: bool, value: bool | None, again: bool = False, reason: str = "") -> Answer:
    return Answer(Case(family, "c", "p", "r", followed), value, again, reason)


ANSWERS = [
    answer("format", True, True), answer("format", True, False), answer("format", False, True, again=True),
    answer("length", False, True), answer("length", False, True), answer("length", False, False),
    answer("length", True, None, again=True, reason="twice nothing"), answer("length", True, True, again=True),
]  # fmt: skip


def test_counts_by_hand():
    found = tables(ANSWERS)
    (whole,) = found["all"]
    assert (whole.decided, whole.yes_wrongly, whole.no_wrongly, whole.unknown) == (7, 3, 1, 1)
    assert whole.error_rate == 4 / 7
    assert [(row.name, row.decided, row.error_rate) for row in found["family"]] == [
        ("format", 3, 2 / 3),
        ("length", 4, 2 / 4),
    ]
    assert [(row.name, row.decided, row.error_rate, row.unknown) for row in found["asked"]] == [
        ("once", 5, 3 / 5, 0),
        ("twice", 2, 1 / 2, 1),
    ]
    assert [(row.name, row.decided, row.unknown) for row in found["quarter of the run"]] == [
        ("1", 2, 0), ("2", 2, 0), ("3", 2, 0), ("4", 1, 1)
    ]  # fmt: skip
    assert counts("none", []).error_rate is None
    text = report(ANSWERS)
    assert "unknown: twice nothing" in text and "57.1%" in text


def test_as_many_that_follow_as_that_do_not():
    found = {benchmark: cases(benchmark, per_check=3) for benchmark in ("ifeval", "muldimif")}
    for benchmark, families in (("ifeval", 9), ("muldimif", 4)):
        chosen = found[benchmark]
        assert len({case.family for case in chosen}) == families
        assert Counter(case.followed for case in chosen) == {True: len(chosen) // 2, False: len(chosen) // 2}
        assert all(case.response.strip() and case.criterion for case in chosen)
    assert found["ifeval"] == cases("ifeval", 3) != cases("ifeval", 3, seed=1)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def test_against_a_server(server, tmp_path, capsys):
    """A judge that always says YES, but first hums on prompts about commas, and never answers about titles."""

    def reply(handler: Handler) -> None:
        asked = handler.body["messages"]
        question = asked[0]["content"]
        if "Have a title" in question:
            handler.send(200, completion("perhaps"))
        elif "Use no commas" in question and len(asked) == 1:
            handler.send(200, completion("Hmm."))
        else:
            handler.send(200, completion("YES"))

    server.script = [reply]
    out = tmp_path / "judge.json"
    words = ["judge-check", "--url", server.url, "--model", "some-model", "--per-check", "2", "--concurrency", "1"]
    assert main([*words, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    (whole,) = result["all"]
    # 25 checks, two that follow and two that do not of each; those about the title stay open.
    assert (whole["decided"], whole["yes_wrongly"], whole["no_wrongly"], whole["unknown"]) == (96, 48, 0, 4)
    assert whole["error_rate"] == 0.5
    twice = next(row for row in result["asked"] if row["name"] == "twice")
    assert (twice["decided"], twice["yes_wrongly"], twice["unknown"]) == (4, 2, 4)
    by_family = {row["name"]: row for row in result["family"]}
    assert by_family["punctuation"]["decided"] == 4 and by_family["detectable_format"]["unknown"] == 4
    assert sum(row["unknown"] for row in result["quarter of the run"]) == 4
    assert len(result["answers"]) == 100 and len(server.seen) == 100 + 4 + 4
    shown = capsys.readouterr().out
    assert "the judge answered neither YES nor NO, twice" in shown and "punctuation" in shown


def test_a_server_that_refuses_leaves_all_open(server, capsys):
    server.script = [fails(400)]
    words = ["judge-check", "--url", server.url, "--model", "m", "--per-check", "1", "--benchmark", "muldimif"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "unknown: the judge gave no answer: the server answered 400" in text
    assert "all                            0       0       -" in text


@pytest.mark.slow
def test_against_a_real_model_on_a_real_server(model_server, tmp_path, capsys):
    """The answers counted are those that the model gives here, without a server."""
    url, folder = model_server
    template, out = tmp_path / "t.txt", tmp_path / "judge.json"
    template.write_text("{response} polite {criterion}")
    words = ["judge-check", "--url", url, "--model", folder, "--per-check", "1", "--concurrency", "2"]
    words += ["--timeout", "300"]
    assert main([*words, "--template", str(template), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    answers, (whole,) = result["answers"], result["all"]
    asked = cases("ifeval", 1)
    assert [row["case"]["response"] for row in answers] == [case.response for case in asked]
    assert whole["decided"] + whole["unknown"] == len(asked) == 50
    wrong = [row for row in answers if row["value"] not in (None, row["case"]["followed"])]
    assert whole["yes_wrongly"] + whole["no_wrongly"] == len(wrong)

    tokenizer, model = load_tokenizer(folder), load_causal_lm(folder)
    for case, row in zip(asked, answers, strict=True):
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": f"{case.response} polite {case.criterion}"}], tokenize=False
        )
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        said = model.generate(**ids, max_new_tokens=512, do_sample=False)[0, ids["input_ids"].shape[1] :]
        value = parse_answer(tokenizer.decode(said, skip_special_tokens=True))
        assert row["again"] == (value is None)
        assert row["again"] or row["value"] == value
    assert "all" in capsys.readouterr().out


def test_mistakes_are_messages(capsys):
    assert main(["judge-check", "--url", "http://x/v1", "--model", "m", "--per-check", "0"]) == 2
    assert "--per-check must be at least 1" in capsys.readouterr().err
    assert main(["judge-check", "--url", "nowhere", "--model", "m"]) == 2
    assert "endpoint: url must be like" in capsys.readouterr().err
