"""docs/leaderboard.md: credit rules on the same runs, against RL with the share of criteria as its reward.

An entry is one file of `results/leaderboard/`: a rule, and what its runs left.

    python -m rtt_lib.report.leaderboard                          the page from the committed entries
    python -m rtt_lib.report.leaderboard --baselines micro   first the baselines again, from published records
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rtt_lib.analysis.comparison import HALF_WAY, WINDOW, half_way
from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import plain, read_json, write_json, write_text
from rtt_lib.methods.arms import ARMS, Arm
from rtt_lib.profile import REPOSITORY, RESULTS
from rtt_lib.rivals import RIVALS
from rtt_lib.stats import paired
from rtt_lib.studies import records
from rtt_lib.studies.spec import RunSpec
from rtt_lib.tables import markdown_table

ENTRIES = RESULTS / "leaderboard"
PAGE = REPOSITORY / "docs" / "leaderboard.md"
AGAINST = "RL-CSR"
WORLDS = ("L", "M", "U")
SEEDS = ("A0", "B1", "C2")  # three base policies, each with an RL seed of its own
# Arms that stand on the board where a profile has run them.
BASELINES = (
    *("RL-CSR", "RL-AON", "RTT-CSR", "RTT-AON", "RTT-CSR relative", "RTT-CSR no EOS", "RTT-AON no EOS"),
    *(name for name, arm in ARMS.items() if arm.scheme in RIVALS),
)
POINTS, SCORE, LENGTH, ENTROPY, SUPPRESSED = "points over RL-CSR", "all satisfied", "words", "entropy", "suppressed"
CURVE = "verdict/aon"


@dataclass(frozen=True)
class Run:
    """One run of an entry.

    satisfied:  share of test prompts with all criteria satisfied
    words:      of a test response, mean
    entropy:    in nats per token, mean over the last steps of training
    suppressed: share of criteria that a group satisfies but whose mean advantage is not above zero; mean over training,
                None where the run did not log it
    curve:      share of training responses with all criteria satisfied, step by step
    """

    world: str
    seed: str
    satisfied: float
    words: float
    entropy: float
    suppressed: float | None
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Entry:
    """rule: the text of the file that was scored, or how the arm is described; source: the command that made the runs,
    commit: of the code that ran."""

    name: str
    about: str
    rule: str
    source: str
    commit: str
    runs: tuple[Run, ...]

    @property
    def file(self) -> str:
        return f"{self.name.replace(' ', '_')}.json"


def run_of(record: Mapping[str, Any], log: pd.DataFrame) -> Run:
    """From a run's record and its log."""
    log = log.sort_values("step")
    suppressed = "credit/suppressed_criteria"
    return Run(
        record["world"],
        record["seed"],
        record["sampled"]["all_satisfied"],
        round(record["mean_words"], 4),
        round(float(log["entropy"].tail(WINDOW).mean()), 4),
        round(float(log[suppressed].mean()), 4) if suppressed in log and log[suppressed].notna().any() else None,
        tuple(log[CURVE].round(4).tolist()),
    )


def entry_of(specs: Sequence[RunSpec], arm: Arm, rule: str, source: str, commit: str) -> Entry:
    """From the store, where all these runs are done."""
    done = [(read_json(spec.evaluation / "result.json"), pd.read_csv(spec.folder / "log.csv")) for spec in specs]
    return Entry(arm.name, arm.about, rule, source, commit, tuple(run_of(*pair) for pair in done))


# --- files ---


def write(entry: Entry, folder: Path) -> Path:
    return write_json(folder / entry.file, plain(asdict(entry)))


def read(folder: Path = ENTRIES) -> list[Entry]:
    return [read_entry(path) for path in sorted(folder.glob("*.json"))]


def read_entry(path: Path) -> Entry:
    found = read_json(path)
    try:
        runs = tuple(Run(**run | {"curve": tuple(run["curve"])}) for run in found["runs"])
        entry = Entry(**found | {"runs": runs})
    except (TypeError, KeyError) as error:
        raise RTTError(f"{path}: no entry of the leaderboard ({error})") from error
    places, wanted = [(run.world, run.seed) for run in entry.runs], [(w, s) for w in WORLDS for s in SEEDS]
    if sorted(places) != sorted(wanted):
        raise RTTError(f"{path}: the runs must be {', '.join(f'{w}/{s}' for w, s in wanted)}")
    return entry


def published(profile: str) -> list[Entry]:
    """The baselines among the published records of a profile, those with all their runs."""
    folder = RESULTS / profile
    found, curves = records.recorded(folder), pd.read_csv(folder / records.CURVES)
    logs = {f"{w}/{arm}/{seed}": log for (w, arm, seed), log in curves.groupby(["world", "arm", "seed"], sort=False)}
    entries = []
    for arm in map(ARMS.get, BASELINES):
        places = [f"{world}/{arm.name}/{seed}" for world in WORLDS for seed in SEEDS]
        if all(place in found and place in logs for place in places):
            runs = tuple(run_of(found[place], logs[place]) for place in places)
            commits = sorted({found[place]["made_with"]["git"]["commit"] or "unknown" for place in places})
            about = (arm.about, f"arm '{arm.name}'", f"rtt run {profile}", ", ".join(commits))
            entries.append(Entry(arm.name, *about, runs))
    return entries


# --- the table ---


def board(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row per world and entry, the best of a world first; points with their interval."""
    scores = _scores(entries)
    rows = []
    for world in WORLDS:
        here = [_row(entry, scores[scores["world"] == world], world) for entry in entries]
        rows += sorted(here, key=lambda row: -row["mean"])
    columns = ["world", "rule", POINTS, HALF_WAY, LENGTH, ENTROPY, SUPPRESSED]
    return pd.DataFrame(rows, columns=columns)


def standing(entry: Entry, others: Sequence[Entry]) -> str:
    """The board with one more entry, for a terminal; `>` marks its rows."""
    table = board([*(other for other in others if other.name != entry.name), entry])
    mine = table["rule"] == entry.name
    lines = shown(table).splitlines()
    return "\n".join([*lines[:2], *(f"{'>' if own else ''}{line}" for own, line in zip(mine, lines[2:], strict=True))])


def _row(entry: Entry, scores: pd.DataFrame, world: str) -> dict[str, Any]:
    found = paired(scores, entry.name, AGAINST, SCORE, world)
    if not found["pairs"]:
        raise RTTError(f"no runs of {AGAINST} to compare with: {ENTRIES / AGAINST}.json is missing")
    mean, low, high = (100 * found[key] for key in ("difference", "low", "high"))
    own = scores[scores["arm"] == entry.name]
    said = "0" if entry.name == AGAINST else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    means = {column: _mean(own[column]) for column in (HALF_WAY, LENGTH, ENTROPY, SUPPRESSED)}
    return {"world": world, "rule": entry.name, "mean": mean, POINTS: said} | means


def _mean(values: pd.Series) -> float:
    """Over the runs; unknown where one of them is."""
    return float(values.astype(float).mean(skipna=False))


def _scores(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row per run."""
    runs = [(entry.name, run) for entry in entries for run in entry.runs]
    scores = pd.DataFrame(
        {
            "arm": name,
            "world": run.world,
            "seed": run.seed,
            SCORE: run.satisfied,
            LENGTH: run.words,
            ENTROPY: run.entropy,
            SUPPRESSED: math.nan if run.suppressed is None else run.suppressed,
        }
        for name, run in runs
    )
    steps = [
        {"arm": name, "world": run.world, "seed": run.seed, "step": n, CURVE: value}
        for name, run in runs
        for n, value in enumerate(run.curve, 1)
    ]
    halves = half_way(pd.DataFrame(steps), list(scores["arm"].unique()), AGAINST)
    return scores.merge(halves, on=["world", "arm", "seed"])


# --- the page ---

ABOUT = f"""\
# Leaderboard of credit rules

Each rule trains the micro world's policy for 80 steps, from base policies {", ".join(seed[0] for seed in SEEDS)}, in
worlds {", ".join(WORLDS)}: nine runs. The columns are means over base policies.

- *{POINTS}*: the share of test prompts with all criteria satisfied, minus that of RL with the share of criteria as its
  reward. A point is a hundredth; brackets are 95% intervals over the three base policies.
- *{HALF_WAY}*: until a run has half of what RL-CSR gains.
- *{LENGTH}*: of a test response.
- *{ENTROPY}*: in nats per token, at the end of training.
- *{SUPPRESSED}*: the share of criteria that some response of a group satisfies but whose mean advantage is not above
  zero. A dash: the runs did not log it.

Three base policies tell large differences only; an interval wider than 100 points says nothing. [The
results](results.md) rest on eight base policies, so their means differ from these. A rule is shown to be ahead of
RL-CSR in a world if its interval leaves out zero there.

"""

RULES = """\
## Your rule

Write a file with one function and score it:

```python
# my_rule.py
def rule(verdicts, relevance, mask, group_size):
    \"\"\"Blame alone: the tokens of violated criteria.\"\"\"
    violated = (verdicts == 0).float().unsqueeze(-1)  # [B, K, 1]
    return -(violated * relevance).mean(1) * mask  # [B, T]
```

    rtt score my_rule.py

`rtt_lib/methods/user_rule.py` says what else a file may hold: the reward, the relevance, beta, the whole advantage.
The file is checked first, on batches with unknown verdicts, one token, empty masks and the like. It runs in processes
of its own, which keep its faults away from the command. They are no sandbox: read a file of somebody else's before you
score it.

To add a rule to this page:

1. Score it on a commit of this repository without changes of your own.
2. Copy the entry that `rtt score` names to `results/leaderboard/`. It holds the rule's text, the commit, the command
   and every training curve.
3. Run `python -m rtt_lib.report.leaderboard` and commit both files.
4. A rule is fixed before it is scored here. If you chose it by its scores on these runs, say so in its docstring.
"""


def page(entries: Sequence[Entry]) -> str:
    table = board(entries)
    parts = [ABOUT]
    for world, rows in table.groupby("world", sort=False):
        parts.append(f"## World {world}\n\n{shown(rows.drop(columns='world'))}\n")
    parts.append(f"## Where the rows come from\n\n{_sources(entries)}\n")
    return "".join([*parts, RULES])


def shown(rows: pd.DataFrame) -> str:
    digits = {HALF_WAY: 0, LENGTH: 1, ENTROPY: 2, SUPPRESSED: 2}
    texts = {
        name: ["-" if value != value else f"{value:.{digit}f}" for value in rows[name]]
        for name, digit in digits.items()
    }
    return markdown_table(rows.assign(**texts))


def _sources(entries: Sequence[Entry]) -> str:
    rows = [(entry.name, entry.about, f"`{entry.source}`", entry.commit[:10]) for entry in entries]
    return markdown_table(pd.DataFrame(rows, columns=["rule", "what it is", "command", "commit"]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m rtt_lib.report.leaderboard")
    parser.add_argument("--baselines", metavar="PROFILE", help="write the baselines from its published records first")
    options = parser.parse_args(arguments)
    if options.baselines:
        for entry in published(options.baselines):
            print(write(entry, ENTRIES))
    print(write_text(PAGE, page(read())))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
