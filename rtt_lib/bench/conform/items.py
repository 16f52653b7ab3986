"""The conformance set: prompts and responses that the project makes, each with the official code's verdicts.

`make` builds the items from the seeds, anew and always the same; `read` gives the stored ones, whose verdicts the
official code has given once (`sources.json` says which code, and what was left out as random or broken).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl, write_jsonl
from rtt_lib.rubrics.wordings import instruction_text
from rtt_lib.verify.muldimif import category

HERE = Path(__file__).parent
STORED = HERE / "items.jsonl.gz"
SOURCES = HERE / "sources.json"
BENCHMARKS = ("ifeval", "ifbench", "ifbench-head", "muldimif")
VARIED = {"ifeval": 100, "ifbench": 80, "muldimif": 24}  # varied responses for each check and its arguments
COMPOSED = 300  # prompts with several instructions, for each benchmark
LITERAL = (("Format", "Table"), ("Table", "Row limit"))  # a quotation in these asks for a column of that name
LONG = 2000  # characters; longer ones are there for their length alone
NUMBERS = dict(
    zero=0, one=1, two=2, three=3, four=4, five=5, six=6, seven=7, eight=8, nine=9, ten=10, eleven=11, twelve=12,
    thirteen=13, fourteen=14, fifteen=15, sixteen=16, seventeen=17, eighteen=18, nineteen=19, twenty=20, thirty=30,
    forty=40, fifty=50, sixty=60, seventy=70, eighty=80, ninety=90, hundred=100, thousand=1000,
)  # fmt: skip

Check = tuple[str, Mapping[str, Any]]  # what is checked (an instruction id; MulDimIF's category), and its arguments


@dataclass(frozen=True)
class Item:
    """One response to one prompt.

    verdicts: one for each check by the name of the benchmark, None where the official code has no stable one:
    `ifbench` and `ifbench-head` judge the same items.
    """

    benchmark: str
    checks: tuple[Check, ...]
    response: str
    verdicts: Mapping[str, tuple[bool | None, ...]]

    @property
    def prompt(self) -> str:
        return " ".join(_wording(name, args) for name, args in self.checks)

    def decided(self, benchmark: str) -> bool:
        """Has it a stable verdict of that benchmark?"""
        return any(value is not None for value in self.verdicts.get(benchmark, ()))

    def to_json(self) -> dict:
        checks = [[name, dict(args)] for name, args in self.checks]
        verdicts = {name: list(values) for name, values in self.verdicts.items()}
        return {"benchmark": self.benchmark, "checks": checks, "response": self.response, "verdicts": verdicts}


def item_from_json(row: Mapping[str, Any]) -> Item:
    """An error unless each check has a wording and a verdict, or None, of every benchmark that judges it."""
    checks = tuple((name, args) for name, args in row["checks"])
    verdicts = {name: tuple(values) for name, values in row["verdicts"].items()}
    for name, args in checks:
        _wording(name, args)
    for name, values in verdicts.items():
        if len(values) != len(checks):
            raise ValueError(f"{len(values)} verdicts of {name} on {len(checks)} checks")
        if not all(value is None or isinstance(value, bool) for value in values):
            raise ValueError(f"verdicts of {name} must be true, false or null")
    return Item(row["benchmark"], checks, row["response"], verdicts)


def _wording(name: str, args: Mapping[str, Any]) -> str:
    return args["text"] if "text" in args and "subtype" in args else instruction_text(name, args)


def read(benchmark: str, path: Path = STORED) -> list[Item]:
    """The items with a stable verdict of that benchmark, in their order."""
    items = []
    for line, row in read_jsonl(path):
        try:
            items.append(item_from_json(row))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RTTError(f"{path}:{line}: no item ({type(error).__name__}: {error})") from error
    return [item for item in items if item.decided(benchmark)]


def of_models(path: Path) -> dict[str, list[Item]]:
    """Model -> its graded responses, of a file with a line for each of them, as the official scripts name the fields:

    {"benchmark": "ifbench", "model", "instruction_id_list", "kwargs", "response", "strict": [official verdicts]}

    `strict_head` has those of `ifbench-head`; `unstable` the places of verdicts that depend on a random seed.
    """
    found: dict[str, list[Item]] = {}
    for line, row in read_jsonl(path):
        try:
            if row["benchmark"] not in BENCHMARKS:
                raise ValueError(f"benchmark must be one of {', '.join(BENCHMARKS)}")
            checks = tuple(zip(row["instruction_id_list"], row["kwargs"], strict=True))
            unstable, verdicts = row.get("unstable", ()), {}
            for ending, part in (("", ""), ("-head", "_head")):
                if (given := row.get(f"strict{part}")) is not None:
                    pairs = enumerate(zip(checks, given, strict=True))
                    stable = tuple(None if n in unstable else value for n, (_, value) in pairs)
                    verdicts[f"{row['benchmark']}{ending}"] = stable
            item = Item(row["benchmark"], checks, row["response"], verdicts)
            found.setdefault(row["model"], []).append(item)
        except (KeyError, TypeError, ValueError) as error:
            raise RTTError(f"{path}:{line}: no graded response ({type(error).__name__}: {error})") from error
    return found


def write(items: Sequence[Item], path: Path) -> None:
    write_jsonl(path, (item.to_json() for item in items))


# ------------------------------------------------------------------------------------------------------------ making


def make(seed: int = 0) -> list[Item]:
    """All items, without verdicts: the seeds, their variations, the common texts, and prompts of several checks."""
    items = []
    for benchmark in VARIED:
        seeds = list(_seeds(benchmark))
        rng = random.Random(f"{benchmark} {seed}")
        for check, responses in seeds:
            items += [Item(benchmark, (check,), text, {}) for text in _responses(benchmark, responses, rng)]
        if benchmark == "muldimif":
            items += [Item(benchmark, (check,), text, {}) for check, texts in _rewritten() for text in texts]
        items += _composed(benchmark, seeds, rng)
    return items


@cache
def _data() -> dict:
    return read_json(HERE / "seeds.json")


def _seeds(benchmark: str) -> Iterator[tuple[Check, list[str]]]:
    if benchmark != "muldimif":
        yield from (((id, args), texts) for id, rows in _data()[benchmark].items() for args, texts in rows)
        return
    for kind, subtype, wordings, responses in _data()["muldimif"]:
        for text in wordings:
            yield _constraint(kind, subtype, text), responses


def _rewritten() -> Iterator[tuple[Check, list[str]]]:
    """MulDimIF's wordings written in other ways, and with every number word that it knows."""
    for kind, subtype, wordings, responses in _data()["muldimif"]:
        for text in wordings:
            quoted = [] if (kind, subtype) in LITERAL else [f'"{text}"']
            for written in (text.upper(), f" {text}. ", *quoted):
                yield _constraint(kind, subtype, written), responses[:8]
    for word, n in NUMBERS.items():
        for subtype, noun, one in (("Words", "words", "so "), ("Sentences", "sentences", "So. ")):
            few = [one * k for k in (n - 1, n, n + 1)]
            yield _constraint("Length", subtype, f"The answer must be at most {word} {noun} long"), few
            yield _constraint("Length", subtype, f"Write at least {word} {noun}"), few


def _constraint(kind: str, subtype: str, text: str) -> Check:
    return category(kind, subtype), {"type": kind, "subtype": subtype, "text": text}


def _responses(benchmark: str, seeds: Sequence[str], rng: random.Random) -> list[str]:
    """Each seed as it is, a sample of all variations of all seeds, and what every check should cope with."""
    varied = [text for response in seeds if len(response) < LONG for text in variations(response, rng)]
    chosen = rng.sample(varied, min(len(varied), VARIED[benchmark]))
    common = rng.sample(_data()["texts"], 6)
    return list(dict.fromkeys([*seeds, *chosen, *common, *rng.sample(ODD, 6)]))


def _composed(benchmark: str, seeds: Sequence[tuple[Check, list[str]]], rng: random.Random) -> list[Item]:
    """Two to four checks of different kinds on a response made for the first of them."""
    items: dict[tuple, Item] = {}
    while len(items) < COMPOSED:
        chosen = rng.sample(seeds, rng.randint(2, 4))
        checks = tuple(check for check, _ in chosen)
        if len({name for name, _ in checks}) < len(checks):
            continue
        response = rng.choice(chosen[0][1])
        if rng.random() < 0.5:
            response = rng.choice(variations(response, rng))
        if rng.random() < 0.3:
            response = rng.choice(_data()["texts"])
        items[(str(checks), response)] = Item(benchmark, checks, response, {})
    return list(items.values())


# Nothing to see, half of something, other scripts and widths, and what a parser may stumble over.
ODD = (
    "", " ", "\n\n", "\t", ".", "?!", "0", "A", "\u00e9", "\u200b", "\u00a0", "\u4f60\u597d",
    "\u0645\u0631\u062d\u0628\u0627", "\U0001F600", "\U0001F468\u200d\U0001F469\u200d\U0001F467", "\u0130stanbul",
    "stra\u00dfe", "\ufb01ne", "e\u0301tude", "```\n```", "```json\n{}\n```", '""', "''", "\u201c\u201d", "***", "---",
    "|", "[]", "{}", "<<>>", "#", "* ", "- ", "1.", "\r\n", "a\rb", "a\u2028b", "a\x0bb", "a\x0cb", "...", "\u2026",
    "1e9", "3,5", "\u0661\u0662", "x" * 300, "no " * 60,
)  # fmt: skip
# What stands around a response, @, or follows it.
FRAMES = (
    "@\n", " @", "\n\n@\n\n", "@ ", "\t@", "```\n@\n```", "```json\n@\n```", "```\n@", '"@"', "'@'", "\u201c@\u201d",
    "\"'@'\"", "**@**", "*@*", "* @", "- @", "# @", "> @", "1. @", "<b>@</b>", "Sure! Here it is:\n\n@",
    "@\n\nI hope this helps!", "@ @", "@@", "@\n\n@", "@\n***\n@", "@******@", "@\n---\n@", "@ 42", "@ 3.14, 1,000",
    "@ \u0663", "@ \u0130\u00df\ufb01", "@\uff01", "@\u3002", "@ \U0001F600", "@.", "@,", "@!", "@?", "@...", "Well, @",
    "(Note) @",
)  # fmt: skip
# What is written in another way throughout.
EXCHANGED = (
    ("\n", "\r\n"), ("\n", "\n\n"), ("\n\n", "\n"), ("\n", " "), (" ", "  "), (" ", "\u00a0"), (" ", "\n"), (".", "!"),
    (".", "?"), (",", ";"), ("'", "\u2019"), ('"', "\u201d"), ("*", "-"), ("-", "*"),
)  # fmt: skip
WORD, LINE, MARK = r"\S+\s*", r"[^\n]*\n", r"[^\w\s]"


def variations(response: str, rng: random.Random) -> list[str]:
    """The response changed in one way at a time, as models and platforms change texts."""
    found = [frame.replace("@", response) for frame in FRAMES]
    found += [response.replace(old, new) for old, new in EXCHANGED]
    found += [response.upper(), response.lower(), response.title(), response.swapcase(), response.capitalize()]
    found += [re.sub(MARK, "", response), re.sub(r"\d", "7", response), response[::-1]]
    found += [response[:-1], response[1:], response[: len(response) // 2]]
    for piece in (WORD, WORD, LINE, MARK, r"."):
        found += [_without_one(response, piece, rng), _doubled(response, piece, rng), _swapped(response, rng)]
    return [text for text in dict.fromkeys(found) if text != response]


def _without_one(response: str, piece: str, rng: random.Random) -> str:
    found = list(re.finditer(piece, response))
    if not found:
        return response
    start, end = rng.choice(found).span()
    return response[:start] + response[end:]


def _doubled(response: str, piece: str, rng: random.Random) -> str:
    found = list(re.finditer(piece, response))
    if not found:
        return response
    start, end = rng.choice(found).span()
    return response[:end] + response[start:end] + response[end:]


def _swapped(response: str, rng: random.Random) -> str:
    """Two neighbouring words in the other order."""
    words = response.split(" ")
    if len(words) < 2:
        return response
    k = rng.randrange(len(words) - 1)
    return " ".join([*words[:k], words[k + 1], words[k], *words[k + 2 :]])
