"""Discriminators on text side by side: on constructed responses, the policy's own, and others' answers to benchmarks.

The first one is what the others are compared with. A criterion that decides all tokens (a global one) has no AUC of its
own, but weighs in the AUC over all tokens: how far a discriminator tells global criteria from local ones. So three
numbers stand beside each other: AUC over all tokens, AUC within local criteria, and the share of global criteria's
tokens that is marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rtt_lib.analysis.discriminator_study import Examples, study_of
from rtt_lib.fingerprint import short
from rtt_lib.models import Precision
from rtt_lib.profile import Profile
from rtt_lib.relevance.packed import load_discriminator
from rtt_lib.relevance.validate import (
    HALF,
    Scored,
    auc,
    family,
    mean_f1,
    mean_f1_draws,
    scope,
    score_examples,
    table,
)
from rtt_lib.stats import percentile_interval

CONSTRUCTED = "constructed"
Predictions = Mapping[str, Mapping[str, Sequence[Scored]]]  # whose responses -> discriminator -> its predictions


def sources(profile: Profile, fresh: int) -> dict[str, Examples]:
    """Whose responses -> labelled examples that no discriminator was trained on."""
    study = study_of(profile)
    return {CONSTRUCTED: study.fresh(fresh), **study.written()}


def predictions(
    folders: Mapping[str, Path], examples: Mapping[str, Examples], precision: Precision = "float32"
) -> Predictions:
    """One discriminator at a time is in memory."""
    found: dict[str, dict[str, list[Scored]]] = {source: {} for source in examples}
    for name, folder in folders.items():
        discriminator = load_discriminator(folder)
        discriminator.model.to(getattr(torch, precision))
        for source, asked in examples.items():
            found[source][name] = score_examples(discriminator, asked)
    return found


def summary(found: Predictions) -> pd.DataFrame:
    """A row for each source and discriminator. gain: mean F1 minus the first one's, the same examples resampled."""
    rows = []
    for source, by_name in found.items():
        first = next(iter(by_name.values()))
        reference, best = mean_f1_draws(first), mean_f1(first)
        for name, scored in by_name.items():
            mean, draws = mean_f1(scored), mean_f1_draws(scored)
            low, high = percentile_interval(draws)
            row = {"responses": source, "discriminator": name, "examples": len(scored)}
            row |= {"mean F1 over families": mean, "low": low, "high": high, "gain": mean - best}
            row["gain low"], row["gain high"] = percentile_interval(draws - reference)
            row["AUC"] = _auc(scored)
            row["AUC, local criteria"] = _auc([one for one in scored if scope(one) == "local"])
            row["marked, global criteria"] = _marked([one for one in scored if scope(one) == "global"])
            rows.append(row)
    return pd.DataFrame(rows)


def families(found: Predictions) -> pd.DataFrame:
    """A row for each source, family and discriminator."""
    columns = ["examples", "relevant", "marked", "precision", "recall", "f1", "f1_low", "f1_high", "auc"]
    rows = [
        {"responses": source, "family": row["group"], "discriminator": name, **{key: row[key] for key in columns}}
        for source, by_name in found.items()
        for name, scored in by_name.items()
        for row in table(scored, family)
    ]
    return pd.DataFrame(rows).sort_values(["responses", "family"], kind="stable", ignore_index=True)


def digest(examples: Mapping[str, Examples]) -> str:
    """Which examples they are, without their text."""
    return short(
        [
            [source, one.criterion.to_json(), one.response, one.label.spans, one.label.whole]
            for source, asked in examples.items()
            for one in asked
        ]
    )


def _auc(scored: Sequence[Scored]) -> float:
    return auc(_all(scored, "p"), _all(scored, "y"))


def _marked(scored: Sequence[Scored]) -> float:
    p = _all(scored, "p")
    return float((p >= HALF).mean()) if len(p) else float("nan")


def _all(scored: Sequence[Scored], what: str) -> np.ndarray:
    return np.concatenate([getattr(one, what) for one in scored]) if scored else np.empty(0)
