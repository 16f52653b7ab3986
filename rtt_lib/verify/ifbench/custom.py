"""custom:* One prompt each: lists to give, tables to write, sentences to turn around. All of them global."""

from __future__ import annotations

import csv
import io
import re
import string
import unicodedata
from itertools import pairwise

from rtt_lib.verify.ifbench.common import (
    STRIPPED,
    Args,
    Sentences,
    instruction,
    sentence_instruction,
    without_punctuation,
)
from rtt_lib.verify.verdict import Verdict

# Capitals north of 45 degrees as the benchmark orders them.
_CAPITALS = """
Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam Warsaw London
Brussels Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana Zagreb
"""
CAPITALS = tuple(_CAPITALS.split())
CITY_COLUMNS = ["ID", "Country", "City", "Year", "Count"]
PRODUCT_COLUMNS = ["ProductID", "Category", "Brand", "Price", "Stock"]
STUDENT_COLUMNS = ["StudentID", "Subject", "Grade", "Semester", "Score"]
DAYS = {month: 31 for month in (1, 3, 5, 7, 8, 10, 12)} | {month: 30 for month in (4, 6, 9, 11)} | {2: 29}
QUESTION = re.compile(r"Question \d+[.|):;]?\s*")
OPTION = re.compile(r"[A-Ea-e][.|)]\s*\w")


@instruction("custom:multiples", "global")
def multiples(args: Args, prompt: str, response: str) -> Verdict:
    found = re.findall(r"\d+", response)
    return Verdict(found == ["14", "21", "28", "35", "42", "49"], f"the numbers are {', '.join(found[:10])}")


@instruction("custom:mcq_count_length", "global")
def mcq_count_length(args: Args, prompt: str, response: str) -> Verdict:
    if not response.startswith("Question"):
        return Verdict(False, "does not begin with 'Question'")
    questions = [part.strip() for part in QUESTION.split(response) if part.strip()]
    if len(questions) != 4:
        return Verdict(False, f"{len(questions)} questions, 4 asked for")
    lengths = []
    for question in questions:
        lines = [line.strip() for line in question.split("\n")]
        first, found = _options(lines)
        if found != 5:
            return Verdict(False, f"a question with {found} options, 5 asked for")
        lengths.append(len(" ".join(lines[:first]).strip()))
    holds = all(before < after for before, after in pairwise(lengths))
    return Verdict(holds, f"questions of {', '.join(map(str, lengths))} characters")


def _options(lines: list[str]) -> tuple[int, int]:
    """Where the first option stands, and how many there are."""
    places = [place for place, line in enumerate(lines) if OPTION.match(line)]
    return (places[0] if places else len(lines)), len(places)


def _ascii(value: str) -> str:
    """Letters without their accents; what has no ASCII form is dropped."""
    return unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode("ascii")


@instruction("custom:reverse_newline", "global")
def reverse_newline(args: Args, prompt: str, response: str) -> Verdict:
    lines = [stripped for line in response.split("\n") if (stripped := line.strip(STRIPPED))]
    start = next((place for place, line in enumerate(lines) if "Zimbabwe" in line), None)
    if start is None:
        return Verdict(False, "no line with Zimbabwe to start from")
    names = [_ascii(line) for line in lines[start:]]
    if len(names) < 52:
        return Verdict(False, f"{len(names)} lines from Zimbabwe on, at least 52 asked for")
    holds = all(before >= after for before, after in pairwise(names))
    return Verdict(holds, f"{len(names)} lines, {'' if holds else 'not '}in reverse alphabetical order")


@instruction("custom:word_reverse", "global")
def word_reverse(args: Args, prompt: str, response: str) -> Verdict:
    """Officially the turned text must also be one sentence; with the punctuation deleted it always is."""
    turned = " ".join(without_punctuation(response.lower()).split()[::-1])
    holds = "bald eagle" in turned
    return Verdict(holds, f"'bald eagle' is {'' if holds else 'not '}there when the words are turned around")


@instruction("custom:character_reverse", "global")
def character_reverse(args: Args, prompt: str, response: str) -> Verdict:
    holds = "elgae dlab" in response.lower()
    return Verdict(holds, f"'elgae dlab' is {'' if holds else 'not '}there")


@sentence_instruction("custom:sentence_alphabet", "global")
def sentence_alphabet(args: Args, sentences: Sentences, response: str) -> Verdict:
    if len(sentences) != 26:
        return Verdict(False, f"{len(sentences)} sentences, 26 asked for")
    for sentence, letter in zip(sentences, string.ascii_lowercase, strict=True):
        if sentence.text.strip().lower()[:1] != letter:  # 2025 raises on an empty sentence, HEAD: violated
            return Verdict(False, f"no sentence in {letter!r} at its place")
    return Verdict(True, "26 sentences from a to z")


@instruction("custom:european_capitals_sort", "global")
def european_capitals_sort(args: Args, prompt: str, response: str) -> Verdict:
    found = [stripped for name in _ascii(response).split(",") if (stripped := name.strip())]
    if len(found) != len(CAPITALS):
        return Verdict(False, f"{len(found)} capitals, {len(CAPITALS)} asked for")
    wrong = next((name for name, wanted in zip(found, CAPITALS, strict=True) if name != wanted), None)
    return Verdict(wrong is None, "every capital in its place" if wrong is None else f"{wrong[:40]!r} is out of place")


def _table(value: str, delimiter: str = ",") -> list[list[str]] | None:
    """Rows of cells; None where the csv module gives up (a lone carriage return, a cell of 128 KiB)."""
    try:
        return list(csv.reader(io.StringIO(value), delimiter=delimiter))
    except csv.Error:
        return None


def _shape(rows: list[list[str]] | None, wanted: int) -> str | None:
    """What is wrong with the number of rows; None if nothing is."""
    if rows is None:
        return "not a readable table"
    return None if len(rows) == wanted else f"{len(rows)} rows with the header, {wanted} asked for"


def _header(columns: list[str], gap: str) -> re.Pattern:
    """The column names on one line, each with or without quotes."""
    return re.compile(gap.join(f'(?:{name}|"{name}")' for name in columns))


PRODUCT_HEADER = _header(PRODUCT_COLUMNS, r",[ \t]*")
STUDENT_HEADER = _header(STUDENT_COLUMNS, r"\t *")


@instruction("custom:csv_city", "global")
def csv_city(args: Args, prompt: str, response: str) -> Verdict:
    rows = _table(response)
    if wrong := _shape(rows, 8):
        return Verdict(False, wrong)
    if rows[0] != CITY_COLUMNS:
        return Verdict(False, f"the header is {rows[0]}"[:200])
    holds = all(len(row) == 5 for row in rows)
    return Verdict(holds, "7 rows of 5 cells" if holds else "a row without 5 cells")


@instruction("custom:csv_special_character", "global")
def csv_special_character(args: Args, prompt: str, response: str) -> Verdict:
    """Rows after the first with such a cell are officially not looked at."""
    if not PRODUCT_HEADER.fullmatch(response.split("\n", 1)[0].strip()):
        return Verdict(False, "another header than asked for")
    rows = _table(response.replace('"', '"""'))  # tripled, so that the quotes stay in the cells
    if wrong := _shape(rows, 15):
        return Verdict(False, wrong)
    for row in rows[1:]:
        if len(row) != 5:
            return Verdict(False, "a row without 5 cells")
        if any(map(_quotes_something_special, row)):
            return Verdict(True, "14 rows, a special character in quotes")
    return Verdict(False, "no cell in quotes with a special character")


def _quotes_something_special(cell: str) -> bool:
    """A cell that begins with a quote and has, before the last quote of its first line, a mark that belongs to no
    word."""
    line = cell.split("\n", 1)[0]
    return line.startswith('"') and re.search(r"[^\w\s]", line[1 : max(line.rfind('"'), 1)]) is not None


@instruction("custom:csv_quotes", "global")
def csv_quotes(args: Args, prompt: str, response: str) -> Verdict:
    if not STUDENT_HEADER.fullmatch(response.split("\n", 1)[0].strip()):
        return Verdict(False, "another header than asked for")
    rows = _table(response.replace('"', '"""'), delimiter="\t")
    if wrong := _shape(rows, 4):
        return Verdict(False, wrong)
    if any(len(row) != 5 for row in rows):
        return Verdict(False, "a row without 5 cells")
    # An empty cell makes the official code raise: it is not in quotes, so violated.
    holds = all(cell.strip()[:1] == cell.strip()[-1:] == '"' for row in rows for cell in row)
    return Verdict(holds, "3 rows, all cells in quotes" if holds else "a cell without quotes")


@instruction("custom:date_format_list", "global")
def date_format_list(args: Args, prompt: str, response: str) -> Verdict:
    """Dates of Napoleon's life time with a day its month can have; month and day 00 pass, as officially."""
    for date in map(str.strip, response.split(",")):
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
            return Verdict(False, f"{date[:40]!r} is not of the form YYYY-MM-DD")
        year, month, day = map(int, date.split("-"))
        if not 1769 <= year <= 1821 or month > 12 or day > DAYS.get(month, 99):
            return Verdict(False, f"{date} is not a date from 1769 to 1821")
    return Verdict(True, "dates only")
