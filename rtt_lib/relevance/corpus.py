"""Training data for the discriminator: by rule, responses that satisfy and violate, labelled for every criterion.

Labels that cost something (`llm_corpus`, a person's) lie in a JSONL file, one example a line:

    {"id": "prompt 7", "criterion": {"text": "Name a cat."}, "response": "A cat.", "spans": [[2, 5]], "whole": false}

`whole`: the criterion is global. `verdict` (true, false), `made` (how the response came about) and `annotator` (whose
labels these are, as in a profile) may be added.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_jsonl
from rtt_lib.relevance.annotate import Annotator, Label, taxonomy
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.negatives import minimal, omission
from rtt_lib.relevance.responses import construct
from rtt_lib.schema import RubricPrompt, criterion_from_json
from rtt_lib.verify import check

# prompt, seed -> (how it was made, response) pairs
Respond = Callable[[RubricPrompt, int], Iterable[tuple[str, str]]]


def responses_by_rule(prompt: RubricPrompt, seed: int, offences: int = 1) -> list[tuple[str, str]]:
    """A positive, and for each criterion both kinds of negatives (section 4.1), where they can be made.

    offences: a minimal negative of a prohibition has one to so many
    """
    positive = construct(prompt, seed)
    found = [("positive", positive)]
    for k in range(len(prompt.criteria)):
        many = random.Random(f"offences {prompt.id} {k} {seed}").randint(1, offences)
        negatives = (minimal(prompt, positive, k, seed, many), omission(prompt, k, seed))
        found += [(negative.strategy, negative.response) for negative in negatives if negative is not None]
    return found


def build_examples(
    prompts: Sequence[RubricPrompt], seed: int, annotator: Annotator = taxonomy, respond: Respond = responses_by_rule
) -> list[LabelledExample]:
    """Every criterion of every prompt, labelled on each of the prompt's responses."""
    return [
        example
        for prompt in prompts
        for made, response in respond(prompt, seed)
        for example in label_response(prompt, response, annotator, made)
    ]


def label_response(
    prompt: RubricPrompt, response: str, annotator: Annotator = taxonomy, made: str = ""
) -> list[LabelledExample]:
    """An example for each criterion that the annotator can label; an unknown verdict gives none (App. C.3)."""
    examples = []
    for criterion in prompt.criteria:
        verdict = check(criterion, prompt.prompt, response)
        label = annotator(criterion, verdict, response)
        if label is not None:
            examples.append(LabelledExample(criterion, response, label, verdict.value, made))
    return examples


def write_labelled(path: str | Path, rows: Iterable[tuple[str, LabelledExample]], annotator: str) -> Path:
    """(prompt's id, example) pairs as a file of labels."""
    return write_jsonl(path, [{"id": id, **_to_json(example), "annotator": annotator} for id, example in rows])


def _to_json(example: LabelledExample) -> dict:
    return {
        "criterion": example.criterion.to_json(),
        "response": example.response,
        "spans": [list(span) for span in example.label.spans],
        "whole": example.label.whole,
        "verdict": example.verdict,
        "made": example.split,
    }


def read_labelled(path: str | Path, annotator: str) -> list[tuple[str, LabelledExample]]:
    """(prompt's id, example) pairs of a file of labels; an error names the line and the field.

    Labels of another annotator are refused. Labels that name no annotator are accepted.
    """
    rows = []
    for number, row in read_jsonl(path):
        if row.get("annotator", annotator) != annotator:
            raise RTTError(
                f"{path}:{number}: labels of the annotator {row['annotator']!r:.40}, asked for are those of "
                f"'{annotator}': --set discriminator.annotator=..., or another file"
            )
        rows.append(_from_json(row, f"{path}:{number}"))
    if not rows:
        raise RTTError(f"{path}: holds no examples")
    return rows


def _from_json(row: Mapping, where: str) -> tuple[str, LabelledExample]:
    kinds = {"id": str, "response": str, "spans": list, "whole": bool}
    for name, kind in kinds.items():
        if not isinstance(row.get(name), kind):
            raise RTTError(f"{where}: field '{name}' must be {kind.__name__}, found {row.get(name)!r:.60}")
    if not isinstance(row.get("verdict"), bool | None) or not isinstance(row.get("made", ""), str):
        raise RTTError(f"{where}: 'verdict' must be true, false or null and 'made' a text")
    length = len(row["response"])
    for span in row["spans"]:
        if not (
            isinstance(span, list) and [type(end) for end in span] == [int, int] and 0 <= span[0] < span[1] <= length
        ):
            raise RTTError(f"{where}: a span must be [start, end], 0 <= start < end <= {length}, found {span!r:.60}")
    label = Label(tuple((start, end) for start, end in row["spans"]), whole=row["whole"])
    criterion = criterion_from_json(row.get("criterion"), f"{where}: criterion")
    return row["id"], LabelledExample(criterion, row["response"], label, row.get("verdict"), row.get("made", ""))
