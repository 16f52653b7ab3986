"""Token relevance as shaded text: escaped HTML (Table 6 and beyond) and the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

from rtt_lib.relevance.discriminator import TokenRelevance
from rtt_lib.report.theme import UP, ink_on, shade

MARKED = 0.5

STYLE = """
.rtt-attribution { font: 16px/1.9 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 46rem; }
.rtt-attribution + .rtt-attribution { margin-top: 1.6rem; }
.rtt-attribution .criterion { font-weight: 600; margin: 0 0 .4rem; }
.rtt-attribution .response { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
.rtt-attribution .response span { border-radius: 3px; padding: .15em 0; color: #000; }
.rtt-attribution .response span.strong { color: #fff; }
.rtt-attribution .legend { font-size: 13px; color: #555; margin: .8rem 0 0; }
"""


def merge(tokens: Sequence[TokenRelevance]) -> list[TokenRelevance]:
    """Tokens in order, those that share characters (the pieces of an emoji) joined, with the highest relevance.

    Every character is then shown exactly once.
    """
    merged: list[TokenRelevance] = []
    for token in tokens:
        if token.start >= token.end:
            continue
        if merged and token.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = TokenRelevance(last.start, max(last.end, token.end), max(last.relevance, token.relevance))
        else:
            merged.append(token)
    return merged


def html_fragment(criterion: str, response: str, tokens: Sequence[TokenRelevance], note: str = "") -> str:
    """One criterion and its response, each token shaded by relevance and named in a tooltip. Escaped throughout."""
    caption = f'<p class="legend">{escape(note)}</p>' if note else ""
    return (
        f'<div class="rtt-attribution"><p class="criterion">{escape(criterion)}</p>'
        f'<p class="response">{shaded(response, tokens)}</p>{caption}</div>'
    )


def shaded(response: str, tokens: Sequence[TokenRelevance]) -> str:
    """The response as HTML, every character once."""
    pieces, position = [], 0
    for token in merge(tokens):
        pieces.append(escape(response[position : token.start]))
        strong = ' class="strong"' if ink_on(shade(token.relevance)) == "#ffffff" else ""
        blue = ", ".join(map(str, UP))
        pieces.append(
            f'<span{strong} style="background: rgba({blue}, {token.relevance:.3f})" '
            f'title="relevance {token.relevance:.3f}">{escape(response[token.start : token.end])}</span>'
        )
        position = token.end
    pieces.append(escape(response[position:]))
    return "".join(pieces)


def html_page(response: str, criteria: Sequence[tuple[str, Sequence[TokenRelevance]]], model: str) -> str:
    """A page that needs nothing else: no script, no font, no network. The response is shown once a criterion."""
    note = f"Darker: more relevant to the criterion. Hover over a token for its relevance. Discriminator: {model}"
    notes = [*[""] * (len(criteria) - 1), note]
    shown = [html_fragment(text, response, tokens, n) for (text, tokens), n in zip(criteria, notes, strict=True)]
    fragments = "\n".join(shown)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Token relevance</title>\n<style>\nbody {{ margin: 2rem; }}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{fragments}\n</main>\n</body>\n</html>\n"
    )


def terminal_text(response: str, tokens: Sequence[TokenRelevance], color: bool) -> str:
    """The response with a background by relevance, or, without colour, relevant stretches in ⟦brackets⟧."""
    pieces = [(visible(response[t.start : t.end]), t.relevance) for t in merge(tokens)]
    if color:
        return "".join(f"\x1b[{_background(p)}m{text}\x1b[0m" for text, p in pieces)
    text, inside = "", False
    for piece, p in pieces:
        if (p >= MARKED) != inside:
            text += "⟧" if inside else "⟦"
            inside = not inside
        text += piece
    return text + "⟧" * inside


def _background(p: float) -> str:
    """One of six steps from the terminal's own background to a full blue, the last one with white letters."""
    steps = ("0", "48;5;195;38;5;16", "48;5;153;38;5;16", "48;5;111;38;5;16", "48;5;69;38;5;16", "48;5;25;38;5;231")
    return steps[min(int(p * len(steps)), len(steps) - 1)]


def visible(text: str) -> str:
    """Control characters written out, so that a response cannot send commands to the terminal."""
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs") or char == "\u200d"
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )
