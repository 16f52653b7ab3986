"""Answers to questions with one right answer, worked by hand; and the way from a question to Table 2."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.analysis import benchmarks as tables
from rtt_lib.analysis.published import table1, table2
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_jsonl
from rtt_lib.methods.arms import find_arm
from rtt_lib.rubrics.sources import load_prompts
from rtt_lib.schema import Criterion
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import collect_responses
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify import answers, check
from rtt_lib.verify.answers import NO_ANSWER, final_expression, stated_letter
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.judge import Judge
from rtt_lib.worlds.text import evaluation as text
from rtt_lib.worlds.text import prompts as text_prompts

# --- multiple choice ---

LISTED = "A. neon\nB. tin\nC. iron\nD. zinc\n"
OF_FOUR = {
    # what the prompt asks for, in every dress
    "Iron is a metal.\nAnswer: C": "C",
    "Answer: LETTER": None,
    "answer: c": "C",
    "ANSWER: (C)": "C",
    "**Answer:** C": "C",
    "**Answer: C**": "C",
    "Answer: **(C)**.": "C",
    "Answer:\n\nC": "C",
    "Answer: 'C'": "C",
    "Answer: C. iron": "C",
    "Answer: C) iron": "C",
    "Answer: C iron": "C",
    "Answer: Option C": "C",
    "Final answer：B": "B",
    "Answer = D": "D",
    "### Final Answer\n\nC": "C",
    # sentences
    "So the answer is (C).": "C",
    "The answer is C": "C",
    "the correct answer is option b.": "B",
    "The answer is: D": "D",
    "The answer to this question must therefore be B.": "B",
    "The answer is most likely A.": "A",
    "The best choice is D.": "D",
    "The correct option is **A**": "A",
    "Option C is correct.": "C",
    "Clearly (B) is the right answer": "B",
    "C is the answer.": "C",
    # LaTeX
    r"so $\boxed{C}$": "C",
    r"\boxed{\text{C}}": "C",
    r"\boxed{(C)}": "C",
    r"\boxed{\text{C. iron}}": "C",
    r"\boxed{\textbf{(A)}\ 5}": "A",
    r"Answer: $\boxed{d}$": "D",
    r"Answer: \text{B}": "B",
    r"\[ \boxed{C \] unclosed": None,
    r"\boxed{42}": None,
    r"\boxed{A\sin x}": None,
    r"\boxed{B^2}": None,
    # on a line of its own
    "C": "C",
    "(c)": "C",
    "C.": "C",
    "C) iron": "C",
    "Iron it is.\n\n**C**": "C",
    "**C**\n\nIron is the one.": "C",
    "I choose option C.": "C",
    "I would say **C. iron**": "C",
    LISTED: None,
    LISTED + "C": "C",
    # several answers: the last one stated
    "Answer: A\nNo, wait.\nAnswer: D": "D",
    "The answer is A. Hmm, iron... so the answer is C.": "C",
    r"\boxed{A}, no: \boxed{B}": "B",
    r"Answer: A. Or \boxed{B}": "B",
    "Answer: C\nOption A is correct only for gases.": "C",
    "The answer is not A. It is not B either.\nThe answer is D": "D",
    "The answer cannot be A, so it has to be one of the rest": None,
    "<think>The answer is A.</think>\nC": "C",
    # two answers at once are none
    "Answer: A or B": None,
    "Answer: A, B": None,
    "Answer: C/D": None,
    "Answer: (A) and (C).": None,
    "The answer is A or B, I am not sure": None,
    "Answer: C, since A is a gas": "C",
    "Answer: B and nothing else": "B",
    "**A** or **B**": None,
    # the article, the pronoun, words, formulas
    "The answer is a metal.": None,
    "Answer: A metal that rusts": None,
    "Answer: A": "A",
    "Answer: a": "A",
    "Answer: A because it is a gas": "A",
    "Answer: (A) neon": "A",
    "The answer is bismuth": None,
    "The answer is C-14": None,
    "The answer is B = 3": None,
    "The answer is d'Alembert's": None,
    "A good question": None,
    "Because of that, B follows from A.": None,
    # no such option
    "Answer: E": None,
    "The answer is (J).": None,
    "Answer: B\nAnswer: E": "B",
    # nothing
    "": None,
    " \n ": None,
    "I do not know.": None,
    "So it is not option B.": None,
    "I don't think option B is correct": None,
    "Answer:": None,
}


@pytest.mark.parametrize("response, letter", OF_FOUR.items())
def test_the_letter_of_four(response, letter):
    assert stated_letter(response, 4) == letter


OF_TEN = {
    "Answer: J": "J",
    "The answer is (I).": "I",
    "Answer: I": "I",
    "Answer: I think it is G": None,
    "The answer is I believe a gas": None,
    "Answer: I'm not sure": None,
    "The answer is e.g. iron": None,
    "Answer: K": None,
    "I": "I",
    "I know that\nI is the best": "I",
    "Answer: E = mc^2": None,
    "Answer: **i**": "I",
}


@pytest.mark.parametrize("response, letter", OF_TEN.items())
def test_the_letter_of_ten(response, letter):
    assert stated_letter(response, 10) == letter


def choice(answer: str, options: int = 4) -> Criterion:
    return Criterion("", "answer:choice", {"answer": answer, "options": options})


def math(answer: str) -> Criterion:
    return Criterion("", "answer:math", {"answer": answer})


def test_no_answer_is_wrong_and_says_so():
    assert check(choice("C"), "", "Answer: C").value is True
    wrong, none = check(choice("C"), "", "Answer: D"), check(choice("C"), "", "Iron.")
    assert (wrong.value, wrong.reason) == (False, "") and (none.value, none.reason) == (False, NO_ANSWER)
    assert check(math("5"), "", "Five.").reason == NO_ANSWER
    rows = [[wrong], [none], [check(math("5"), "", "")], [check(math("5"), "", r"\boxed{5}")]]
    assert answers.unanswered(rows) == 1 / 2


@pytest.mark.parametrize("args", [{}, {"answer": "C"}, {"answer": "E", "options": 4}, {"answer": "", "options": 4},
                                  {"answer": "C", "options": True}, {"answer": "AB", "options": 4},
                                  {"answer": "C", "options": 99}])  # fmt: skip
def test_a_question_that_is_none_is_an_error(args):
    with pytest.raises(RTTError, match=r"argument '|is not the letter of one of"):
        check(Criterion("", "answer:choice", args), "", "Answer: C")


# --- mathematics ---

EXPRESSIONS = {
    r"so \boxed{5}.": "5",
    r"\boxed{\frac{1}{2}}": r"\frac{1}{2}",
    r"\boxed{1} and then \boxed{2}": "2",
    r"\boxed{\boxed{7}}": "7",
    r"\boxed {3}": "3",
    r"put it in \boxed{}: \boxed{4} \boxed{ }": "4",
    r"\boxed{6} and \boxed{8": "6",
    r"\boxed{\{1,2\}}": r"\{1,2\}",
    "The answer is 3.5.": "3.5",
    "The final answer is: $x = 5$. I hope it is correct.": "$x = 5$",
    "**Answer:** 12\n": "12",
    "Answer:\n12": "12",
    "answer: 1\nanswer: 2": "2",
    r"<think>\boxed{1}</think> no idea": None,
    "12": None,
    "": None,
    r"\boxed{}": None,
    "The answer is": None,
}


@pytest.mark.parametrize("response, expression", EXPRESSIONS.items())
def test_the_final_expression(response, expression):
    assert final_expression(response) == expression


@pytest.mark.parametrize(
    "right, given, value",
    [
        ("5", "5", True),
        ("5", "6", False),
        ("5", "5.0", True),
        ("5", "x = 5", True),
        ("5", r"5\text{ cm}", True),
        ("5", "five", False),
        ("5", r"\frac{5}{0}", False),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{2}", r"\dfrac12", True),
        (r"11\sqrt2", r"11\sqrt{2}", True),
        ("x^2+2x+1", "(x+1)^2", True),
        ("x^2+2x+1", "(x-1)^2", False),
        ("1,-2", "-2, 1", True),
        ("1,-2", "1", False),
        ("[1,2)", r"\left[1, 2\right)", True),
        ("[1,2)", "[1,2]", False),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True),
        (r"\text{June 20}", "june 20", True),
        (r"\text{Evelyn}", "Bob", False),
        (r"\text{(C)}", "C", True),
        ("10,080", "10080", True),
        (r"\$18.90", "18.90", True),
        ("5", "$5$", True),
        ("5", "__import__('os').abort()", False),
        ("5", "{" * 300, False),
        ("5", "5" * 2000, False),
    ],
)
def test_equal_as_mathematics(right, given, value):
    assert check(math(right), "", f"The answer is {given}").value is value
    if given.count("{") == given.count("}"):
        assert check(math(right), "", rf"so \boxed{{{given}}}").value is value


def test_what_cannot_be_compared_in_time_is_undecided_and_the_next_is_graded(monkeypatch):
    monkeypatch.setattr(answers, "SECONDS", 2)
    endless = r"\sum_{n=1}^{99} \frac{9^{9^{9^{9}}}}{n!}"
    comparer = answers.Comparer()
    try:
        verdict = comparer.compare("5", endless)
        assert verdict.value is None and "could not be compared in 2 s" in verdict.reason
        assert comparer.compare("5", "10/2").value is True
    finally:
        comparer.close()


STUB = """
LatexExtractionConfig = dict

def parse(text, *args, **kwargs):
    if "unreadable" in text:
        raise ValueError(text)
    if "deep" in text:
        raise RecursionError
    return [text]

def verify(right, given, **kwargs):
    return right == given
"""


def test_only_a_response_is_wrong_for_being_unreadable(tmp_path, monkeypatch):
    (tmp_path / "math_verify.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    comparer = answers.Comparer()
    try:
        values = [comparer.compare("5", given).value for given in ("5", "6", "unreadable", "deep")]
        assert values == [True, False, False, None]
        assert "nested too deeply" in comparer.compare("5", "deep").reason
        verdict = comparer.compare("unreadable", "5")
        assert verdict.value is None and verdict.reason == "the right answer cannot be read as mathematics"
    finally:
        comparer.close()


def test_a_process_that_was_killed_is_replaced():
    comparer = answers.Comparer()
    try:
        assert comparer.compare("5", "10/2").value is True
        comparer._process.kill()
        comparer._process.wait()
        assert comparer.compare("5", "10/2").value is True
    finally:
        comparer.close()


def test_several_threads_get_their_own_answers():
    values: dict[int, bool | None] = {}

    def ask(n: int) -> None:
        values[n] = check(math("4"), "", rf"\boxed{{{n} + 1}}").value

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == {n: n == 3 for n in range(6)}


def test_without_math_verify_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(answers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RTTError, match="install math-verify"):
        answers.Comparer().compare("5", "10/2")


PIECES = st.sampled_from(
    ["answer", "Answer:", " is ", r"\boxed{", "}", "{", "(", ")", "**", "A", "C", "i", "$", "\n", " or ", ",", "not ",
     r"\frac{1}{2}", "^", "9", "x", "=", "option ", "</think>", "\ud800", "\x00", r"\text{", r"\sqrt", r"\left("]
)  # fmt: skip
RESPONSES = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join))


@settings(max_examples=300, deadline=None)
@given(RESPONSES)
def test_any_text_gets_a_verdict(response):
    for options in (4, 10):
        verdict = check(choice("C", options), "", response)
        assert verdict.value in (True, False) and verdict.reason in ("", NO_ANSWER)


@settings(max_examples=100, deadline=None)
@given(RESPONSES, st.sampled_from(["5", r"\frac{1}{2}", r"\text{even}"]))
def test_any_text_gets_a_verdict_on_mathematics(response, right):
    assert check(math(right), "", response).value in (True, False, None)


@pytest.mark.parametrize("piece", [r"\boxed{", "answer: ", "answer is ", " ", "*", "**(", "A", "{", "\\text{", "C is "])
def test_long_texts_take_no_long_time(piece):
    response = piece * (1_000_000 // len(piece))
    assert check(choice("C"), "", response).value is False
    assert check(math("5"), "", response).value is False


# --- from the question to the tables ---

MATH = [
    {"problem": f"What is ${n}+{n}$?", "answer": str(2 * n), "unique_id": f"test/{n}"} for n in (1, 2)
]  # fmt: skip
GPQA = {"Question": "Which is a metal?", "Correct Answer": "iron"} | {
    f"Incorrect Answer {k}": name for k, name in enumerate(("neon", "argon", "xenon"), 1)
}
MMLU = {"question": "Which is even?", "options": ["1", "3", "4"], "answer": "C"}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A folder with the benchmarks' files; no hub."""
    folder = tmp_path / "data" / "benchmarks"
    write_jsonl(folder / "math500.jsonl", MATH)
    write_jsonl(folder / "gpqa.jsonl", [GPQA | {"Record ID": f"rec{n}"} for n in range(3)])
    write_jsonl(folder / "mmlu-pro.jsonl", [MMLU | {"question_id": n} for n in range(2)])
    soft = {"rubrics": json.dumps(["Is it brief?"])}
    turns = json.dumps([{"role": "user", "content": "Hi"}])
    row = {"conversation_history": turns, "benchmark_name": "steer", "prompt_metadata": json.dumps(soft)}
    write_jsonl(folder / "advancedif.jsonl", [row])
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def store(results: Path, arm: str, name: str, data: Path, reply) -> list[dict]:
    prompts = load_prompts(name, data / f"{name}.jsonl")
    rows = [{"id": p.id, "prompt": p.prompt, "response": reply(p)} for p in prompts]
    write_jsonl(results / "responses" / arm / "A0" / f"{name}.jsonl", rows)
    return rows


def right(prompt) -> str:
    answer = prompt.criteria[0].args["answer"]
    return rf"\boxed{{{answer}}}" if prompt.source == "math" else f"Answer: {answer}"


def test_a_question_is_a_prompt_with_one_criterion(data):
    (first, _) = load_prompts("math500", data / "math500.jsonl")
    assert first.criteria == (Criterion("The answer is 2.", "answer:math", {"answer": "2"}),)
    (mmlu, _) = load_prompts("mmlu-pro", data / "mmlu-pro.jsonl")
    assert mmlu.criteria == (Criterion("The answer is C.", "answer:choice", {"answer": "C", "options": 3}),)


def test_scores_of_questions(data):
    profile = load_profile("ci")
    names = ("math500", "gpqa", "mmlu-pro", "advancedif")
    profile = replace(profile, evaluation=replace(profile.evaluation, benchmarks=names))
    prompts, missing = text_prompts.benchmark_prompts(profile)
    assert list(prompts) == list(names) and not missing
    replies = [r"\boxed{2}", "I do not know"]
    rows = [{"id": p.id, "prompt": p.prompt, "response": r} for p, r in zip(prompts["math500"], replies, strict=True)]
    found = text.grade(prompts["math500"], rows, Verifier())
    assert found["accuracy"] == found["satisfied"] == found["unanswered"] == 1 / 2 and found["unknown"] == 0
    assert found["families"] == {"math": 1 / 2}
    rows = [{"id": p.id, "prompt": p.prompt, "response": "Hello"} for p in prompts["advancedif"]]
    assert "accuracy" not in text.grade(prompts["advancedif"], rows, Verifier())


def test_the_evaluation_writes_accuracies(data, empty_store, tmp_path, monkeypatch):
    profile = load_profile("ci")
    evaluation = replace(profile.evaluation, benchmarks=("math500", "gpqa"), prompts=None)
    profile = replace(profile, evaluation=evaluation, data=replace(profile.data, source="composed", path=None))
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):  # a name is not enough: their content is in the record
        (tmp_path / "model" / name).write_text("{}")
    profile = replace(profile, policy=replace(profile.policy, model=str(tmp_path / "model")))
    spec = RunSpec(find_arm("base"), "composed", "A0", profile)

    def respond(prompts, model, settings, out, *rest) -> Path:
        replies = [right(p) if p.source == "math" else "Hmm." for p in prompts]
        rows = [{"id": p.id, "prompt": p.prompt, "response": r} for p, r in zip(prompts, replies, strict=True)]
        return write_jsonl(out, [row | {"tokens": 1, "truncated": False} for row in rows])

    monkeypatch.setattr(text, "generate", respond)
    monkeypatch.setattr(text_prompts, "HELD_OUT_PROMPTS", 3)
    execute.evaluate(spec)
    collect_responses(spec, tmp_path / "results")
    record = read_json(spec.evaluation / "result.json")
    scores = {name: (each["accuracy"], each["unanswered"]) for name, each in record["benchmarks"].items()}
    assert scores == {"math500": (1.0, 0.0), "gpqa": (0.0, 1.0)}
    assert record["out_of_domain"]["satisfied"] == 1 / 2
    graded = tables.graded_table(tmp_path / "results", benchmark_files(profile))
    assert dict(zip(graded["benchmark"], graded["accuracy"], strict=True)) == {"math500": 1.0, "gpqa": 0.0}


def test_table_2_by_hand(data, tmp_path):
    results = tmp_path / "results"
    store(results, "base", "gpqa", data, lambda p: right(p) if p.id == "rec0" else "No idea.")
    store(results, "RTT-AON", "gpqa", data, right)
    store(results, "RTT-AON", "math500", data, right)
    files = benchmark_files(load_profile("ci"))
    graded = tables.graded_table(results, files)
    assert len(graded) == 3 and set(graded["level"]) == {"prompt"} and (graded["note"] == "").all()
    found = graded.set_index(["arm", "benchmark"])
    assert found.loc[("base", "gpqa"), "accuracy"] == pytest.approx(1 / 3)
    assert found.loc[("base", "gpqa"), "unanswered"] == pytest.approx(2 / 3)
    assert found.loc[("RTT-AON", "gpqa"), "gain"] == pytest.approx(2 / 3)
    assert tables.stored_sentence(graded).startswith("2 policies on MATH-500, GPQA; at most 0 verdicts undecided")
    frame = tables.questions_beside_the_paper(graded)
    assert list(frame.columns[2:]) == [*table2().columns, *(f"{name} no answer" for name in table2().columns)]
    ours = frame[frame["model"] == "ours"].set_index("arm")
    assert ours.loc["RTT-AON A0", "MATH-500"] == "100.0 [100.0, 100.0]"
    assert ours.loc["base A0", "GPQA"].startswith("33.3 [") and ours["MMLU-Pro"].isna().all()
    assert ours.loc["base A0", "GPQA no answer"] == pytest.approx(200 / 3)
    assert len(frame) == 2 + len(table2()) and frame.iloc[2]["GPQA"] == f"{table2().iloc[0]['GPQA']:.2f}"
    assert len(tables.beside_the_paper(graded)) == len(table1())


def test_a_benchmark_that_is_not_here_is_left_out_with_its_reason(data, tmp_path):
    results = tmp_path / "results"
    store(results, "base", "math500", data, right)
    store(results, "RTT-AON", "math500", data, right)
    from rtt_lib import models

    models.hub_answers.cache_clear()
    graded = tables.graded_table(results, {})
    assert graded["accuracy"].isna().all() and graded["gain"].isna().all() and (graded["prompts"] == 0).all()
    assert "MATH-500 is not graded: its file is neither in" in tables.stored_sentence(graded)
    assert len(tables.questions_beside_the_paper(graded)) == len(table2())


def test_other_options_than_the_ones_asked_are_an_error(data, tmp_path):
    rows = store(tmp_path, "base", "gpqa", data, right)
    rows[1]["prompt"] = rows[1]["prompt"].replace("A. ", "B. ")
    write_jsonl(tmp_path / "responses" / "base" / "A0" / "gpqa.jsonl", rows)
    with pytest.raises(RTTError, match=r"gpqa\.jsonl:2: the benchmark's data here have no such prompt: 'rec1'"):
        tables.graded_table(tmp_path, benchmark_files(load_profile("ci")))


class Yes(Judge):
    def __init__(self) -> None:
        pass

    def check_many(self, questions):
        return [answers.Verdict(True)] * len(questions)


def test_advancedif_needs_a_judge_and_says_so(data, tmp_path):
    store(tmp_path, "base", "advancedif", data, lambda p: "Hello.")
    files = benchmark_files(load_profile("ci"))
    graded = tables.graded_table(tmp_path, files)
    assert graded["accuracy"].isna().all() and (graded["undecided"] == 1).all()
    assert "AdvancedIF is not graded: its criteria need a judge" in tables.stored_sentence(graded)
    judged = tables.beside_the_paper(tables.graded_table(tmp_path, files, Verifier(Yes())))
    assert judged.iloc[0]["AdvancedIF Rubric"] == "100.0 [100.0, 100.0]"
    assert len(list(read_jsonl(tmp_path / "responses" / "base" / "A0" / "advancedif.jsonl"))) == 1
