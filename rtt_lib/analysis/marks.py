"""What a discriminator marked in the rollouts that a training on text saved, beside what the rules mark.

python -m rtt_lib.analysis.marks PROFILE     writes tables/rollout_marks.csv and prints it

results/<profile>/rollouts/<arm>/<seed>/step_*.jsonl.gz     as `methods.records` writes them, by optimizer step
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_text
from rtt_lib.profile import RESULTS
from rtt_lib.relevance.annotate import label_with, taxonomy
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.tables import markdown_table
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.registry import rule_of
from rtt_lib.verify.verdict import Verdict

HALF = 0.5  # relevance is rounded there
KEYS = ["arm", "seed", "step", "scope", "satisfied"]


def marks(rows: Sequence[dict], verifier: Verifier, where: str) -> pd.DataFrame:
    """A row per response and criterion: its scope, the verdict, and of how many tokens each of the rest is true.

    tokens: of the response; relevant: by rule; marked: by the discriminator; right: both
    """
    rubrics = [[criterion_from_json(one, where) for one in row["criteria"]] for row in rows]
    verdicts = verifier([row["prompt"] for row in rows], [row["response"] for row in rows], rubrics)
    return pd.DataFrame(
        [
            _one(row, criterion, verdict, relevance)
            for row, rubric, known in zip(rows, rubrics, verdicts, strict=True)
            for criterion, verdict, relevance in zip(rubric, known, row["relevance"], strict=True)
        ]
    )


def _one(row: dict, criterion: Criterion, verdict: Verdict, relevance: Sequence[float]) -> dict:
    rule, label = rule_of(criterion), taxonomy(criterion, verdict, row["response"])
    offsets = [(start, end) for start, end in row["offsets"]]
    true = np.array(label_with(label, offsets, len(offsets)), dtype=bool)
    marked = np.array(relevance) >= HALF
    scope = rule.scope if rule.scope == "global" else f"{rule.scope}, {rule.polarity}"
    counted = {"tokens": len(offsets), "relevant": true.sum(), "marked": marked.sum(), "right": (true & marked).sum()}
    return {"scope": scope, "satisfied": verdict.value} | counted


def table(results: Path) -> pd.DataFrame:
    """Means over the cases of each scope and verdict; `touched`: the share of cases with a mark."""
    paths, verifier = sorted((results / "rollouts").glob("*/*/step_*.jsonl.gz")), Verifier()
    if not paths:
        raise RTTError(f"{results / 'rollouts'}: no rollouts there (<arm>/<seed>/step_*.jsonl.gz)")
    frames = []
    for path in paths:
        step = int(path.name.removeprefix("step_").removesuffix(".jsonl.gz"))
        place = {"arm": path.parts[-3], "seed": path.parts[-2], "step": step}
        frames.append(marks([row for _, row in read_jsonl(path)], verifier, str(path)).assign(**place))
    cases = pd.concat(frames, ignore_index=True)
    cases["touched"] = cases["marked"] > 0
    found = cases.groupby(KEYS)
    means = found[["tokens", "relevant", "marked", "right", "touched"]].mean()
    return found.size().rename("cases").to_frame().join(means).reset_index()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.analysis.marks", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="whose results/<profile> to read and write")
    options = parser.parse_args(arguments)

    def write() -> None:
        found = table(RESULTS / options.profile)
        out = RESULTS / options.profile / "tables" / "rollout_marks.csv"
        write_text(out, found.to_csv(index=False, float_format="%.4f"))
        print(markdown_table(found, 2))

    return guarded(write)


if __name__ == "__main__":
    sys.exit(main())
