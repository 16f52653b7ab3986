"""Notebook 02's tables and shaded responses, by hand."""

from __future__ import annotations

import pandas as pd

from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.report import relevance_labels as labels
from rtt_lib.schema import Criterion, RubricPrompt

START = Criterion("start bako", "micro:start", {"word": "bako"})
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})


def test_the_taxonomy_is_computed_as_the_paper_has_it():
    table = labels.taxonomy_table()
    keys = table[["scope", "polarity", "verdict"]].agg(" ".join, axis=1)
    assert dict(zip(keys, table["relevant"], strict=True)) == {
        "global - satisfied": "all",
        "global - violated": "all",
        "local positive satisfied": "segments",
        "local positive violated": "nothing",
        "local negative violated": "segments",
        "local negative satisfied": "nothing",
    }
    assert "⟦bako⟧ mera , desu" in set(table["response"])


def test_counts_by_hand():
    examples = [
        LabelledExample(START, "bako mera", Label(((0, 4),)), True),
        LabelledExample(START, "mera bako", Label(), False),
        LabelledExample(SHORT, "bako", Label(whole=True), True),
    ]
    table = labels.count_table(examples, labels.case_of, "case").set_index("case")
    assert table.loc["local positive, satisfied", ["segments", "relevant characters"]].tolist() == [1, 4 / 9]
    assert table.loc["local positive, violated", "nothing"] == 1 and table.loc["global, satisfied", "all"] == 1
    assert labels.edit_size("one two", "one two,") == 1 and labels.edit_size("abc", "axc") == 2


def test_rows_that_change_are_shaded_in_one_response_and_bare_in_another():
    comma = Criterion("no commas", "micro:no_commas")
    prompt = RubricPrompt("x", "say", (START, SHORT, comma))
    assert labels.rows_that_change(prompt, {"a": "bako desu", "b": "desu , bako"}) == 2, "the length is always shaded"
    assert labels.rows_that_change(prompt, {"a": "bako desu", "b": "bako mera"}) == 0
    assert labels.rows_that_change(prompt, {"a": "bako desu", "b": "mera desu"}) == 1


def test_every_byte_of_an_emoji_is_relevant():
    tokenizer = labels.byte_level_tokenizer(["plain words"])
    table = labels.token_table(tokenizer, "a 😀 b", [(2, 3)])
    assert table.loc[table["relevant"], "text"].tolist() == ["'😀'"] * 4
    assert table["text"].iloc[-1] == "''" and not table["relevant"].iloc[-1]


def test_empty_cases_stay_out_of_the_figures():
    assert isinstance(labels.negatives_table([]), pd.DataFrame)
