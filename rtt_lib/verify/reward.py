"""Rubric rewards for TRL's plain GRPOTrainer: Score(q, o) of Eq. 2 or 3 as one of its reward functions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import aon, csr

SCORES = {"aon": aon, "csr": csr}


def rubric_reward(
    score: Literal["aon", "csr"] = "aon", verifier: Verifier | None = None, column: str = "criteria"
) -> Callable[..., list[float | None]]:
    """A reward function: the score of each completion on its rubric; None, which TRL leaves out, where none is known.

        GRPOTrainer(model, reward_funcs=[rubric_reward("csr")], train_dataset=data, ...)

    verifier: decides the criteria; the default decides rules and shipped code, and no soft criteria.
    column:   of the data set, with each prompt's rubric: criterion objects {"text", "verifier", "args"} or texts, or
              JSON text of a list of them (a column of objects with unlike `args` has to be JSON text).
    """
    if score not in SCORES:
        raise RTTError(f"score {score!r} is unknown: choose 'aon' or 'csr'")
    verifier = verifier or Verifier()

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if column not in columns:
            raise RTTError(f"the data set has no column {column!r}: it must hold each prompt's rubric")
        rubrics = [read_rubric(value, f"{column}[{n}]") for n, value in enumerate(columns[column])]
        verdicts = verifier(list(map(_text, prompts)), list(map(_text, completions)), rubrics)
        values = [SCORES[score]([verdict.value for verdict in row]) for row in verdicts]
        return [None if math.isnan(value) else value for value in values]

    reward.__name__ = f"rubric_{score}"  # what TRL logs it as
    return reward


def read_rubric(value: Any, where: str) -> list[Criterion]:
    """A cell of the data set as criteria."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RTTError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(value, list | tuple):
        raise RTTError(f"{where}: expected a list of criteria, found {type(value).__name__}")
    return [Criterion(row) if isinstance(row, str) else criterion_from_json(_filled(row), where) for row in value]


def _filled(row: Any) -> Any:
    """Without the empty arguments that columnar data sets add to give all rows the same names."""
    if not isinstance(row, Mapping) or not isinstance(row.get("args"), Mapping):
        return row
    return {**row, "args": {name: value for name, value in row["args"].items() if value is not None}}


def _text(message: Any) -> str:
    """The text of a prompt or of a completion, which are chats where the data set's prompts are."""
    return message if isinstance(message, str) else message[-1]["content"]
