"""Our rubrics as an environment of the package `verifiers`, scored by the package itself."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

pytest.importorskip("verifiers.v1", reason="the package verifiers is not installed: pip install 'rtt[verifiers]'")

import verifiers.v1 as vf

from rtt_lib.bench.verifiers_env import RubricConfig, RubricTaskset
from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY

NO_COMMA = {"text": "No commas.", "verifier": "ifeval:punctuation:no_comma", "args": {}}
TWO = {
    "text": "Two words at least.",
    "verifier": "ifeval:length_constraints:number_words",
    "args": {"num_words": 2, "relation": "at least"},
}


def taskset(tmp_path, rows, **config) -> RubricTaskset:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RubricTaskset(RubricConfig(path=str(path), **config))


def reply_to(task, reply: str) -> vf.Trace:
    """The trace of a model that said this."""
    trace = vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig())
    )
    trace.nodes.append(vf.MessageNode(message=vf.AssistantMessage(content=reply), sampled=True))
    return trace


def scored(task, reply: str) -> vf.Trace:
    """The same, after the package has scored it."""
    trace = reply_to(task, reply)
    asyncio.run(task.score(trace))
    return trace


@pytest.mark.parametrize(
    ("score", "reply", "reward", "metrics"),
    [
        ("csr", "one two", 1.0, {"aon": 1.0, "csr": 1.0, "undecided": 0.0}),
        ("csr", "one, two", 0.5, {"aon": 0.0, "csr": 0.5, "undecided": 0.0}),
        ("aon", "one, two", 0.0, {"aon": 0.0, "csr": 0.5, "undecided": 0.0}),
    ],
)
def test_rewards_and_metrics(tmp_path, score, reply, reward, metrics):
    (task,) = taskset(tmp_path, [{"id": "a", "prompt": "Go.", "criteria": [NO_COMMA, TWO]}], score=score)
    assert (task.data.id, task.data.prompt) == ("a", "Go.")
    trace = scored(task, reply)
    assert trace.reward == reward and trace.rewards["rubric"].value == reward
    assert {name: trace.metrics[name] for name in metrics} == metrics


def test_white_space_at_the_ends_reaches_the_checkers(tmp_path):
    quiet = {"text": "No white space.", "verifier": "ifbench:format:no_whitespace", "args": {}}
    (task,) = taskset(tmp_path, [{"prompt": "Go.", "criteria": [quiet]}])
    assert (scored(task, "one").reward, scored(task, "one\n").reward) == (1.0, 0.0)


def test_an_undecided_reply_is_an_error_and_no_failure(tmp_path):
    (task,) = taskset(tmp_path, [{"prompt": "Go.", "criteria": [NO_COMMA, "Be kind."]}])
    with pytest.raises(vf.TaskError, match="1 of 2 criteria are undecided"):
        scored(task, "one two")


def test_a_benchmark_is_a_taskset(tmp_path):
    row = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (task,) = taskset(tmp_path, [row], source="ifeval")
    assert task.data.id == "7" and scored(task, "a, b").reward == 0.0


def test_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    """All of it but the model, which says one thing."""
    row = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (tmp_path / "input_data.jsonl").write_text(json.dumps(row))

    class Agent:
        async def run(self, task):
            trace = reply_to(task, "a b")
            await task.score(trace)
            return trace

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vf, "make_agent", lambda config: Agent())
    page = (REPOSITORY / "docs" / "graders.md").read_text(encoding="utf-8")
    (example,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "RubricTaskset" in text)
    exec(example, {})
    assert capsys.readouterr().out == "1.0 {'aon': 1.0, 'csr': 1.0, 'undecided': 0.0}\n"


def test_a_malformed_row_is_named(tmp_path):
    with pytest.raises(RTTError, match=r"rows\.jsonl:1: field 'criteria' is missing"):
        list(taskset(tmp_path, [{"prompt": "Go."}]))
