"""`rtt spot-check`: the committed verdicts on all claims, and fresh runs of this machine beside the published ones.

The fresh runs share one base policy and a seed that no published run has, both drawn here. An interrupted check goes
on with what it drew; the next one draws anew.

    results/spot-check/drawn.json    until the check is done
    results/spot-check/answer.md     what it printed last
"""

from __future__ import annotations

import secrets
from pathlib import Path

import pandas as pd

from rtt_lib.analysis.spot_check import compare, in_words
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import RESULTS, Profile
from rtt_lib.report.readme import verdicts_table
from rtt_lib.studies import records
from rtt_lib.studies.execute import run_all
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.tables import markdown_table
from rtt_lib.worlds.micro.shipped import LETTERS, explain, models

PROFILE = "micro"  # whose published runs the fresh ones are set beside
CELLS = [("L", arm) for arm in ("RL-AON", "RL-CSR", "RTT-AON", "RTT-CSR")]  # what three minutes are enough for
FIRST, LAST = 1000, 999_999  # published seeds are below


def main() -> int:
    profile, folder = load_profile(PROFILE), RESULTS / "spot-check"
    verdicts = f"The verdicts of the committed results:\n\n{verdicts_table(RESULTS)}"
    print(verdicts, flush=True)
    published = records.published_table(RESULTS / PROFILE)
    seed = drawn(folder, set(published["seed"]))
    print(f"{len(CELLS)} fresh runs of {profile.rl.steps} steps, seed {seed}; {explain(models(profile))}", flush=True)
    answer = f"Fresh runs of this machine, seed {seed}:\n\n{fresh_runs(profile, seed, published, folder)}"
    print(f"\n{answer}")
    write_text(folder / "answer.md", f"{verdicts}\n{answer}\n")
    (folder / "drawn.json").unlink()
    return 0


def drawn(folder: Path, published: set[str]) -> str:
    """A base policy and a seed: those of the check that was interrupted, or new ones."""
    path = folder / "drawn.json"
    if not path.is_file():
        seed = f"{secrets.choice(LETTERS)}{FIRST + secrets.randbelow(LAST - FIRST + 1)}"
        write_json(path, {"seed": seed})
    seed = read_json(path)["seed"]
    if seed in published:
        raise RTTError(f"{path}: a published run has the seed {seed}: remove the file")
    return seed


def fresh_runs(profile: Profile, seed: str, published: pd.DataFrame, folder: Path) -> str:
    """Train them; each beside the published ones, and how many are inside."""
    specs = [RunSpec(find_arm(arm), world, seed, profile) for world, arm in CELLS]
    for number, spec in enumerate(run_all(specs, folder, profile.compute.workers), 1):
        print(f"{number} of {len(specs)}: {spec.place}", flush=True)
    table = compare(published, records.results_table(specs, folder))
    return f"{markdown_table(table.assign(inside=table['inside'].map({True: 'yes', False: 'no'})))}\n{in_words(table)}"
