"""The composer: verdicts and evidence of its constraints, that they hold together, and that no test prompt leaks."""

import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.relevance.responses import construct, without
from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.compose import (
    FAMILIES,
    INCOMPATIBLE,
    Task,
    compose,
    consistent,
    default_tasks,
    load_data,
    read_tasks,
)
from rtt_lib.rubrics.decontaminate import decontaminate
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check, composed, verify
from rtt_lib.verify.registry import find_rule

TASKS = default_tasks()
TEXT = 'Good day.\n\nThe "old way" works, (mostly) for me!\n- a map\n- {time}\nMood: calm\n\nWhy not 5?\nCoda: map it.'


@pytest.fixture(scope="module")
def prompts() -> list[RubricPrompt]:
    return compose(TASKS, 1000, seed=11)


def criterion(name: str, **args) -> Criterion:
    return Criterion(name, f"composed:{name}", args)


# ------------------------------------------------------------------------------------------------------- verifiers


@pytest.mark.parametrize(
    ("name", "args", "value", "evidence"),
    [
        ("start", {"phrase": "Good day."}, True, ["Good day."]),
        ("start", {"phrase": "good day."}, False, []),
        ("end", {"phrase": "map it."}, True, ["map it."]),
        ("keywords", {"words": ["MAP", "day"]}, True, ["day", "map", "map"]),
        ("keywords", {"words": ["map", "ma"]}, False, []),
        ("title", {"left": "==", "right": "=="}, False, []),
        ("title", {"left": "Good", "right": "."}, True, ["Good day."]),
        ("postscript", {"marker": "Coda:"}, True, ["Coda: map it."]),
        ("postscript", {"marker": "Mood:"}, False, []),
        ("label", {"label": "Mood:"}, True, ["Mood: calm"]),
        ("placeholder", {}, True, ["{time}"]),
        ("aside", {}, True, ["(mostly)"]),
        ("quotation", {}, True, ['"old way"']),
        ("question", {}, True, ["Why not 5?"]),
        ("nth_start", {"n": 2, "word": "The"}, True, ["The"]),
        ("nth_start", {"n": 9, "word": "The"}, False, []),
        ("no_commas", {}, False, [","]),
        ("forbidden", {"words": ["way", "works", "other"]}, False, ["way", "works"]),
        ("forbidden", {"words": ["wor"]}, True, []),
        ("no_digits", {}, False, ["5"]),
        ("no_exclamations", {}, False, ["!"]),
        ("no_questions", {}, False, ["?"]),
        ("no_quotes", {}, False, ['"', '"']),
        ("no_first_person", {}, False, ["me"]),
        ("no_sentence_start", {"word": "why"}, False, ["Why"]),
        ("no_sentence_start", {"word": "mood"}, True, []),  # that line has no end, so it is no sentence
        ("words", {"min": 20, "max": 20}, True, []),
        ("words", {"max": 19}, False, []),
        ("sentences", {"relation": "exactly", "n": 4}, True, []),
        ("sentences", {"relation": "at_least", "n": 5}, False, []),
        ("paragraphs", {"n": 3}, True, []),
        ("sentence_words", {"max": 6}, False, ['The "old way" works, (mostly) for me!']),
        ("keyword_count", {"word": "map", "relation": "exactly", "n": 2}, True, ["map", "map"]),
        ("keyword_count", {"word": "map", "relation": "at_least", "n": 3}, False, ["map", "map"]),
        ("bullets", {"mark": "-", "n": 2}, True, ["- a map", "- {time}"]),
        ("lowercase", {}, False, ["Good", "The", "Mood", "Why", "Coda"]),
    ],
)
def test_verdicts_and_evidence(name, args, value, evidence):
    verdict = check(criterion(name, **args), "", TEXT)
    assert verdict.value is value, verdict.reason
    assert [TEXT[start:end] for start, end in verdict.spans] == evidence


def test_one_case():
    assert verify(criterion("lowercase"), "", "all small, 3 of them") is True
    assert verify(criterion("uppercase"), "", "ALL BIG") is True
    assert verify(criterion("uppercase"), "", "123") is False  # no letter at all


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("start", {}, "'phrase'"),
        ("words", {}, "'min' or 'max'"),
        ("words", {"min": "ten"}, "'min'"),
        ("sentences", {"relation": "about", "n": 3}, "'relation'"),
        ("keywords", {"words": []}, "'words'"),
        ("forbidden", {"words": [1]}, "'words'"),
        ("bullets", {"mark": "-", "n": True}, "'n'"),
    ],
)
def test_bad_arguments_are_named(name, args, message):
    with pytest.raises(RTTError, match=message):
        check(criterion(name, **args), "", "some text")


SAMPLE = {c.family: c for p in compose(TASKS, 200, seed=3) for c in p.criteria}


@given(st.text(alphabet=st.characters(codec=None), max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_verdict_whose_spans_lie_in_it(text):
    assert set(SAMPLE) == set(FAMILIES)
    for each in SAMPLE.values():
        verdict = check(each, "", text)
        assert verdict.value in (True, False)
        assert all(0 <= start < end <= len(text) for start, end in verdict.spans)


@pytest.mark.parametrize("text", ["a " * 50_000, "\n" * 100_000, '"{(' * 30_000, "?!" * 50_000, "a.\n\n" * 20_000,
                                  "." * 100_000 + "x", "“" * 100_000, "“a" * 50_000, ".”" * 50_000 + "x"])  # fmt: skip
def test_long_texts_take_linear_time(text):
    began = time.process_time()
    for name in ("question", "quotation", "placeholder", "aside", "label"):
        check(SAMPLE[name], "", text)
    for name in ("sentences", "paragraphs"):
        check(SAMPLE[name], "", text)
    assert time.process_time() - began < 5  # quadratic time would be minutes


ENDS_AND_QUOTES = st.text(alphabet="a.!?\"”’') \n“", max_size=25)


@given(ENDS_AND_QUOTES)
@settings(max_examples=500, deadline=None)
def test_fast_patterns_find_what_the_plain_ones_find(text):
    plain = r"[.!?]+[\"”’')\]]*(?=\s|$)|\n"
    assert [m.span() for m in composed.SENTENCE_END.finditer(text)] == [m.span() for m in re.finditer(plain, text)]
    if not re.search("“[^”\n]*“", text):  # of a quotation within another, the plain one finds the outer one
        plain = r"\"[^\"\n]+\"|“[^”\n]+”"
        assert [m.span() for m in composed.QUOTED.finditer(text)] == [m.span() for m in re.finditer(plain, text)]


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_response_violates_everything(blank):
    """It has no comma, no question and few words: to be rewarded for that a policy would only have to end at once."""
    for each in SAMPLE.values():
        assert verify(each, "", blank) is False, each
    assert verify(criterion("sentences", relation="at_most", n=3), "", blank) is False
    with pytest.raises(RTTError, match="'words'"):
        verify(criterion("forbidden", words=[1]), "", blank)


# --------------------------------------------------------------------------------------------------------- composing


def test_more_than_ten_thousand_tasks_come_with_the_package():
    assert len({task.prompt for task in TASKS}) == len({task.id for task in TASKS}) == len(TASKS) >= 10_000
    assert not any("{" in task.prompt for task in TASKS)


def test_a_thousand_composed_prompts_are_all_satisfiable(prompts):
    began = time.process_time()
    responses = [construct(prompt, seed=0) for prompt in prompts]
    seconds = time.process_time() - began
    for prompt, response in zip(prompts, responses, strict=True):
        assert [c.family for c in prompt.criteria if verify(c, prompt.prompt, response) is not True] == []
    assert len(set(responses)) == len(responses)
    lengths = sorted(len(response.split()) for response in responses)
    assert lengths[50] >= 20 and lengths[-50] <= 130
    assert seconds < 5  # of CPU; 1.4 s measured


def test_none_is_contradictory(prompts):
    for prompt in prompts:
        names = [c.family for c in prompt.criteria]
        assert len(names) == len(set(names))
        assert not any(pair <= set(names) for pair in INCOMPATIBLE)
        assert consistent({c.family: c.args for c in prompt.criteria}, prompt.task)


@pytest.mark.parametrize(
    ("args", "task"),
    [
        ({"no_exclamations": {}, "end": {"phrase": "Back to work!"}}, ""),
        ({"forbidden": {"words": ["maybe"]}, "start": {"phrase": "Well maybe"}}, ""),
        ({"keyword_count": {"word": "raft", "relation": "exactly", "n": 2}, "keywords": {"words": ["raft"]}}, ""),
        ({"no_sentence_start": {"word": "truth"}, "start": {"phrase": "Truth be told"}}, ""),
        ({"no_first_person": {}, "start": {"phrase": "My two pennies:"}}, ""),
        ({"forbidden": {"words": ["chess"]}}, "Write about chess clubs."),
    ],
)
def test_a_contradiction_is_seen(args, task):
    assert not consistent(args, task)
    for name in args:
        assert consistent({name: args[name]}, "")


def test_what_a_prompt_says_is_what_is_checked(prompts):
    for prompt in prompts:
        assert prompt.task in prompt.prompt
        for each in prompt.criteria:
            assert each.text in prompt.prompt
            for value in each.args.values():
                values = value if isinstance(value, list) else [value]
                told = each.text.replace("twice", "2 times").replace("second", "2").replace("third", "3")
                told = told.replace("fourth", "4").replace("fifth", "5")
                assert all(str(v) in told for v in values if v not in ("exactly", "at_least", "at_most")), each


def test_every_wording_is_used_and_complete():
    wordings = load_data("wordings")
    assert {name.split(".")[0] for name in wordings} == set(FAMILIES)
    assert all(len(set(texts)) >= 3 for texts in wordings.values())


def test_seeded_and_independent_of_n(prompts):
    assert compose(TASKS, 20, seed=11) == prompts[:20]
    assert compose(TASKS, 20, seed=12) != prompts[:20]
    assert len({prompt.prompt for prompt in prompts}) == len({prompt.id for prompt in prompts}) == 1000


def test_numbers_of_constraints_and_families(prompts):
    counts = Counter(len(prompt.criteria) for prompt in prompts)
    assert set(counts) == set(range(1, 8)) and min(counts.values()) > 80
    seen = Counter(c.family for prompt in prompts for c in prompt.criteria)
    assert set(seen) == set(FAMILIES)
    places = Counter((find_rule(f"composed:{f}").scope, find_rule(f"composed:{f}").polarity) for f in FAMILIES)
    assert places == {("local", "positive"): 11, ("local", "negative"): 8, ("global", "positive"): 8}


def test_difficulty_and_families():
    easy, hard = (compose(TASKS, 200, seed=1, difficulty=level) for level in ("easy", "hard"))
    mean = [sum(len(p.criteria) for p in part) / 200 for part in (easy, hard)]
    assert mean[0] < 3 and mean[1] > 5
    kept = tuple(name for name in FAMILIES if name not in ("no_commas", "words"))
    held_out = compose(TASKS, 100, seed=1, families=kept)
    assert {c.family for p in held_out for c in p.criteria} <= set(kept)
    four = compose(TASKS, 50, seed=1, min_constraints=4, max_constraints=4)
    assert {len(p.criteria) for p in four} == {4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_constraints": 0}, "within 1 to 7"),
        ({"max_constraints": 8}, "within 1 to 7"),
        ({"difficulty": "brutal"}, "difficulty 'brutal'"),
        ({"families": ("commas",)}, "unknown constraint families"),
        ({"families": ("lowercase", "uppercase"), "min_constraints": 2}, "no 2 constraints of lowercase, uppercase"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(RTTError, match=message):
        compose(TASKS, 3, seed=0, **settings)


def test_tasks_from_a_file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "a", "prompt": "Name a bird."}\n{"id": "b", "prompt": "x", "maybe_constrained": true}\n')
    assert read_tasks(path) == [Task("a", "Name a bird.")]
    prompts = compose(read_tasks(path), 5, seed=0)  # more prompts than tasks: other constraints each time
    assert len({p.prompt for p in prompts}) == 5
    assert all(verify(c, p.prompt, construct(p, 0)) for p in prompts for c in p.criteria)
    path.write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}\n')
    with pytest.raises(RTTError, match=r"tasks.jsonl:2: id 'a' was already used in line 1"):
        read_tasks(path)
    path.write_text('{"id": "a", "prompt": " "}\n')
    with pytest.raises(RTTError, match=r"tasks.jsonl:1: field 'prompt'"):
        read_tasks(path)


def test_what_cannot_be_constructed_is_an_error():
    clash = RubricPrompt("x", "q", (criterion("words", min=50), criterion("sentences", relation="at_most", n=1)))
    with pytest.raises(RTTError, match="prompt x: no response found"):
        construct(clash, 0)
    with pytest.raises(RTTError, match="'phrase'"):
        construct(RubricPrompt("x", "q", (criterion("start", phrase=3),)), 0)
    with pytest.raises(RTTError, match="no line of the bank 'items'"):
        construct(RubricPrompt("x", "q", (criterion("forbidden", words=["a", "the", "time", "someone", "paper", "fresh",
                  "room", "an", "basic", "friends"]), criterion("bullets", n=2, mark="-"))), 0)  # fmt: skip
    with pytest.raises(RTTError, match="only composed criteria"):
        construct(RubricPrompt("x", "q", (Criterion("Be kind."),)), 0)


def test_withholding_a_criterion(prompts):
    prompt = next(p for p in prompts if len(p.criteria) == 3)
    assert without(prompt, 1).criteria == (prompt.criteria[0], prompt.criteria[2])


# ---------------------------------------------------------------------------------------------------- decontamination

OWN_BENCHMARK = [
    RubricPrompt(
        "b1",
        "Write a poem about rivers. Do not use the words mud and stone anywhere. Finish with: That is all for today.",
        (
            Criterion("", "ifeval:keywords:forbidden_words", {"forbidden_words": ["mud", "stone"], "num": None}),
            Criterion("", "ifeval:startend:end_checker", {"end_phrase": "That is all for today."}),
        ),
    ),
    RubricPrompt("b2", "请写一首关于黄河的古诗。不要使用逗号和句号。", (Criterion("不要使用逗号和句号"),)),
]


def leaking(text="Be brief.", task="Name a bird.", **args) -> RubricPrompt:
    return RubricPrompt("p1", f"{task} {text}", (Criterion(text, "composed:x", args),), task)


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (leaking(), None),
        (leaking("Also use the words mud and clay."), None),  # five words in common are plain English
        (leaking("Please do not use the words mud and clay."), "wording"),
        (leaking(words=["Mud"]), "parameter"),
        (leaking(phrase="That is all"), "parameter"),
        (leaking(phrase="And that is all for now"), "parameter"),
        (leaking(mark="mud"), None),  # a choice among a few signs, not a wording
        (leaking(task="Write a poem about rivers. Do not be long."), None),
        (leaking(task="Write a poem about rivers. Do not use rhymes."), "task"),
        (leaking(task="为我写一篇关于春天的短文"), None),  # six characters in common
        (leaking(task="写一首关于黄河的古诗吧"), "task"),
        (leaking("不要使用逗号和句号。"), "wording"),
    ],
)
def test_decontamination_finds_what_is_shared(prompt, kind):
    report = decontaminate([prompt], OWN_BENCHMARK)
    assert {overlap.kind for overlap in report.overlaps} == ({kind} if kind else set())
    assert report.clean is (kind is None)
    assert {overlap.prompt_id for overlap in report.overlaps} == ({"p1"} if kind else set())


def test_a_prompt_that_does_not_name_its_task_is_compared_whole():
    """As in HiR-16K: constraints in the benchmark's usual words are told from the benchmark's task."""
    rule = Criterion("Do not use the words mud and stone.", "ifeval:keywords:forbidden_words",
                     {"forbidden_words": ["mud", "clay"]})  # fmt: skip
    same = RubricPrompt("same", "Please write a poem about rivers. Do not use the words mud and stone!", (rule,))
    other = RubricPrompt("other", "Name three lakes. Do not use the words mud and stone anywhere.", (rule,))
    code = Criterion("Be brief.", "code:python", {"code": "# that is all for today\n", "function": "f"})
    unruled = Criterion("Be kind.", args={"unruled": "mud"})
    apart = RubricPrompt("apart", "Name a bird. Be brief. Be kind.", (code, unruled))
    report = decontaminate([same, other, apart], OWN_BENCHMARK)
    assert {overlap.prompt_id for overlap in report.overlaps if overlap.kind == "task"} == {"same"}
    assert {overlap.prompt_id for overlap in report.overlaps} == {"same", "other"}
    assert str(report) == "3 training prompts beside 2 of benchmarks; how many share wordings 2, parameters 2, tasks 1"


def test_composed_prompts_share_nothing_with_the_test_sets(prompts):
    assert decontaminate(prompts, OWN_BENCHMARK).clean
    data = os.environ.get("RTT_TEST_DATA")
    if not data:
        pytest.skip("compared with a small benchmark of our own only: RTT_TEST_DATA is not set")
    benchmarks = {"ifeval": "ifeval.jsonl", "ifbench": "ifbench.jsonl", "ifbench-head": "ifbench_head_300.jsonl",
                  "muldimif": "muldimif.json"}  # fmt: skip
    rows = [p for name, file in benchmarks.items() for p in read_benchmark(name, Path(data) / "benchmarks" / file)]
    report = decontaminate(prompts, rows)
    assert report.n_benchmark == 541 + 294 + 300 + 1200
    assert report.clean, [str(overlap) for overlap in report.overlaps[:5]]


def test_given_tasks_compose_too():
    data = os.environ.get("RTT_TEST_DATA")
    if not data:
        pytest.skip("needs a larger set of tasks: RTT_TEST_DATA is not set")
    tasks = read_tasks(Path(data) / "tasks.jsonl")
    assert len(tasks) == 3529 - 42
    for prompt in compose(tasks, 200, seed=0):
        response = construct(prompt, 0)
        assert all(verify(c, prompt.prompt, response) for c in prompt.criteria)
