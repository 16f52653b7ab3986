"""How a notebook speaks to its reader: the answer in a box at the top; tables, lists of sentences and further figures
folded until they are asked for."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rtt_lib.report.theme import save_figure, small_image
from rtt_lib.tables import save_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SENTENCES = 3  # of an answer

STYLE = """<style>
.rtt-answer { color: #1c2126; background: #eaf2f8; border-left: 4px solid #0072b2; padding: .5rem .9rem;
  max-width: 46rem; font: 16px/1.55 system-ui, sans-serif; }
.rtt-answer p { margin: .25rem 0; }
.rtt-table summary { cursor: pointer; }
</style>"""


@dataclass(frozen=True)
class Shown:
    """What a cell displays: HTML where there is a page, else text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def answer(*sentences: str) -> Shown:
    """The box at the top of a notebook: at most three sentences, computed from the results at hand."""
    found = [sentence for text in sentences for sentence in sentences_of(text)]
    if not 1 <= len(found) <= MOST_SENTENCES:
        raise ValueError(f"an answer has one to {MOST_SENTENCES} sentences, this one {len(found)}: {' '.join(found)}")
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in found)
    return Shown(f'{STYLE}<div class="rtt-answer"><p><b>Answer</b></p>{body}</div>', "Answer: " + " ".join(found))


def sentences_of(text: str) -> list[str]:
    """A sentence ends with . ? or ! before a space and a capital letter, or with the text."""
    return [sentence for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text.strip()) if sentence]


def show_table(frame: pd.DataFrame, name: str, results_dir: str | Path, digits: int = 3) -> Shown:
    """Save as `save_table` does, and show the table folded: its name and number of rows, the rest on a click."""
    shown = save_table(frame, name, results_dir, digits)
    named = any(level is not None for level in shown.index.names)
    table = shown.to_html(index=named, na_rep="-", border=0, max_rows=pd.get_option("display.max_rows"))
    rows = f"{len(shown)} row" + "s" * (len(shown) != 1)
    text = f"{name}, {rows}\n{shown.to_string(index=named, na_rep='-')}"
    return Shown(_folded(f"Table <code>{escape(name)}</code>, {rows}", table), text)


def show_text(text: str, name: str) -> Shown:
    """A text as it stands, a prompt to an LLM say, folded like a table."""
    rows = len(text.splitlines())
    summary = f"Text <code>{escape(name)}</code>, {rows} line{'s' * (rows != 1)}"
    return Shown(_folded(summary, f"<pre>{escape(text)}</pre>"), f"{name}\n{text}")


def show_markdown(text: str, title: str) -> Shown:
    """Markdown, a list of sentences or a page, folded like a table: its title, and how many items its list has."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    items = sum(line.startswith("- ") for line in text.splitlines())
    summary = title + (f", {items} sentence{'s' * (items != 1)}" if items else "")
    body = MarkdownWithMath(renderer=IPythonRenderer(escape=True)).render(text)
    return Shown(_folded(escape(summary), body), f"{summary}\n{text}")


def show_figure(fig: Figure, name: str, results_dir: str | Path, finding: str) -> Shown:
    """Save as `save_figure` does, and show the figure folded: its name and what it shows, the picture on a click."""
    import matplotlib.pyplot as plt

    save_figure(fig, name, results_dir, finding)
    drawn, said = io.BytesIO(), fig.get_label() or finding
    fig.savefig(drawn, format="png", dpi="figure", bbox_inches="tight")
    plt.close(fig)  # a cell draws every figure that it leaves open
    png = small_image(base64.b64encode(drawn.getvalue()).decode("ascii"))
    picture = f'<img alt="{escape(said)}" src="data:image/png;base64,{png}">'
    return Shown(_folded(f"Figure <code>{escape(name)}</code>: {escape(said)}", picture), f"{name}: {said}")


def _folded(summary: str, body: str) -> str:
    return f'{STYLE}<details class="rtt-table"><summary>{summary}</summary>{body}</details>'
