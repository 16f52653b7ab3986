"""`rtt score`: a credit rule of your own on nine small runs, beside the stored baselines.

    results/score/<name>-<digest>/<file>      a copy of the file; <digest> is of its text
    results/score/<name>-<digest>/entry/      the entry for the leaderboard

What is trained is kept in the store like any run: an interrupted score goes on, and a finished one is only shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_bytes
from rtt_lib.fingerprint import file_digest
from rtt_lib.methods.arms import ARMS, Arm
from rtt_lib.profile import REPOSITORY, RESULTS, Profile

ABOUT = """\
Train a credit rule from three base policies in each of three micro worlds, and print its rows in the leaderboard
(docs/leaderboard.md). FILE has one function (verdicts, relevance, mask, group_size) -> [B, T], or an Arm:

  def rule(verdicts, relevance, mask, group_size):
      return relevance.mean(1) * mask

The file is checked before anything trains. It runs in processes of its own, which are no sandbox.
"""
PROFILE = "micro"  # its settings are those of the stored baselines
CHECKER = "rtt_lib.methods.user_rule"
CHECK_SECONDS = 300
SAID = 1000  # characters of what a file printed before it failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="rtt score", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a Python file with the rule")
    file = parser.parse_args(arguments).file
    if not file.is_file():
        raise RTTError(f"{file}: no such file")
    arm = checked(file)
    print(f"{file}: checked; trains as '{arm.name}'", flush=True)
    from rtt_lib.studies.profiles import load_profile  # slow to import

    print(score(file, arm, load_profile(PROFILE)))
    return 0


def checked(file: Path) -> Arm:
    """The arm of the file. Another process loads and checks it; what is wrong with the file is an error here."""
    with tempfile.TemporaryDirectory(prefix="rtt-score-") as scratch:
        answer = Path(scratch) / "answer.json"
        try:
            done = _run_child(file, answer)
        except subprocess.TimeoutExpired as error:
            raise RTTError(f"{file}: its checks did not end within {CHECK_SECONDS} s") from error
        if not answer.is_file():
            raise RTTError(f"{file}: it ended its process (exit code {done.returncode})\n{done.stdout[-SAID:].strip()}")
        found = read_json(answer)
    if "error" in found:
        raise RTTError(f"{file}: {found['error']}")
    return _arm(file, found["arm"])


def _run_child(file: Path, answer: Path) -> subprocess.CompletedProcess[str]:
    folders = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", CHECKER, str(file.resolve()), str(answer)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=CHECK_SECONDS,
        env=os.environ | {"PYTHONPATH": folders, "TRL_EXPERIMENTAL_SILENCE": "1"},
    )


def _arm(file: Path, fields: dict[str, Any]) -> Arm:
    """Lists of the answer are tuples in an arm."""
    fields = {key: _tuples(value) for key, value in fields.items()}
    arm = Arm(**fields)
    if not arm.name or "/" in arm.name or arm.name.startswith("."):
        raise RTTError(f"{file}: '{arm.name}' is no name for a rule: a plain one without slashes")
    if arm.name in ARMS:
        raise RTTError(f"{file}: there is an arm '{arm.name}' already: give the rule another name")
    return arm


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def score(file: Path, arm: Arm, profile: Profile) -> str:
    """Train what is not done yet, leave the entry, and say how it stands."""
    from rtt_lib.origin import git_state
    from rtt_lib.report import leaderboard
    from rtt_lib.studies.execute import run_all
    from rtt_lib.studies.spec import RunSpec

    state = git_state(REPOSITORY)  # now: hours later the checkout may be another one
    folder = RESULTS / "score" / f"{arm.name.replace(' ', '_')}-{file_digest(file)[:8]}"
    copy = write_bytes(folder / file.name, file.read_bytes())
    if arm.trainer == "user-rule":
        arm = replace(arm, scheme=str(copy))
    specs = [RunSpec(arm, world, seed, profile) for world in leaderboard.WORLDS for seed in leaderboard.SEEDS]
    _announce(profile, len(specs))
    try:
        for number, spec in enumerate(run_all(specs, folder, profile.compute.workers), 1):
            print(f"{number} of {len(specs)}: {spec.place}", flush=True)
    except BrokenProcessPool as error:
        raise RTTError(f"{file}: it ended the process that trained with it") from error
    commit = f"{state['commit'] or 'unknown'}{' with changes' if state['dirty'] else ''}"
    entry = leaderboard.entry_of(specs, arm, copy.read_text(encoding="utf-8"), f"rtt score {file.name}", commit)
    path = leaderboard.write(entry, folder / "entry")
    return f"{leaderboard.standing(entry, leaderboard.read())}\nentry: {path}"


def _announce(profile: Profile, runs: int) -> None:
    from rtt_lib.worlds.micro.shipped import explain, models

    print(f"{explain(models(profile))}\n{runs} runs of {profile.rl.steps} steps", flush=True)
