"""What a discriminator marked in the rollouts that a training on text saved, beside what the rules mark.

python -m rtt_lib.analysis.marks PROFILE     writes the three tables of `main` and prints them

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
from rtt_lib.files import read_jsonl
from rtt_lib.profile import RESULTS
from rtt_lib.relevance.annotate import label_with, taxonomy
from rtt_lib.relevance.validate import HALF
from rtt_lib.schema import Criterion, criterion_from_json
from rtt_lib.tables import markdown_table, save_table
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.registry import rule_of
from rtt_lib.verify.verdict import Verdict

KEYS = ["arm", "seed", "step", "scope", "satisfied"]
COUNTS = ["tokens", "relevant", "marked", "right"]


def cases(results: Path) -> pd.DataFrame:
    """A row per saved rollout and criterion that a rule decides, in their order.

    tokens: of the response; relevant: of these, what the rule marks; marked: what the discriminator marks; right: what
    both mark
    """
    paths, verifier = sorted((results / "rollouts").glob("*/*/step_*.jsonl.gz")), Verifier()
    if not paths:
        raise RTTError(f"{results / 'rollouts'}: no rollouts there (<arm>/<seed>/step_*.jsonl.gz)")
    frames = []
    for path in paths:
        step = int(path.name.removeprefix("step_").removesuffix(".jsonl.gz"))
        rows = [row for _, row in read_jsonl(path)]
        found = pd.DataFrame(_marks(rows, verifier, str(path)))
        frames.append(found.assign(arm=path.parts[-3], seed=path.parts[-2], step=step))
    return pd.concat(frames, ignore_index=True)


def _marks(rows: Sequence[dict], verifier: Verifier, where: str) -> list[dict]:
    rubrics = [[criterion_from_json(one, where) for one in row["criteria"]] for row in rows]
    verdicts = verifier([row["prompt"] for row in rows], [row["response"] for row in rows], rubrics)
    return [
        _one(row, criterion, verdict, np.array(relevance) >= HALF)
        for row, rubric, known in zip(rows, rubrics, verdicts, strict=True)
        for criterion, verdict, relevance in zip(rubric, known, row["relevance"], strict=True)
        if taxonomy(criterion, verdict, row["response"]) is not None
    ]


def _one(row: dict, criterion: Criterion, verdict: Verdict, marked: np.ndarray) -> dict:
    """marked: [T] of bool."""
    rule, label = rule_of(criterion), taxonomy(criterion, verdict, row["response"])
    offsets = [(start, end) for start, end in row["offsets"]]
    relevant = np.array(label_with(label, offsets, len(offsets)), dtype=bool)
    pieces = np.array([row["response"][start:end] for start, end in offsets], dtype=object)
    counted = (len(offsets), relevant.sum(), marked.sum(), (relevant & marked).sum())
    return dict(zip(COUNTS, counted, strict=True)) | {
        "scope": rule.scope if rule.scope == "global" else f"{rule.scope}, {rule.polarity}",
        "satisfied": verdict.value,
        "criterion": criterion.text,
        "response": row["response"],
        "words marked": "|".join(pieces[marked]),
        "words relevant": "|".join(pieces[relevant]),
    }


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Means over the cases of each scope and verdict; `touched`: the share of cases with a mark."""
    grouped = found.assign(touched=found["marked"] > 0).groupby(KEYS)
    return grouped.size().rename("cases").to_frame().join(grouped[[*COUNTS, "touched"]].mean()).reset_index()


def by_verdict(found: pd.DataFrame) -> pd.DataFrame:
    """Precision and recall of the marks on local criteria, and the precision if the verdict had a say.

    The verdict is known before relevance is asked for. Where what is wanted is missing, or what is unwanted is absent,
    no token can be relevant: `precision by verdict` leaves the marks of these cases out.
    """
    local = found[found["scope"].str.startswith("local")]
    local = local.assign(kept=local["marked"].where((local["scope"] == "local, positive") == local["satisfied"], 0))
    grouped = local.groupby(["arm", "seed", "step", "scope"])
    sums = grouped[["relevant", "marked", "kept", "right"]].sum()
    shares = pd.DataFrame(
        {
            "precision": sums["right"] / sums["marked"],
            "recall": sums["right"] / sums["relevant"],
            "precision by verdict": sums["right"] / sums["kept"],
        }
    )
    return grouped.size().rename("cases").to_frame().join(shares).reset_index()


def examples(found: pd.DataFrame, each: int = 4) -> pd.DataFrame:
    """The first cases of every arm and step with a mark on a local criterion: so many where it holds and where not."""
    some = found[found["scope"].str.startswith("local") & (found["marked"] > 0)]
    chosen = some.groupby(["arm", "seed", "step", "satisfied"]).head(each)
    shown = chosen.assign(response=chosen["response"].str[:200])[
        [*KEYS, "criterion", "response", "words marked", "words relevant"]
    ]
    return shown.sort_values(["arm", "seed", "step", "satisfied"], kind="stable", ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.analysis.marks", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="whose results/<profile> to read and write")
    options = parser.parse_args(arguments)

    def write() -> None:
        results = RESULTS / options.profile
        found = cases(results)
        tables = {
            "rollout_marks": table(found),
            "rollout_by_verdict": by_verdict(found),
            "rollout_examples": examples(found),
        }
        for name, made in tables.items():
            save_table(made, name, results)
            print(f"{name}\n\n{markdown_table(made, 2)}")

    return guarded(write)


if __name__ == "__main__":
    sys.exit(main())
