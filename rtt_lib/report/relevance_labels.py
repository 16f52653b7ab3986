"""Notebook 02: the labels a discriminator is trained on, and the responses that carry them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rtt_lib.relevance.annotate import Annotator, Label, taxonomy
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.negatives import minimal, omission
from rtt_lib.relevance.responses import construct
from rtt_lib.relevance.spans import label_tokens, token_offsets
from rtt_lib.report.gallery import Shaded, grid, in_brackets, of_label
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify import check
from rtt_lib.verify.registry import rule_of
from rtt_lib.verify.verdict import Span
from rtt_lib.worlds.text.discriminators import ANNOTATORS

# One response for each row of the taxonomy, in the micro world's words.
TAXONOMY_ROWS = (
    (Criterion("at most 8 words", "micro:at_most_words", {"n": 8}), "bako mera , desu"),
    (Criterion("exactly 2 bako", "micro:exactly", {"word": "bako", "n": 2}), "mera bako desu"),
    (Criterion("start bako", "micro:start", {"word": "bako"}), "bako mera , desu"),
    (Criterion("start bako", "micro:start", {"word": "bako"}), "mera bako , desu"),
    (Criterion("no commas", "micro:no_commas"), "bako mera , desu , kuvo"),
    (Criterion("no commas", "micro:no_commas"), "bako mera desu"),
)


def taxonomy_table(rows: Sequence[tuple[Criterion, str]] = TAXONOMY_ROWS) -> pd.DataFrame:
    """App. C.3 as a table: what the rule says, the verdict, and the tokens that follow from both, in brackets."""
    table = []
    for criterion, response in rows:
        rule, verdict = rule_of(criterion), check(criterion, "", response)
        label = taxonomy(criterion, verdict, response)
        table.append(
            {
                "scope": rule.scope,
                "polarity": "-" if rule.scope == "global" else rule.polarity,
                "verdict": "satisfied" if verdict.value else "violated",
                "relevant": kind_of(label),
                "criterion": criterion.text,
                "response": in_brackets(response, of_label(label, response)),
            }
        )
    return pd.DataFrame(table)


def kind_of(label: Label | None) -> str:
    """The annotator's answer in a word."""
    if label is None:
        return "unknown"
    return "all" if label.whole else "segments" if label.spans else "nothing"


def response_grid(prompt: RubricPrompt, responses: Mapping[str, str], annotator: Annotator = taxonomy) -> HTML:
    """A prompt's criteria (rows) on differently made responses (columns), shaded by label, with each verdict."""
    rows = []
    for criterion in prompt.criteria:
        cells = [_labelled(criterion, prompt.prompt, response, annotator) for response in responses.values()]
        rows.append([criterion.text, *cells])
    return grid(["criterion", *responses], rows)


def rows_that_change(prompt: RubricPrompt, responses: Mapping[str, str], annotator: Annotator = taxonomy) -> int:
    """How many rows of `response_grid` are shaded in one response and bare in another."""
    rows = [
        {bool(_labelled(criterion, prompt.prompt, text, annotator).tokens) for text in responses.values()}
        for criterion in prompt.criteria
    ]
    return rows.count({True, False})


def _labelled(criterion: Criterion, prompt: str, response: str, annotator: Annotator) -> Shaded:
    verdict = check(criterion, prompt, response)
    word = {True: "satisfied", False: "violated", None: "unknown"}[verdict.value]
    return Shaded(response, of_label(annotator(criterion, verdict, response), response), word)


def annotator_grid(pairs: Iterable[tuple[Criterion, str]]) -> HTML:
    """Taxonomy beside greedy labels on the same criterion and response."""
    rows = [
        [criterion.text, *(_labelled(criterion, "", response, annotator) for annotator in ANNOTATORS.values())]
        for criterion, response in pairs
    ]
    return grid(["criterion", *ANNOTATORS], rows)


# --- spans to tokens ---


def byte_level_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A small byte-level BPE trained on the spot: it has never seen an emoji, so it spells it in bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")


def token_table(tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[Span]) -> pd.DataFrame:
    """One row per token of `text` and its EOS: the characters it stands for and whether it touches a span."""
    ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    decoded, offsets = token_offsets(tokenizer, ids)
    return pd.DataFrame(
        {
            "token": tokenizer.convert_ids_to_tokens(ids),
            "from": [start for start, _ in offsets],
            "to": [end for _, end in offsets],
            "text": [repr(decoded[start:end]) for start, end in offsets],
            "relevant": label_tokens(offsets, spans),
        }
    )


# --- counts ---


def count_table(examples: Sequence[LabelledExample], key: Callable[[LabelledExample], str], name: str) -> pd.DataFrame:
    """How often all, segments or nothing of a response is relevant, and the share of its characters that is."""
    frame = pd.DataFrame(
        {
            name: [key(example) for example in examples],
            "kind": [kind_of(example.label) for example in examples],
            "satisfied": [example.verdict is True for example in examples],
            "relevant characters": [relevant_share(example) for example in examples],
        }
    )
    groups = frame.groupby(name)
    table = groups.agg(examples=("kind", "size"), satisfied=("satisfied", "mean"))
    for kind in ("all", "segments", "nothing"):
        table[kind] = groups["kind"].apply(lambda kinds, kind=kind: (kinds == kind).mean())
    return table.assign(**{"relevant characters": groups["relevant characters"].mean()}).reset_index()


def relevant_share(example: LabelledExample) -> float:
    """Share of the response's characters inside a relevant segment."""
    tokens = of_label(example.label, example.response) or []
    marked = {place for token in tokens for place in range(token.start, token.end)}
    return len(marked) / max(1, len(example.response))


def case_of(example: LabelledExample) -> str:
    """The row of Table 6."""
    rule = rule_of(example.criterion)
    where = "global" if rule.scope == "global" else f"local {rule.polarity}"
    return f"{where}, {'satisfied' if example.verdict else 'violated'}"


def negatives_table(prompts: Sequence[RubricPrompt]) -> pd.DataFrame:
    """Per constraint family: how often each strategy makes a negative, and how small the edits are."""
    rows = []
    for prompt in prompts:
        positive = construct(prompt, 0)
        for k, criterion in enumerate(prompt.criteria):
            edited, withheld = minimal(prompt, positive, k, 0), omission(prompt, k, 0)
            size = edit_size(positive, edited.response) if edited else np.nan
            rows.append((criterion.family, edited is not None, size, withheld is not None))
    names = ["family", "minimal modification found", "characters edited", "omission found"]
    groups = pd.DataFrame(rows, columns=names).groupby("family")
    table = groups.agg({names[1]: "mean", names[2]: "median", names[3]: "mean"})
    return table.assign(criteria=groups.size()).reset_index()[["family", "criteria", *names[1:]]]


def edit_size(before: str, after: str) -> int:
    """Characters taken away plus characters put in."""
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum((b - a) + (d - c) for kind, a, b, c, d in blocks if kind != "equal")


def draw_shares(taxonomy_examples: Sequence[LabelledExample], greedy_examples: Sequence[LabelledExample]) -> Figure:
    """Share of characters labelled relevant, by case: where the two annotators part."""
    both = {"taxonomy": taxonomy_examples, "greedy": greedy_examples}
    shares = {name: count_table(found, case_of, "case").set_index("case")["relevant characters"]
              for name, found in both.items()}  # fmt: skip
    cases = list(shares["taxonomy"].index)[::-1]
    fig, axis = plt.subplots(figsize=(7.5, 0.45 * len(cases) + 1.3))
    for name, color, marker, shift in (("taxonomy", "#0072B2", "o", 0.13), ("greedy", "#AA6655", "D", -0.13)):
        axis.plot(
            shares[name].reindex(cases), np.arange(len(cases)) + shift, marker, color=color, markersize=7, label=name
        )
    axis.hlines(range(len(cases)), 0, 1, color="#E5E5E5", zorder=0)
    axis.set(yticks=range(len(cases)), yticklabels=cases, xlim=(-0.03, 1.03))
    axis.set_xlabel("mean share of the response labelled relevant")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return fig
