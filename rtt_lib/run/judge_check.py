"""`rtt judge-check`: how well does a judge LLM do on criteria that rules decide?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rtt_lib.bench.conform.items import BENCHMARKS
from rtt_lib.bench.judge_check import cases, check, report, tables
from rtt_lib.endpoint import Endpoint
from rtt_lib.errors import RTTError
from rtt_lib.files import write_json
from rtt_lib.verify.judge import DEFAULT_TEMPLATE, Judge

ABOUT = """\
Ask a judge LLM about criteria that rules decide, and compare it with the verdicts of the benchmark's official code:
its error rate by family of criteria, for answers that came at once and for those that needed a second question, and
where in the run it said nothing usable.

  rtt judge-check --url http://localhost:8000/v1 --model Qwen/Qwen3-30B-A3B-Instruct-2507
  rtt judge-check --url ... --model ... --benchmark ifbench-head --per-check 20 --out judge.json

The prompts and responses are the conformance set's, made by this project. As many follow their criterion as do not.
Many are edge cases: the error rate says where a judge cannot be trusted, not how often it errs in a training run.
"""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.per_check < 1:
        raise RTTError("--per-check must be at least 1")
    judge = Judge(
        Endpoint(options.url, options.model, concurrency=options.concurrency, timeout=options.timeout),
        template=options.template,
        max_unknown=1.0,  # they are what is counted here
    )
    answers = check(judge, cases(options.benchmark, options.per_check, options.seed))
    print(report(answers))
    if options.out:
        rows = {title: [asdict(row) | {"error_rate": row.error_rate} for row in rows]
                for title, rows in tables(answers).items()}  # fmt: skip
        write_json(options.out, rows | {"answers": [asdict(answer) for answer in answers]})
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("rtt judge-check", description=ABOUT, formatter_class=raw)
    parser.add_argument("--url", required=True, help="an OpenAI-compatible server, up to and including /v1")
    parser.add_argument("--model", required=True, help="its model; the key, if any, is read from $RTT_API_KEY")
    parser.add_argument("--benchmark", choices=BENCHMARKS, default="ifeval", help="whose criteria (default: ifeval)")
    parser.add_argument("--per-check", type=int, default=5, metavar="N", help="N that follow and N that do not (5)")
    parser.add_argument("--template", type=Path, default=DEFAULT_TEMPLATE, metavar="FILE", help="another question")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="requests at a time (16)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for one request (60)")
    parser.add_argument("--seed", type=int, default=0, help="draws the questions (0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all counts and answers as JSON")
    return parser
