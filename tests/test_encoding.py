"""Criterion and response as the discriminator reads them, and its predictions on another tokenizer's tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_discriminator import SHORT, START
from toys import byte_tokenizer, micro_tokenizer

from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE
from rtt_lib.relevance.encoding import IGNORED, Encoder, LabelledExample, align, batches_by_length, cover


def test_features_by_hand():
    encoder = Encoder(micro_tokenizer(), MICRO_TEMPLATE)
    id_of = encoder.tokenizer.convert_tokens_to_ids
    rows, cut = encoder.features(
        [
            LabelledExample(START, "bako , desu", Label(((0, 4),))),
            LabelledExample(SHORT, "bako desu", Label(((0, 9),), whole=True)),
        ],
        max_length=64,
    )
    assert rows[0]["input_ids"] == id_of(["start", "bako", ":", "bako", ",", "desu", "<eos>"])
    assert rows[0]["labels"] == [IGNORED] * 3 + [1, 0, 0, 0]
    assert rows[1]["labels"] == [IGNORED] * 5 + [1, 1, 1]  # the end token belongs to a global criterion
    assert cut == 0
    short, cut = encoder.features([LabelledExample(START, "bako , desu", Label(((0, 4),)))], max_length=5)
    assert short[0]["labels"] == [IGNORED] * 3 + [1, 0] and cut == 1
    with pytest.raises(RTTError, match="leaves no room"):
        encoder.features([LabelledExample(START, "bako", Label())], max_length=3)


@pytest.mark.parametrize("template", ["{response} {criterion}", "{criterion}", "{criterion} {response}.", "{response}"])
def test_template_must_put_the_response_last(template):
    with pytest.raises(RTTError, match="at its very end"):
        Encoder(micro_tokenizer(), template)


def test_special_tokens_written_in_a_response_are_text():
    tokenizer = byte_tokenizer()
    (encoded,) = Encoder(tokenizer, MICRO_TEMPLATE).responses(["a<eos>b"])
    assert tokenizer.eos_token_id not in encoded.ids
    assert encoded.spans[0] == (0, 1) and encoded.spans[-1] == (6, 7)


def test_cover_leaves_no_gap():
    # " word" with its space trimmed, a dropped character at 6, trailing space
    assert cover([(0, 2), (3, 5), (7, 8)], 10) == [(0, 2), (2, 5), (5, 10)]
    assert cover([(0, 1), (1, 2), (1, 2), (2, 3)], 3) == [(0, 1), (1, 2), (1, 2), (2, 3)]  # pieces of one character
    assert cover([], 3) == []


@given(
    own=st.lists(st.integers(0, 4), max_size=8), other=st.lists(st.integers(0, 4), max_size=8), seed=st.integers(0, 99)
)
def test_align_equals_the_obvious_maximum(own, other, seed):
    own_ends, other_ends = np.cumsum([0, *own]), np.cumsum([0, *other])
    own_spans = list(zip(own_ends[:-1].tolist(), own_ends[1:].tolist(), strict=True))
    other_spans = list(zip(other_ends[:-1].tolist(), other_ends[1:].tolist(), strict=True))
    p = np.random.default_rng(seed).random((2, len(own) + 1))
    found = align(p, own_spans, other_spans)
    assert found.shape == (2, len(other))
    for t, (start, end) in enumerate(other_spans):
        if start == end:
            expected = p[:, -1]
        else:
            touching = [n for n, (a, b) in enumerate(own_spans) if max(a, start) < min(b, end)]
            expected = p[:, touching].max(axis=1) if touching else np.zeros(2)
        np.testing.assert_array_equal(found[:, t], expected)


@given(lengths=st.lists(st.integers(1, 200), max_size=200))
def test_batches_waste_less_than_a_tenth(lengths):
    batches = list(batches_by_length(lengths, 2000))
    assert sorted(n for batch in batches for n in batch) == list(range(len(lengths)))
    for batch in batches:
        cells = len(batch) * max(lengths[n] for n in batch)
        assert sum(lengths[n] for n in batch) >= 0.9 * cells - 1e-9
        assert cells <= 2000 or len(batch) == 1
