"""Every data set in its published schema, made small here and read by the code that reads the real one."""

import json
import logging

import datasets
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.rubrics.sources import SOURCES, Demonstration, Question, load, load_prompts
from rtt_lib.schema import Criterion, RubricPrompt

CODE = "def check_following(instruction, response):\n    return len(response) < 50\n"
HIR = [
    {
        "id": 0,
        "source": "type1",
        "prompt": "Name a colour. No commas. Say it once.",
        "criteria": ["No commas.", "Say the word red once."],
        "ground_truth": {
            "instruction_id_list": ["punctuation:no_comma", "keywords:word_once"],
            "kwargs": [{"keyword": None}, {"keyword": "red"}],
        },
    },
    {
        "id": 1,
        "source": "type2",
        "prompt": "Name two animals.",
        "criteria": ["At least three numbers."],
        "ground_truth": {"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 3}]},
    },
    {
        "id": 2,
        "source": "type3",
        "prompt": "Describe rain in 50 words.",
        "criteria": ["At most 50 words"],
        "ground_truth": {"constraints": [["Length", "Words", "At most 50 words"]], "constraint_pattern": "Listing"},
    },
    {
        "id": 3,
        "source": "type4",
        "prompt": "Write a kind note.",
        "criteria": ["Fewer than 50 characters.", "It is kind."],
        "ground_truth": {"checker": ["[rule] length", "[llm] tone"], "functions": [CODE, CODE]},
    },
]
IFEVAL = {
    "key": 7,
    "prompt": "Write two lines, no commas.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{"num_words": None, "relation": None}],
}
IFBENCH = {
    "key": "7",
    "prompt": "Use three numbers.",
    "instruction_id_list": ["count:numbers"],
    "kwargs": [{"N": 3, "word": None}],
}
MULDIMIF = {
    "id": "m1",
    "conversations": [{"role": "user", "content": "Describe rain in at most 50 words."}],
    "constraints": [["Length", "Words", "At most 50 words"]],
    "constraint_pattern": "Listing",
    "difficulty": "Level 1",
}
ADVANCEDIF = {
    "conversation_history": json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
    "benchmark_name": "system_steerability_v2",
    "prompt_metadata": json.dumps({"rubrics": json.dumps(["Is it brief?", "Does it greet?"])}),
}
INFOBENCH = {
    "id": "domain_1", "input": "", "category": "x", "instruction": "Greet.", "subset": "Easy_set",
    "decomposed_questions": ["Is it a greeting?", "Is it brief?"], "question_label": [["Format"], ["Number"]],
}  # fmt: skip
TULU = {
    "id": "t1",
    "messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello."}],
    "source": "made up",
}
CONIFER = {
    "messages": [{"role": "user", "content": "Name an animal."}, {"role": "assistant", "content": "A cat."}] * 2,
    "kind": "external feedback",
    "levels": [5, 5],
    "drafts": [1],
}
ULTRAFEEDBACK = {"prompt": "Why is iron red?", "chosen": [], "score_chosen": 9.5}
MATH = {
    "problem": "What is $2+3$?",
    "solution": "5",
    "answer": "5",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "a/1",
}
GPQA = {
    "Record ID": "rec1",
    "Question": "Which is a metal?",
    "Correct Answer": "iron",
    "Incorrect Answer 1": "neon",
    "Incorrect Answer 2": "sulphur",
    "Incorrect Answer 3": "helium",
}
MMLU = {
    "question_id": 70,
    "question": "Which is even?",
    "options": ["1", "2", "3"],
    "answer": "B",
    "answer_index": 1,
    "category": "math",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """`datasets` keeps what it prepares in a folder of this test's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def jsonl(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_hir_verifiers_follow_the_source_type(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        one, two, three, four = load("hir16k", jsonl(tmp_path / "hir.jsonl", *HIR))
    # our rule where there is one, without arguments that are null; else the judge on the text, and that is said
    assert one.criteria == (
        Criterion("No commas.", "ifeval:punctuation:no_comma"),
        Criterion("Say the word red once.", "judge", {"unruled": "keywords:word_once"}),
    )
    assert "keywords:word_once (1)" in caplog.text
    assert two.criteria == (Criterion("At least three numbers.", "ifbench:count:numbers", {"N": 3}),)
    assert three.criteria[0].verifier == "muldimif:Length_Words"
    assert three.criteria[0].args == {"type": "Length", "subtype": "Words", "text": "At most 50 words"}
    assert four.criteria == (
        Criterion("Fewer than 50 characters.", "code:python", {"code": CODE, "function": "check_following"}),
        Criterion("It is kind."),
    )
    assert [prompt.source for prompt in (one, four)] == ["hir16k:type1", "hir16k:type4"]


def test_hir_constraints_without_a_rule_go_to_the_judge(tmp_path):
    triples = [["Length", "Words", "Mind the length"], ["Tone", "Warmth", "Be warm"]]
    row = {**HIR[2], "criteria": ["Mind the length", "Be warm"], "ground_truth": {"constraints": triples}}
    (prompt,) = load("hir16k", jsonl(tmp_path / "hir.jsonl", row))
    assert [c.verifier for c in prompt.criteria] == ["judge", "judge"]
    assert [c.args["unruled"] for c in prompt.criteria] == ["Length/Words", "Tone/Warmth"]


def test_hir_truth_may_be_json_text(tmp_path):
    rows = [{**row, "ground_truth": json.dumps(row["ground_truth"])} for row in HIR]
    assert load("hir16k", jsonl(tmp_path / "a.jsonl", *rows)) == load("hir16k", jsonl(tmp_path / "b.jsonl", *HIR))


def asks(family, instruction, **args):
    """A row whose only constraint is that instruction."""
    truth = {"instruction_id_list": [instruction], "kwargs": [args]}
    return {"source": family, "criteria": ["x"], "ground_truth": truth}


WRONG_ARGUMENTS = [
    (asks("type1", "length_constraints:number_words", relation="exactly", num_words=3), "argument 'relation' must be"),
    (asks("type1", "keywords:frequency", keyword="red", relation="at least"), "argument 'frequency' must be"),
    (asks("type1", "length_constraints:nth_paragraph_first_word", num_paragraphs=9, nth_paragraph=9), "'first_word'"),
    (
        asks("type2", "count:numbers", N="three"),
        ": instruction 1: ifbench:count:numbers: argument 'N' must be",
    ),
    (asks("type2", "count:keywords_multiple", keyword1="a", keyword2="b", keyword3="c", keyword4="d"), "'keyword5'"),
]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *WRONG_ARGUMENTS,
        ({"source": "type9"}, "unknown source type 'type9'"),
        ({"criteria": []}, "'criteria'"),
        ({"criteria": ["only one"]}, "2 entries in 'checker' for 1 criteria"),
        ({"prompt": None}, "'prompt'"),
        ({"ground_truth": {"checker": ["[?]", "[llm]"], "functions": [CODE, ""]}}, "neither '[llm]' nor '[rule]'"),
        ({"ground_truth": "{"}, "not valid JSON"),
        ({"id": 0}, "id '0' was already used"),
    ],
)
def test_a_bad_hir_row_is_named(tmp_path, change, message):
    path = jsonl(tmp_path / "hir.jsonl", *HIR[:3], {**HIR[3], **change})
    with pytest.raises(RTTError) as error:
        load("hir16k", path)
    assert message in str(error.value)
    assert f"{path}:4" in str(error.value)


def test_benchmarks_and_their_rules(tmp_path):
    (ifeval,) = load("ifeval", jsonl(tmp_path / "ifeval.jsonl", IFEVAL))
    assert (ifeval.id, ifeval.criteria[0].verifier, ifeval.criteria[0].args) == ("7", "ifeval:punctuation:no_comma", {})
    for name in ("ifbench", "ifbench-head"):
        (item,) = load(name, jsonl(tmp_path / f"{name}.jsonl", IFBENCH))
        assert item.criteria[0].verifier == f"{name}:count:numbers"
        assert item.criteria[0].args == {"N": 3}
    path = tmp_path / "muldimif.json"
    path.write_text(json.dumps([MULDIMIF]))
    (muldimif,) = load("muldimif", path)
    assert (muldimif.id, muldimif.criteria[0].verifier) == ("m1", "muldimif:Length_Words")


def test_advancedif_is_a_chat_with_soft_criteria(tmp_path):
    path = tmp_path / "if.csv"
    datasets.Dataset.from_list([ADVANCEDIF]).to_csv(str(path))
    (prompt,) = load("advancedif", path)
    assert prompt.criteria == (Criterion("Is it brief?"), Criterion("Does it greet?"))
    assert prompt.prompt == "[system]\nBe brief.\n\n[user]\nHi"
    assert prompt.chat() == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (prompt.id, prompt.source) == ("advancedif-1", "advancedif:system_steerability_v2")


def test_a_list_of_messages_in_hir_stays_a_conversation(tmp_path):
    chat = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Name two animals."},
    ]
    path = jsonl(tmp_path / "hir.jsonl", HIR[1] | {"prompt": chat}, HIR[2] | {"prompt": [chat[1]]}, HIR[0])
    several, one, text = load("hir16k", path)
    assert several.chat() == chat
    assert several.prompt.startswith("[system]\nYou are terse.\n\n[user]\nHi\n\n[assistant]")
    assert (one.prompt, one.chat()) == ("Hi", [chat[1]])
    assert text.chat() == [{"role": "user", "content": HIR[0]["prompt"]}]


def test_infobench_questions_are_soft_criteria(tmp_path):
    rows = [INFOBENCH, {**INFOBENCH, "id": "domain_2", "input": "Ann"}]
    first, second = load("infobench", jsonl(tmp_path / "info.jsonl", *rows))
    assert (first.id, first.prompt, first.source) == ("domain_1", "Greet.", "infobench")
    assert first.criteria == (Criterion("Is it a greeting?"), Criterion("Is it brief?"))
    assert second.prompt == "Greet.\n\nAnn"
    with pytest.raises(RTTError, match=r"info\.jsonl:1: field 'decomposed_questions' must be a list of non-empty"):
        load("infobench", jsonl(tmp_path / "info.jsonl", {**INFOBENCH, "decomposed_questions": []}))


def test_tulu_gives_prompt_and_response(tmp_path):
    path = tmp_path / "tulu.parquet"
    datasets.Dataset.from_list([TULU]).to_parquet(str(path))
    (item,) = load("tulu3", path)
    assert isinstance(item, Demonstration)
    assert (item.prompt.prompt, item.prompt.criteria, item.response) == ("Say hello.", (), "Hello.")
    with pytest.raises(RTTError, match="'tulu3' has responses and no rubrics"):
        load_prompts("tulu3", path)


def test_questions_and_their_answers(tmp_path):
    (math,) = load("math500", jsonl(tmp_path / "math.jsonl", MATH))
    assert (math.id, math.answer, math.kind) == ("a/1", "5", "math")
    assert "\\boxed{}" in math.prompt and "$2+3$" in math.prompt
    path = tmp_path / "mmlu.parquet"
    datasets.Dataset.from_list([MMLU]).to_parquet(str(path))
    (mmlu,) = load("mmlu-pro", path)
    assert (mmlu.id, mmlu.answer, mmlu.kind) == ("70", "B", "choice")
    assert "B. 2" in mmlu.prompt


def test_gpqa_options_are_shuffled_by_the_seed_and_the_answer_follows(tmp_path):
    path = jsonl(tmp_path / "gpqa.jsonl", *({**GPQA, "Record ID": f"rec{i}"} for i in range(40)))
    questions = load("gpqa", path, seed=1)
    assert all(f"{question.answer}. iron" in question.prompt for question in questions)
    assert {question.answer for question in questions} == set("ABCD")
    assert load("gpqa", path, seed=1) == questions != load("gpqa", path, seed=2)


def test_an_id_that_a_row_lacks_is_its_number(tmp_path):
    rows = [{**GPQA, "Record ID": None}, {k: v for k, v in GPQA.items() if k != "Record ID"}]
    array = tmp_path / "a folder" / "gpqa.json"
    array.parent.mkdir()
    array.write_text(json.dumps(rows))
    table = tmp_path / "gpqa.csv"
    datasets.Dataset.from_list([GPQA | {"Record ID": None}] * 2).to_csv(str(table))
    for path in (jsonl(tmp_path / "gpqa.jsonl", *rows), array, table):
        assert [question.id for question in load("gpqa", path)] == ["gpqa-1", "gpqa-2"]


def test_hub_ids_are_read_through_datasets(tmp_path, monkeypatch):
    """A folder named like the hub id is what `datasets` takes first: the same call as with the hub."""
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "sastpg/HIR-16K/HIR_trainv1.jsonl", *HIR)  # four shapes of ground_truth in one column
    assert load("hir16k") == load("hir16k", tmp_path / "sastpg/HIR-16K/HIR_trainv1.jsonl")
    gpqa = tmp_path / "Idavidrein/gpqa"
    gpqa.mkdir(parents=True)
    for config, metal in (("gpqa_main", "iron"), ("gpqa_diamond", "tin")):
        datasets.Dataset.from_list([{**GPQA, "Correct Answer": metal}]).to_csv(str(gpqa / f"{config}.csv"))
    configs = "".join(f"- config_name: {c}\n  data_files: {c}.csv\n" for c in ("gpqa_diamond", "gpqa_main"))
    (gpqa / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    (question,) = load("gpqa")
    assert isinstance(question, Question)
    assert ". iron" in question.prompt


def test_what_cannot_be_loaded_says_so(tmp_path):
    with pytest.raises(RTTError, match="choose one of hir16k"):
        load("hir17k")
    with pytest.raises(RTTError, match=r"missing: cannot be loaded .*local file"):
        load("hir16k", tmp_path / "missing")
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(RTTError, match=r"use a .jsonl"):
        load("hir16k", tmp_path / "rows.txt")
    with pytest.raises(RTTError, match="holds no rows"):
        load("hir16k", jsonl(tmp_path / "empty.jsonl"))
    with pytest.raises(RTTError, match=r"mmlu.jsonl:1: field 'answer' must be the letter of one of 3"):
        load("mmlu-pro", jsonl(tmp_path / "mmlu.jsonl", {**MMLU, "answer": "D"}))
    with pytest.raises(RTTError, match=r"gpqa.jsonl:1: field 'Incorrect Answer 3' is missing"):
        load("gpqa", jsonl(tmp_path / "gpqa.jsonl", {k: v for k, v in GPQA.items() if k != "Incorrect Answer 3"}))
    with pytest.raises(RTTError, match="must end with the assistant's reply"):
        load("tulu3", jsonl(tmp_path / "tulu.jsonl", {**TULU, "messages": TULU["messages"][:1]}))


def test_ultrafeedback_is_prompts_alone(tmp_path):
    found = load("ultrafeedback", jsonl(tmp_path / "prompts.jsonl", ULTRAFEEDBACK, ULTRAFEEDBACK))
    assert found[0] == RubricPrompt("ultrafeedback-1", "Why is iron red?", (), source="ultrafeedback")
    assert [prompt.id for prompt in found] == ["ultrafeedback-1", "ultrafeedback-2"]
    with pytest.raises(RTTError, match=r"rows.jsonl:1: field 'prompt' is missing"):
        load("ultrafeedback", jsonl(tmp_path / "rows.jsonl", {"instruction": "Why is iron red?"}))


def test_limit_reads_only_so_many(tmp_path):
    assert len(load("hir16k", jsonl(tmp_path / "hir.jsonl", *HIR), limit=2)) == 2


def test_every_data_set_of_the_paper_is_there():
    assert set(SOURCES) == {
        "hir16k", "tulu3", "ifeval", "ifbench", "ifbench-head", "muldimif", "advancedif", "infobench", "math500",
        "gpqa", "mmlu-pro", "conifer", "ultrafeedback",
    }  # fmt: skip
