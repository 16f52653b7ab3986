"""The `rtt` command. Heavy imports wait until a subcommand needs them, so that `rtt --help` is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.errors import RTTError

if TYPE_CHECKING:
    from rtt_lib.profile import Profile

ABOUT = """\
Rubrics to Tokens (RTT), replicated: one profile and eleven notebooks make one folder of results.

  rtt run quick                        the first thing to run: all notebooks, ten minutes on two CPU cores
  rtt run micro --only 06,09           two notebooks and whatever they need that is not done
  rtt run ci --set rl.steps=3          the same with one value changed
  rtt run paper-qwen3-4b --dry-run     what the full replication needs, and what is missing here
  rtt grade ifeval OUT.jsonl --data input_data.jsonl --out VERDICTS.jsonl
  rtt attribute --criterion "No commas." --response "One, two" --html tokens.html
  rtt doctor                           what this machine can run, and the mend for each lack
"""

RUN_ABOUT = """\
Run the notebooks of a profile, in order, and build the site of the run. What is done and unchanged is skipped; after
an interruption of any kind the same command carries on. PROFILE is a name in params/ or the path of a YAML file.
"""

# Subcommands that parse their own arguments, and the module each lives in.
PASSED_ON = {
    "grade": "rtt_lib.bench.grade",
    "conform": "rtt_lib.run.conform",
    "judge-check": "rtt_lib.run.judge_check",
    "attribute": "rtt_lib.run.attribute",
}


def build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rtt", description=ABOUT, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands.add_parser("run", help="run a profile's notebooks", description=RUN_ABOUT, formatter_class=raw))
    commands.add_parser("grade", help="grade responses to IFEval, IFBench or MulDimIF (rtt grade --help)")
    commands.add_parser("conform", help="a grader against the official verdicts (rtt conform --help)")
    commands.add_parser("judge-check", help="a judge LLM on criteria that rules decide (rtt judge-check --help)")
    commands.add_parser("attribute", help="which tokens of a response a criterion is about (rtt attribute --help)")
    doctor = commands.add_parser("doctor", help="what this machine can run, and the mend for each lack")
    doctor.add_argument("--fetch", action="store_true", help="fetch what is missing: NLTK data, SmolLM2")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="ci, quick, micro, smol, ... or a path")
    parser.add_argument("--only", metavar="NN,NN", help="only these notebooks and what they need")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        help="change values of the profile",
    )
    parser.add_argument("--force", action="store_true", help="redo from nothing, even what is done and unchanged")
    parser.add_argument("--dry-run", action="store_true", help="print the plan; run nothing")
    parser.add_argument("--results", metavar="DIR", type=Path, help="instead of results/<profile>")
    parser.add_argument("--notebooks", metavar="DIR", type=Path, help="instead of the repository's notebooks/")


def parse_overrides(settings: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise RTTError(f"--set {setting}: expected key=value, as in --set rl.steps=3")
        overrides[key] = value
    return overrides


def parse_only(text: str | None) -> list[str]:
    """The notebooks that --only names; to name none is a mistake, and does not mean all of them."""
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise RTTError(f"--only '{text}': names no notebook; expected numbers, as in --only 04,05")
    return names


def command_run(arguments: argparse.Namespace) -> int:
    from rtt_lib.profile import load_profile
    from rtt_lib.run import dry_run as plan
    from rtt_lib.run import pipeline
    from rtt_lib.run.state import discover

    profile = load_profile(arguments.profile, parse_overrides(arguments.overrides))
    results = arguments.results or pipeline.RESULTS / profile.name
    only = parse_only(arguments.only)
    notebooks = arguments.notebooks or pipeline.NOTEBOOKS
    if arguments.dry_run:
        pipeline.check_place(profile, results, notebooks)
        selected = pipeline.select(discover(notebooks), only)
        steps = pipeline.plan(profile, selected, results, pipeline.forced(selected, only) if arguments.force else [])
        print(plan.describe(profile, steps, results, arguments.overrides, typed=arguments.profile))
        return 0
    require_gpu(profile)
    for lack in plan.missing(profile, results, typed=arguments.profile):
        complain(f"missing here: {lack}")
    try:
        site = pipeline.run(profile, results, notebooks, only=only, force=arguments.force)
    except pipeline.NotebookFailed as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename or results}: {error.strerror or error}")  # a full disk names no file by itself
        return 1
    print(f"results: {results}\nsite:    {site}")
    return 0


def require_gpu(profile: Profile) -> None:
    """A profile made for GPUs is not begun where there is none: it would take weeks. Other machines may have more."""
    if not profile.compute.policy_gpus:
        return
    from rtt_lib.run.doctor import gpu_names

    if not gpu_names():
        raise RTTError(
            f"profile {profile.name} trains on {profile.compute.policy_gpus} GPU(s), and torch sees none here: "
            f"`rtt doctor` says why and which profiles can run, --set compute.policy_gpus=0 runs it on the CPU"
        )


def complain(message: str) -> None:
    """On standard error, control characters written out: an error may quote what a model wrote."""
    shown = (char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in message)
    print(f"rtt: {''.join(shown)}", file=sys.stderr)


def guarded(work: Callable[[], int | None]) -> int:
    """The exit status of `work`; what a person can mend is a message."""
    try:
        return work() or 0
    except RTTError as error:
        complain(str(error))
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{error.filename}: {error.strerror or error}" if error.filename else str(error))
        return 1
    except ModuleNotFoundError as error:  # `pip install rtt` brings what grading needs
        complain(f"this needs the package {error.name}: pip install 'rtt[all]', or make env")
        return 2
    except KeyboardInterrupt:
        print("rtt: interrupted; the same command carries on from here", file=sys.stderr)
        return 130


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    if words and words[0] in PASSED_ON:
        import importlib

        return importlib.import_module(PASSED_ON[words[0]]).main(words[1:])
    parsed = build_parser().parse_args(words)
    if parsed.command == "doctor":
        from rtt_lib.run import doctor

        return doctor.main(fetch=parsed.fetch)
    return command_run(parsed)
