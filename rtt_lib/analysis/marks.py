"""What a discriminator marked in the rollouts that a training on text saved, beside what the rules mark.

python -m rtt_lib.analysis.marks PROFILE     writes tables/rollout_marks.csv and prints it

results/<profile>/rollouts/<arm>/<seed>/step_*.jsonl.gz     as `methods.records` writes them, by optimizer step
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
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


def _saved(results: Path) -> Iterator[tuple[dict, list[dict], str]]:
    """Arm, seed and step; the rollouts; the file."""
    paths = sorted((results / "rollouts").glob("*/*/step_*.jsonl.gz"))
    if not paths:
        raise RTTError(f"{results / 'rollouts'}: no rollouts there (<arm>/<seed>/step_*.jsonl.gz)")
    for path in paths:
        step = int(path.name.removeprefix("step_").removesuffix(".jsonl.gz"))
        place = {"arm": path.parts[-3], "seed": path.parts[-2], "step": step}
        yield place, [row for _, row in read_jsonl(path)], str(path)


def table(results: Path) -> pd.DataFrame:
    """Means over the cases of each scope and verdict; `touched`: the share of cases with a mark."""
    verifier = Verifier()
    frames = [marks(rows, verifier, path).assign(**place) for place, rows, path in _saved(results)]
    cases = pd.concat(frames, ignore_index=True)
    cases["touched"] = cases["marked"] > 0
    found = cases.groupby(KEYS)
    means = found[["tokens", "relevant", "marked", "right", "touched"]].mean()
    return found.size().rename("cases").to_frame().join(means).reset_index()


def examples(results: Path, each: int = 4) -> pd.DataFrame:
    """The first cases of every arm and step with a mark on a local criterion, `each` where it holds and where it fails.

    marked, relevant: the words of the response that the discriminator and the rule mark
    """
    found = []
    for place, rows, path in _saved(results):
        counted = marks(rows, Verifier(), path).assign(**place)
        counted["case"] = range(len(counted))
        some = counted[counted["scope"].str.startswith("local") & (counted["marked"] > 0)]
        texts = [_words(row, k) for row in rows for k in range(len(row["criteria"]))]
        chosen = some.groupby("satisfied").head(each).sort_values(["satisfied", "case"])
        found += [row[KEYS].to_dict() | texts[row["case"]] for _, row in chosen.iterrows()]
    return pd.DataFrame(found)


def _words(row: dict, k: int) -> dict:
    """Criterion k of a rollout, the beginning of its response, and the words that are marked for it."""
    criterion = criterion_from_json(row["criteria"][k], "a rollout")
    [[verdict]] = Verifier()([row["prompt"]], [row["response"]], [[criterion]])
    offsets = [(start, end) for start, end in row["offsets"]]
    true = label_with(taxonomy(criterion, verdict, row["response"]), offsets, len(offsets))
    pieces = [row["response"][start:end] for start, end in offsets]
    marked, relevant = (
        "|".join(piece for piece, p in zip(pieces, of, strict=True) if p >= HALF) for of in (row["relevance"][k], true)
    )
    return {"criterion": criterion.text, "response": row["response"][:200], "marked": marked, "relevant": relevant}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.analysis.marks", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="whose results/<profile> to read and write")
    options = parser.parse_args(arguments)

    def write() -> None:
        results = RESULTS / options.profile
        for name, found in {"rollout_marks": table(results), "rollout_examples": examples(results)}.items():
            write_text(results / "tables" / f"{name}.csv", found.to_csv(index=False, float_format="%.4f"))
            print(f"{name}\n\n{markdown_table(found, 2)}")

    return guarded(write)


if __name__ == "__main__":
    sys.exit(main())
