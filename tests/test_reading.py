"""The box at the top of a notebook and its folded tables."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

from rtt_lib.report.figures import empty_figure
from rtt_lib.report.reading import answer, sentences_of, show_figure, show_markdown, show_table, show_text
from rtt_lib.report.theme import finding_of


class Seen(HTMLParser):
    """What a page shows: its tags in order, and its text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        if self.tags[-1] != "style" or data.strip().startswith("<"):
            self.texts.append(data)


def test_an_answer_is_escaped_and_says_the_same_as_text():
    box = answer("RTT is ahead by 3.1 points.", "A response said <script>alert(1)</script> & went on.")
    seen = Seen(box._repr_html_())
    assert "script" not in seen.tags
    assert seen.texts[-2:] == ["RTT is ahead by 3.1 points.", "A response said <script>alert(1)</script> & went on."]
    assert repr(box).startswith("Answer: RTT is ahead by 3.1 points. A response")


def test_an_answer_has_at_most_three_sentences_however_they_come():
    assert repr(answer("One. Two.", "Three.")) == "Answer: One. Two. Three."
    with pytest.raises(ValueError, match="this one 4"):
        answer("One. Two.", "Three. Four.")
    with pytest.raises(ValueError, match="this one 0"):
        answer("")


def test_a_number_with_a_point_is_no_end_of_a_sentence():
    assert sentences_of("It is 0.5 [-1.2, 3.0] points. Is it? Yes!") == [
        "It is 0.5 [-1.2, 3.0] points.",
        "Is it?",
        "Yes!",
    ]


def test_a_table_is_folded_saved_and_escaped(tmp_path):
    frame = pd.DataFrame({"arm": ["a", "<b>x</b>"], "score": [0.12345, float("nan")]})
    seen = Seen(show_table(frame, "scores", tmp_path)._repr_html_())
    assert seen.tags[1:4] == ["details", "summary", "code"] and "b" not in seen.tags
    words = [text.strip() for text in seen.texts if text.strip()]
    assert words == ["Table", "scores", ", 2 rows", "arm", "score", "a", "0.123", "<b>x</b>", "-"]
    assert (tmp_path / "tables" / "scores.csv").read_text() == "arm,score\na,0.12345\n<b>x</b>,\n"


def test_a_named_index_is_shown_and_row_numbers_are_not(tmp_path):
    frame = pd.DataFrame({"x": [7]}, index=pd.Index(["intra"], name="scheme"))
    named = show_table(frame, "named", tmp_path)
    assert "intra" in named.html and ", 1 row<" in named.html and repr(named).startswith("named, 1 row\n")
    plain = Seen(show_table(pd.DataFrame({"x": [7, 9]}), "plain", tmp_path).html)
    assert [text.strip() for text in plain.texts if text.strip()][3:] == ["x", "7", "9"]


def test_a_text_is_shown_as_it_stands():
    shown = show_text("Is it <b>so</b>?\n\n{response}", "judge.txt")
    seen = Seen(shown.html)
    assert seen.tags[1:] == ["details", "summary", "code", "pre"]
    assert seen.texts[-1] == "Is it <b>so</b>?\n\n{response}" and ", 3 lines" in seen.texts
    assert repr(shown) == "judge.txt\nIs it <b>so</b>?\n\n{response}"


def test_sentences_are_folded_counted_and_escaped():
    text = "- A against B +1.0 points, **better**.\n- C said <b>x</b>."
    shown = show_markdown(text, "Table 1 & more")
    seen = Seen(shown.html)
    assert seen.tags[1:5] == ["details", "summary", "ul", "li"] and "strong" in seen.tags and "b" not in seen.tags
    assert "open" not in seen.attributes[1] and "".join(seen.texts).count("C said <b>x</b>.") == 1
    assert "Table 1 & more, 2 sentences" in "".join(seen.texts)
    assert repr(shown) == f"Table 1 & more, 2 sentences\n{text}"
    assert show_markdown("- One.", "T").text.startswith("T, 1 sentence\n")


def test_a_page_is_folded_with_its_table_and_no_count():
    seen = Seen(show_markdown("# Claims\n\n| claim |\n| --- |\n| C1 |\n", "The page").html)
    assert seen.tags[1:5] == ["details", "summary", "h1", "a"] and seen.tags.count("td") == 1
    assert next(text for text in seen.texts if text.strip()) == "The page"


def test_a_folded_figure_is_saved_shown_once_and_says_what_it_shows(tmp_path):
    fig, axis = plt.subplots(figsize=(2, 1), dpi=50)
    axis.plot([1, 3])
    said = 'B is "above" A & stays there.'
    shown = show_figure(fig, "told", tmp_path, said)
    seen = Seen(shown.html)
    assert seen.tags[1:] == ["details", "summary", "code", "img"] and not plt.fignum_exists(fig.number)
    assert "".join(seen.texts).endswith(f"Figure told: {said}") and repr(shown) == f"told: {said}"
    assert seen.attributes[-1]["alt"] == said == finding_of(tmp_path / "figures" / "told.png")
    kind, png = seen.attributes[-1]["src"].split(",")
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    assert kind == "data:image/png;base64" and image.mode == "P" and image.width < 150
    none = show_figure(empty_figure("Out of domain"), "none", tmp_path, said)
    assert repr(none) == "none: Out of domain: not run in this profile."
