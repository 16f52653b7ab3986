"""Notebook 09: what a discriminator marks, case by case as in Table 6, on rollouts, and by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML

from rtt_lib.errors import RTTError
from rtt_lib.progress import PROGRESS_FILE
from rtt_lib.relevance import validate
from rtt_lib.relevance.annotate import Label, label_with, taxonomy
from rtt_lib.relevance.discriminator import Discriminator, TokenRelevance
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.shipped import load
from rtt_lib.relevance.validate import HALF
from rtt_lib.report.gallery import Shaded, grid, in_brackets, of_label
from rtt_lib.schema import JUDGE, Criterion
from rtt_lib.verify import check

SOFT = "soft (no label)"
NOT_SHIPPED = (
    "*The SmolLM2-135M discriminator is not on this machine (not shipped with this version, or its base model is "
    "missing), so this part shows the labels only.*"
)

# Table 6's cases on running text, in our own words; the soft ones carry no label, since no rule knows them.
TEXT_CASES = (
    (
        Criterion("Write the whole answer in lowercase letters.", "composed:lowercase"),
        "a kite needs wind, open ground and a little patience. start on a breezy hill.",
    ),
    (
        Criterion("Write the whole answer in lowercase letters.", "composed:lowercase"),
        "A kite needs wind, open ground and a little patience. Start on a breezy hill.",
    ),
    (
        Criterion('Your response should start with "My Answer:"', "composed:start", {"phrase": "My Answer:"}),
        "My Answer: the tide turns twice a day, and the moon is the reason.",
    ),
    (
        Criterion('Your response should start with "My Answer:"', "composed:start", {"phrase": "My Answer:"}),
        "The tide turns twice a day, and the moon is the reason.",
    ),
    (
        Criterion("Do not use any commas.", "composed:no_commas"),
        "Bring a rope, a lamp, and dry socks. The cave is cold.",
    ),
    (
        Criterion("Do not use any commas.", "composed:no_commas"),
        "Bring a rope and a lamp and dry socks. The cave is cold.",
    ),
    (
        Criterion('Mention the words "lantern" and "harbour".', "composed:keywords", {"words": ["lantern", "harbour"]}),
        "We left the harbour before dawn. A single lantern showed us the way out.",
    ),
    (
        Criterion("Use no digits anywhere.", "composed:no_digits"),
        "The walk takes 45 minutes and climbs 300 metres; the view is free.",
    ),
    (
        Criterion("Recommend the museum to families with small children.", JUDGE),
        "The museum is dark, loud and full of stairs. Parents should leave their toddlers at home.",
    ),
    (
        Criterion("Recommend the museum to families with small children.", JUDGE),
        "The museum is a joy for toddlers: there are slides, low tables and a quiet room.",
    ),
)


def labelled(criterion: Criterion, response: str) -> LabelledExample:
    """With the taxonomy's label where a rule knows the criterion, else with an empty one and an unknown verdict."""
    verdict = check(criterion, "", response) if criterion.hard else None
    label = taxonomy(criterion, verdict, response) if verdict else None
    return LabelledExample(criterion, response, label or Label(), verdict.value if verdict else None)


def text_cases() -> list[LabelledExample]:
    return [labelled(criterion, response) for criterion, response in TEXT_CASES]


def all_cases(examples: Sequence[LabelledExample]) -> list[LabelledExample]:
    """The first example of every (family, verdict) that is long enough to tell one token from the rest."""
    found: dict[tuple[str, str], LabelledExample] = {}
    for example in examples:
        if len(example.response.split()) >= 5:
            found.setdefault((case_of(example), example.criterion.family), example)
    return [found[key] for key in sorted(found)]


def case_of(example: LabelledExample) -> str:
    if example.verdict is None:
        return SOFT
    return validate.case(validate.Scored(example, np.empty(0), np.empty(0)))


def shipped() -> Discriminator | None:
    """The SmolLM2 discriminator of the package; None where it or its base model is not on this machine."""
    try:
        return load(None)
    except RTTError:
        return None


# --- predictions beside labels ---


def predictions(discriminator: Discriminator, examples: Sequence[LabelledExample]) -> list[list[TokenRelevance]]:
    return [discriminator.attribute(example.criterion.text, example.response) for example in examples]


def case_grid(examples: Sequence[LabelledExample], columns: dict[str, Sequence[Sequence[TokenRelevance]]]) -> HTML:
    """One row an example: its case, its criterion, its label and what each discriminator makes of it."""
    rows = []
    for n, example in enumerate(examples):
        known = of_label(example.label, example.response) if example.verdict is not None else None
        cells = [Shaded(example.response, found[n]) for found in columns.values()]
        rows.append([case_of(example), example.criterion.text, Shaded(example.response, known), *cells])
    return grid(["case", "criterion", "label", *columns], rows)


def case_table(examples: Sequence[LabelledExample], found: Sequence[Sequence[TokenRelevance]]) -> pd.DataFrame:
    """The same as a table, brackets for p >= 0.5, with the share of tokens on the right side of it."""
    rows = []
    for example, tokens in zip(examples, found, strict=True):
        known = of_label(example.label, example.response) if example.verdict is not None else None
        marked = [TokenRelevance(t.start, t.end, 1.0) for t in tokens if t.relevance >= HALF]
        row = {"case": case_of(example), "criterion": example.criterion.text}
        row |= {"label": in_brackets(example.response, known), "marked": in_brackets(example.response, marked)}
        rows.append(row | {"tokens right": tokens_right(example, tokens)})
    return pd.DataFrame(rows)


def tokens_right(example: LabelledExample, tokens: Sequence[TokenRelevance]) -> float:
    """Share of tokens on the label's side of 0.5; NaN without a label."""
    if example.verdict is None or not tokens:
        return float("nan")
    wanted = label_with(example.label, [(token.start, token.end) for token in tokens], len(tokens))
    return float(np.mean([(t.relevance >= HALF) == bool(y) for t, y in zip(tokens, wanted, strict=True)]))


def patterns(table: pd.DataFrame) -> str:
    """What the table shows, as Markdown, case by case."""
    known = table.dropna(subset="tokens right")
    lines = []
    for case, rows in known.groupby("case"):
        right = int((rows["tokens right"] == 1).sum())
        mean = rows["tokens right"].mean()
        lines.append(f"- {case}: every token right in **{right} of {len(rows)}** examples, {mean:.0%} of tokens.")
    return "\n".join(lines)


def two_responses(examples: Sequence[LabelledExample]) -> list[LabelledExample]:
    """The first two responses, each under every criterion that labels it."""
    first = list(dict.fromkeys(example.response for example in examples))[:2]
    return [example for example in examples if example.response in first]


# --- the explorer ---


def explorer(discriminator: Discriminator, examples: Sequence[LabelledExample]):
    """Choose an example or type your own, in JupyterLab; without widgets (or under `rtt run`) the first one, static."""
    if PROGRESS_FILE in os.environ:
        return _static(discriminator, examples[0].criterion.text, examples[0].response)
    try:
        import ipywidgets as widgets
    except ImportError:
        return _static(discriminator, examples[0].criterion.text, examples[0].response)
    names = [(f"{case_of(example)}: {example.criterion.text}", n) for n, example in enumerate(examples)]
    chosen = widgets.Dropdown(options=names, description="example", layout={"width": "40rem"})
    criterion = widgets.Text(description="criterion", layout={"width": "40rem"})
    response = widgets.Textarea(description="response", layout={"width": "40rem", "height": "6rem"})
    shown = widgets.HTML()

    def choose(change: object = None) -> None:
        criterion.value, response.value = examples[chosen.value].criterion.text, examples[chosen.value].response

    def show(change: object = None) -> None:
        shown.value = _static(discriminator, criterion.value, response.value).data

    chosen.observe(choose, "value")
    for field in (criterion, response):
        field.observe(show, "value")
    choose()
    return widgets.VBox([chosen, criterion, response, shown])


def _static(discriminator: Discriminator, criterion: str, response: str) -> HTML:
    unknown = unknown_words(discriminator, f"{criterion} {response}")
    if unknown:
        return grid(["this discriminator's language does not have"], [[" ".join(unknown)]])
    return grid(
        ["criterion", "response"], [[criterion, Shaded(response, discriminator.attribute(criterion, response))]]
    )


def unknown_words(discriminator: Discriminator, text: str) -> list[str]:
    """Words outside a word-level vocabulary (the micro world's); a tokenizer of pieces knows every text."""
    vocabulary = discriminator.tokenizer.get_vocab()
    closed = type(discriminator.tokenizer.backend_tokenizer.model).__name__ == "WordLevel"
    return [word for word in text.split() if word not in vocabulary] if closed else []
