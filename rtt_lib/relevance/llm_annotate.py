"""Relevance labels from an LLM (App. C.3): JSON only, and every quoted segment is looked up in the response."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtt_lib.endpoint import Endpoint, Usage, read_many
from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label
from rtt_lib.templates import fill, load_template, unfenced
from rtt_lib.verify.verdict import Span

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("all relevant", "partial relevant", "all irrelevant")
QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "`": "'"})


@dataclass(frozen=True)
class Annotation:
    """An LLM's label. `label` None: the answer could not be used, and `problem` says why.

    dropped: quoted segments that are not in the response
    """

    label: Label | None
    dropped: int = 0
    problem: str = ""


def annotate_many(
    pairs: Sequence[tuple[str, str]],
    endpoint: Endpoint,
    template: str | Path = "taxonomy",
    usage: Usage | None = None,
    cache: Path | None = None,
) -> list[Annotation]:
    """The labels of (criterion, response) pairs, in order; an annotator sees nothing else, no verdict either.

    template: `taxonomy`, `greedy`, or the path of a text file with {criterion} and {response}.
    """
    text = load_template(template, ("criterion", "response"), TEMPLATES)
    questions = [fill(text, {"criterion": criterion, "response": response}) for criterion, response in pairs]
    answers = read_many(endpoint, questions, parse_answer, usage, cache)
    return [
        Annotation(None, problem=str(answer)) if isinstance(answer, RTTError) else locate(*answer, response)
        for answer, (_, response) in zip(answers, pairs, strict=True)
    ]


def locate(kind: str, segments: Sequence[str], response: str) -> Annotation:
    """The label of a parsed answer: every occurrence of its segments."""
    if kind == "all relevant":
        return Annotation(Label(((0, len(response)),) if response else (), whole=True))
    if kind == "all irrelevant":
        return Annotation(Label())
    spans: set[Span] = set()
    dropped = 0
    for segment in segments:
        found = occurrences(segment, response) or occurrences_normalised(segment, response)
        dropped += not found
        spans.update(found)
    if not spans:
        return Annotation(None, dropped, "none of the quoted segments is in the response")
    return Annotation(Label(tuple(sorted(spans))), dropped)


def parse_answer(answer: str) -> tuple[str, list[str]]:
    """(type, segments) of an answer that is one JSON object, bare or in a code fence; ValueError says what is wrong."""
    try:
        value = json.loads(unfenced(answer))
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON alone") from error
    if not isinstance(value, dict) or value.get("type") not in KINDS:
        raise ValueError(f"'type' must be one of {', '.join(KINDS)}")
    segments = value.get("segments", [])
    if not isinstance(segments, list) or not all(isinstance(segment, str) for segment in segments):
        raise ValueError("'segments' must be a list of texts")
    if value["type"] == "partial relevant" and not segments:
        raise ValueError("'partial relevant' without segments")
    return value["type"], segments


def occurrences(segment: str, response: str) -> list[Span]:
    """Every verbatim occurrence, overlapping ones too."""
    if not segment.strip():
        return []
    return [
        (match.start(), match.start() + len(segment)) for match in re.finditer(f"(?={re.escape(segment)})", response)
    ]


def occurrences_normalised(segment: str, response: str) -> list[Span]:
    """Occurrences up to runs of white space and the kind of quotes, as spans of the response as it is."""
    wanted = " ".join(segment.translate(QUOTES).split())
    if not wanted:
        return []
    plain = re.finditer(r"\s+|\S", response.translate(QUOTES))  # one character each, a run of white space as one
    places = [(" " if match.group().isspace() else match.group(), match.span()) for match in plain]
    text = "".join(char for char, _ in places)
    return [(places[start][1][0], places[end - 1][1][1]) for start, end in occurrences(wanted, text)]
