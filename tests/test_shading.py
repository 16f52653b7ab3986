"""Relevance as colour: on a page and on a terminal, and only text, whatever a model wrote."""

from __future__ import annotations

import re

from test_attribute import Text

from rtt_lib.relevance.discriminator import TokenRelevance
from rtt_lib.report.shading import html_fragment, html_page, merge, terminal_text, visible

EVIL = '<script>alert("x")</script> & "quoted" 😀, done'


def tokens_of(text: str) -> list[TokenRelevance]:
    """A token every three characters, and an emoji in three pieces."""
    spans = [(n, min(n + 3, len(text))) for n in range(0, len(text), 3)]
    return [TokenRelevance(a, b, (n % 5) / 4) for n, (a, b) in enumerate(sorted(spans * 2))]


def test_a_script_in_a_response_is_text():
    page = html_page(EVIL, [("<b>criterion</b>", tokens_of(EVIL))] * 2, "<i>model</i>")
    seen = Text(page)
    assert seen.text == EVIL * 2  # for each criterion every character once, in order
    assert page.count('<p class="legend">') == 1
    assert not {"script", "b", "i"} & set(seen.tags)
    assert "http" not in page.replace("http-equiv", "")  # self-contained


def test_shading_follows_relevance_and_gaps_are_kept():
    fragment = html_fragment("c", "ab cd", [TokenRelevance(0, 2, 1.0), TokenRelevance(3, 5, 0.25)])
    assert re.findall(r"rgba\(0, 114, 178, ([\d.]+)\)", fragment) == ["1.000", "0.250"]
    assert Text(fragment).text == "ab cd"


def test_pieces_of_a_character_are_joined():
    tokens = [
        TokenRelevance(0, 1, 0.1),
        TokenRelevance(0, 1, 0.9),
        TokenRelevance(1, 1, 1.0),
        TokenRelevance(1, 3, 0.2),
    ]
    assert merge(tokens) == [TokenRelevance(0, 1, 0.9), TokenRelevance(1, 3, 0.2)]


def test_terminal_brackets_and_colours():
    tokens = [
        TokenRelevance(0, 2, 0.9),
        TokenRelevance(2, 4, 0.6),
        TokenRelevance(4, 6, 0.1),
        TokenRelevance(6, 7, 0.5),
    ]
    assert terminal_text("abcdefg", tokens, color=False) == "⟦abcd⟧ef⟦g⟧"
    coloured = terminal_text("abcdefg", tokens, color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == "abcdefg"


def test_a_response_cannot_command_the_terminal():
    assert visible("a\x1b[2J\tb\n\u202e") == "a\\x1b[2J\tb\n\\u202e"
