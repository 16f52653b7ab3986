"""Relevance labels from an LLM (App. C.3): JSON only, and every quoted segment is looked up in the response."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label
from rtt_lib.rubrics.schema import Criterion
from rtt_lib.verify.verdict import Span, Verdict

Ask = Callable[[str], str]

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("all relevant", "partial relevant", "all irrelevant")
QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "`": "'"})


@dataclass(frozen=True)
class Annotation:
    """An LLM's label. `label` None: the answer could not be used, and `problem` says why.

    repaired: segments found only after normalising white space and quotes; dropped: segments not found at all.
    """

    label: Label | None
    repaired: int = 0
    dropped: int = 0
    problem: str = ""


@dataclass
class LLMAnnotator:
    """An annotator (`rtt_lib.relevance.annotate.Annotator`) that asks an LLM; keeps every answer for the count.

    template: `taxonomy`, `greedy`, or the path of a text file with {criterion} and {response}.
    """

    ask: Ask
    template: str | Path = "taxonomy"
    annotations: list[Annotation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = load_template(self.template)

    def __call__(self, criterion: Criterion, verdict: Verdict, response: str) -> Label | None:
        """The verdict is not shown: the annotator sees criterion and response only."""
        annotation = self.annotate(criterion.text, response)
        self.annotations.append(annotation)
        return annotation.label

    def annotate(self, criterion: str, response: str) -> Annotation:
        try:
            answer = self.ask(fill(self.text, criterion, response))
        except RTTError as error:  # one question that got no answer; the others go on
            return Annotation(None, problem=str(error))
        return read_annotation(answer, response)

    def annotate_many(self, pairs: Sequence[tuple[str, str]], workers: int = 8) -> list[Annotation]:
        """(criterion, response) pairs, several requests at once, answers in order."""
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda pair: self.annotate(*pair), pairs))
        self.annotations += found
        return found

    def counts(self) -> dict[str, int]:
        """What to report beside the labels: nothing is dropped without being counted."""
        return {
            "annotated": len(self.annotations),
            "unusable": sum(annotation.label is None for annotation in self.annotations),
            "segments_repaired": sum(annotation.repaired for annotation in self.annotations),
            "segments_dropped": sum(annotation.dropped for annotation in self.annotations),
        }


def load_template(name: str | Path) -> str:
    path = TEMPLATES / f"{name}.txt" if (TEMPLATES / f"{name}.txt").is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RTTError(f"annotation template {name}: neither 'taxonomy' nor 'greedy' nor a readable file") from error
    for placeholder in ("{criterion}", "{response}"):
        if placeholder not in text:
            raise RTTError(f"annotation template {path}: {placeholder} is missing")
    return text


def fill(template: str, criterion: str, response: str) -> str:
    """Both placeholders in one pass: braces inside the criterion or the response stay as they are."""
    values = {"criterion": criterion, "response": response}
    return re.sub(r"\{(criterion|response)\}", lambda match: values[match[1]], template)


def read_annotation(answer: str, response: str) -> Annotation:
    """The label that an LLM's answer gives on this response."""
    try:
        kind, segments = parse_answer(answer)
    except ValueError as error:
        return Annotation(None, problem=str(error))
    if kind == "all relevant":
        return Annotation(Label(((0, len(response)),), whole=True))
    if kind == "all irrelevant":
        return Annotation(Label())
    spans: set[Span] = set()
    repaired = dropped = 0
    for segment in segments:
        found = occurrences(segment, response)
        if not found:
            found = occurrences_normalised(segment, response)
            repaired, dropped = repaired + bool(found), dropped + (not found)
        spans.update(found)
    if not spans:
        return Annotation(None, repaired, dropped, "none of the quoted segments is in the response")
    return Annotation(Label(tuple(sorted(spans))), repaired, dropped)


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


def unfenced(answer: str) -> str:
    """Without the code fence that many models put around JSON."""
    text = answer.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    return fenced[1] if fenced else text


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
