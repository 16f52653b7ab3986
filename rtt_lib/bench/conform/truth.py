"""What the official code says about the items: how the stored verdicts were made, and can be made again.

    python -m rtt_lib.bench.conform.truth PYTHON ifeval=DIR ifbench=DIR ifbench-head=DIR muldimif=DIR

PYTHON runs the official code, which this project does not hold; each DIR is where it lies (`sources.json` names the
commits). A verdict that changes with the random seed, or that the code does not give because it raises, is left out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rtt_lib.bench.conform import ports
from rtt_lib.bench.conform.graders import by_command
from rtt_lib.bench.conform.items import BENCHMARKS, SOURCES, STORED, Item, make, write
from rtt_lib.bench.conform.score import questions_of
from rtt_lib.command import guarded
from rtt_lib.files import read_json, write_json

SEEDS = 8


def ground_truth(items: Sequence[Item], python: str, folders: Mapping[str, str]) -> tuple[list[Item], dict]:
    """The items with verdicts, those without any left out; and for each benchmark what was left out, by check."""
    left_out: dict[str, Counter[str]] = {name: Counter() for name in folders}
    for name, folder in folders.items():
        mine = [n for n, item in enumerate(items) if item.benchmark == name.removesuffix("-head")]
        questions = questions_of([items[n] for n in mine])
        runs = [
            by_command([python, ports.__file__, "official", name, folder, str(seed)])(questions)
            for seed in range(SEEDS if name != "muldimif" else 1)  # nothing in MulDimIF's checks is random
        ]
        answers = iter([_stable(said) for said in zip(*runs, strict=True)])
        for n in mine:
            values = tuple(next(answers) for _ in items[n].checks)
            for (check, _), value in zip(items[n].checks, values, strict=True):
                left_out[name].update([check] if value is None else [])
            items[n] = replace(items[n], verdicts={**items[n].verdicts, name: values})
    decided = [item for item in items if any(value is not None for row in item.verdicts.values() for value in row)]
    return decided, {name: dict(sorted(counts.items())) for name, counts in left_out.items()}


def _stable(said: Sequence[bool | str | None]) -> bool | None:
    return said[0] if isinstance(said[0], bool) and len(set(said)) == 1 else None


def main(words: Sequence[str]) -> None:
    python, *pairs = words
    folders = dict(pair.split("=", 1) for pair in pairs)
    if set(folders) != set(BENCHMARKS):
        sys.exit(f"expected a folder for each of {', '.join(BENCHMARKS)}\n\n{__doc__}")
    items, left_out = ground_truth(make(), python, folders)
    write(items, STORED)
    sources = read_json(SOURCES)
    for name, counts in left_out.items():
        sources[name]["left_out"] = counts
    write_json(SOURCES, sources)
    print(f"{STORED}: {len(items)} items, {Path(STORED).stat().st_size / 2**20:.2f} MB")
    print(json.dumps(left_out, indent=2))


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
