"""The picture of the front page is drawn from the library's own numbers."""

from __future__ import annotations

import re

import pytest

from rtt_lib.report.picture import BETA, FILE, GROUND, INK, SOFT, TOKENS, credit, picture
from rtt_lib.report.theme import ENOUGH_CONTRAST, contrast, rgb_of


def test_the_committed_picture_is_the_one_that_the_code_draws():
    assert FILE.read_text(encoding="utf-8") == picture()


def test_the_numbers_by_hand():
    """Eight tokens, one relevant: the root of 7 for it, -1 over the root of 7 for each of the others."""
    rows, n = credit(), len(TOKENS)
    start, comma, length = [rows[text].tolist() for text in list(rows)[:3]]
    assert start == pytest.approx([7**0.5] + [-(7**-0.5)] * (n - 1))
    assert comma == pytest.approx([-(7**0.5) if token == "," else 7**-0.5 for token in TOKENS])
    assert length == [0] * n and rows["A_res"].tolist() == [0] * n
    assert rows["A_tok"].tolist() == pytest.approx([sum(three) / 3 for three in zip(start, comma, length, strict=True)])
    assert rows["A"].tolist() == pytest.approx([BETA * value for value in rows["A_tok"].tolist()])
    assert TOKENS[-1] == "<end>" and "&lt;end&gt;" in picture()


def test_every_text_can_be_read_on_its_ground():
    cells = re.findall(r'<rect [^>]*fill="(#\w{6})" stroke[^>]*/><text [^>]*fill="(#\w{6})"', picture())
    assert len(cells) == 7 * len(TOKENS)
    for ground, ink in [*cells, (GROUND, INK), (GROUND, SOFT)]:
        assert contrast(rgb_of(ground), rgb_of(ink)) >= ENOUGH_CONTRAST
