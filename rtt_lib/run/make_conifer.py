"""Conversations after Conifer (arXiv 2404.02823): LLMs make questions of rising difficulty of seeds, and answer them.

    python -m rtt_lib.run.make_conifer SEEDS.jsonl OUT.jsonl --url http://localhost:8000/v1 --model MODEL \\
        --weak http://localhost:8002/v1 mistralai/Mistral-7B-Instruct-v0.1

SEEDS holds one object a line: `prompt`, or the first user's turn of `messages` or of ShareGPT's `conversations`. The
stages are said in docs/conifer.md. OUT.jsonl is what SFT reads; beside it stand OUT.jsonl.about.json with all counts,
and OUT.jsonl.lost.jsonl with every answer that could not be used, and why.

All answers are kept in OUT.jsonl.answers: an interrupted run goes on with the same command and comes to the same file.
A key is read from $RTT_API_KEY, for --weak and --critic from $RTT_API_KEY_WEAK and $RTT_API_KEY_CRITIC.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtt_lib.command import guarded
from rtt_lib.endpoint import Endpoint
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_json, write_jsonl
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY
from rtt_lib.rubrics.conifer import pipeline, stages
from rtt_lib.rubrics.conifer.conversations import Conversation, write_conversations
from rtt_lib.templates import RETRIES, SECONDS


def run_of(options: argparse.Namespace) -> pipeline.Run:
    """Who is asked: for what is not named, the strong model; each named server has a key of its own."""

    def endpoint(name: str) -> Endpoint:
        url, model = getattr(options, name, None) or (options.url, options.model)
        key = f"RTT_API_KEY_{name.upper()}" if getattr(options, name, None) else "RTT_API_KEY"
        return Endpoint(url, model, api_key_env=key, timeout=SECONDS, retries=RETRIES, concurrency=options.concurrency)

    if options.templates and not options.templates.is_dir():
        raise RTTError(f"--templates {options.templates}: no such folder")
    cache = options.answers or options.out.with_name(f"{options.out.name}.answers")
    templates = options.templates or pipeline.HERE / "templates"
    return pipeline.Run(endpoint("strong"), endpoint("weak"), endpoint("critic"), cache, templates)


def make(options: argparse.Namespace) -> None:
    """Write OUT and, beside it, what it was made of and what was lost."""
    if options.seeds < 1 or options.rewritten < 0:
        raise RTTError("--seeds must be at least 1, and --rewritten at least 0")
    made_at = git_state(REPOSITORY)  # now: hours later the checkout may be another one
    run = run_of(options)
    for stage in stages.STAGES:
        run.wording(stage)  # a template that lacks a field is an error before anybody is asked
    texts = (stages.first_turn(row, f"{options.file}:{number}") for number, row in read_jsonl(options.file))
    seeds = pipeline.fit_seeds(texts, options.seeds, run)
    if not seeds:
        raise RTTError(f"{options.file}: no seed is left: {dict(Counter(row['why'] for row in run.lost))}")
    conversations = pipeline.build(seeds, run, options.rewritten, options.seed)
    write_conversations(options.out, conversations)
    write_jsonl(options.out.with_name(f"{options.out.name}.lost.jsonl"), run.lost)
    write_json(options.out.with_name(f"{options.out.name}.about.json"), about(conversations, run, options) | made_at)
    print(pipeline.table(run.counts))
    print(f"\n{options.out}: {summary(conversations)}")


def about(conversations: Sequence[Conversation], run: pipeline.Run, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "conversations": dict(Counter(made.kind for made in conversations)),
        "turns": dict(sorted(Counter(str(made.turns) for made in conversations).items())),
        "questions by level": dict(sorted(Counter(str(n) for made in conversations for n in made.levels).items())),
        "counts": {name: {column: count[column] for column in pipeline.COLUMNS} for name, count in run.counts.items()},
        "asked": {name: getattr(run, name).model for name in ("strong", "weak", "critic")},
        "wordings": {stage.template: run.wording(stage) for stage in stages.STAGES},
        "usage of the last run": asdict(run.usage),
        "seed": options.seed,
    }


def summary(conversations: Sequence[Conversation]) -> str:
    if not conversations:
        return "no conversation; the table says where all were lost"
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(made.kind for made in conversations).items())
    turns = sum(made.turns for made in conversations) / len(conversations)
    return f"{len(conversations)} conversations ({kinds}), {turns:.2f} answers each on average"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.run.make_conifer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="SEEDS", help="what people first wrote to an assistant, a .jsonl")
    parser.add_argument("out", type=Path, metavar="OUT", help="the conversations to be written, a .jsonl")
    parser.add_argument("--url", required=True, help="an OpenAI-compatible server, up to and including /v1")
    parser.add_argument("--model", required=True, help="its model, which does all that --weak and --critic do not")
    for name, does in (("weak", "writes the drafts"), ("critic", "judges them")):
        parser.add_argument(f"--{name}", nargs=2, metavar=("URL", "MODEL"), help=f"who {does}; default: --model")
    parser.add_argument("--seeds", type=int, default=pipeline.SEEDS, metavar="N", help="the most seeds (6000)")
    parser.add_argument(
        "--rewritten", type=int, default=pipeline.REWRITTEN, metavar="N", help="rewrites for form and number (1000)"
    )
    parser.add_argument("--templates", type=Path, metavar="DIR", help="own wordings, files named as ours")
    parser.add_argument("--answers", type=Path, metavar="DIR", help="where answers are kept; default: OUT.answers")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="requests at a time (16)")
    parser.add_argument("--seed", type=int, default=0, help="draws rewrites and shortlists (0)")
    options = parser.parse_args(arguments)
    return guarded(lambda: make(options))


if __name__ == "__main__":
    sys.exit(main())
