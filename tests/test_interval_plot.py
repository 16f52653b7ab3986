"""Intervals as SVG: places worked by hand, the finding in words, marks that need no colour."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from rtt_lib.report.interval_plot import LEFT, RIGHT, Bar, in_digits, interval_plot, round_below

NAN = float("nan")
BARS = (
    Bar("RTT-AON - RL-AON", "L", -6.0, -10.0, -2.0, "reversed"),
    Bar("RTT-AON - RL-AON", "U", 5.0, 0.0, 10.0, "neither"),
    Bar("RTT-CSR - RL-CSR", "U", 8.0, 6.0, 10.0, "shown"),
)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(*bars: Bar, **values) -> ElementTree.Element:
    text = str(interval_plot(bars, "RTT is ahead in U.", "points", **values))
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def place(value: float) -> float:
    """-10 to 10 with 4% of room at each end: 21.6 units wide."""
    return LEFT + (RIGHT - LEFT) * (value + 10.8) / 21.6


def test_marks_and_whiskers_stand_where_their_values_are():
    svg = drawn(*BARS)
    zeros = {float(line.get("x1")) for line in svg.iter(f"{SVG}line") if line.get("class") == "zero"}
    assert sorted(zeros) == pytest.approx([place(0)], abs=0.06)
    whiskers = [(float(w.get("x1")), float(w.get("x2"))) for w in svg.iter(f"{SVG}line") if w.get("class") == "whisker"]
    assert whiskers == [pytest.approx((place(bar.low), place(bar.high)), abs=0.06) for bar in BARS]
    (square,) = svg.iter(f"{SVG}rect")
    assert float(square.get("x")) + 4 == pytest.approx(place(-6), abs=0.06)
    assert [float(c.get("cx")) for c in svg.iter(f"{SVG}circle")] == pytest.approx([place(5), place(8)], abs=0.06)


def test_what_is_shown_is_right_of_zero_and_what_is_reversed_left():
    svg = drawn(*BARS)
    (square,) = svg.iter(f"{SVG}rect")
    assert float(square.get("x")) + 8 < place(0) < min(float(c.get("cx")) for c in svg.iter(f"{SVG}circle"))
    assert [row.get("class") for row in svg.iter(f"{SVG}g")] == ["reversed", "neither", "shown"]


def test_the_finding_and_every_number_are_said_in_words():
    svg = drawn(*BARS)
    assert svg.get("role") == "img" and svg.find(f"{SVG}title").text == "RTT is ahead in U."
    assert svg.get("aria-label").startswith(
        "RTT is ahead in U. RTT-AON - RL-AON, L: −6.0 points, interval −10.0 to −2.0;"
    )
    assert [t.text for t in svg.iter(f"{SVG}text") if t.get("class") == "group"] == [BARS[0].group, BARS[2].group]
    assert [t.text for t in svg.iter(f"{SVG}text") if t.get("class") == "number"] == ["−6.0", "+5.0", "+8.0"]


def test_ticks_are_round_and_keep_away_from_the_line():
    def ticks(**values) -> list[str]:
        return [t.text for t in drawn(*BARS, **values).iter(f"{SVG}text") if t.get("class") == "tick"]

    assert ticks() == ["0", "−10", "10"]
    assert ticks(line=9.0) == ["9", "−10", "0"]


def test_a_mean_without_an_interval_has_no_whisker_and_one_value_has_an_axis():
    svg = drawn(Bar("x", "", 3.0, NAN, NAN, "too few runs"))
    assert not [w for w in svg.iter(f"{SVG}line") if w.get("class") == "whisker"]
    assert "no interval" in svg.get("aria-label") and next(svg.iter(f"{SVG}g")).get("class") == "neither"
    assert "nan" not in ElementTree.tostring(drawn(Bar("x", "", 0.0, 0.0, 0.0, "neither")), encoding="unicode")


def test_names_are_escaped():
    text = interval_plot([Bar("<b>&", '"L"', 1.0, 0.0, 2.0, "neither")], "<i>", "points")
    assert not re.search(r"<b>|<i>", text) and ElementTree.fromstring(text) is not None


def test_numbers_have_a_true_minus_and_zero_no_sign():
    assert [in_digits(x, "+.1f") for x in (3.14, -3.14, -0.04, 0)] == ["+3.1", "−3.1", "0.0", "0.0"]
    assert in_digits(92.7, ".1f") == "92.7"


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (1.9, 1), (2.0, 2), (49, 20), (0.0051, 0.005), (99, 50)])
def test_round_numbers_below(value, expected):
    assert round_below(value) == pytest.approx(expected)
