"""What training prompts share with a benchmark is found."""

import os
from pathlib import Path

import pytest
from test_compose import TASKS

from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.compose import compose
from rtt_lib.rubrics.decontaminate import decontaminate
from rtt_lib.schema import Criterion, RubricPrompt


@pytest.fixture(scope="module")
def prompts() -> list[RubricPrompt]:
    return compose(TASKS, 1000, seed=11)


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


@pytest.mark.slow
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
