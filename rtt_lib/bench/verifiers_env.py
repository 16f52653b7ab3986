"""Rubric prompts as an environment of the package `verifiers`: a taskset whose reward is our verdicts.

    taskset = RubricTaskset(RubricConfig(source="ifeval", path="input_data.jsonl", score="csr"))

Needs `verifiers` (pip install 'rtt[verifiers]').
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Literal

import verifiers.v1 as vf

from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.rubrics.benchmarks import BENCHMARKS, field, read_benchmark
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.reward import SCORES, read_rubric

__all__ = ["RubricTaskset"]


class RubricConfig(vf.TasksetConfig):
    """source: a benchmark, whose published file is `path`; or `rubrics`: lines {"prompt", "criteria"} of your own."""

    source: Literal["rubrics", "ifeval", "ifbench", "ifbench-head", "muldimif"] = "rubrics"
    path: str = ""
    score: Literal["aon", "csr"] = "aon"


class RubricData(vf.TaskData):
    criteria: list[dict[str, Any]]
    score: str


class RubricTask(vf.Task[RubricData]):
    """Reward: AON or CSR (Eq. 2, 3) of the verdicts on the last reply. Metrics: both, and the undecided criteria.

    A reply that cannot be scored, for a criterion is undecided, is an error: 0 would be a false failure.
    """

    @vf.reward
    async def rubric(self, trace: vf.Trace) -> float:
        values = await self._values(trace)
        reward = SCORES[self.data.score](values)
        if reward != reward:
            raise RTTError(f"{values.count(None)} of {len(values)} criteria are undecided: the reply has no score")
        return reward

    @vf.metric
    async def verdicts(self, trace: vf.Trace) -> dict[str, float]:
        values = await self._values(trace)
        return {name: score(values) for name, score in SCORES.items()} | {"undecided": float(values.count(None))}

    async def _values(self, trace: vf.Trace) -> list[bool | None]:
        said = trace.assistant_messages
        reply = (said[-1].content or "") if said else ""  # `last_reply` has lost the white space at its ends
        rubric = read_rubric(self.data.criteria, "criteria")
        (row,) = await asyncio.to_thread(Verifier(), [self.data.prompt_text], [reply], [rubric])
        return [verdict.value for verdict in row]


class RubricTaskset(vf.Taskset[RubricTask, RubricConfig]):
    def load(self) -> Iterable[RubricTask]:
        for prompt in self._prompts():
            criteria = [criterion.to_json() for criterion in prompt.criteria]
            data = RubricData(id=prompt.id, prompt=prompt.prompt, criteria=criteria, score=self.config.score)
            yield RubricTask(data, self.config.task)

    def _prompts(self) -> Iterable[RubricPrompt]:
        if self.config.source in BENCHMARKS:
            yield from read_benchmark(self.config.source, self.config.path)
            return
        for number, row in read_jsonl(self.config.path):
            where = f"{self.config.path}:{number}"
            criteria = read_rubric(field(row, "criteria", (list, str), where), where)
            yield RubricPrompt(str(row.get("id", number)), field(row, "prompt", str, where), tuple(criteria))
