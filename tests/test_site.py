"""The site of a run: complete, escaped, without the network; and in a real browser where there is one."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from browser import browser, load, said_in_frame, with_script
from site_check import check_site

from rtt_lib.analysis.claims_page import COLUMNS, COMPARISON_COLUMNS
from rtt_lib.analysis.tuning import NO_ADVICE
from rtt_lib.files import write_json
from rtt_lib.report.site import Table, build_site, count_verdicts, mathml, notebook_page, recommendation
from rtt_lib.report.theme import apply_theme, arm_color, save_figure
from rtt_lib.tables import save_table

NASTY = "<script>alert('model text')</script> & <b>bold</b>"
PROSE = """\
# Response-level advantage

Which tokens does the advantage of $r_i$ reach? See [the discriminator](02_words.ipynb),
[the code](../rtt_lib/credit.py) and [the paper](https://arxiv.org/abs/2604.02795).

$$A_{i,t} = \\alpha \\hat A^{res}_i + \\beta \\frac{1}{K} \\sum_{k=1}^{K} \\hat A^{tok}_{i,k,t}$$

Code keeps its dollars: `$x_1$` stays.
"""


FINDING = 'RTT-CSR rises from 0 to 1 & stays "there".'


def _notebook(path: Path, prose: str, outputs: list) -> None:
    code = nbformat.v4.new_code_cell("response_advantage(rewards, group_size=8)", id="code", outputs=outputs)
    cells = [nbformat.v4.new_markdown_cell(prose, id="prose"), code]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def results(tmp_path) -> Path:
    """A small run with everything a page can hold."""
    apply_theme()
    row = ["C1", NASTY, "replicates", NASTY, NASTY, "2 runs", NASTY, "notebook 02, part 1 (words)"]
    save_table(pd.DataFrame([row], columns=COLUMNS), "claims", tmp_path)
    one = ["C1", "RTT", NASTY, "L", "all satisfied", 5, 0.1, 0.05, 0.15, 0.95, 0.0, "shown"]
    save_table(pd.DataFrame([one], columns=COMPARISON_COLUMNS), "claim_comparisons", tmp_path)
    fig, axis = plt.subplots()
    axis.plot([0, 1], [0, 1], color=arm_color("RTT-CSR"), label="RTT-CSR")
    save_figure(fig, "accuracy_by_step", tmp_path, FINDING)
    plt.close(fig)
    new = nbformat.v4.new_output
    table = pd.DataFrame({"response": [NASTY]})._repr_html_()
    outputs = [
        new("stream", name="stdout", text=NASTY),
        new("display_data", data={"text/markdown": NASTY}),
        new("display_data", data={"text/html": table}),
        new("display_data", data={"application/javascript": "alert(1)", "text/plain": "a script"}),
    ]
    _notebook(tmp_path / "notebooks" / "01_advantage.ipynb", PROSE, outputs)
    _notebook(tmp_path / "notebooks" / "02_words.ipynb", "# Words\nWhich words count?\n\n## 1. Here & now", [])
    _notebook(tmp_path / "notebooks" / "03_broken.failed.ipynb", "# Broken", [])
    write_json(tmp_path / "manifest.json", {"profile": "tiny", "seeds": {"data": 0}, "parameters": {"about": "Small."}})
    build_site(tmp_path)
    return tmp_path


def test_the_site_has_no_defect_that_shows_without_a_browser(results):
    assert check_site(results) == []
    assert {path.name for path in (results / "site").iterdir()} == {
        *("01_advantage.html", "02_words.html", "figures.html", "tables.html", "manifest.html", "style.css")
    }


def test_a_figure_says_what_it_shows_to_those_who_do_not_see_it(results, tmp_path):
    escaped = FINDING.replace("&", "&amp;").replace('"', "&#34;")
    text = (results / "site" / "figures.html").read_text()
    assert f'alt="{escaped}"' in text and f"accuracy by step. {escaped}" in text
    assert f'alt="{escaped}"' in (results / "index.html").read_text()

    png = base64.b64encode((results / "figures" / "accuracy_by_step.png").read_bytes()).decode()
    image = nbformat.v4.new_output("display_data", data={"image/png": png})
    path = results / "notebooks" / "04_drawn.ipynb"
    _notebook(path, "# Drawn", [image, nbformat.from_dict(image)])
    drawn = nbformat.read(path, 4)
    drawn.cells[1].source = 'save_figure(\n    draw(x), "accuracy_by_step",\n    results,\n)\nanother()'
    nbformat.write(drawn, path)
    alts = re.findall(r"<img alt=(['\"])(.*?)\1 src", notebook_page(path).body)
    assert [html.unescape(alt) for _, alt in alts] == [FINDING, "The figure this cell draws"]


def test_a_contents_list_leads_to_headings(results):
    listed = "# T\n\n1. [Is it so, or not?](#1.-Is-it-so,-or-not?)\n2. [Lost](#2.-Lost)\n\n## 1. Is it so, or not?"
    _notebook(results / "notebooks" / "04_listed.ipynb", listed, [])
    build_site(results)
    assert check_site(results) == ["site/04_listed.html: #2.-Lost names no place on that page"]


def test_claims_come_first_and_everything_is_reachable(results):
    index = (results / "index.html").read_text()
    order = [index.index(text) for text in ("RTT beat RL", "<svg", 'id="C1"', "Notebooks</h2>", "Figures</h2>")]
    assert order == sorted(order) and '<span class="verdict good">replicates</span>' in index
    assert 'href="site/02_words.html#1.-Here-%26-now"' in index  # the card leads to its part
    for target in ("site/01_advantage.html", "site/02_words.html", "site/tables.html", "site/manifest.html"):
        assert f'href="{target}"' in index
    assert "Which tokens does the advantage of r_i reach?" in index and "broken" not in index.lower()


def test_a_card_leads_to_the_cell_that_makes_its_table(results):
    path = results / "notebooks" / "02_words.ipynb"
    made = nbformat.read(path, 4)
    made.cells[1].source = 'show_table(\n    words(x), "words", results, digits=1)'
    nbformat.write(made, path)
    assert 'href="site/02_words.html#cell-id%3Dcode"' in build_site(results).read_text()
    assert check_site(results) == []  # the page has that place


def test_without_a_claims_table_the_index_says_so(tmp_path):
    assert "no claims table yet" in build_site(tmp_path).read_text() and check_site(tmp_path) == []


def test_claims_of_another_paper_come_first_in_a_run_for_them(tmp_path):
    for name, claim, verdict in (("serl_claims", "S-C1", "supported"), ("claims", "C1", "replicates")):
        row = [claim, "It works", verdict, *["none"] * (len(COLUMNS) - 3)]
        save_table(pd.DataFrame([row], columns=COLUMNS), name, tmp_path)
    write_json(tmp_path / "manifest.json", {"profile": "serl"})
    index = build_site(tmp_path).read_text()
    assert "<td>S-C1</td>" in index and 'id="C1"' not in index
    assert '<span class="verdict good">supported</span> 1.' in index and "supported within the margin" in index
    assert "RL here is GRPO" not in index and check_site(tmp_path) == []
    write_json(tmp_path / "manifest.json", {"profile": "micro"})
    index = build_site(tmp_path).read_text()
    assert 'id="C1"' in index and "<td>S-C1</td>" not in index and "RL here is GRPO" in index


def test_model_text_is_escaped_everywhere(results):
    for page in [results / "index.html", *(results / "site").glob("*.html")]:
        text = page.read_text()
        assert "<script" not in text and "<b>bold</b>" not in text, page.name
    assert (results / "site" / "01_advantage.html").read_text().count("&lt;script&gt;") == 3


POLICY = (
    "default-src 'none'; script-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)


def test_every_page_may_load_its_own_style_and_images_and_nothing_else(results):
    for page in [results / "index.html", *(results / "site").glob("*.html")]:
        assert re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*)">', page.read_text()) == [POLICY]


def test_equations_are_mathml_and_links_stay_inside(results):
    page = (results / "site" / "01_advantage.html").read_text()
    assert page.count("<math ") == 2 and 'display="block"' in page and "<mfrac>" in page
    assert "<code>$x_1$</code>" in page
    assert 'href="02_words.html"' in page and 'href="https://arxiv.org/abs/2604.02795"' in page
    assert "the code" in page and "credit.py" not in page


def test_an_equation_that_cannot_be_converted_is_shown_as_written():
    assert "<mi>x</mi>" in mathml("x", "inline")
    assert mathml("a_b_c<d", "inline") == "<code>a_b_c&lt;d</code>"


def test_aligned_equations_keep_their_columns():
    converted = mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "block")
    assert converted.count("<mtr>") == 2 and converted.count("<mtd") == 4 and "aligned" not in converted


def test_the_title_is_the_first_heading_and_the_opening_two_sentences(tmp_path):
    words = "# 04 What is `intra`?\n\nIt is a *group* of\ntokens. Does it beat inter? A third.\n\nMore."
    _notebook(tmp_path / "04_group.ipynb", words, [])
    page = notebook_page(tmp_path / "04_group.ipynb")
    assert (page.title, page.opening) == ("What is intra?", "It is a group of tokens. Does it beat inter?")
    _notebook(tmp_path / "04_group.ipynb", "No heading.", [])
    page = notebook_page(tmp_path / "04_group.ipynb")
    assert (page.title, page.opening) == ("Group", "")


@pytest.mark.parametrize("short", ["Eq. 1", "Fig. 3", "App. D", "e.g. this", "i.e. that"])
def test_an_abbreviation_does_not_end_a_sentence(tmp_path, short):
    _notebook(tmp_path / "01_data.ipynb", f"# Data\n\nEach gets a verdict ({short}). Is it right? A third.", [])
    assert notebook_page(tmp_path / "01_data.ipynb").opening == f"Each gets a verdict ({short}). Is it right?"


def test_verdicts_are_counted():
    rows = [["C1", "replicates"], ["C2", "does not replicate"], ["C3", "replicates"]]
    table = Table("claims", ["claim", "verdict"], rows, 3, [False, False])
    assert count_verdicts(table) == {"replicates": 2, "does not replicate": 1} and count_verdicts(None) == {}


def test_a_recommendation_is_its_first_sentence_and_none_where_tests_are_missing():
    def said(text: str) -> str:
        return recommendation(Table("recommendation", ["recommendation"], [[text]], 1, [False]))

    assert said("Recommended: RTT. Tuned, its mean is above.") == "Recommended: RTT."
    assert said("No method is recommended: none is ahead.") == "No method is recommended: none is ahead."
    assert said(f"{NO_ADVICE} the tuned methods are not run in this profile.") == recommendation(None) == ""


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<img src="nowhere.png">', "index.html: nowhere.png does not exist"),
        ('<a href="site/none.html">x</a>', "index.html: site/none.html does not exist"),
        ('<a href="#nothing">x</a>', "index.html: #nothing names no place on that page"),
        ('<script src="site/style.css"></script>', "index.html: loads the script site/style.css"),
        ('<img src="https://example.org/x.png">', "index.html: would load https://example.org/x.png"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "index.html: would load //example.org/x.css"),
        ('<a href="javascript:alert(1)">x</a>', "index.html: would load javascript:alert(1)"),
    ],
)
def test_the_static_check_sees(results, html, problem):
    index = results / "index.html"
    index.write_text(index.read_text().replace("</main>", html + "</main>"))
    assert check_site(results) == [problem]


def test_the_static_check_sees_a_style_sheet_that_loads(results):
    style = results / "site" / "style.css"
    style.write_text(style.read_text() + "@font-face { src: url(https://example.org/font) }")
    assert check_site(results) == ["site/style.css: loads url(https://example.org/font)"]


# --- a real browser ------------------------------------------------------------------------------------------------

# How wide the window is, and how far the page reaches beyond it.
REACH = "onload = () => parent.postMessage(`${innerWidth} ${document.documentElement.scrollWidth - innerWidth}`, '*')"
# Writes before each image whether it was drawn.
PROBE = "onload = () => { for (const i of document.images) i.before((i.naturalWidth > 99 ? 'seen' : 'LOST') + '|') }"


@pytest.mark.skipif(browser() is None, reason="no Chromium on PATH: the site was NOT opened in a browser here")
def test_in_a_browser_pages_load_without_console_errors_and_images_appear(results, tmp_path):
    for page in [results / "index.html", *sorted((results / "site").glob("*.html"))]:
        document, log = load(page, tmp_path / "chromium")
        assert "</footer>" in document, log
        assert "CONSOLE" not in log, f"{page.name}: {log}"
    figures = results / "site" / "figures.html"  # the probe runs, and the rest of the policy holds for the images
    figures.write_text(with_script(figures.read_text(), PROBE))
    document, _ = load(figures, tmp_path / "chromium")
    assert "seen|" in document and "LOST|" not in document


@pytest.mark.skipif(browser() is None, reason="no Chromium on PATH: the console check was NOT tried in a browser here")
def test_the_browser_check_would_see_a_console_error(results, tmp_path):
    index = results / "index.html"
    index.write_text(index.read_text().replace("</main>", "<script>undefined_function()</script></main>"))
    _, log = load(index, tmp_path / "chromium")
    assert "CONSOLE" in log


FETCH = "fetch('/manifest.json').then(() => document.title = 'it came', () => document.title = 'it was refused')"


@pytest.fixture
def served(results) -> Iterator[tuple[str, list[str]]]:
    """The results folder behind a server on this machine: its address, and the paths that it is asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=results)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.skipif(browser() is None, reason="no Chromium on PATH: a fetch from a page was NOT tried here")
@pytest.mark.parametrize("name", ["index.html", "site/01_advantage.html"])
def test_in_a_browser_a_page_gets_its_style_and_a_fetch_is_refused(results, served, tmp_path, name):
    address, asked = served
    page = results / name
    page.write_text(with_script(page.read_text(), FETCH))
    document, log = load(f"{address}/{name}", tmp_path / "chromium")
    assert "<title>it was refused" in document and "Content Security Policy" in log
    assert "/site/style.css" in asked and "/manifest.json" not in asked

    page.write_text(page.read_text().replace("default-src 'none'; ", ""))
    document, log = load(f"{address}/{name}", tmp_path / "other")  # the first browser keeps a page of the same second
    assert "<title>it came" in document and "/manifest.json" in asked and "CONSOLE" not in log, log


def beyond(page: Path, profile: Path) -> int:
    """By how many px a page of the site is wider than a phone."""
    page.with_name("probed.html").write_text(with_script(page.read_text(), REACH))
    width, reach = map(int, said_in_frame(page.with_name("probed.html"), profile, width=390).split())
    assert width == 390
    return reach


@pytest.mark.skipif(browser() is None, reason="no Chromium on PATH: the width was NOT measured in a browser here")
def test_in_a_browser_the_pages_fit_a_phone(results, tmp_path):
    wide = (
        "| a | b |\n|---|---|\n| " + "word" * 40 + " | $A_{i,t} = \\alpha A_i + \\beta A_t$, the same for all tokens |"
    )
    _notebook(results / "notebooks" / "01_advantage.ipynb", f"{PROSE}\n\n{wide}", [])
    index = build_site(results)
    for page in (index, results / "site" / "01_advantage.html"):
        assert beyond(page, tmp_path / "chromium") <= 0, page.name
    index.write_text(index.read_text().replace("</main>", '<div style="width:600px">wide</div></main>'))
    assert beyond(index, tmp_path / "chromium") > 200
