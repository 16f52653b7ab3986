"""Intervals as a small drawing: rows in, SVG text out. Colours come from the page's style sheet, light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, ROW, HEADING = 320, 20, 24  # of the drawing, of a row, of the line above a group of rows
LEFT, RIGHT = 46, 262  # between these the values are drawn; labels to the left, numbers to the right
MARKS = ("shown", "reversed", "neither")  # filled disc, filled square, hollow disc


@dataclass(frozen=True)
class Bar:
    """One interval: which group and row it is, and what it says (`MARKS`). `low` and `high` may be unknown (nan)."""

    group: str
    label: str
    mean: float
    low: float
    high: float
    mark: str


def interval_plot(bars: Sequence[Bar], finding: str, unit: str, line: float = 0.0, form: str = "+.1f") -> Markup:
    """The intervals, group by group, around the line that decides; `finding` is what the drawing says in words.

    form: how a number is written.
    """
    scale, ticks = _scale(bars, line)
    parts, y, group = [], 4, None
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += HEADING
            parts.append(f'<text class="group" x="0" y="{y - 8}">{escape(group)}</text>')
        x = f"{scale(line):.1f}"
        parts.append(f'<line class="zero" x1="{x}" x2="{x}" y1="{y}" y2="{y + ROW}"/>')
        parts.append(_row(bar, scale, y, unit, form))
        y += ROW
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{y + 4}" y2="{y + 4}"/>')
    for tick in ticks:
        parts.append(f'<text class="tick" x="{scale(tick):.1f}" y="{y + 20}">{in_digits(tick, "g")}</text>')
    parts.append(f'<text class="unit" x="{RIGHT}" y="{y + 36}">{escape(unit)}</text>')
    words = f"{finding} {'; '.join(_said(bar, unit, form) for bar in bars)}."
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {y + 42}" role="img" aria-label="{escape(words)}">'
        f"<title>{escape(finding)}</title>{''.join(parts)}</svg>"
    )


def _row(bar: Bar, scale: Callable[[float], float], y: float, unit: str, form: str) -> str:
    middle, x = y + ROW / 2, scale(bar.mean)
    label = f'<text class="label" x="0" y="{middle + 4:g}">{escape(bar.label)}</text>'
    number = f'<text class="number" x="{WIDTH}" y="{middle + 4:g}">{in_digits(bar.mean, form)}</text>'
    whisker = ""
    if math.isfinite(bar.low):
        low, high = scale(bar.low), scale(bar.high)
        whisker = f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}"/>'
    if bar.mark == "reversed":
        mark = f'<rect x="{x - 4:.1f}" y="{middle - 4:g}" width="8" height="8"/>'
    else:
        mark = f'<circle cx="{x:.1f}" cy="{middle:g}" r="4"/>'
    kind = bar.mark if bar.mark in MARKS else "neither"
    return f'<g class="{kind}"><title>{escape(_said(bar, unit, form))}</title>{label}{whisker}{mark}{number}</g>'


def _scale(bars: Sequence[Bar], line: float) -> tuple[Callable[[float], float], list[float]]:
    """From a value to its place, and the ticks: the line, and round numbers that are not too close to it."""
    ends = [value for bar in bars for value in (bar.mean, bar.low, bar.high) if math.isfinite(value)]
    least, most = min([line, *ends]), max([line, *ends])
    room = 0.04 * (most - least) or 1.0
    least, most = least - room, most + room

    def scale(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - least) / (most - least)

    step = round_below((most - least) / 2)
    rounded = [step * k for k in range(math.ceil(least / step), math.floor(most / step) + 1)]
    apart = 0.15 * (most - least)  # room for the text of two ticks
    return scale, [line, *(tick for tick in rounded if abs(tick - line) > apart)]


def round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is at most `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(times * power for times in (1, 2, 5) if times * power <= value * (1 + 1e-9))


def in_digits(value: float, form: str) -> str:
    """`value` in this format, with a true minus sign, and a zero without a sign."""
    text = f"{value:{form}}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("+-")


def _said(bar: Bar, unit: str, form: str) -> str:
    ends = "no interval"
    if math.isfinite(bar.low):
        ends = f"interval {in_digits(bar.low, form)} to {in_digits(bar.high, form)}"
    return f"{bar.group}{', ' * bool(bar.label)}{bar.label}: {in_digits(bar.mean, form)} {unit}, {ends}"
