"""The box at the top of a notebook and its folded tables."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from rtt_lib.report.reading import answer, sentences_of, show_table, show_text


class Seen(HTMLParser):
    """What a page shows: its tags in order, and its text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)

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
