"""`rtt conform`: the stored set, our own checkers on it, any other grader's differences by hand, and the table."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from rtt_lib.bench.conform import graders, table, truth
from rtt_lib.bench.conform.items import BENCHMARKS, SOURCES, STORED, Item, make, of_models, read, variations, write
from rtt_lib.bench.conform.score import conform, questions_of, report
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.run.cli import main
from rtt_lib.verify.registry import RULES, find_rule
from rtt_lib.verify.text import nltk_missing

ENGLISH = ("punkt_tab", "stopwords", "averaged_perceptron_tagger_eng")
needs_data = pytest.mark.skipif(nltk_missing(*ENGLISH) is not None, reason=str(nltk_missing(*ENGLISH)))


# ------------------------------------------------------------------------------------------------------------ the set


@pytest.mark.slow
def test_the_stored_set_is_the_one_that_is_made():
    """But for the items that the official code has no stable verdict on; and it is small."""
    assert STORED.stat().st_size < 1.5 * 2**20
    stored = [(item.checks, item.response) for name in ("ifeval", "ifbench-head", "muldimif") for item in read(name)]
    made = [(item.checks, item.response) for item in make()]
    assert set(map(str, stored)) <= set(map(str, made)) and len(made) - len(stored) < 100


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_check_has_both_verdicts(benchmark):
    find_rule(f"{benchmark}:{read(benchmark)[0].checks[0][0]}")
    counts = defaultdict(Counter)
    for item in read(benchmark):
        for (name, _), value in zip(item.checks, item.verdicts[benchmark], strict=True):
            counts[name][value] += 1
    assert set(counts) == {id.split(":", 1)[1] for id in RULES if id.startswith(f"{benchmark}:")}
    assert {name: dict(found) for name, found in counts.items() if min(found[True], found[False]) < 5} == {}
    assert any(len(item.checks) > 2 for item in read(benchmark))


@needs_data
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_our_checkers_agree_with_all_official_verdicts(benchmark):
    result = conform(benchmark, read(benchmark), graders.ours(benchmark))
    assert report(result).splitlines()[:-4] == []  # no check to show
    assert result.agree == result.items > 7000
    assert result.prompt_accuracy[0] == result.prompt_accuracy[1]


def test_the_sources_are_named():
    sources = read_json(SOURCES)
    for name in BENCHMARKS:
        assert sources[name]["licence"] == "Apache-2.0" and " at " in sources[name]["code"]
        assert sum(sources[name]["left_out"].values()) < 100


def test_variations_change_the_response_each_in_its_own_way():
    texts = variations('He said "no, 3".\nSo be it.', random.Random(0))
    assert len(texts) == len(set(texts)) > 60 and 'He said "no, 3".\nSo be it.' not in texts
    assert 'He said "no, 3".\r\nSo be it.' in texts and 'HE SAID "NO, 3".\nSO BE IT.' in texts
    assert "He said no 3\nSo be it" in texts and '> He said "no, 3".\nSo be it.' in texts
    assert variations("", random.Random(0))  # nothing to take away, much to add


# ------------------------------------------------------------------------------------------ agreement, worked by hand

COMMA, COUNT = (
    ("punctuation:no_comma", {}),
    ("length_constraints:number_words", {"num_words": 2, "relation": "at least"}),
)
ITEMS = [
    Item("ifeval", (COMMA,), "One two", {"ifeval": (True,)}),
    Item("ifeval", (COMMA,), "One, two, three", {"ifeval": (False,)}),
    Item("ifeval", (COMMA,), "a,b", {"ifeval": (False,)}),
    Item("ifeval", (COMMA, COUNT), "One two", {"ifeval": (True, True)}),
    Item("ifeval", (COMMA, COUNT), "One, two", {"ifeval": (None, True)}),  # the first has no official verdict
]


def grader(questions):
    """Never sees a comma, does not know how to count where there is one, fails on what starts with `a`."""
    for question in questions:
        if question["response"].startswith("a"):
            yield "ValueError: a"
        elif question["instruction"] == COMMA[0]:
            yield True
        else:
            yield None if "," in question["response"] else True


def test_agreement_and_accuracies_by_hand():
    result = conform("ifeval", ITEMS, grader)
    comma, count = result.checks[COMMA[0]], result.checks[COUNT[0]]
    assert (comma.items, comma.agree, comma.different) == (4, 2, {"passes wrongly": 1, "crashes": 1})
    assert (count.items, count.agree, count.different) == (2, 1, {"undecided": 1})
    assert comma.examples["passes wrongly"]["response"] == "One, two, three"
    assert comma.examples["crashes"] == {**questions_of(ITEMS)[2], "official": False, "said": "ValueError: a"}
    assert (result.items, result.agree, result.agreement) == (6, 3, 0.5)
    assert result.prompts == 5
    assert result.prompt_accuracy == (3 / 5, 3 / 5)  # official: 1, 4, 5; the grader: 1, 2, 4
    assert result.instruction_accuracy == (4 / 6, 4 / 6)
    text = report(result)
    assert "punctuation:no_comma: 2 of 4 agree (1 passes wrongly, 1 crashes)" in text
    assert "crashes: ValueError: a: {} on 'a,b'" in text and "0 of 2 checks agree throughout" in text


def test_the_smallest_example_is_kept():
    items = [Item("ifeval", (COMMA,), text, {"ifeval": (False,)}) for text in ("a long, one", ",", "x, y")]
    result = conform("ifeval", items, lambda questions: [True] * len(questions))
    assert result.checks[COMMA[0]].examples["passes wrongly"]["response"] == ","


def test_a_grader_that_answers_too_little_is_an_error():
    with pytest.raises(ValueError, match="6 answers to 7 questions"):
        conform("ifeval", ITEMS, lambda questions: [True] * 6)


# -------------------------------------------------------------------------------------------------------- the graders

QUESTIONS = questions_of(ITEMS)
MINE = """
def followed(instruction, arguments, prompt, response):
    assert prompt
    if instruction != "punctuation:no_comma":
        return None
    if response == "a,b":
        raise KeyError("a")
    return 0 if "," in response else 1
"""


def test_a_function_is_asked(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    answers = graders.by_function(f"{tmp_path}/mine.py:followed")(QUESTIONS)
    assert answers == [True, False, "KeyError: 'a'", True, None, False, None]
    for spec, message in [
        ("followed", "expected module:function"),
        (f"{tmp_path}/mine.py:absent", "has no function 'absent'"),
        (f"{tmp_path}/other.py:followed", "cannot be imported"),
        ("no.such.module:followed", "cannot be imported"),
    ]:
        with pytest.raises(RTTError, match=message):
            graders.by_function(spec)


COMMAND = """
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    if row["response"] == "a,b":
        print(json.dumps({"error": "no such thing"}))
    else:
        print(json.dumps({"verdict": ("," not in row["response"]) if row["instruction"].startswith("p") else None}))
"""


def test_a_command_is_asked(tmp_path):
    script = tmp_path / "mine.py"

    def ask(code):
        script.write_text(code)
        return graders.by_command(f"{sys.executable} {script}")(QUESTIONS)

    assert ask(COMMAND) == [True, False, "no such thing", True, None, False, None]
    for code, message in [
        ("print('{}')", "not an answer: '{}'"),
        ("print('[')", "not an answer"),
        ("print('{\"verdict\": 1}')", "not an answer"),
        ("print('{\"verdict\": true}')", "1 answers to 7 questions"),
        ("import sys; sys.exit('no luck')", "exit status 1: no luck"),
    ]:
        with pytest.raises(RTTError, match=message):
            ask(code)
    with pytest.raises(RTTError, match="cannot be run"):
        graders.by_command("/no/such/command")(QUESTIONS)


def test_the_command_line(tmp_path, capsys):
    write([item for item in ITEMS], tmp_path / "items.jsonl.gz")
    given = ["conform", "ifeval", "--items", str(tmp_path / "items.jsonl.gz")]
    assert main(given) == 0  # our own
    assert "agreement: 100.00% (6 of 6 verdicts)" in capsys.readouterr().out
    (tmp_path / "mine.py").write_text(MINE)
    out = tmp_path / "result.json"
    assert main([*given, "--function", f"{tmp_path}/mine.py:followed", "--out", str(out)]) == 1
    assert "3 of 6 verdicts" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert (result["items"], result["agree"]) == (6, 3)
    assert result["checks"][1]["different"] == {"crashes": 1}
    assert main(["conform"]) == 2 and "name a benchmark" in capsys.readouterr().err
    assert main(["conform", "muldimif", *given[2:]]) == 2 and "no items with stable verdicts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"checks": None}, "TypeError"),
        ({"checks": [["no:such", {}]]}, "KeyError: 'no:such'"),
        ({"checks": [[COUNT[0], {}]]}, "KeyError: 'relation'"),
        ({"checks": [[COMMA[0], [1]]]}, "AttributeError"),
        ({"verdicts": [True]}, "AttributeError"),
        ({"verdicts": {"ifeval": []}}, "0 verdicts of ifeval on 1 checks"),
        ({"verdicts": {"ifeval": [1]}}, "verdicts of ifeval must be true, false or null"),
    ],
)
def test_a_line_that_is_no_item_is_named(wrong, reason, tmp_path, capsys):
    rows = [ITEMS[0].to_json(), ITEMS[1].to_json() | wrong]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["conform", "ifeval", "--items", str(tmp_path / "items.jsonl")]) == 2
    said = capsys.readouterr().err
    assert "items.jsonl:2: no item (" in said and reason in said


def test_a_set_without_a_stable_verdict_is_an_error(tmp_path, capsys):
    unsure = Item("ifeval", (COMMA,), "One two", {"ifeval": (None,)})
    write([unsure], tmp_path / "items.jsonl")
    assert main(["conform", "ifeval", "--items", str(tmp_path / "items.jsonl")]) == 2
    assert "items.jsonl: no items with stable verdicts of ifeval" in capsys.readouterr().err
    rows = table.rows_of("a 1", "-", {"ifeval": lambda questions: [True] * len(questions)}, {"m": [unsure]})
    assert [row.model for row in rows] == [None], "nothing can be said of that model"


# ----------------------------------------------------------------------------------------- where the verdicts come from

OFFICIAL = """
import random
class Checker:
    def __init__(self, id):
        self.id = id
    def build_description(self, **kwargs):
        self.args = kwargs
    def get_instruction_args(self):
        return self.args
    def check_following(self, response):
        if self.id == "random":
            return random.random() < 0.5
        if self.id == "broken":
            return 1 / response.count("x") > 0
        return "," not in response
INSTRUCTION_DICT = {name: Checker for name in ("random", "broken", "fine")}
"""


@pytest.mark.slow
def test_random_and_broken_verdicts_are_left_out(tmp_path):
    """The whole way, through the process that asks the official code, on a small code of our own."""
    (tmp_path / "instruction_following_eval").mkdir()
    (tmp_path / "instruction_following_eval" / "__init__.py").write_text("")
    (tmp_path / "instruction_following_eval" / "instructions_registry.py").write_text(OFFICIAL)
    args = {"type": "", "subtype": "", "text": "a wording"}  # so that no wording of ours is looked for
    fine, broken, unsure = ("fine", args), ("broken", args), ("random", args)
    made = [
        Item("ifeval", (fine,), "a, x", {}),
        Item("ifeval", (fine, broken), "a", {}),
        Item("ifeval", (broken,), "ax", {}),
        Item("ifeval", (unsure,), "a", {}),
        Item("ifeval", (fine,), " ", {}),  # a blank response is never asked about, and follows nothing
    ]
    items, left_out = truth.ground_truth(made, sys.executable, {"ifeval": str(tmp_path)})
    assert [item.verdicts["ifeval"] for item in items] == [(False,), (True, None), (True,), (False,)]
    assert left_out == {"ifeval": {"broken": 1, "random": 1}}


# ---------------------------------------------------------------------------------------------------------- the table


def test_the_table_says_who_differs_and_where():
    rows = [table.Row("rtt 0", "3.9.1", table.conform(name, ITEMS, grader)) for name in ("ifeval",)]
    rows = [table.Row("rtt 0", "3.9.1", conform("ifeval", ITEMS[:1], grader))] * 4 + rows
    text = table.document(rows, {"other 1.0": "does not install"})
    assert "| rtt 0 | 3.9.1 | ifeval | 100.00% | 1 of 1 | 100.0%, 100.0% |" in text
    assert "| rtt 0 | 3.9.1 | ifeval | 50.00% | 0 of 2 | 60.0%, 60.0% |" in text
    assert "- other 1.0: does not install." in text
    assert "- `punctuation:no_comma`: 2 of 4 agree (1 crashes, 1 passes wrongly)" in text
    assert "allenai/IFBench at 1a902f9" in text


GRADED = [
    {"benchmark": "ifeval", "model": "m", "instruction_id_list": [COMMA[0]], "response": "One, two", "strict": [False]},
    {"benchmark": "ifeval", "model": "m", "instruction_id_list": [COMMA[0]], "response": "One two", "strict": [True]},
    {
        "benchmark": "ifbench",
        "model": "n",
        "instruction_id_list": ["count:numbers", "count:pronouns"],
        "response": "1 you",
        "strict": [True, False],
        "strict_head": [True, True],
        "unstable": [1],
    },
]


def test_what_a_grader_does_to_a_models_accuracy(tmp_path, capsys):
    """By hand: `grader` never sees a comma, so that one of two responses passes wrongly."""
    path = tmp_path / "graded.jsonl"
    path.write_text("".join(json.dumps(row | {"kwargs": [{}] * len(row["strict"])}) + "\n" for row in GRADED))
    models = of_models(path)
    assert models["n"][0].verdicts == {"ifbench": (True, None), "ifbench-head": (True, None)}
    rows = table.rows_of("a 1", "-", {"ifeval": grader}, models)
    assert [row.model for row in rows] == [None, "m"] and rows[1].result.prompts == 2
    text = table.document([rows[0]] * 4 + rows[1:], {})
    assert "| a 1 | ifeval | m | 50.00% | 50.0%, 100.0% | +50.0 |" in text
    assert "## What it does" not in table.document([rows[0]] * 4, {})

    for wrong in ({"kwargs": []}, {"kwargs": [{}], "strict": []}, {"kwargs": [{}], "benchmark": "ifevl"}):
        path.write_text(json.dumps(GRADED[0] | wrong) + "\n")
        with pytest.raises(RTTError, match=r"graded.jsonl:1: no graded response \(ValueError"):
            of_models(path)
    assert main(["conform", "ifeval", "--answers", str(path)]) == 2 and "--ports" in capsys.readouterr().err


def test_the_published_table_is_of_the_stored_set():
    """It names every package with an adapter, and its counts are those of today's set."""
    text = (Path(__file__).parents[1] / "docs" / "conformance.md").read_text()
    for name in BENCHMARKS:
        known = sum(value is not None for item in read(name) for value in item.verdicts[name])
        assert f"{known:,} of {name}" in text, f"{name} has {known:,} verdicts: rtt conform --ports docs/conformance.md"
    for port in table.PORTS:
        for name in port.benchmarks:
            assert re.search(rf"^\| {port.name} [\w.]+ \| [\w.-]+ \| {name} \| [\d.]+% ", text, re.M), (port.name, name)


def test_every_port_has_an_adapter():
    from rtt_lib.bench.conform import ports

    assert {port.name for port in table.PORTS} | {"official"} == set(ports.PORTS)
    with pytest.raises(RTTError, match="does not install"):
        table.installed(table.Port("none", ("no-such-package-of-rtt==0.0.0",), ()), table.Path("/nonexistent"))
