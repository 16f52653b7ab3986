"""Whatever is in a file or an answer: a result or an error that a person can read, nothing else, and no hang."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import math

import numpy as np
import pandas as pd
import pytest
import test_sources as rows
import yaml
from hypothesis import strategies as st
from sizes import anything, fuzz, result_or_error, scalars
from test_followbench import group
from test_ifeval import argument_sets

from rtt_lib import endpoint, stats
from rtt_lib.bench.conform.items import read
from rtt_lib.bench.grade import read_answers
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.profile import Profile
from rtt_lib.relevance import llm_annotate
from rtt_lib.rubrics.benchmarks import BENCHMARKS, read_benchmark, read_rows
from rtt_lib.rubrics.compose import read_tasks
from rtt_lib.rubrics.conifer.conversations import Conversation
from rtt_lib.rubrics.followbench import read_followbench
from rtt_lib.rubrics.sources import SOURCES, Demonstration, Question, load
from rtt_lib.run.state import discover, source_digest
from rtt_lib.schema import RubricPrompt, criterion_from_json
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify import check, judge
from rtt_lib.verify.registry import FAMILIES, RULES, find_rule
from rtt_lib.verify.verdict import Verdict

GOOD = {
    "hir16k": rows.HIR,
    "tulu3": [rows.TULU],
    "ifeval": [rows.IFEVAL],
    "ifbench": [rows.IFBENCH],
    "ifbench-head": [rows.IFBENCH],
    "muldimif": [rows.MULDIMIF],
    "advancedif": [rows.ADVANCEDIF],
    "infobench": [rows.INFOBENCH],
    "math500": [rows.MATH],
    "gpqa": [rows.GPQA],
    "mmlu-pro": [rows.MMLU],
    "conifer": [rows.CONIFER],
    "ultrafeedback": [rows.ULTRAFEEDBACK],
}
FOLLOWBENCH = group("content", 1, "quora") + group("example", 1, "xsum", start=1)
PROMPT = {
    "id": "p1",
    "prompt": "Say it. No commas.",
    "criteria": [{"text": "No commas.", "verifier": "ifeval:punctuation:no_comma", "args": {}}],
    "task": "Say it.",
    "source": "ours",
}
PROFILE = {
    "name": "small",
    "about": "Small.",
    "data": {"source": "micro", "seed": 4},
    "policy": {"model": "micro", "pretrain_steps": 5},
    "discriminator": {"model": "micro", "seeds": [0, 1]},
    "rl": {"steps": 2, "learning_rate": 1e-6},
    "experiments": {"core": {"arms": ["RL-AON"], "seeds": ["A0"], "worlds": ["L"]}},
    "evaluation": {"benchmarks": [], "prompts": 4, "top_p": 0.5},
    "compute": {"workers": 1, "vllm": "off", "judge_url": None},
}
NOTEBOOK = {
    "cells": [
        {
            **{"cell_type": "code", "source": ["1"], "metadata": {"tags": ["parameters"]}, "id": "a"},
            **{"outputs": [], "execution_count": None},
        }
    ],
    "metadata": {"rtt": {"needs": []}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
BROKEN = (b"", b"{", b"[" * 100_000, b'{"a": 1, "a": 2}', b"\xff\xfe", b"null", b'{"id": "a"}\x00', b"1" * 5000)


@st.composite
def changed(draw: st.DrawFn, good: list) -> object:
    """A good value of the list, up to three places in it gone, replaced by anything, or made longer."""
    value = copy.deepcopy(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 3))):
        node = value
        while node:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[key], (dict, list)) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            if draw(st.integers(0, 3)) == 0:
                del node[key]
            else:
                node[key] = draw(anything)
            break
    return value


def lines(values: list, compressed: bool) -> bytes:
    """JSON lines; NaN and infinity are written as Python's own reader takes them."""
    data = b"\n".join(value if isinstance(value, bytes) else json.dumps(value).encode() for value in values)
    return gzip.compress(data, mtime=0) if compressed else data


def several(good: list) -> st.SearchStrategy[bytes]:
    """The bytes of a file of rows, most of them nearly good; or no rows at all."""
    row = changed(good) | anything | st.sampled_from(BROKEN)
    return st.builds(lines, st.lists(row, min_size=1, max_size=3), st.just(False)) | st.binary(max_size=60)


def put(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


# --- files ---


@fuzz(several([PROMPT]), st.sampled_from(["x.jsonl", "x.jsonl.gz", "zipped"]))
def test_any_file_is_rows_or_an_error(folder, data, name):
    path = put(folder, "x.jsonl.gz" if name == "zipped" else name, gzip.compress(data) if name == "zipped" else data)
    for _, row in result_or_error(lambda: list(read_jsonl(path))) or []:
        assert isinstance(row, dict)
    result_or_error(read_json, path)


@fuzz(several([PROMPT]))
def test_any_file_of_tasks_is_tasks_or_an_error(folder, data):
    result_or_error(read_tasks, put(folder, "tasks.jsonl", data))


def test_every_data_set_is_changed_below():
    assert set(GOOD) == set(SOURCES)


@pytest.mark.parametrize("name", GOOD)
def test_the_rows_that_are_changed_below_are_good(name, tmp_path):
    assert load(name, put(tmp_path, "x.jsonl", lines(GOOD[name], False)))


@fuzz(st.sampled_from(sorted(GOOD)).flatmap(lambda name: st.tuples(st.just(name), several(GOOD[name]))), st.booleans())
def test_any_data_set_is_items_or_an_error(folder, named, as_array):
    name, data = named
    if as_array:
        data = b"[" + data.replace(b"\n", b",") + b"]"
    path = put(folder, "x.json" if as_array else "x.jsonl", data)
    for item in result_or_error(load, name, path) or []:
        if isinstance(item, Conversation):
            assert all(answer.strip() for _, answer in item.examples())
            continue
        assert isinstance(item, RubricPrompt | Question | Demonstration)
        prompt = item.prompt if isinstance(item, Demonstration) else item
        assert isinstance(prompt.prompt, str) and isinstance(getattr(prompt, "source", ""), str)


@fuzz(st.sampled_from(BENCHMARKS).flatmap(lambda name: st.tuples(st.just(name), several(GOOD[name]))))
def test_any_benchmark_file_is_prompts_or_an_error(folder, named):
    result_or_error(read_benchmark, named[0], put(folder, "x.jsonl", named[1]))


@fuzz(changed([FOLLOWBENCH]) | anything)
def test_any_file_of_levels_is_prompts_or_an_error(folder, content):
    path = put(folder, "x.json", json.dumps(content).encode())
    for prompt in result_or_error(read_followbench, path) or []:
        assert prompt.prompt.strip() and prompt.criteria


@fuzz(several([{"prompt": rows.IFEVAL["prompt"], "response": "One\ntwo"}]), several([{"id": "m1", "response": ""}]))
def test_any_file_of_responses_is_answers_or_an_error(folder, by_prompt, by_id):
    benchmark = put(folder, "x.jsonl", lines([rows.IFEVAL], False))
    for data, key in ((by_prompt, "prompt"), (by_id, "id")):
        for answer in (
            result_or_error(read_answers, put(folder, "r.jsonl", data), read_rows("ifeval", benchmark), key) or []
        ):
            assert isinstance(answer.response, str)


@fuzz(changed([NOTEBOOK]) | anything)
def test_any_notebook_is_found_or_an_error(folder, content):
    put(folder, "01_x.ipynb", json.dumps(content).encode())
    for notebook in result_or_error(discover, folder) or []:
        assert len(source_digest(notebook)) == 64


# --- profiles ---


@fuzz(changed([PROFILE]) | anything)
def test_any_values_are_a_profile_or_an_error(folder, tree):
    path = put(folder, "small.yaml", yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))
    profile = result_or_error(load_profile, path)
    assert profile is None or isinstance(profile, Profile)


YAML_PIECES = [
    *("a: ", "- ", "&x ", "*x", "!!python/object:os.system ", "!!int ", "{", "}", "[", "]", "\n", "  ", "<<: ", "1e-6"),
    *("'", '"', "|", ">", "\t", "%", "@", "# ", "? ", "!!timestamp ", "!!binary ", "~", "\x85"),
]


@fuzz(st.binary(max_size=80) | st.lists(st.sampled_from(YAML_PIECES), max_size=15).map(lambda p: "".join(p).encode()))
def test_any_bytes_are_a_profile_or_an_error(folder, data):
    result_or_error(load_profile, put(folder, "x.yaml", data))


KEYS = st.sampled_from(["rl.steps", "rl", "experiments.core.arms", "data.path", "x.y", "", "rl."])
VALUES = st.text(max_size=12) | st.sampled_from(["[", "1", "~", "~nobody/x", "{a: 1}", "!!int x", "1" * 5000])


@fuzz(st.text(max_size=12), KEYS, VALUES)
def test_any_override_is_a_profile_or_an_error(folder, name, key, value):
    needed = {name: PROFILE[name] for name in ("about", "data", "policy", "discriminator", "rl")}
    path = put(folder, "small.yaml", json.dumps(needed).encode())
    result_or_error(load_profile, path, {key: value})
    result_or_error(load_profile, name)
    result_or_error(load_profile, f"~{name}/x.yaml")


# --- answers of servers ---


@fuzz(st.text(max_size=40) | st.sampled_from(["YES", "no.", "**Yes**", "<think>YES</think>NO", "yes no"]))
def test_any_judgement_is_yes_no_or_nothing(folder, text):
    assert result_or_error(judge.parse_answer, text) in (True, False, None)


ANNOTATION = {"type": "partial relevant", "segments": ["a b", "c"]}


@fuzz(st.text(max_size=40) | (changed([ANNOTATION]) | anything).map(json.dumps), st.text('ab c\n“"', max_size=20))
def test_any_annotation_is_a_label_or_a_problem(folder, answer, response):
    for text in (answer, f"```json\n{answer}\n```"):
        try:
            found = llm_annotate.locate(*llm_annotate.parse_answer(text), response)
        except ValueError as error:
            assert str(error)
            continue
        assert bool(found.label is None) == bool(found.problem)
        spans = found.label.spans if found.label else ()
        assert all(0 <= start <= end <= len(response) for start, end in spans)


CHAT = {"choices": [{"message": {"role": "assistant", "content": "YES"}}], "usage": {"prompt_tokens": 1}}
PASSES = (endpoint.Passing, endpoint.EndpointError)
DATES = [
    *("Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999 00:00:00 GMT", "1e999", "-5", "nan"),
    *("Mon, 01 Jan 2024 00:00:00 -0000", "Mon, 01 Jan 0001 00:00:00 +2359"),
]
BODIES = (changed([CHAT]) | anything).map(lambda value: json.dumps(value).encode())


@fuzz(
    st.just(200) | st.integers(100, 599),
    BODIES | st.sampled_from(BROKEN) | st.binary(max_size=30),
    st.sampled_from(["application/json", "text/html", ""]) | st.text(max_size=9),
    st.sampled_from(DATES) | st.text(max_size=30),
)
def test_any_answer_of_a_server_is_a_text_or_a_reason(folder, status, data, kind, wait):
    headers = {"content-type": kind, "retry-after": wait}
    answer = result_or_error(endpoint.read_answer, status, headers, data, errors=PASSES)
    if answer is not None:
        assert isinstance(result_or_error(endpoint.message_text, answer, errors=PASSES), str | None)
    seconds = endpoint.retry_after(headers)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


# --- verifiers ---


def rule_names() -> list[str]:
    for family in FAMILIES:
        with contextlib.suppress(RTTError):
            find_rule(f"{family}:none")  # its module registers its rules
    return sorted(RULES)


ARGUMENTS = (
    "word words n N m keyword keywords text type subtype relation phrase min max mark left right small_n sep options "
    "language letter prompt_to_repeat"
)
KNOWN = sorted({name for args in argument_sets().values() for name in args} | set(ARGUMENTS.split()))
WORDS = st.sampled_from(["at least", "less than", "at_most", "en", "a", "-", 2])
SMALL = scalars | st.lists(scalars, max_size=3) | WORDS


def of_family(family: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name for name in rule_names() if name.startswith(f"{family}:")])


def verdict_or_error(name, args, response):
    verdict = result_or_error(RULES[name].check, args, "a prompt", response)
    assert verdict is None or (isinstance(verdict, Verdict) and verdict.value in (True, False, None))


SOME = st.dictionaries(st.sampled_from(KNOWN), SMALL, max_size=5)


@fuzz(of_family("ifeval"), SOME, st.text(max_size=30))
def test_any_arguments_of_ifeval_give_a_verdict_or_an_error(folder, name, args, response):
    verdict_or_error(name, args, response)


@fuzz(of_family("ifbench") | of_family("ifbench-head"), SOME, st.text(max_size=30))
def test_any_arguments_of_ifbench_give_a_verdict_or_an_error(folder, name, args, response):
    verdict_or_error(name, args, response)


# Constraints as the benchmark words them, so that its parser of wordings is reached.
WORDED = list({str(check): check for item in read("muldimif") for check in item.checks}.values())


@fuzz(
    st.sampled_from(WORDED).flatmap(lambda check: st.tuples(st.just(check[0]), changed([check[1]]) | SOME)),
    st.text(max_size=30),
)
def test_any_constraint_of_muldimif_gives_a_verdict_or_an_error(folder, worded, response):
    verdict_or_error(f"muldimif:{worded[0]}", worded[1], response)


@fuzz(of_family("composed") | of_family("answer") | of_family("micro"), SOME, st.text(max_size=30))
def test_any_arguments_give_a_verdict_or_an_error(folder, name, args, response):
    verdict_or_error(name, args, response)


@fuzz(changed([PROMPT["criteria"][0]]), st.text(max_size=20))
def test_any_criterion_gives_a_verdict_or_an_error(folder, row, response):
    if row.get("verifier") == "code:python":
        return
    criterion = result_or_error(criterion_from_json, row, "here")
    if criterion is not None:
        assert criterion_from_json(criterion.to_json(), "again") == criterion
        result_or_error(check, criterion, "a prompt", response)


# --- statistics ---

SCORES = st.floats(-1e6, 1e6) | st.just(math.nan)
RUNS = st.lists(
    st.tuples(st.sampled_from("LS"), st.sampled_from(["RL", "RTT"]), st.sampled_from(["A0", "A1", "A2", "B0"]), SCORES),
    max_size=8,
)


@fuzz(RUNS, st.lists(SCORES, max_size=15), st.integers(1, 12))
def test_any_scores_have_statistics(folder, runs, curve, window):
    frame = pd.DataFrame(runs, columns=["world", "arm", "seed", "score"])
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(stats, "RESAMPLES", 20)
        table = result_or_error(stats.summary, frame, "score")
        difference = result_or_error(stats.paired, frame, "RTT", "RL", "score", "L")
        assert table["runs"].sum() == len(runs)
        assert difference["pairs"] <= len(runs) and not (difference["better"] and difference["worse"])
        assert result_or_error(stats.steps_to_threshold, curve, 0.0, window) >= 1
