"""The `rtt` command. Heavy imports wait until a subcommand needs them, so that `rtt --help` is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.command import complain, guarded, parse_overrides
from rtt_lib.errors import RTTError

if TYPE_CHECKING:
    from rtt_lib.profile import Profile

ABOUT = """\
Rubrics to Tokens (RTT), replicated: a profile and the notebooks make one folder of results.

  rtt spot-check                       the committed verdicts, and fresh runs of this machine beside them
  rtt run quick                        all notebooks at a small size, ten minutes on two CPU cores
  rtt run micro --only 06,09           two notebooks and whatever they need that is not done
  rtt run ci --set rl.steps=3          the same with one value changed
  rtt run paper-qwen3-4b --dry-run     what the full replication needs, and what is missing here
  rtt site micro                       tables, figures and site again from the published records
  rtt runs                             what is kept of finished runs, for all profiles together
  rtt runs --publish micro             the records of what is finished, while the rest still runs
  rtt grade ifeval OUT.jsonl --data input_data.jsonl --out VERDICTS.jsonl
  rtt attribute --criterion "No commas." --response "One, two" --html tokens.html
  rtt score my_rule.py                 a credit rule of your own beside the baselines of docs/leaderboard.md
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
    "score": "rtt_lib.run.score",
    "gpu-merge": "rtt_lib.run.gpu_job.merge",
}


def build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rtt", description=ABOUT, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands.add_parser("run", help="run a profile's notebooks", description=RUN_ABOUT, formatter_class=raw))
    commands.add_parser("grade", help="grade responses to benchmarks (rtt grade --help)")
    commands.add_parser("conform", help="a grader against the official verdicts (rtt conform --help)")
    commands.add_parser("judge-check", help="a judge LLM on criteria that rules decide (rtt judge-check --help)")
    commands.add_parser("attribute", help="which tokens of a response a criterion is about (rtt attribute --help)")
    commands.add_parser("score", help="a credit rule of your own in the leaderboard (rtt score --help)")
    commands.add_parser("gpu-merge", help="add runs made by a GPU job to the published records (rtt gpu-merge --help)")
    site = commands.add_parser("site", help="rebuild tables, figures and site from a profile's published records")
    site.add_argument("results", metavar="PROFILE", help="a profile's name, for results/<name>, or a results folder")
    _add_only(site)
    commands.add_parser("spot-check", help="the committed verdicts, and fresh runs of this machine beside them")
    runs = commands.add_parser("runs", help="the runs that are kept for all profiles together")
    what = runs.add_mutually_exclusive_group()
    what.add_argument("--prune", action="store_true", help="remove those that no profile of params/ asks for any more")
    what.add_argument(
        "--publish",
        metavar="PROFILE",
        help="leave what is finished in the profile's published records, also while the rest still runs",
    )
    doctor = commands.add_parser("doctor", help="what this machine can run, and the mend for each lack")
    doctor.add_argument("--fetch", action="store_true", help="fetch what is missing: NLTK data, SmolLM2")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="ci, quick, micro, smol, ... or a path")
    _add_only(parser)
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


def _add_only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="NN,NN", help="only these notebooks and what they need")


def parse_only(text: str | None) -> list[str]:
    """The notebooks that --only names. An empty list is an error, it does not mean all notebooks."""
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise RTTError(f"--only '{text}': names no notebook; expected numbers, as in --only 04,05")
    return names


def command_run(arguments: argparse.Namespace) -> int:
    from rtt_lib.profile import RESULTS
    from rtt_lib.run import dry_run, pipeline
    from rtt_lib.run.state import discover
    from rtt_lib.studies.profiles import load_profile

    profile = load_profile(arguments.profile, parse_overrides(arguments.overrides))
    results = arguments.results or RESULTS / profile.name
    only = parse_only(arguments.only)
    notebooks = arguments.notebooks or pipeline.NOTEBOOKS
    if arguments.dry_run:
        pipeline.check_place(profile, results, notebooks)
        selected = pipeline.select(discover(notebooks), only)
        steps = pipeline.plan(profile, selected, results, pipeline.forced(selected, only) if arguments.force else [])
        print(dry_run.describe(profile, steps, results, arguments.overrides, typed=arguments.profile))
        return 0
    require_gpu(profile)
    for lack in dry_run.missing(profile, typed=arguments.profile):
        complain(f"missing here: {lack}")
    try:
        site = pipeline.run(profile, results, notebooks, only=only, force=arguments.force)
    except pipeline.NotebookFailed as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(f"{error.filename or results}: {error.strerror or error}")  # the error of a full disk names no file
        return 1
    print(f"results: {results}\nsite:    {site}")
    return 0


def results_of(named: str) -> Path:
    """A results folder, named by its path or by its profile."""
    from rtt_lib.profile import RESULTS

    return Path(named) if (Path(named) / "profile.yaml").is_file() else RESULTS / named


def command_site(arguments: argparse.Namespace) -> int:
    from rtt_lib.run import pipeline
    from rtt_lib.studies.profiles import load_profile

    results = results_of(arguments.results)
    profile = load_profile(results / "profile.yaml")  # the parameters that made the runs
    try:
        site = pipeline.rebuild(profile, results, only=parse_only(arguments.only))
    except pipeline.NotebookFailed as error:
        complain(str(error))
        return 1
    print(f"site: {site}")
    return 0


def command_runs(arguments: argparse.Namespace) -> int:
    from rtt_lib.run import kept

    if arguments.publish:
        print(publish(arguments.publish))
        return 0
    print(kept.prune() if arguments.prune else kept.describe())
    return 0


def publish(named: str) -> str:
    """With the parameters that the profile's results were begun with, where they have been begun."""
    from rtt_lib.profile import RESULTS
    from rtt_lib.run import pipeline
    from rtt_lib.studies.profiles import load_profile

    begun = results_of(named) / "profile.yaml"
    if begun.is_file():
        return pipeline.publish(load_profile(begun), begun.parent)
    profile = load_profile(named)
    return pipeline.publish(profile, RESULTS / profile.name)


def command_spot_check(arguments: argparse.Namespace) -> int:
    from rtt_lib.run import spot_check

    return spot_check.main()


def require_gpu(profile: Profile) -> None:
    """Do not start a profile for GPUs without one: it would take weeks. Further GPUs may be on other machines."""
    if not profile.compute.policy_gpus:
        return
    from rtt_lib.run.doctor import gpu_names

    if not gpu_names():
        raise RTTError(
            f"profile {profile.name} trains on {profile.compute.policy_gpus} GPU(s), and torch sees none here: "
            f"`rtt doctor` says why and which profiles can run, --set compute.policy_gpus=0 runs it on the CPU"
        )


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
    commands = {"run": command_run, "site": command_site, "runs": command_runs, "spot-check": command_spot_check}
    return commands[parsed.command](parsed)
