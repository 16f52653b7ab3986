"""The first page of a run's site as data: the answer in sentences, a card per claim, the figure of RTT minus RL.

Everything is computed from the tables `claims`, `claim_comparisons` and `rtt_minus_rl` (`analysis.claims_page`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from rtt_lib.analysis.claims import ALL_RIGHT
from rtt_lib.analysis.claims_page import COLUMNS, COMPARISON_COLUMNS
from rtt_lib.analysis.comparison import unit_of
from rtt_lib.analysis.judging import NEITHER, REVERSED, RULE, SHOWN
from rtt_lib.analysis.rtt_minus_rl import COLUMNS as BESIDE_COLUMNS
from rtt_lib.analysis.rtt_minus_rl import GLOBAL, WORDS
from rtt_lib.report.interval_plot import Bar, in_digits, interval_plot

# What a comparison of each claim shows, and what it shows if it is reversed. For the others the card says their reason.
SAYS = {
    "C1": ("RTT is ahead", "it is behind"),
    "C2": ("RL is ahead", "it is behind"),
    "C3": ("the loss stays within 0.1 nats per token", "it grows beyond"),
    "C4": ("intra is ahead", "it is behind"),
    "C5": ("the claimed order holds", "the opposite does"),
    "C6": ("beta 0.5 is ahead", "it is behind"),
    "C7": ("RTT-CSR is faster or has lower entropy", "the opposite is true"),
    "C10": ("every token is right in over 90% of the responses", "it is right in fewer"),
}
JUDGED = (SHOWN, REVERSED, NEITHER)  # findings of comparisons with enough runs


@dataclass(frozen=True)
class Card:
    """One claim. `links`: where it is worked out, as (address on the site, words)."""

    id: str
    statement: str
    verdict: str
    sentence: str
    plots: list[Markup]
    links: list[tuple[str, str]]
    paper: str
    ours: str
    n: str
    reason: str


@dataclass(frozen=True)
class Front:
    """`answer`: did RTT beat RL, where, and what differs elsewhere? `figure`: C1's comparisons world by world."""

    answer: list[str]
    figure: Markup | None
    caption: str
    cards: list[Card]
    rule: list[str]


def front_page(tables: Path, parts: dict[str, dict[str, str]]) -> Front:
    """parts: for each notebook's number its page's `stem`, and the places on the page of its parts, by their numbers,
    and of its tables and figures, by their names."""
    claims = _read(tables / "claims.csv", COLUMNS)
    compared = _read(tables / "claim_comparisons.csv", COMPARISON_COLUMNS)
    cards = [_card(row, compared[compared["claim"] == row["claim"]], parts) for row in claims.to_dict("records")]
    main = compared[compared["claim"] == "C1"]
    if not main["finding"].isin(JUDGED).any():
        return Front([card.sentence for card in cards[:1]], None, "", cards, [])
    beside, rule = _read(tables / "rtt_minus_rl.csv", BESIDE_COLUMNS), [text.replace("*", "") for text in RULE]
    answer = [outcome(main), *differs(main, beside)]
    return Front(answer, world_figure(main, answer[0]), caption(main), cards, rule)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table without unknown names; no row where the run has left none."""
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    table = pd.read_csv(path)
    names = [name for name in ("arm", "baseline", "world") if name in table]
    return table.astype(dict.fromkeys(names, object)).fillna(dict.fromkeys(names, ""))


# --- a card ---


def _card(row: dict[str, str], compared: pd.DataFrame, parts: dict[str, dict[str, str]]) -> Card:
    sentence = say(row["claim"], row["reason"], compared)
    known = compared.dropna(subset="mean").groupby("measure", sort=False)
    plots = [claim_plot(rows, sentence) for _, rows in known]
    names = ("paper", "ours", "n", "reason")
    links = places(row["where"], parts)
    return Card(row["claim"], row["statement"], row["verdict"], sentence, plots, links, *(row[name] for name in names))


def say(claim: str, reason: str, compared: pd.DataFrame) -> str:
    """`3 of 8 comparisons show that RTT is ahead (U: +6.3 to +13.7 points), 2 that it is behind (M: -9.2 points).`

    Without words for the claim or without a judged comparison: how the reason begins.
    """
    shown, turned, neither = (int((compared["finding"] == finding).sum()) for finding in JUDGED)
    judged = shown + turned + neither
    if claim not in SAYS or not judged:
        first = re.split(r"(?<=\.) ", reason)[0]
        return f"{first[:1].upper()}{first[1:]}"
    (shows, shows_not), what = SAYS[claim], "cases" if claim == "C10" else "comparisons"
    text = f"{shown or 'None'} of {len(compared)} {what} show{'s' * (shown < 2)} that {shows}"
    text += _figures(compared[compared["finding"] == SHOWN])
    text += f", {turned or 'none'} that {shows_not}" + _figures(compared[compared["finding"] == REVERSED])
    lacking = len(compared) - judged
    if lacking:
        text += f"; {lacking} {'has' if lacking == 1 else 'have'} too few runs to say"
    return text + "."


def _figures(rows: pd.DataFrame) -> str:
    """` (L and U: +6.3 to +13.7 points)`; only the worlds where measures differ in unit."""
    if rows.empty:
        return ""
    words = _joined(rows["world"].unique()) if rows["world"].any() else ""
    if rows["measure"].nunique() == 1:
        unit, factor, form = units(rows)
        ends = [in_digits(factor * end, form) for end in (rows["mean"].min(), rows["mean"].max())]
        words += f"{': ' if words else ''}{' to '.join(dict.fromkeys(ends))} {unit}"
    return f" ({words})"


def units(rows: pd.DataFrame) -> tuple[str, float, str]:
    """The unit of rows of one measure, the factor that turns values into it, and how its numbers are written."""
    if rows["measure"].iloc[0] == ALL_RIGHT:
        return "% of responses", 100, ".1f"
    unit, factor, digits = unit_of(rows["measure"].iloc[0])
    return unit, factor, f"+.{digits}f"


def _joined(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def claim_plot(rows: pd.DataFrame, sentence: str) -> Markup:
    """Rows of one measure: a group per pair of arms, a bar per world; a bar per arm where there is no pair."""
    return _plot(rows, sentence, _pair, lambda row: row["world"])


def _pair(row: dict) -> str:
    return f"{row['arm']} \N{MINUS SIGN} {row['baseline']}" if row["baseline"] else row["arm"]


def _plot(rows: pd.DataFrame, finding: str, group: Callable[[dict], str], label: Callable[[dict], str]) -> Markup:
    measure, line = rows["measure"].iloc[0], rows["line"].iloc[0]
    unit, factor, form = units(rows)
    bars = [
        Bar(group(row), label(row), *(factor * row[name] for name in ("mean", "low", "high")), row["finding"])
        for row in rows.to_dict("records")
    ]
    return interval_plot(bars, finding, f"{measure}, {unit}", factor * line, form)


def places(where: str, parts: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """The notebooks that `where` names, those that the site has, each with the cell that makes the table or figure in
    brackets, else with its part, if the page has them."""
    found = []
    for number, part, made in re.findall(r"notebook (\d\d)(?:, part (\d+))?(?: \((\w+)\))?", where):
        if number not in parts:
            continue
        words = f"notebook {number}" + (f", part {part}" if part else "")
        place = parts[number].get(made) or parts[number].get(part)
        found.append((parts[number]["stem"] + ".html" + (f"#{place}" if place else ""), words))
    return found


# --- the answer: C1's comparisons, world by world ---


def outcome(main: pd.DataFrame) -> str:
    """`RTT beat RL with the same reward in U (RTT-AON by 13.7 points) and lost to it in M (...); in L neither is
    shown: the intervals there are 9.0 to 72.7 points wide.`

    A world stands on both sides if its two rewards disagree.
    """
    ahead, behind = (_by_world(main[main["finding"] == finding]) for finding in (SHOWN, REVERSED))
    said = set(ahead) | set(behind)
    judged = set(main.loc[main["finding"].isin(JUDGED), "world"])
    rest = [world for world in main["world"].unique() if world in judged - said]
    unknown = [world for world in main["world"].unique() if world not in judged]
    where = _joined(list(ahead.values())) if ahead else "no world"
    text = f"RTT beat RL with the same reward in {where}"
    if behind:
        text += f" and lost to it in {_joined(list(behind.values()))}"
    if rest:
        text += f"; in {_joined(rest)} neither is shown: {_how_wide(main[main['world'].isin(rest)])}"
    if unknown:
        text += f"; {_joined(unknown)} {'has' if len(unknown) == 1 else 'have'} too few runs to say"
    return text + "."


def _how_wide(rows: pd.DataFrame) -> str:
    """Why nothing is shown: `the intervals there are 9.0 to 72.7 points wide`."""
    judged = rows[rows["finding"] == NEITHER]
    widths = 100 * (judged["high"] - judged["low"])
    ends = list(dict.fromkeys(f"{width:.1f}" for width in (widths.min(), widths.max())))
    intervals = "interval there is" if len(widths) == 1 else "intervals there are"
    return f"the {intervals} {' to '.join(ends)} points wide"


def _by_world(rows: pd.DataFrame) -> dict[str, str]:
    """Each world with the arms and by how much they differ: `U (RTT-AON by 13.7, RTT-CSR by 6.3 points)`."""
    found = {}
    for world, here in rows.groupby("world", sort=False):
        by = ", ".join(f"{row['arm']} by {abs(100 * row['mean']):.1f}" for row in here.to_dict("records"))
        found[world] = f"{world} ({by} points)"
    return found


def differs(main: pd.DataFrame, beside: pd.DataFrame) -> list[str]:
    """What else the tables show, as sentences: criteria about the whole response, and how long responses are."""
    shown = main[main["finding"] == SHOWN]
    behind = set(main.loc[main["finding"] == REVERSED, "world"])
    only_ahead = [world for world in shown["world"].unique() if world not in behind]
    elsewhere = beside[~beside["world"].isin(only_ahead)]
    less = elsewhere[(elsewhere["measure"] == GLOBAL) & (elsewhere["high"] < 0)]
    longer = beside[(beside["measure"] == WORDS) & (beside["low"] > 0)]
    sentences = []
    if len(less):
        where = _joined(less["world"].unique())
        sentences.append(
            f"In {where} RTT satisfies criteria about the whole response, such as its length, less often than RL: "
            f"{_largest(less, '.0%')}."
        )
    if len(longer):
        where = _joined(longer["world"].unique())
        sentences.append(f"RTT writes more words per response than RL in {where}: {_largest(longer, '.1f')}.")
    without = [world for world in only_ahead if not ((beside["world"] == world) & (beside["measure"] == GLOBAL)).any()]
    if without:
        sentences.append(f"In {_joined(without)}, where RTT is ahead, no criterion is about the whole response.")
    return sentences


def _largest(rows: pd.DataFrame, form: str) -> str:
    """The pair of arms that differs most in each world: `56% against 83% in L (RTT-AON)`."""
    most = rows.loc[rows["mean"].abs().groupby(rows["world"], sort=False).idxmax()]
    return ", ".join(
        f"{row['of arm']:{form}} against {row['of baseline']:{form}} in {row['world']} ({row['arm']})"
        for row in most.to_dict("records")
    )


def world_figure(main: pd.DataFrame, finding: str) -> Markup:
    """A group per world, a bar per reward."""
    known = main.dropna(subset="mean")
    ordered = known.assign(place=pd.factorize(known["world"])[0]).sort_values("place", kind="stable")
    return _plot(ordered, finding, lambda row: f"world {row['world']}", lambda row: row["arm"].removeprefix("RTT-"))


def caption(main: pd.DataFrame) -> str:
    pairs = main.loc[main["pairs"] > 0, "pairs"]
    runs = f"{pairs.min()}" if pairs.nunique() == 1 else f"{pairs.min()} to {pairs.max()}"
    return (
        f"RTT minus RL with the same reward, {runs} paired runs each: to the right of zero RTT is ahead. Intervals are "
        "corrected for the number of comparisons. A disc shows that RTT is ahead, a square that RL is, a ring neither."
    )
