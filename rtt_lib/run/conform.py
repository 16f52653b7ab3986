"""`rtt conform`: a grader against the official verdicts; and the table of the graders of other packages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rtt_lib.bench.conform import graders, table
from rtt_lib.bench.conform.items import BENCHMARKS, STORED, read
from rtt_lib.bench.conform.score import conform, report
from rtt_lib.errors import RTTError
from rtt_lib.files import write_json

ABOUT = """\
Ask a grader about the conformance set: prompts and responses made by this project, with the verdicts that the
benchmark's official code gave on them. For each check (instruction type, or category of MulDimIF) it says how many
verdicts agree, and shows the shortest response of each kind of difference.

  rtt conform ifeval                                     the checkers of rtt
  rtt conform ifeval --function mygrader.py:followed     followed(instruction, arguments, prompt, response) -> bool
  rtt conform ifbench --command "node grade.js"          JSON lines in, JSON lines out
  rtt conform --ports docs/conformance.md                the table of other packages' graders, each in a fresh
                                                         environment from the package index (gigabytes, an hour)
  rtt conform --ports OUT.md --answers graded.jsonl      and what they say about responses of models, JSON lines of
                                                         {"benchmark", "model", "instruction_id_list", "kwargs",
                                                         "response", "strict": the official verdicts}

A command reads a line {"instruction": ..., "arguments": {...}, "prompt": ..., "response": ...} for each question and
answers it with a line {"verdict": true, false or null}, or {"error": "..."}; null stands for a check it does not know.
Exit status: 0 if all verdicts agree, else 1.
"""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.answers and not options.ports:
        raise RTTError("--answers belongs to --ports")
    if options.ports:
        return table.main(options.ports, options.answers)
    if not options.benchmark:
        raise RTTError(f"name a benchmark: {', '.join(BENCHMARKS)}")
    if options.function:
        grader = graders.by_function(options.function)
    else:
        grader = graders.by_command(options.command) if options.command else graders.ours(options.benchmark)
    items = read(options.benchmark, options.items)
    if not items:
        raise RTTError(f"{options.items}: no items with stable verdicts of {options.benchmark}")
    result = conform(options.benchmark, items, grader)
    print(report(result))
    if options.out:
        write_json(options.out, result.to_json())
    return 0 if result.agree == result.items else 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("rtt conform", description=ABOUT, formatter_class=raw)
    parser.add_argument("benchmark", nargs="?", choices=BENCHMARKS)
    grader = parser.add_mutually_exclusive_group()
    grader.add_argument("--function", metavar="PLACE:NAME", help="a Python function, of a module or of a .py file")
    grader.add_argument("--command", metavar="COMMAND", help="a command that answers JSON lines")
    grader.add_argument("--ports", metavar="FILE", type=Path, help="write the table of other packages' graders here")
    parser.add_argument("--answers", metavar="FILE", type=Path, nargs="+", default=[], help="for --ports")
    parser.add_argument("--items", metavar="FILE", type=Path, default=STORED, help="another set of the same form")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write all counts and examples as JSON")
    return parser
