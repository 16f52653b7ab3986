"""How well the discriminators mark what trained policies write: each on the responses of runs from its base policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import ENOUGH_RUNS
from rtt_lib.analysis.rollouts import rollout_examples, sample
from rtt_lib.files import read_jsonl
from rtt_lib.models import load_causal_lm, load_tokenizer
from rtt_lib.relevance import validate
from rtt_lib.relevance.corpus import label_response
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import load_discriminator
from rtt_lib.stats import bootstrap
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.micro.language import WORLDS, find_world, sample_prompts

ARMS = ("base", "RL-AON", "RTT-AON")
ENGLISH = "english"
KIND, NAME = "taxonomy", "09_after_training"
MEASURES = ["tokens", "F1", "precision", "recall", "wrong"]
COLUMNS = ["world", "arm", "family", "runs", "tokens", "F1", "low", "high", "precision", "recall", "wrong"]


def of(specs: Sequence[RunSpec], results: Path) -> pd.DataFrame:
    """`summary` of the runs whose policies are on this machine; without any, the table that was made where they are."""
    runs, earlier = here(specs), results / "tables" / f"{NAME}.csv"
    return pd.read_csv(earlier) if not runs and earlier.is_file() else summary(marked(runs))


def here(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs of `ARMS` whose policy is on this machine (records hold none), with the base policies they are from."""
    wanted = [spec for spec in specs if spec.world in (*WORLDS, ENGLISH) and spec.arm.name in ARMS]
    trained = [spec for spec in wanted if spec.trained and Path(spec.policy, "config.json").is_file()]
    places = {(spec.world, spec.seed) for spec in trained}
    return [spec for spec in wanted if not spec.trained and (spec.world, spec.seed) in places] + trained


def marked(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row per run and family: world, arm, seed, family, tokens of a response, F1, precision, recall, and how many
    tokens of a response are wrongly marked."""
    rows = [
        {"world": spec.world, "arm": spec.arm.name, "seed": spec.seed} | row for spec in specs for row in _rows(spec)
    ]
    return pd.DataFrame(rows, columns=["world", "arm", "seed", "family", *MEASURES])


def _rows(spec: RunSpec) -> list[dict]:
    examples, tokens = written_when_examined(spec) if spec.world == ENGLISH else _written_now(spec)
    return by_family(examples, tokens, load_discriminator(spec.home.discriminator(KIND, spec.seed)))


def _written_now(spec: RunSpec) -> tuple[list[LabelledExample], float]:
    """One response to each of 64 prompts of a micro world, labelled; and the tokens of a response."""
    questions = sample_prompts(find_world(spec.world), 64, "after training")
    longest = spec.profile.rl.max_response_tokens
    graded = sample(load_causal_lm(spec.policy), load_tokenizer(spec.policy), questions, 1, longest)
    return rollout_examples(graded), graded.mask.sum(1).double().mean().item()


def written_when_examined(spec: RunSpec, prompts: int = 256) -> tuple[list[LabelledExample], float]:
    """The first responses of a policy's evaluation, sampled on held-out tasks; labelled as in `_written_now`."""
    asked = {prompt.id: prompt for prompt in spec.home.questions(spec.profile.evaluation.prompts)}
    rows = [row for _, row in read_jsonl(spec.evaluation / "responses" / "sampled.jsonl")][:prompts]
    ids = load_tokenizer(spec.policy)([row["response"] for row in rows]).input_ids
    examples = [example for row in rows for example in label_response(asked[row["id"]], row["response"])]
    return examples, fmean(len(row) + 1 for row in ids)  # and the end token


def by_family(examples: Sequence[LabelledExample], tokens: float, discriminator: Discriminator) -> list[dict]:
    found = validate.table(validate.score_examples(discriminator, examples), validate.family)
    return [
        {"family": row["group"], "tokens": tokens, "F1": row["f1"], "wrong": _wrongly_marked(row)}
        | {name: row[name] for name in ("precision", "recall")}
        for row in found
    ]


def _wrongly_marked(row: dict) -> float:
    """Tokens a response: those that are marked and not relevant."""
    wrong = 1 - row["precision"] if row["marked"] else 0.0
    return wrong * row["marked"] * row["tokens"] / row["examples"]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over runs, and the interval of F1, which a run has where any token is marked or relevant."""
    rows = []
    for (world, arm, family), own in table.groupby(["world", "arm", "family"], sort=False):
        known = own.dropna(subset=["F1"])
        enough = len(known) >= ENOUGH_RUNS
        low, high = bootstrap(known["F1"].tolist(), known["seed"].str[0].tolist()) if enough else (np.nan, np.nan)
        place = {"world": world, "arm": arm, "family": family}
        rows.append({**place, "runs": len(own), "low": low, "high": high, **own[MEASURES].mean()})
    return pd.DataFrame(rows, columns=COLUMNS)


def finding(table: pd.DataFrame) -> str:
    """One sentence on the family with the most wrong marks after RTT; `table`: of `summary`."""
    trained = table[(table["arm"] == "RTT-AON") & (table["runs"] > 0)]
    if trained.empty:
        return "No trained policy of RTT-AON is on this machine, so nothing is said here."
    worst = trained.loc[trained["wrong"].idxmax()]
    before = table[(table["arm"] == "base") & (table["world"] == worst["world"]) & (table["family"] == worst["family"])]
    was = f", and {before['wrong'].iloc[0]:.1f} of one by a base policy" if len(before) else ""
    return (
        f"Most tokens are wrongly marked for *{worst['family']}* in world {worst['world']}: {worst['wrong']:.1f} of a "
        f"response by RTT-AON's policies{was}."
    )
