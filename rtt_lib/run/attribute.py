"""`rtt attribute`: which tokens of a response does a criterion depend on?"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.relevance.shipped import load

ABOUT = """\
Show which tokens of a response a criterion depends on, according to a token-level relevance discriminator.

  rtt attribute --criterion 'Your response should start with "My Answer:"' --response 'My Answer: 42.'
  rtt attribute --criterion 'Do not use commas.' --response 'One, two' --html tokens.html
  rtt attribute --criterion 'Do not use commas.' --response 'One, two' --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--criterion", metavar="TEXT", required=True, help="one constraint, as a rubric states it")
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
    response = sys.stdin.read() if options.response == "-" else options.response
    _check_texts(options.criterion, response)
    run(options.criterion, response, options.model, options.html, options.json)
    return 0


def _check_texts(criterion: str, response: str) -> None:
    for name, text in (("--criterion", criterion), ("--response", response)):
        if not text.strip():
            raise RTTError(f"{name} is empty")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RTTError(f"{name} is not valid UTF-8 (byte {error.start})") from error


def run(criterion: str, response: str, model: Path | None, html: Path | None, as_json: bool) -> None:
    from rtt_lib.report.shading import html_page, merge, terminal_text

    tokens = load(model).attribute(criterion, response)
    if html is not None:
        try:
            write_text(html, html_page(criterion, response, tokens, str(model or "SmolLM2-135M, as shipped")))
        except OSError as error:
            raise RTTError(f"--html {html}: cannot be written ({error.strerror})") from error
    if as_json:
        print(json.dumps([as_row(token, response) for token in merge(tokens)], ensure_ascii=False, indent=1))
        return
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(terminal_text(response, tokens, color))
    if html is not None:
        print(f"page: {html}", file=sys.stderr)


def as_row(token, response: str) -> dict:
    return {
        "start": token.start,
        "end": token.end,
        "text": response[token.start : token.end],
        "relevance": round(token.relevance, 6),
    }
