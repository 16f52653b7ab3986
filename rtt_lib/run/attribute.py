"""`rtt attribute`: which tokens of a response does a criterion depend on? Several criteria at once, too."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.relevance.shipped import load

if TYPE_CHECKING:
    from rtt_lib.relevance.discriminator import Discriminator, TokenRelevance

ABOUT = """\
Show which tokens of a response a criterion depends on, according to a token-level relevance discriminator.

  rtt attribute --criterion 'Your response should start with "My Answer:"' --response 'My Answer: 42.'
  rtt attribute --criterion 'Do not use commas.' --response 'One, two' --html tokens.html
  rtt attribute --criterion 'Do not use commas.' --response 'One, two' --json
  rtt attribute --criterion 'Do not use commas.' --criterion 'Use no digits.' --response 'One, 2'

With --json, one criterion gives a list of tokens; several give a list of criteria, each with its tokens.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--criterion",
        metavar="TEXT",
        dest="criteria",
        action="append",
        required=True,
        help="a constraint, as a rubric states it; give it again for each further one",
    )
    parser.add_argument("--response", metavar="TEXT", required=True, help="the response; '-' reads standard input")
    parser.add_argument("--model", metavar="PATH", type=Path, help="a discriminator; default: the one shipped here")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a self-contained page")
    parser.add_argument("--json", action="store_true", help="print a JSON list of tokens instead of shaded text")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="rtt attribute", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    response = _from_standard_input() if options.response == "-" else options.response
    _check_texts(options.criteria, response)
    run(options.criteria, response, options.model, options.html, options.json)
    return 0


def _from_standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _not_utf8("--response", error.start) from error


def _not_utf8(name: str, valid: int) -> RTTError:
    return RTTError(f"{name} is not valid UTF-8 after {valid} bytes: convert it first, with iconv say")


def _check_texts(criteria: Sequence[str], response: str) -> None:
    for name, text in (*(("--criterion", criterion) for criterion in criteria), ("--response", response)):
        if not text.strip():
            raise RTTError(f"{name} is empty")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _not_utf8(name, len(text[: error.start].encode("utf-8"))) from error


def run(criteria: Sequence[str], response: str, model: Path | None, html: Path | None, as_json: bool) -> None:
    from rtt_lib.report.shading import html_page, merge, terminal_text, visible

    found = list(zip(criteria, attribute(load(model), criteria, response), strict=True))
    if html is not None:
        try:
            write_text(html, html_page(response, found, str(model or "SmolLM2-135M, as shipped")))
        except OSError as error:
            raise RTTError(f"--html {html}: cannot be written ({error.strerror})") from error
    if as_json:
        rows = [{"criterion": text, "tokens": [as_row(t, response) for t in merge(tokens)]} for text, tokens in found]
        print(json.dumps(rows if len(rows) > 1 else rows[0]["tokens"], ensure_ascii=False, indent=1))
        return
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for text, tokens in found:
        heading = f"{visible(text)}\n" if len(found) > 1 else ""
        print(heading + terminal_text(response, tokens, color))
    if html is not None:
        print(f"page: {html}", file=sys.stderr)


def attribute(discriminator: Discriminator, criteria: Sequence[str], response: str) -> list[list[TokenRelevance]]:
    """For each criterion the discriminator's own tokens of the response. A packed one reads the response once."""
    from rtt_lib.relevance.discriminator import TokenRelevance

    (encoded,) = discriminator.encoder.responses([response])
    (found,) = discriminator.by_rubric([criteria], [encoded])
    return [[TokenRelevance(*span, float(p)) for span, p in zip(encoded.spans, row[:-1], strict=True)] for row in found]


def as_row(token, response: str) -> dict:
    return {
        "start": token.start,
        "end": token.end,
        "text": response[token.start : token.end],
        "relevance": round(token.relevance, 6),
    }
