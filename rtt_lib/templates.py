"""Questions to LLMs: text files with {fields} that a person may replace, JSON out of an answer, patience."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtt_lib.errors import RTTError

SECONDS, RETRIES = 300.0, 3  # for one question
PART = 128  # questions between two looks at how many failed
MOST_FAILURES, AT_LEAST = 0.5, 10  # the largest share of a step's questions that may fail, from AT_LEAST failures on


def load_template(name: str | Path, fields: Sequence[str], folder: Path) -> str:
    """The template `name` of `folder`, or else the file of that path; it must have all of `fields` in braces."""
    path = folder / f"{name}.txt" if (folder / f"{name}.txt").is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RTTError(f"template {name}: neither one of ours nor a readable file") from error
    for each in fields:
        if f"{{{each}}}" not in text:
            raise RTTError(f"{path}: {{{each}}} is missing")
    return text


def fill(template: str, fields: Mapping[str, str]) -> str:
    """All fields in one pass: braces inside the material stay as they are."""
    return re.sub(r"\{(" + "|".join(fields) + r")\}", lambda match: fields[match[1]], template)


def unfenced(answer: str) -> str:
    """Without the code fence that many models put around JSON."""
    text = answer.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    return fenced[1] if fenced else text
