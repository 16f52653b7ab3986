"""How good are discriminators on text, before and after another training?

    python -m rtt_lib.run.compare_discriminators smol-cpu own=FOLDER half=FOLDER

The profile's own discriminator (the shipped one, mostly) is the first row, `before`. All read the same examples:
constructed responses, the responses of the profile's policy to held-out prompts, and other models' answers to IFEval
and IFBench where RTT_TEST_DATA has them. Several trainings, of more and more examples say, give a curve.

    <out>/tables/summary.csv, .md      mean F1 over families and AUC, with the gain over `before`
    <out>/tables/families.csv, .md     the same by family
    <out>/about.json                   what each was trained with, the examples' digest, the commit
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rtt_lib.analysis.discriminator_comparison import digest, families, predictions, sources, summary
from rtt_lib.command import guarded, parse_overrides
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.models import precision
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY, RESULTS
from rtt_lib.relevance.shipped import quiet
from rtt_lib.studies.profiles import load_profile
from rtt_lib.tables import markdown_table, save_table
from rtt_lib.worlds import family
from rtt_lib.worlds.text.checkpoints import discriminator_folder

BEFORE = "before"


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """NAME=FOLDER, each name once, each folder there."""
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise RTTError(f"{word}: expected NAME=FOLDER, as in own=discriminators/own")
        if name == BEFORE or name in found:
            raise RTTError(f"{word}: the name '{name}' is taken: choose another")
        if not Path(folder).is_dir():
            raise RTTError(f"{word}: there is no such folder: rtt_lib.run.train_discriminator makes one")
        found[name] = Path(folder)
    return found


def run(options: argparse.Namespace) -> None:
    quiet()
    made_at = git_state(REPOSITORY)  # now: hours later the checkout may be another one
    profile = load_profile(options.profile, parse_overrides(options.overrides))
    if not family(profile).TRAINED_BY_A_PERSON:
        raise RTTError(
            f"profile {profile.name}: notebook 03 compares its discriminators, rtt run {profile.name} --only 03"
        )
    folders = {BEFORE: discriminator_folder(profile, "taxonomy"), **named_folders(options.folders)}
    examples = sources(profile, options.fresh)
    found = predictions(folders, examples, precision())
    worth = summary(found)
    save_table(families(found), "families", options.out)
    save_table(worth, "summary", options.out)
    about = {
        "discriminators": {name: _settings(folder) for name, folder in folders.items()},
        "examples": digest(examples),
        "profile": profile.name,
        "precision": precision(),
        **made_at,
    }
    write_json(options.out / "about.json", about)
    print(markdown_table(worth))


def _settings(folder: Path) -> dict:
    """What its training left beside the weights, without the tables."""
    file = folder / "metrics.json"
    known = read_json(file) if file.is_file() else {}
    names = ("settings", "seed", "longest", "corpus", "balanced", "held out", "versions", "commit")
    return {name: known[name] for name in names if name in known}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.run.compare_discriminators",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("profile", help="a profile's name or path")
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER", help="discriminators that are set beside it")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", nargs="+", action="extend", default=[])
    parser.add_argument("--fresh", type=int, default=600, metavar="N", help="constructed examples")
    parser.add_argument("--out", type=Path, default=RESULTS / "discriminators", metavar="FOLDER")
    options = parser.parse_args(arguments)
    return guarded(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
