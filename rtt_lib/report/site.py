"""The site of a run: the answer and the claims first, then notebooks, figures, tables, manifest. No network."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from rtt_lib.analysis.tuning import NO_ADVICE
from rtt_lib.files import read_json, write_text
from rtt_lib.report.credit_lab import site_script
from rtt_lib.report.front_page import front_page
from rtt_lib.report.theme import finding_of

TEMPLATES = Path(__file__).resolve().parent / "templates"
LONGEST_CELL = 2**31 - 1  # Python's own limit is 128 KiB, which a response can exceed
MAX_ROWS = 200  # of a table on the tables page; the CSV beside it is whole
# The verdicts of `analysis.claims`, in words; the colour repeats what the word beside it says.
VERDICT_CLASSES = {
    "replicates": "good",
    "partly": "mixed",
    "does not replicate": "bad",
    "cannot be tested at this size": "untested",
}
# A blank after a full stop, but not after one that belongs to an abbreviation: `(Eq. 1)`.
SENTENCE_END = re.compile(r"(?<=[.?!])(?<!\bEq\.)(?<!\bEqs\.)(?<!\bFig\.)(?<!\bApp\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+")
SAVED = re.compile(r'"([\w-]+)",\s*results\b')  # the name under which a cell saves a table or a figure
# Those of `analysis.serl_claims` and `analysis.contrasts`, on the claims of other papers.
NEIGHBOUR_CLASSES = {
    "supported": "good",
    "negligible": "mixed",
    "undecided": "mixed",
    "contradicted": "bad",
    "untested": "untested",
}
# What a reader should see first, of those a run has: notebook 06's.
FIRST_FIGURES = {
    "core_learning_curves": "Plain RL and RTT in training, on the same prompts and seeds",
    "core_paired_curves": "The same as differences within a seed: RTT minus RL with the same reward",
    "core_paired": "After training: RTT minus RL with the same reward, run by run",
}


@dataclass(frozen=True)
class Table:
    """One CSV of a run. `rows` are cut at MAX_ROWS; `total` counts them all."""

    name: str
    header: list[str]
    rows: list[list[str]]
    total: int
    numeric: list[bool]


@dataclass(frozen=True)
class Page:
    """One executed notebook: its stem, its title and what it says first.

    cells: the place on the page where a table or a figure is made, by its name.
    """

    stem: str
    title: str
    opening: str
    body: Markup
    cells: dict[str, str]


def build_site(results_dir: str | Path) -> Path:
    """Write `index.html` and `site/*.html` into the results folder; returns the path of the index."""
    results = Path(results_dir).resolve()
    site = results / "site"
    pages = [notebook_page(path) for path in _notebooks(results)]
    tables = [read_table(path) for path in sorted((results / "tables").glob("*.csv"))]
    figures = [path.stem for path in sorted((results / "figures").glob("*.png"))]
    manifest = read_json(results / "manifest.json") if (results / "manifest.json").is_file() else {}
    findings = {name: finding_of(results / "figures" / f"{name}.png") for name in figures}
    common = {"pages": pages, "tables": tables, "figures": figures, "findings": findings, "manifest": manifest}
    common["profile"] = manifest.get("profile", results.name)
    write_text(site / "style.css", (TEMPLATES / "style.css").read_text(encoding="utf-8") + _code_colors())
    for name in ("figures", "tables", "manifest"):
        write_text(site / f"{name}.html", _render(f"{name}.html.j2", home="../", site="", here=name, **common))
    for number, page in enumerate(pages):
        beside = {"before": pages[number - 1] if number else None, "after": (pages[number + 1 :] or [None])[0]}
        text = _render("notebook.html.j2", home="../", site="", here=page.stem, page=page, **beside, **common)
        write_text(site / f"{page.stem}.html", text)
    _remove_stale(site, {page.stem for page in pages} | {"figures", "tables", "manifest"})
    by_name = {table.name: table for table in tables}
    neighbours = by_name.get(f"{common['profile']}_claims")
    claims = neighbours or by_name.get("claims")
    front = {"front": front_page(results / "tables", {page.stem[:2]: page_parts(page) for page in pages})}
    front |= {"neighbours": neighbours, "counts": count_verdicts(claims), "first_figures": FIRST_FIGURES}
    front["recommendation"] = recommendation(by_name.get("recommendation"))
    front["script"] = None
    if (found := site_script(results)) is not None:
        front["script"], front["script_hash"] = Markup(found[0]), found[1]
    return write_text(
        results / "index.html", _render("index.html.j2", home="", site="site/", here="index", **front, **common)
    )


def _notebooks(results: Path) -> list[Path]:
    return sorted(path for path in (results / "notebooks").glob("[0-9][0-9]_*.ipynb") if ".failed" not in path.name)


def _remove_stale(site: Path, names: set[str]) -> None:
    for path in site.glob("*.html"):
        if path.stem not in names:
            path.unlink()


def _render(template: str, **values: Any) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["url"] = quote
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters["verdict"] = verdict_class
    return environment.get_template(template).render(**values)


def verdict_class(text: str) -> str:
    """The colour class of a table cell that holds a verdict, empty for any other cell."""
    return (VERDICT_CLASSES | NEIGHBOUR_CLASSES).get(text.strip().lower(), "")


def count_verdicts(claims: Table | None) -> dict[str, int]:
    """How many claims have each verdict, in the order of the classes above."""
    known = VERDICT_CLASSES | NEIGHBOUR_CLASSES
    said = [text for row in claims.rows for text in row if text in known] if claims else []
    return {verdict: said.count(verdict) for verdict in known if verdict in said}


def recommendation(table: Table | None) -> str:
    """The first sentence of what a run recommends; empty where it only says that tests are missing."""
    first = SENTENCE_END.split(table.rows[0][0])[0] if table and table.rows else ""
    return "" if first.startswith(NO_ADVICE) else first


def read_table(path: Path) -> Table:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    numeric = [any(row[k] for row in rows) and all(_is_number(row[k]) for row in rows) for k in range(len(header))]
    shown = [[_shorten(text) for text in row] for row in rows[:MAX_ROWS]]
    return Table(path.stem, header, shown, len(rows), numeric)


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _shorten(text: str) -> str:
    """Four significant digits for what is written with a decimal point; anything else as it stands."""
    return f"{float(text):.4g}" if "." in text and _is_number(text) else text


# --- notebooks -----------------------------------------------------------------------------------------------------


def notebook_page(path: Path) -> Page:
    """Render an executed notebook's cells as HTML, without nbconvert's page around them (that loads scripts)."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        said = iter(_findings(cell, path.parent.parent / "figures"))
        for output in cell.get("outputs", []):
            _tame(output, said)
    title, opening = _title_and_opening(notebook.cells, path.stem)
    body, _ = _exporter().from_notebook_node(notebook, {"metadata": {"path": str(path.parent)}})
    cells = {name: f"cell-id={cell.id}" for cell in notebook.cells for name in SAVED.findall(cell.source)}
    return Page(path.stem, title, opening, Markup(body), cells)


def page_parts(page: Page) -> dict[str, str]:
    """The page's `stem`, and as in an address the place of each numbered part (`3` is `3.-After-training`) and of each
    table and figure."""
    found = re.findall(r'<h2 id="((\d+)\.-[^"]*)"', page.body)
    places = page.cells | {number: unescape(place) for place, number in found}
    return {"stem": page.stem} | {name: quote(place) for name, place in places.items()}


def _title_and_opening(cells: list, stem: str) -> tuple[str, str]:
    """The first heading, without the notebook's number, and the first two sentences below it without TeX commands."""
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    heading = re.search(r"^#\s+(?:\d+\s+)?(.+)$", text, re.MULTILINE)
    if not heading:
        return stem.split("_", 1)[1].replace("_", " ").capitalize(), ""
    paragraph = text[heading.end() :].strip().split("\n\n")[0]
    sentences = [s for s in SENTENCE_END.split(" ".join(paragraph.split())) if "\\" not in s]
    return _plain_text(heading.group(1)), _plain_text(" ".join(sentences[:2]))


def _plain_text(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"[*`$]", "", markdown)).strip()


def _findings(cell: dict, figures: Path) -> list[str]:
    """What the figures that a cell saves show, in their order."""
    names = re.findall(r'save_figure\(.*?"([\w-]+)",\s*results\b', cell.source, re.DOTALL)
    return [finding_of(figures / f"{name}.png") for name in names]


def _tame(output: dict, findings: Iterator[str]) -> None:
    """Drop what runs code, and render Markdown outputs here with their raw HTML escaped: they may hold model text."""
    data = output.get("data", {})
    if "image/png" in data:
        said = next(findings, "") or "The figure this cell draws"
        output["metadata"].setdefault("image/png", {}).setdefault("alt", said)
    for kind in [kind for kind in data if "javascript" in kind or "widget" in kind]:
        del data[kind]
    if "text/markdown" in data:
        data["text/html"] = _markdown(data.pop("text/markdown"), escape=True)


def _markdown(source: str, escape: bool, folder: str = "", attachments: dict | None = None) -> str:
    """Markdown to HTML, equations to MathML, images embedded, links that would leave the site as plain text."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return mathml(body, "inline")

        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

        def link(self, text: str, url: str, title: str | None = None) -> str:
            if re.match(r"https?://|#", url):
                return super().link(text, url, title)
            if re.fullmatch(r"(\./)?\d\d_\w+\.ipynb", url):
                return super().link(text, url.removeprefix("./").removesuffix(".ipynb") + ".html", title)
            return text

    renderer = Renderer(escape=escape, attachments=attachments or {}, embed_images=bool(folder), path=folder)
    return MarkdownWithMath(renderer=renderer).render(source)


def mathml(latex: str, display: str) -> str:
    """LaTeX as MathML, which browsers draw without a script; what cannot be converted is shown as written."""
    from latex2mathml.converter import convert

    known = latex.strip().replace("{aligned}", "{align*}").replace(r"\tag{", r"\qquad\tag{")
    try:
        return convert(known, display=display)
    except Exception:  # the converter has no error class of its own, and one odd formula must not lose the page
        return str(Markup("<code>{}</code>").format(latex))


def _exporter() -> Any:
    from nbconvert import HTMLExporter

    class SiteExporter(HTMLExporter):
        @jinja2.pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            cell, folder = context.get("cell", {}), context.get("resources", {}).get("metadata", {}).get("path", "")
            return _markdown(source, escape=False, folder=folder, attachments=cell.get("attachments"))

    return SiteExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)


def _code_colors() -> str:
    """Pygments' style sheets for code cells, light and dark."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"\n@media screen {{\n{light}\n}}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
