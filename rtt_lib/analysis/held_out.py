"""One policy against another on the same held-out prompts of text, from the responses that are published.

    python -m rtt_lib.analysis.held_out PROFILE     writes the three tables and prints them

Intervals draw the prompts anew, each with its responses. They say how far the difference of these two policies is
known, and nothing about other seeds: of those there are often too few on text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rtt_lib.analysis.published import SAME_REWARD
from rtt_lib.bench.grade import Values
from rtt_lib.bench.scores import difference, interval, scores
from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.methods.arms import ARMS
from rtt_lib.profile import RESULTS, Profile
from rtt_lib.schema import RubricPrompt
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import HELD_OUT
from rtt_lib.tables import markdown_table, save_table
from rtt_lib.worlds import open_world

MEASURES = {"all satisfied": "prompt", "per constraint": "instruction"}
# An arm and what it is compared with.
OURS = [("RTT-CSR relative", "RL-CSR"), ("RTT-CSR relative", "RTT-CSR")]
EXACT = [("RTT-CSR oracle", "RTT-CSR"), ("RTT-CSR oracle", "RL-CSR")]
PAIRS = [*SAME_REWARD.items(), *OURS, *EXACT]


@dataclass(frozen=True)
class Answered:
    """A policy's responses to the held-out prompts, one entry a response, with the verdicts on their criteria."""

    ids: Sequence[str]
    responses: Sequence[str]
    truncated: Sequence[bool]
    verdicts: Sequence[Values]
    families: Sequence[Sequence[str]]


def answered(profile: Profile, results: Path) -> dict[tuple[str, str], Answered]:
    """(arm, seed) -> its responses, graded now; arms in the order of `methods.arms`."""
    world = open_world(profile, profile.data.source)
    prompts, verifier = {prompt.id: prompt for prompt in world.questions(profile.evaluation.prompts)}, world.verifier()
    paths = sorted((results / HELD_OUT).glob("*/*.jsonl.gz"), key=_order)
    if not paths:
        raise RTTError(f"{results / HELD_OUT}: no responses there; `rtt runs --publish` and `rtt gpu-merge` leave them")
    found = {}
    for path in paths:
        rows = [_checked(row, prompts, f"{path}:{number}") for number, row in read_jsonl(path)]
        asked = [prompts[row["id"]] for row in rows]
        texts = [row["response"] for row in rows]
        verdicts = verifier([p.prompt for p in asked], texts, [p.criteria for p in asked])
        found[path.parent.name, path.name.removesuffix(".jsonl.gz")] = Answered(
            [p.id for p in asked],
            texts,
            [row["truncated"] for row in rows],
            [[verdict.value for verdict in row] for row in verdicts],
            [[criterion.family for criterion in p.criteria] for p in asked],
        )
    return found


def _order(path: Path) -> tuple[int, str]:
    names = list(ARMS)
    return (names.index(path.parent.name) if path.parent.name in names else len(names), path.name)


def _checked(row: dict, prompts: Mapping[str, RubricPrompt], where: str) -> dict:
    if row["id"] not in prompts or prompts[row["id"]].prompt != row["prompt"]:
        raise RTTError(f"{where}: {row['id']!r} is not among the held-out prompts that the code makes now")
    return row


def accuracies(found: Mapping[tuple[str, str], Answered]) -> pd.DataFrame:
    """A row per policy: how many responses, both measures with their intervals, words of a response, share cut off."""
    rows = []
    for (arm, seed), each in found.items():
        row = {"arm": arm, "seed": seed, "prompts": len(set(each.ids)), "responses": len(each.ids)}
        for measure, level in MEASURES.items():
            own = scores(each.ids, each.verdicts, level)
            low, high = interval(own)
            row |= {measure: own.accuracy, f"{measure} low": low, f"{measure} high": high}
        row["words"] = sum(len(text.split()) for text in each.responses) / len(each.responses)
        rows.append(row | {"truncated": sum(each.truncated) / len(each.truncated)})
    return pd.DataFrame(rows)


def pairs(found: Mapping[tuple[str, str], Answered]) -> pd.DataFrame:
    """A row per pair of policies of a seed and measure: the difference with its interval over prompts.

    A base policy that is evaluated once stands for all seeds.
    """
    seeds = list(dict.fromkeys(seed for _, seed in found))
    base = [(arm, "base") for arm in dict.fromkeys(arm for arm, _ in found) if arm != "base"]
    only = [place for place in found if place[0] == "base"]
    rows = []
    for arm, against in [*PAIRS, *base]:
        for seed in seeds:
            other = only[0] if against == "base" and len(only) == 1 else (against, seed)
            if (arm, seed) not in found or other not in found:
                continue
            for measure, level in MEASURES.items():
                own, rival = (scores(each.ids, each.verdicts, level) for each in (found[arm, seed], found[other]))
                mean, low, high = difference(own, rival)
                row = {"arm": arm, "against": against, "seed": seed, "measure": measure, "prompts": len(own.ids)}
                rows.append(row | {"difference": mean, "low": low, "high": high})
    columns = ["arm", "against", "seed", "measure", "prompts", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def families(found: Mapping[tuple[str, str], Answered]) -> pd.DataFrame:
    """A row per kind of criterion, a column per policy: the share of its criteria that are satisfied."""
    columns: dict[str, pd.Series] = {}
    for (arm, seed), each in found.items():
        together = pd.DataFrame(
            [
                pair
                for kinds, values in zip(each.families, each.verdicts, strict=True)
                for pair in zip(kinds, values, strict=True)
            ],
            columns=["family", "satisfied"],
        ).dropna()
        columns[f"{arm} {seed}"] = together.groupby("family")["satisfied"].apply(lambda values: values.mean())
    return pd.DataFrame(columns).rename_axis("family").reset_index()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.analysis.held_out", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="whose results/<profile> to read and write")
    options = parser.parse_args(arguments)

    def write() -> None:
        results = RESULTS / options.profile
        found = answered(load_profile(results / "profile.yaml"), results)
        tables = {"held_out": accuracies(found), "held_out_pairs": pairs(found), "held_out_families": families(found)}
        for name, table in tables.items():
            save_table(table, name, results)
            print(f"{name}\n\n{markdown_table(table)}")

    return guarded(write)


if __name__ == "__main__":
    sys.exit(main())
