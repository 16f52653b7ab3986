"""How good is a relevance source? The check the paper leaves out (section 4.1 reports no accuracy of D).

Tokens carry a prediction p and a label y; scores are over all tokens of a group, intervals resample *examples*
(a response with its criterion), since the tokens of one response are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rtt_lib.relevance.annotate import label_with
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.sources import RELEASED_THRESHOLD
from rtt_lib.schema import JUDGE
from rtt_lib.stats import percentile_interval
from rtt_lib.verify.registry import rule_of

HALF = 0.5
DRAWS = 1000  # of a bootstrap


@dataclass(frozen=True)
class Scored:
    """One example with the prediction and the label of each of its tokens, the end token last. p, y: [n]."""

    example: LabelledExample
    p: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Scores:
    """marked: share of tokens predicted relevant; relevant: share labelled so. NaN: nothing to divide by."""

    precision: float
    recall: float
    f1: float
    marked: float
    relevant: float
    tokens: int


@dataclass(frozen=True)
class Bin:
    """Tokens with `low` <= p < `high`: their mean p against the share that is relevant."""

    low: float
    high: float
    mean_p: float
    share: float
    tokens: int


def score_examples(discriminator: Discriminator, examples: Sequence[LabelledExample]) -> list[Scored]:
    """Predictions and labels on the discriminator's own tokens."""
    encoded = discriminator.encoder.responses([example.response for example in examples])
    rows = [(example.criterion.text, response) for example, response in zip(examples, encoded, strict=True)]
    found = discriminator.probabilities(rows)
    scored = []
    for example, response, p in zip(examples, encoded, found, strict=True):
        y = [*label_with(example.label, response.spans, len(response.ids)), int(example.label.whole)]
        scored.append(Scored(example, p, np.array(y, dtype=bool)))
    return scored


def counts(p: np.ndarray, y: np.ndarray, threshold: float = HALF) -> np.ndarray:
    """[4] true positives, false positives, false negatives, true negatives."""
    marked, relevant = np.asarray(p) >= threshold, np.asarray(y, dtype=bool)
    return np.array(
        [(marked & relevant).sum(), (marked & ~relevant).sum(), (~marked & relevant).sum(), (~marked & ~relevant).sum()]
    )


def scores_of(found: np.ndarray) -> Scores:
    tp, fp, fn, tn = (int(number) for number in found)
    total = tp + fp + fn + tn
    return Scores(
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        marked=_ratio(tp + fp, total),
        relevant=_ratio(tp + fn, total),
        tokens=total,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def auc(p: np.ndarray, y: np.ndarray) -> float:
    """Probability that a relevant token is ranked above an irrelevant one, ties counted half; NaN with one class."""
    p, y = np.asarray(p, dtype=float), np.asarray(y, dtype=bool)
    positives, negatives = int(y.sum()), int((~y).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, size = np.unique(p, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(size) - (size - 1) / 2  # ranks from 1, the mean one within a tie
    return float((mean_rank[place][y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration(p: np.ndarray, y: np.ndarray, bins: int = 10) -> list[Bin]:
    """The calibration curve: equal-width bins, empty ones left out."""
    p, y = np.asarray(p, dtype=float), np.asarray(y, dtype=bool)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return [
        Bin(b / bins, (b + 1) / bins, float(p[place == b].mean()), float(y[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]


def calibration_error(curve: Sequence[Bin]) -> float:
    """Expected calibration error: the mean distance of the curve from the diagonal, weighted by tokens."""
    total = sum(bin.tokens for bin in curve)
    return _ratio(sum(bin.tokens * abs(bin.mean_p - bin.share) for bin in curve), total)


def f1_interval(scored: Sequence[Scored], threshold: float = HALF) -> tuple[float, float]:
    """Percentile bootstrap of F1 over examples."""
    each = np.stack([counts(one.p, one.y, threshold) for one in scored])
    weights = np.random.default_rng(0).multinomial(len(each), np.full(len(each), 1 / len(each)), size=DRAWS)
    tp, fp, fn, _ = (weights @ each).T
    with np.errstate(invalid="ignore"):
        values = 2 * tp / (2 * tp + fp + fn)
    return percentile_interval(values)


Key = Callable[[Scored], str]


def family(scored: Scored) -> str:
    return scored.example.criterion.family


def scope(scored: Scored) -> str:
    """global, local, or soft (no rule says)."""
    criterion = scored.example.criterion
    return "soft" if criterion.verifier in (JUDGE, "code:python") else rule_of(criterion).scope


def case(scored: Scored) -> str:
    """The row of Table 6: scope, for local ones polarity, and the verdict."""
    verdict = {True: "satisfied", False: "violated", None: "unknown"}[scored.example.verdict]
    where = scope(scored)
    if where == "local":
        where = f"local {rule_of(scored.example.criterion).polarity}"
    return f"{where}, {verdict}"


def table(scored: Sequence[Scored], key: Key, threshold: float = HALF) -> list[dict]:
    """One row a group, in alphabetical order: scores at the threshold with F1's interval, AUC, calibration error."""
    return [_row(name, members, threshold) for name, members in _groups(scored, key)]


def mean_f1(scored: Sequence[Scored], threshold: float = HALF) -> float:
    """F1 averaged over families, undefined ones (nothing relevant, nothing marked) left out."""
    families = (
        np.sum([counts(one.p, one.y, threshold) for one in members], axis=0) for _, members in _groups(scored, family)
    )
    values = [scores_of(found).f1 for found in families]
    known = [value for value in values if not np.isnan(value)]
    return _ratio(sum(known), len(known))


def mean_f1_draws(scored: Sequence[Scored]) -> np.ndarray:
    """[DRAWS] bootstrap values of `mean_f1`: examples are resampled within each family.

    Predictions of the same examples are resampled alike, so that the draws of two discriminators can be paired.
    """
    rng, values = np.random.default_rng(0), []
    for _, members in _groups(scored, family):
        each = np.stack([counts(one.p, one.y) for one in members])
        weights = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=DRAWS)
        tp, fp, fn, _ = (weights @ each).T
        with np.errstate(invalid="ignore"):
            values.append(2 * tp / (2 * tp + fp + fn))
    known = np.ma.masked_invalid(np.stack(values))
    return known.mean(axis=0).filled(np.nan)


def threshold_effect(scored: Sequence[Scored], key: Key) -> list[dict]:
    """The same predictions cut at one half and at the released threshold: how much the released cast leaves."""
    return [row | {"threshold": cut} for cut in (HALF, RELEASED_THRESHOLD) for row in table(scored, key, cut)]


def _groups(scored: Sequence[Scored], key: Key) -> Iterator[tuple[str, list[Scored]]]:
    groups: dict[str, list[Scored]] = {}
    for one in scored:
        groups.setdefault(key(one), []).append(one)
    yield from sorted(groups.items())


def _row(name: str, members: Sequence[Scored], threshold: float) -> dict:
    p, y = np.concatenate([one.p for one in members]), np.concatenate([one.y for one in members])
    low, high = f1_interval(members, threshold)
    return {
        "group": name,
        "examples": len(members),
        **asdict(scores_of(counts(p, y, threshold))),
        "f1_low": low,
        "f1_high": high,
        "auc": auc(p, y),
        "calibration_error": calibration_error(calibration(p, y)),
    }
