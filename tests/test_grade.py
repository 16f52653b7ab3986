"""`rtt grade`: verdict lines and accuracies worked by hand, and a clear error for every malformed input."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rtt_lib.bench import grade
from rtt_lib.errors import RTTError
from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.wordings import TEXTS
from rtt_lib.run.cli import main
from rtt_lib.verify.registry import RULES, find_rule
from rtt_lib.verify.text import nltk_missing

NO_COMMA = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
TWO = {
    "key": 8,
    "prompt": "Quote it, \ud800 no 'x'.",
    "instruction_id_list": ["startend:quotation", "keywords:forbidden_words"],
    "kwargs": [{"num_words": None}, {"forbidden_words": ["x"], "keyword": None}],
}


def write(path: Path, rows: list) -> Path:
    """One line per row: objects as JSON, bytes as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    data = b"\n".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def run(tmp_path, capsys):
    """Grade `responses` against `benchmark` through the command line: (exit status, verdict lines, out, err)."""

    def call(responses, benchmark=(NO_COMMA, TWO), name="ifeval", options=(), suffix=".jsonl"):
        data = write(tmp_path / ("data.json" if name == "muldimif" else "data.jsonl"), list(benchmark))
        answers = write(tmp_path / f"answers{suffix}", responses)
        out = tmp_path / f"verdicts{suffix}"
        status = main(["grade", name, str(answers), "--data", str(data), "--out", str(out), *options])
        text = capsys.readouterr()
        if out.exists():
            raw = gzip.decompress(out.read_bytes()) if suffix.endswith(".gz") else out.read_bytes()
            return status, [json.loads(line) for line in raw.splitlines()], text.out, text.err
        return status, None, text.out, text.err

    return call


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_verdicts_and_accuracies_by_hand(run, suffix):
    responses = [
        {"prompt": TWO["prompt"], "response": 'Sure:\n"All of it."', "model": "ignored"},  # loose alone: quoted
        {"prompt": NO_COMMA["prompt"], "response": "One two"},
        {"prompt": NO_COMMA["prompt"], "response": "One, two"},
    ]
    status, lines, out, _ = run(responses, suffix=suffix)
    assert status == 0
    assert lines == [
        {"key": 8, "strict": [False, True], "loose": [True, True]},
        {"key": 7, "strict": [True], "loose": [True]},
        {"key": 7, "strict": [False], "loose": [False]},
    ]
    summary = json.loads(out)
    assert (summary["responses"], summary["instructions"], summary["undecided"]) == (3, 4, 0)
    assert summary["prompts_without_response"] == 0
    assert summary["strict"]["prompt_accuracy"] == pytest.approx(1 / 3)
    assert summary["strict"]["instruction_accuracy"] == pytest.approx(2 / 4)
    assert summary["loose"]["prompt_accuracy"] == pytest.approx(2 / 3)
    assert summary["loose"]["instruction_accuracy"] == pytest.approx(3 / 4)


def test_undecided_verdicts_are_left_out():
    rows = [[True, None], [False, None], [True, True], [None]]
    summary = grade.summarise([{"key": k, "strict": row, "loose": row} for k, row in enumerate(rows)])
    assert summary["undecided"] == 3
    assert summary["strict"] == {
        "prompt_accuracy": 1,  # of the third alone: the second, violated for sure, would be one of its failures only
        "instruction_accuracy": 3 / 4,
        "undecided_prompts": 3,
        "undecided_instructions": 3,
    }
    unknown = grade.summarise([{"id": "a", "verdicts": [None]}])
    assert unknown["verdicts"]["prompt_accuracy"] is None
    assert unknown["verdicts"]["instruction_accuracy"] is None


def test_the_reason_of_an_undecided_verdict_is_in_the_summary(run):
    row = {"key": 1, "prompt": "p", "instruction_id_list": ["detectable_format:json_format"], "kwargs": [{}]}
    _, lines, out, _ = run([{"prompt": "p", "response": "[" * 100_000}], [row])
    assert lines == [{"key": 1, "strict": [None], "loose": [None]}]
    summary = json.loads(out)
    assert summary["undecided"] == 1
    assert summary["undecided_reasons"] == {"JSON nested too deeply to be parsed": 1}


def test_prompts_without_response_are_counted(run):
    _, _, out, _ = run([{"prompt": NO_COMMA["prompt"], "response": "One"}])
    assert json.loads(out)["prompts_without_response"] == 1


@pytest.mark.skipif(nltk_missing("punkt_tab") is not None, reason=str(nltk_missing("punkt_tab")))
def test_the_command_loads_little_of_nltk(tmp_path):
    kwargs = {"relation": "at least", "num_sentences": 2}
    row = {"key": 1, "prompt": "p", "instruction_id_list": ["length_constraints:number_sentences"], "kwargs": [kwargs]}
    data = write(tmp_path / "data.jsonl", [row])
    answers = write(tmp_path / "answers.jsonl", [{"prompt": "p", "response": "Dr. No eats. He leaves."}])
    code = (
        "import sys; from rtt_lib.run.cli import main; main(sys.argv[1:])\n"
        "unused = {'nltk.parse', 'nltk.corpus', 'nltk.grammar', 'numpy'}\n"
        "assert 'nltk.tokenize' in sys.modules and not unused & set(sys.modules)"
    )
    command = ["grade", "ifeval", str(answers), "--data", str(data), "--out", str(tmp_path / "verdicts.jsonl")]
    subprocess.run([sys.executable, "-c", code, *command], check=True, stdout=subprocess.DEVNULL)
    assert json.loads((tmp_path / "verdicts.jsonl").read_text()) == {"key": 1, "strict": [True], "loose": [True]}


# --- processes ---

DEEP = {"key": 9, "prompt": "JSON.", "instruction_id_list": ["detectable_format:json_format"] * 2, "kwargs": [{}, {}]}


@pytest.fixture
def shared_work(monkeypatch):
    """Two responses are enough for a process of their own, and each is a piece of work."""
    monkeypatch.setattr(grade, "PER_PROCESS", 2)
    monkeypatch.setattr(grade, "PIECE", 1)


def test_several_processes_write_the_same_bytes(tmp_path, capsys, shared_work):
    data = write(tmp_path / "data.jsonl", [NO_COMMA, TWO, DEEP])
    texts = ("One", "One, two", '"y"', "[" * 100_000, "a\nHallo, du", '{"x": 1}')
    rows = [{"prompt": row["prompt"], "response": text} for text in texts for row in (NO_COMMA, DEEP, TWO)]
    answers = write(tmp_path / "answers.jsonl", rows)
    said = []
    for processes in ("1", "2", "3"):
        out = tmp_path / f"verdicts{processes}.jsonl"
        command = ["grade", "ifeval", str(answers), "--data", str(data), "--out", str(out), "--processes", processes]
        assert main(command) == 0
        said.append((out.read_bytes(), capsys.readouterr().out))
    assert said[1] == said[2] == said[0] and said[0][0].count(b"\n") == len(rows)
    summary = json.loads(said[0][1])
    assert (summary["undecided"], summary["undecided_reasons"]) == (2, {"JSON nested too deeply to be parsed": 2})


def test_the_processes_are_others(shared_work):
    answers = [grade.Answer(None, "")] * 8
    here, _ = grade.grade_all(process_of, answers, 1)
    there, _ = grade.grade_all(process_of, answers, 2)
    assert {row["process"] for row in here} == {os.getpid()} and os.getpid() not in {row["process"] for row in there}
    few, _ = grade.grade_all(process_of, answers[:3], 2)
    assert few == here[:3]


def process_of(answer, reasons) -> dict:
    return {"process": os.getpid()}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_response_that_cannot_be_graded_is_named(shared_work, processes):
    answers = [grade.Answer(None, f"{number}") for number in range(8)]
    with pytest.raises(RTTError, match=r"^data.jsonl:3: "):
        grade.grade_all(fail_from_the_third, answers, processes)


def fail_from_the_third(answer, reasons) -> dict:
    if int(answer.response) >= 3:
        raise RTTError(f"data.jsonl:{answer.response}: cannot be graded")
    return {}


def test_a_process_that_is_ended_is_an_error_with_its_mend(shared_work):
    with pytest.raises(RTTError, match="try --processes 1"):
        grade.grade_all(end_the_process, [grade.Answer(None, "")] * 8, 2)


def end_the_process(answer, reasons) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_processes_that_is_none(run, capsys, number):
    with pytest.raises(SystemExit):
        run([GOOD], options=[f"--processes={number}"])
    assert "is not a whole number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", grade.JUDGED)
def test_what_a_judge_decides_takes_no_number_of_processes(run, name):
    status, lines, _, err = run([GOOD], name=name, options=["--processes", "2"])
    assert (status, lines) == (2, None) and "--processes is for ifeval, ifbench, muldimif: " in err


GOOD = {"prompt": NO_COMMA["prompt"], "response": "One"}
BAD_RESPONSES = {
    "cut JSON": (b'{"prompt": "No comm', "not valid JSON"),
    "not UTF-8": (b'{"prompt": "\xff"}', "not valid JSON"),
    "NUL bytes": (b"\x00\x00\x00", "not valid JSON"),
    "nested without end": (b"[" * 100_000, "not valid JSON"),
    "a field twice": (b'{"prompt": "No commas.", "response": "a", "response": "b"}', "'response' is there twice"),
    "a list": ([1], "expected a JSON object, found list"),
    "no prompt": ({"response": "One"}, "field 'prompt' is missing"),
    "no response": ({"prompt": NO_COMMA["prompt"]}, "field 'response' is missing"),
    "null response": ({**GOOD, "response": None}, "field 'response' must be str, found NoneType"),
    "NaN response": ({**GOOD, "response": float("nan")}, "field 'response' must be str, found float"),
    "a list as response": ({**GOOD, "response": ["One"]}, "field 'response' must be str, found list"),
    "unknown prompt": ({**GOOD, "prompt": "No \ud800 commas"}, "this prompt is not in the benchmark file"),
}


@pytest.mark.parametrize("line, message", BAD_RESPONSES.values(), ids=BAD_RESPONSES)
def test_a_malformed_response_is_named_by_file_and_line(run, line, message):
    status, lines, out, err = run([GOOD, b"", line])
    assert (status, lines, out) == (2, None, "")
    assert "answers.jsonl:3: " in err and message in err


BAD_ROWS = {
    "cut JSON": (b'{"key": 1', "not valid JSON"),
    "no key": ({name: NO_COMMA[name] for name in NO_COMMA if name != "key"}, "field 'key' is missing"),
    "NaN key": ({**NO_COMMA, "key": float("nan")}, "field 'key' must be int or str, found float"),
    "true as key": ({**NO_COMMA, "key": True}, "field 'key' must be int or str, found bool"),
    "surrogate in the key": ({**NO_COMMA, "key": "\ud800"}, "not valid Unicode"),
    "prompt a number": ({**NO_COMMA, "prompt": 3}, "field 'prompt' must be str"),
    "the same key": ({**NO_COMMA, "prompt": "another"}, "already used at"),
    "the same prompt": ({**NO_COMMA, "key": 9}, "already used at"),
    "unknown instruction": (
        {**NO_COMMA, "key": 9, "prompt": "p", "instruction_id_list": ["punctuation:no_dot"]},
        "unknown verifier 'ifeval:punctuation:no_dot'",
    ),
    "instruction a number": ({**NO_COMMA, "key": 9, "prompt": "p", "instruction_id_list": [4]}, "expected an id (str)"),
    "arguments too few": ({**NO_COMMA, "key": 9, "prompt": "p", "kwargs": []}, "0 in 'kwargs'"),
    "arguments no object": ({**NO_COMMA, "key": 9, "prompt": "p", "kwargs": [3]}, "expected an id (str)"),
    "argument missing": (
        {**NO_COMMA, "key": 9, "prompt": "p", "instruction_id_list": ["keywords:existence"]},
        "needs the argument 'keywords'",
    ),
}


@pytest.mark.parametrize("row, message", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_malformed_benchmark_row_is_named_by_file_and_line(run, row, message):
    status, lines, _, err = run([GOOD], benchmark=[NO_COMMA, row])
    assert (status, lines) == (2, None)
    assert "data.jsonl:2: " in err and message in err


def test_an_argument_of_the_wrong_kind_is_named_by_file_and_line(run):
    row = {"key": 9, "prompt": "p", "instruction_id_list": ["length_constraints:number_words"]}
    row["kwargs"] = [{"relation": "at least", "num_words": float("nan")}]
    status, _, _, err = run([GOOD], benchmark=[NO_COMMA, row])  # though nobody answered this row
    assert status == 2
    assert "data.jsonl:2: instruction 1: ifeval:length_constraints:number_words: argument 'num_words'" in err


@pytest.mark.parametrize("responses", [[], [b""], [b"  "]])
def test_no_responses_is_an_error(run, responses):
    status, _, _, err = run(responses)
    assert status == 2 and "holds no responses" in err


def test_missing_broken_and_unwritable_files_are_errors(tmp_path, run, capsys):
    data = write(tmp_path / "data.jsonl", [NO_COMMA])
    answers = write(tmp_path / "answers.jsonl", [GOOD])
    cut, text = tmp_path / "cut.jsonl.gz", tmp_path / "text.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(GOOD).encode())[:-12])
    text.write_bytes(b"not gzip")
    for path in (tmp_path / "absent.jsonl", cut, text, tmp_path):
        assert main(["grade", "ifeval", str(path), "--data", str(data), "--out", str(tmp_path / "v")]) == 2
        assert f"{path}: cannot be read" in capsys.readouterr().err
    assert main(["grade", "ifeval", str(answers), "--data", str(data), "--out", str(data / "v")]) == 2
    assert "cannot be written" in capsys.readouterr().err


HOSTILE = {
    "empty": "",
    "blank": " \n ",
    "NUL bytes": "\x00" * 50,
    "lone surrogates": "\ud800 text \udfff",
    "right to left": "\u202eمرحبا بالعالم\u202c",
    "5 MB": "word " * 1_000_000,
    "5 MB without a space": "a" * 5_000_000,
}


@pytest.mark.parametrize("response", HOSTILE.values(), ids=HOSTILE)
def test_hostile_responses_get_verdicts(run, response):
    _, lines, _, _ = run([{"prompt": prompt, "response": response} for prompt in (NO_COMMA["prompt"], TWO["prompt"])])
    visible = bool(response.strip())
    assert lines == [
        {"key": 7, "strict": [visible], "loose": [visible]},
        {"key": 8, "strict": [False, visible], "loose": [False, visible]},
    ]


def test_read_benchmark_gives_rubric_prompts(tmp_path):
    prompts = read_benchmark("ifeval", write(tmp_path / "data.jsonl", [NO_COMMA, TWO]))
    assert [prompt.id for prompt in prompts] == ["7", "8"]
    assert [criterion.verifier for criterion in prompts[1].criteria] == [
        "ifeval:startend:quotation",
        "ifeval:keywords:forbidden_words",
    ]
    assert prompts[1].criteria[1].args == {"forbidden_words": ["x"]}
    assert prompts[1].criteria[1].text == "Use none of these words: x."
    with pytest.raises(RTTError, match="unknown benchmark 'ifevil'"):
        read_benchmark("ifevil", tmp_path / "data.jsonl")


def test_every_instruction_has_a_wording():
    find_rule("ifeval:punctuation:no_comma"), find_rule("ifbench:words:vowel")
    known = {id.split(":", 1)[1] for id in RULES if id.split(":")[0] in ("ifeval", "ifbench", "ifbench-head")}
    assert known == set(TEXTS)


def test_ifbench_in_both_versions(run):
    row = {"key": "0", "prompt": "p", "instruction_id_list": ["format:no_whitespace"], "kwargs": [{"N": None}]}
    responses = [{"prompt": "p", "response": "One two"}, {"prompt": "p", "response": "One"}]
    for version in ("2025", "head"):
        status, lines, out, _ = run(responses, [row], "ifbench", ["--ifbench-version", version])
        assert status == 0
        assert lines == [{"key": "0", "strict": [s], "loose": [s]} for s in (False, True)]
        assert json.loads(out)["benchmark"] == ("ifbench" if version == "2025" else "ifbench-head")


@pytest.mark.parametrize("name", ["ifeval", "muldimif", *grade.JUDGED])
def test_a_version_of_ifbench_is_refused_elsewhere(run, name):
    status, lines, _, err = run([GOOD], name=name, options=["--ifbench-version", "head"])
    assert (status, lines) == (2, None) and f"leave it out to grade {name}" in err


def test_the_help_says_which_checkers_head_are(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the IFBench repository in August 2026" in said and "responses with an undecided verdict out of the" in said


ITEM = {
    "id": "100",
    "conversations": [{"role": "user", "content": "Write."}],
    "constraints": [["Length", "Words", "At most 3 words"], ["Length", "Words", "As few as you like"]],
}


def test_muldimif_rows(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([ITEM]))
    (prompt,) = read_benchmark("muldimif", path)
    assert (prompt.id, prompt.prompt) == ("100", "Write.")
    assert prompt.criteria[0].verifier == "muldimif:Length_Words"
    assert prompt.criteria[0].args == {"type": "Length", "subtype": "Words", "text": "At most 3 words"}
    for change, message in [
        ({"constraints": [["Length", "Words"]]}, "item 1: constraint 1: a constraint must be"),
        ({"constraints": [["Tone", "Warmth", "Be warm"]]}, "item 1: constraint 1: MulDimIF has no constraint type"),
        ({"constraints": []}, "item 1: 1 user messages and 0 constraints"),
        ({"conversations": [{"role": "user"}]}, "field 'content' is missing"),
        ({"conversations": ["Write."]}, "expected an object, found str"),
    ]:
        path.write_text(json.dumps([{**ITEM, **change}]))
        with pytest.raises(RTTError, match=message):
            read_benchmark("muldimif", path)
    path.write_text("{}")
    with pytest.raises(RTTError, match="expected a JSON array"):
        read_benchmark("muldimif", path)


def test_muldimif_gives_official_and_parsed_verdicts(run):
    pytest.importorskip("rtt_lib.verify.muldimif")
    responses = [{"id": "100", "response": "Two words"}, {"id": "100", "response": "One two three four"}]
    status, lines, _, _ = run(responses, [json.dumps([ITEM]).encode()], "muldimif")
    assert status == 0
    assert [line["verdicts"][0] for line in lines] == [True, False]
    assert [line["verdicts_parsed"] for line in lines] == [[True, None], [False, None]]
    assert {line["id"] for line in lines} == {"100"}


DATA = os.environ.get("RTT_TEST_DATA")


official = pytest.mark.skipif(not DATA, reason="RTT_TEST_DATA is not set: no official accuracies to compare with here")
ENGLISH = ("punkt_tab", "stopwords", "averaged_perceptron_tagger_eng")
MODELS = ("llama_3b", "qwen25_7b")


def graded_summary(tmp_path, capsys, name: str, responses: Path, *options: str) -> dict:
    data = Path(DATA) / "benchmarks" / ("muldimif.json" if name == "muldimif" else f"{name}.jsonl")
    out = ["--out", str(tmp_path / "verdicts.jsonl")]
    assert main(["grade", name, str(responses), "--data", str(data), *out, *options]) == 0
    return json.loads(capsys.readouterr().out)


@official
@pytest.mark.skipif(nltk_missing(*ENGLISH) is not None, reason=str(nltk_missing(*ENGLISH)))
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name, version", [("ifeval", None), ("ifbench", "2025"), ("ifbench", "head")])
def test_accuracies_equal_the_official_ones(tmp_path, capsys, name, version, model):
    graders = Path(DATA) / "graders"
    rows = json.loads((graders / "summary.json").read_text())
    (row,) = (row for row in rows if (row["benchmark"], row["model"]) == (name, model))
    options = ["--ifbench-version", version] if version else []
    summary = graded_summary(tmp_path, capsys, name, graders / f"{name}.{model}.jsonl.gz", *options)
    end = "_head" if version == "head" else ""
    assert (summary["responses"], summary["instructions"]) == (row["n_prompts"], row["n_instructions"])
    assert summary["undecided"] == 0
    for reading in ("strict", "loose"):
        assert round(summary[reading]["prompt_accuracy"], 4) == row[f"prompt_{reading}{end}"]
        assert round(summary[reading]["instruction_accuracy"], 4) == row[f"inst_{reading}{end}"]


@official
def test_muldimif_accuracies_equal_the_official_ones(tmp_path, capsys):
    graders = Path(DATA) / "graders"
    with gzip.open(graders / "muldimif_items.jsonl.gz", "rt", encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    answers = [{"id": item["item_id"], "response": item["response"]} for item in items]
    summary = graded_summary(tmp_path, capsys, "muldimif", write(tmp_path / "answers.jsonl", answers))
    judges = [judge for item in items for judge in item["judges"]]
    overall = json.loads((graders / "muldimif_items_score.json").read_text())["Overall"]
    assert overall == f"355/1200={355 / 1200}" and summary["responses"] == 1200
    assert summary["verdicts"]["prompt_accuracy"] == 355 / 1200
    assert summary["verdicts"]["instruction_accuracy"] == sum(judges) / len(judges)
    assert summary["verdicts"]["undecided_prompts"] == 0 < summary["verdicts_parsed"]["undecided_prompts"] < 1200
