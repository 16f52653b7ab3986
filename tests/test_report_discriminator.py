"""Notebook 03's tables, by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from toys import micro_tokenizer, tiny

from rtt_lib.relevance import validate
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, Discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import PackedDiscriminator
from rtt_lib.report import discriminator as discriminators
from rtt_lib.schema import Criterion

START = Criterion("start bako", "micro:start", {"word": "bako"})
END = Criterion("end desu", "micro:end", {"word": "desu"})
COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})


def scored(criterion, p, y, verdict=True) -> validate.Scored:
    words = ["bako", "mera", "desu", "kuvo", "gosu"][: len(p) - 1]
    return validate.Scored(
        LabelledExample(criterion, " ".join(words), Label(), verdict), np.array(p), np.array(y, dtype=bool)
    )


def test_cases_by_hand():
    batch = [
        scored(START, [0.9, 0.1, 0.1, 0.1], [1, 0, 0, 0]),
        scored(START, [0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0]),
        scored(SHORT, [0.9, 0.9], [1, 1]),
    ]
    table = discriminators.case_table({"taxonomy": batch}).set_index("case")
    assert table.loc["local positive, satisfied", ["labelled", "marked", "exactly right"]].tolist() == [
        0.25,
        0.375,
        0.5,
    ]
    assert table.loc["global, satisfied", "exactly right"] == 1


def test_intervals_over_seeds_need_three():
    right, wrong = scored(START, [0.9, 0.1], [1, 0]), scored(START, [0.1, 0.1], [1, 0])
    predictions = {"a": [right], "b": [right], "c": [wrong]}
    two = discriminators.seed_table(predictions, ["a", "b"]).iloc[0]
    assert two["mean F1"] == 1 and math.isnan(two["low"])
    three = discriminators.seed_table(predictions, ["a", "b", "c"]).iloc[0]
    assert three["mean F1"] == pytest.approx(2 / 3) and three["worst seed"] == 0
    reach = 1.5**0.5 * 4.303 / 1.960  # three values, two degrees of freedom: see test_stats.py
    assert three["low"] == pytest.approx(2 / 3 * (1 - reach), abs=5e-3)
    assert three["high"] == pytest.approx((2 + reach) / 3, abs=5e-3)


def test_thresholds_and_conclusions():
    sure, unsure = scored(START, [0.9999, 0.1], [1, 0]), scored(COMMAS, [0.1, 0.9, 0.9], [0, 1, 1], False)
    end = scored(END, [0.1, 0.1, 0.6], [0, 0, 1])
    table = discriminators.threshold_table([sure, unsure]).set_index("family")
    assert table.loc["start", "marks that survive"] == 1 and table.loc["no_commas", "recall at 0.998"] == 0
    everything = [sure, unsure, end]
    names = ("taxonomy", "greedy", "held-out", "balanced", "bidirectional", discriminators.KEYWORDS)
    text = discriminators.conclusions(dict.fromkeys(names, everything), {"held-out": ("start",)})
    assert "**none**" in text and "from 1.000 to 0.333" in text
    comparison = discriminators.comparison_table({"taxonomy": everything}).iloc[0]
    assert comparison["mean F1 over families"] == "1.000 [1.000, 1.000]" and comparison["AUC"] == 1


def test_the_keyword_rule_marks_mentions():
    example = LabelledExample(COMMAS, "bako , desu", Label(((5, 6),)), False)
    parts = tiny("llama", micro_tokenizer())
    one = validate.Scored(example, np.zeros(4), np.array([0, 1, 0, 0], dtype=bool))
    encoder = Discriminator(parts.model, parts.tokenizer).encoder
    (found,) = discriminators.keyword_rule([one], encoder)
    assert found.p.tolist() == [0, 1, 0, 0]


def test_tokens_read_by_hand():
    """Criteria of 2 and 4 tokens, responses of 3 and 1 words and an end; `:` is between them."""
    tokenizer = micro_tokenizer()
    kinds = {"taxonomy": Discriminator, "packed": PackedDiscriminator}
    models = {name: kind(tiny("llama", tokenizer).model, tokenizer) for name, kind in kinds.items()}
    for model in models.values():
        model.template = MICRO_TEMPLATE
    examples = [LabelledExample(START, "bako desu bako", Label()), LabelledExample(SHORT, "desu", Label())]
    study = SimpleNamespace(variants=[SimpleNamespace(name=name) for name in (*kinds, "greedy")], load=models.get)
    table = discriminators.reading_table(study, examples, counts=(1, 8), group=2).set_index("discriminator")
    assert table["tokens for one criterion"].to_dict() == {"taxonomy": 4 + 3, "packed": 3 / 2 + 1 + 3}
    assert table["K = 8"].to_dict() == {"taxonomy": 8, "packed": pytest.approx((8 * 3 / 2 + 4) / 5.5)}
