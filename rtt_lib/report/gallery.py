"""Shaded responses side by side, for notebooks: a grid of labels and predictions as escaped HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from IPython.display import HTML

from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import TokenRelevance
from rtt_lib.report.shading import STYLE, shaded, terminal_text

GRID_STYLE = """
.rtt-grid { border-collapse: collapse; font: 14px/1.7 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
.rtt-grid th, .rtt-grid td { text-align: left; vertical-align: top; padding: .35rem .7rem; max-width: 24rem;
  border-top: 1px solid #ddd; }
.rtt-grid .response { font-size: 14px; }
"""
NO_LABEL = "no label: no rule knows this criterion"


@dataclass(frozen=True)
class Shaded:
    """A cell: a response, the relevance of its tokens, a word below. `tokens` None: there is nothing to show."""

    response: str
    tokens: Sequence[TokenRelevance] | None
    note: str = ""


def of_label(label: Label | None, response: str) -> list[TokenRelevance] | None:
    """An annotator's label as tokens of relevance 1; everything where the criterion is global."""
    if label is None:
        return None
    spans = [(0, len(response))] if label.whole else sorted(label.spans)
    return [TokenRelevance(start, end, 1.0) for start, end in spans]


def in_brackets(response: str, tokens: Sequence[TokenRelevance] | None) -> str:
    """The same in plain text, for tables: relevant stretches in brackets."""
    if tokens is None:
        return NO_LABEL
    covered, position = [], 0
    for token in sorted(tokens, key=lambda token: token.start):
        covered += [TokenRelevance(position, token.start, 0.0), token]
        position = max(position, token.end)
    return terminal_text(response, [*covered, TokenRelevance(position, len(response), 0.0)], color=False)


def grid(header: Sequence[str], rows: Sequence[Sequence[str | Shaded]]) -> HTML:
    """A table of texts and shaded responses. Everything is escaped; darker is more relevant."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return HTML(f'<style>{STYLE}{GRID_STYLE}</style><table class="rtt-grid"><tr>{head}</tr>{body}</table>')


def _cell(cell: str | Shaded) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text = f"<em>{NO_LABEL}</em>" if cell.tokens is None else shaded(cell.response, cell.tokens)
    note = f'<p class="legend">{escape(cell.note)}</p>' if cell.note else ""
    return f'<div class="rtt-attribution"><p class="response">{text}</p>{note}</div>'
