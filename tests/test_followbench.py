"""FollowBench: its rules worked by hand, its rows in groups, its three scores, and `rtt grade followbench`."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from judge_server import Handler, completion

from rtt_lib.bench import followbench as scores
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.bench.scores import NO_JUDGE, grade_data_set
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_json, write_jsonl
from rtt_lib.rubrics.followbench import CATEGORIES, group_and_level, prompts_of_rows
from rtt_lib.rubrics.sources import load_prompts
from rtt_lib.run.cli import main
from rtt_lib.schema import Criterion
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify.followbench import LevelVerifier, decide

# --- the rules ---


def holds(rule: str, response: str, level: int = 1, target: str = "") -> bool:
    return decide(f"followbench:{rule}", {"target": target, "level": level}, response).value


def highest(rule: str, response: str) -> int:
    """The levels that hold, which are the first ones."""
    found = [holds(rule, response, level) for level in range(1, 6)]
    assert found == sorted(found, reverse=True)
    return sum(found)


@pytest.mark.parametrize(
    ("rule", "response", "level"),
    [
        ("gigaword", "two killed in a bombing of philippines travellers", 5),
        ("gigaword", "two killed by a bombing of philippines travellers", 4),
        ("gigaword", "two killed in a bombing of bus travellers", 3),
        ("gigaword", "Two killed in a bombing of philippines travellers", 2),
        ("gigaword", "two killed in a bombing of philippine travellers.", 1),
        ("gigaword", "two killed in a bombing of philippines", 0),
        ("xsum", "Rain is falling, so a big operation goes on", 5),
        ("xsum", "Rain is falling, so much work goes on", 4),
        ("xsum", "Rain falls on an operation", 3),
        ("xsum", "Rain is falling on Newton Stewart in an operation", 2),
        ("xsum", "a " * 19, 1),  # what follows the last space counts as a word
        ("xsum", "It rains. It pours.", 0),
        ("samsum", "Kim did no stuff.", 5),
        ("samsum", "Kim, sadly, did no stuff.", 4),
        ("samsum", "Kim Procrastinated stuff.", 3),
        ("samsum", "Kim did nothing.", 2),
        ("samsum", "Kim did stuff " + "and more " * 6, 1),
        ("samsum", "Kim did stuff.\n", 0),  # the end of the line counts as a sentence
        ("arxiv", "We edit activations", 5),
        ("arxiv", "We edit activations of a transformer", 4),
        ("arxiv", "We edit models", 3),
        ("arxiv", "One edits activations", 2),
        ("arxiv", "We edit activations " + "and " * 20, 1),
        ("cnn_dailymail", "Potter is 18. The actor is rich. His films have paid.", 5),
        ("cnn_dailymail", "Potter is 18. The actor is rich. His films paid.", 4),
        ("cnn_dailymail", "Potter is 18. The actor is lavish. His films have paid.", 3),
        ("cnn_dailymail", "He is 18. The actor is rich. His films have paid.", 2),
        ("cnn_dailymail", "Potter is 18. The actor is rich. His films have paid" + " a lot" * 6 + ".", 1),
        ("cnn_dailymail", "Potter is 18.5. The actor is rich. His films have paid.", 0),
    ],
)
def test_levels_that_add_a_check_each(rule, response, level):
    assert highest(rule, response) == level


def paragraphs(n: int, words: int = 21) -> str:
    return "\n\n".join(f"{k}. " + "word " * words for k in range(1, n + 1)).strip()


def test_the_paragraphs_of_format_22():
    assert not holds("format-22", paragraphs(2)) and holds("format-22", paragraphs(3))
    assert not holds("format-22", paragraphs(3).replace("word", "word.", 4), 2)
    # the number and its full stop are a sentence of one word, so the rule for long sentences wants another marker
    assert not holds("format-22", paragraphs(3), 3)
    long = "\n\n".join(["word " * 21] * 3)
    assert holds("format-22", long, 3) and not holds("format-22", long, 4)
    assert not holds("format-22", f"{long}\n\nThose are suggestions", 5)


def points(n: int = 5, words: int = 8, mark: str = ")", end: str = "end.") -> str:
    return "\n".join(f"**{k}{mark} Growth: {'word ' * words}{end}" for k in range(1, n + 1))


def test_the_points_of_format_30():
    assert highest("format-30", "Growth: none") == 0
    assert highest("format-30", points(4)) == 1  # five keywords
    assert highest("format-30", points(mark=".", end="a.b.")) == 2  # no part with a number has three full stops
    assert highest("format-30", points(mark=".")) == 3  # "**1." is a sentence of one word
    assert highest("format-30", points(words=5)) == highest("format-30", points(words=14)) == 3
    assert highest("format-30", points(end="slow-ly end.")) == 4
    assert highest("format-30", points(end="slowly.")) == 5


@pytest.mark.parametrize(
    ("rule", "target", "right", "wrong"),
    [
        ("E2E", "name[A], food[B]", "name[A], food[B]", "name[A], food[B]."),
        ("text_editing", "pples love", "pples love", "Pples love"),
        ("WIKIEVENTS", "a died\nb died\nc died", "c died\na died", "a died\nd died"),
        ("CONLL2003", "['Bonn', 'Paris']", "Paris", "Par"),
        ("BBH_logical", "(B)", "Not (A), so (B)", "(B), not (A)"),
        ("BBH_logical", "(B)", "(B)", "B"),
        ("BBH_time", "12/25/1937", "From 12/24/1937 to 12/25/1937.", "12/25/37"),
        ("gsm_8k", "$10", "$12 an hour, so $10", "$10 of $12"),
        ("gsm_8k", "$10", "$10", "10 dollars"),
        ("self_made_space", "14th floor", "The 14th floor.", "The 15th floor."),
        ("example", "{instruction}\nBot: {answer}", "Bot: yes", "yes"),
        ("example", "{instruction}\nBot: {answer}", "Bot: ", "Bot: a\nb"),
        ("example", "{instruction}\n{{'Bot': '{answer}'}}", "{'Bot': 'a.*'}", "{{'Bot': 'a'}}"),
        ("example", "{instruction}\n[Bot]\n{answer}", "[Bot]\nyes (no)", "B\nyes"),
    ],
)
def test_levels_with_one_right_answer(rule, target, right, wrong):
    assert holds(rule, right, target=target) and not holds(rule, wrong, target=target)


def test_a_target_that_is_no_list_is_an_error():
    for target in ("'Bonn'", "Bonn, Paris", "[", "open('x')"):
        with pytest.raises(RTTError, match="the target is not a list"):
            holds("CONLL2003", "Bonn", target=target)
    with pytest.raises(RTTError, match="unknown verifier 'followbench:none': followbench has E2E, "):
        holds("none", "")


def test_any_other_criterion_is_decided_as_ever():
    rubric = [
        Criterion("c", "ifeval:punctuation:no_comma"),
        Criterion("c", "followbench:gigaword", {"target": "", "level": 1}),
        Criterion("soft"),
    ]
    (row,) = LevelVerifier()(["p"], ["one, two"], [rubric])
    assert [verdict.value for verdict in row] == [False, False, None]
    assert LevelVerifier()([], [], []) == []


# --- rows and groups ---


def group(category: str, number: int, source: str, start: int = 0, target: str = "t") -> list[dict]:
    return [
        {
            "example_id": number,
            "category": category if n == start else f"{category}, {category}" if category == "mixed" else category,
            "source": source,
            "level": n,
            "instruction": f"{category} {number}: do {n} things.",
            "target": target,
        }
        for n in range(start, 6)
    ]


ROWS = {
    "content": [*group("content", 1, "quora"), *group("content", 2, "E2E")],
    "situation": group("situation", 1, "gsm_8k", target="$10"),
    "style": group("style", 1, "koala"),
    "format": [*group("format", 22, "helpful_base"), *group("format", 1, "koala")],
    "example": group("example", 1, "xsum", start=1, target="{instruction}\nBot: {answer}"),
    "mixed": [*group("mixed", 22, "gigaword"), *group("mixed", 3, "ROCStories")],
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The six files, as the benchmark has them."""
    for category, rows in ROWS.items():
        write_json(tmp_path / "followbench" / f"{category}_constraints.json", rows)
    return tmp_path / "followbench"


def test_rules_where_the_benchmark_has_one_and_a_judge_elsewhere(folder):
    prompts = {prompt.id: prompt for prompt in load_prompts("followbench", folder)}
    assert len(prompts) == 5 * 9 and prompts["content-1-3"].prompt == "content 1: do 3 things."
    by_rule = {group_and_level(id)[0]: p.criteria[0].family for id, p in prompts.items() if p.criteria[0].hard}
    assert by_rule == {
        "content-2": "E2E", "situation-1": "gsm_8k", "format-22": "format-22", "example-1": "example",
        "mixed-22": "gigaword",
    }  # fmt: skip
    assert [len(prompts[f"style-1-{n}"].criteria) for n in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [len(prompts[f"mixed-22-{n}"].criteria) for n in range(1, 6)] == [1] * 5
    second = prompts["style-1-3"].criteria[1]
    assert "OLD INSTRUCTION:\nstyle 1: do 1 things.\n\nNEW INSTRUCTION:\nstyle 1: do 2 things." in second.text
    assert prompts["style-1-3"].criteria[:2] == prompts["style-1-2"].criteria
    assert prompts["situation-1-4"].criteria[0].args == {"target": "$10", "level": 4}


def test_one_file_with_all_rows_is_the_same(folder, tmp_path):
    rows = [row for category in CATEGORIES for row in ROWS[category]]
    whole = load_prompts("followbench", folder)
    assert load_prompts("followbench", write_jsonl(tmp_path / "all.jsonl", rows)) == whole
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "all.parquet"))
    assert load_prompts("followbench", tmp_path / "all.parquet") == whole


def test_an_instruction_of_level_0_may_be_empty():
    rows = group("content", 9, "COGNAC")
    rows[0]["instruction"] = ""
    first = prompts_of_rows((f"row {n}", row) for n, row in enumerate(rows))[0]
    assert "OLD INSTRUCTION:\n(none)\n\n" in first.criteria[0].text
    rows[2]["instruction"] = " "
    with pytest.raises(RTTError, match="row 2: an empty instruction"):
        prompts_of_rows((f"row {n}", row) for n, row in enumerate(rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (group("content", 1, "quora")[1:], "w: a group of 'content' must have the levels 0 to 5, found 1, 2, 3, 4, 5"),
        (group("content", 1, "quora")[:4], "must have the levels 0 to 5, found 0, 1, 2, 3"),
        (group("example", 1, "xsum"), "must have the levels 1 to 5, found 0, 1"),
        (group("odd", 1, "quora"), "category 'odd' is not one of content, "),
        (group("content", 1, "quora") * 2, "FollowBench: content-1-[1-5] is there twice"),
        ([{"level": "1"}], "field 'level' must be int"),
    ],
)
def test_broken_groups_are_errors(rows, message):
    with pytest.raises(RTTError, match=message):
        prompts_of_rows(("w", row) for row in rows)


# --- scores ---


def test_hsr_ssr_and_csl_by_hand():
    ids = [f"style-1-{n}" for n in range(1, 6)] + [f"example-4-{n}" for n in range(1, 6)] + ["style-2-2", "style-3-1"]
    verdicts = [
        *([True], [True, True], [True, False, False], [True] * 4, [True, True, True, True, False]),
        *([True], [True], [True], [True], [False]),
        *([True, False], [None]),
    ]
    found = scores.summarise(ids, verdicts)
    assert (found["responses"], found["undecided_responses"], found["undecided_verdicts"]) == (12, 1, 1)
    assert found["decided"] == dict.fromkeys(CATEGORIES, 0) | {"style": 6, "example": 5}
    assert found["hsr"]["style"] == {"1": 1.0, "2": 0.5, "3": 0.0, "4": 1.0, "5": 0.0, "mean": 0.5}
    assert found["hsr"]["all"]["5"] == 0.0 and found["hsr"]["all"]["2"] == 0.75
    assert found["ssr"]["style"] == pytest.approx({"1": 1, "2": 0.75, "3": 1 / 3, "4": 1, "5": 0.8, "mean": 0.776667})
    assert found["ssr"]["example"] == found["hsr"]["example"]
    assert found["hsr"]["content"] == dict.fromkeys(["1", "2", "3", "4", "5", "mean"])
    assert found["csl"] == dict.fromkeys([*CATEGORIES, "all"]) | {"style": 2.0, "example": 4.0, "all": 3.0}


def test_each_run_over_a_group_has_its_own_row_of_levels():
    ids = [f"style-1-{n}" for n in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)]
    ok, no = [True], [False]
    assert scores.csl(ids, [ok, no, ok, ok, ok, ok, ok, ok, ok, ok])["style"] == (5 + 0) / 2
    assert scores.csl(ids, [ok, no, ok, ok, ok, ok, ok, ok, [None], ok])["style"] == 0.0


# --- rtt grade ---


def responses(folder: Path) -> list[dict]:
    said = {"situation": "So $10", "example": "Bot: yes", "mixed": "one two three four five six seven eight"}
    prompts = load_prompts("followbench", folder)
    return [{"id": p.id, "prompt": p.prompt, "response": said.get(p.id.split("-")[0], "Hello")} for p in prompts]


def graded(folder: Path, out: Path, *options: str) -> list[str]:
    answers = write_jsonl(out.with_name("responses.jsonl"), responses(folder))
    return ["grade", "followbench", str(answers), "--data", str(folder), "--out", str(out), *options]


def test_without_a_judge_what_rules_do_not_decide_is_open(folder, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert main(graded(folder, out)) == 0
    summary, rows = json.loads(capsys.readouterr().out), {row["id"]: row["verdicts"] for _, row in read_jsonl(out)}
    assert rows["style-1-3"] == [None] * 3 and rows["situation-1-2"] == [True] and rows["content-2-1"] == [False]
    assert rows["mixed-22-4"] == [True] and rows["mixed-22-5"] == [False]
    assert (summary["undecided_responses"], summary["undecided_verdicts"]) == (20, 60)
    assert summary["prompts_without_response"] == 0 and summary["csl"]["mixed"] == 4.0
    assert summary["hsr"]["situation"]["mean"] == 1.0 and summary["hsr"]["style"]["mean"] is None
    assert summary["undecided_reasons"] == {"a soft constraint: no judge LLM is set": 60}


def test_a_judge_is_asked_about_each_constraint(folder, tmp_path, server, capsys):
    def reply(handler: Handler) -> None:
        question = handler.body["messages"][0]["content"]
        handler.send(200, completion("NO" if "NEW INSTRUCTION:\nstyle 1: do 3 things" in question else "YES"))

    server.script = [reply]
    out = tmp_path / "out.jsonl"
    assert main([*graded(folder, out), "--judge-url", server.url, "--judge-model", "m"]) == 0
    summary, rows = json.loads(capsys.readouterr().out), {row["id"]: row["verdicts"] for _, row in read_jsonl(out)}
    assert len(server.seen) == 4 * 15 and summary["undecided_responses"] == 0
    assert rows["style-1-2"] == [True, True] and rows["style-1-4"] == [True, True, False, True]
    assert summary["csl"]["style"] == 2.0 and summary["csl"]["content"] == (5 + 0) / 2
    assert summary["ssr"]["style"]["5"] == 4 / 5 and summary["hsr"]["style"]["5"] == 0.0


def test_mistakes_are_messages(folder, tmp_path, capsys):
    words = graded(folder, tmp_path / "out.jsonl")
    assert main([*words, "--judge-url", "http://h/v1"]) == 2
    assert "name both: --judge-url and --judge-model" in capsys.readouterr().err
    assert main([*words, "--ifbench-version", "head"]) == 2
    assert "leave it out to grade followbench" in capsys.readouterr().err
    assert main(["grade", "ifeval", "r", "--data", "d", "--out", "o", "--judge-model", "m"]) == 2
    assert (
        "--judge-url and --judge-model are for followbench, infobench, advancedif: rules decide all of ifeval"
        in capsys.readouterr().err
    )
    (folder / "style_constraints.json").unlink()
    assert main(words) == 2
    assert "style_constraints.json: cannot be read" in capsys.readouterr().err


def test_stored_responses_are_graded_beside_other_benchmarks(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    folder.rename(tmp_path / "benchmarks" / "followbench")
    files = benchmark_files(load_profile("ci"))
    assert files == {"followbench": tmp_path / "benchmarks" / "followbench"}
    stored = write_jsonl(tmp_path / "stored.jsonl", responses(files["followbench"]))
    found = grade_data_set("followbench", stored, files, LevelVerifier())
    assert found.note == NO_JUDGE and len(found.ids) == 45
    assert dict(zip(found.ids, found.readings["verdicts"], strict=True))["situation-1-5"] == [True]
