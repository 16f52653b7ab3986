"""Notebook 03: how the discriminators were trained and how good they are. Statistics are `relevance.validate`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rtt_lib.analysis.discriminator_study import Study
from rtt_lib.files import read_json
from rtt_lib.relevance import validate
from rtt_lib.relevance.annotate import greedy, label_with
from rtt_lib.relevance.discriminator import TRAINING_LOG
from rtt_lib.relevance.encoding import EncodedResponse, Encoder, LabelledExample
from rtt_lib.relevance.shipped import quiet
from rtt_lib.relevance.sources import RELEASED_THRESHOLD
from rtt_lib.relevance.validate import HALF, Key, Scored
from rtt_lib.report.theme import readable
from rtt_lib.stats import ENOUGH_RUNS, bootstrap, percentile_interval
from rtt_lib.verify import check

Predictions = Mapping[str, Sequence[Scored]]  # variant -> its predictions on the same examples

KEYWORDS = "keyword rule"
ENOUGH_F1 = 0.95  # a family below it is named
UNKNOWABLE = ("end",)  # a causal model cannot know which word is the last
COLORS = {
    "taxonomy": "#0072B2",
    "greedy": "#AA6655",
    "held-out": "#CC79A7",
    "balanced": "#E69F00",
    "bidirectional": "#009E73",
    "packed": "#D55E00",
    KEYWORDS: "#888888",
}


def color_of(name: str) -> str:
    return COLORS.get(name, "#9DC3E0")  # a further seed: a pale shade of the first one's blue


# --- predictions ---


def predict(study: Study, examples: Sequence[LabelledExample]) -> Predictions:
    """Every variant's predictions on the same examples, and the keyword rule's."""
    quiet()
    found, encoder = {}, None
    for variant in study.variants:
        discriminator = study.load(variant.name)
        found[variant.name] = validate.score_examples(discriminator, examples)
        encoder = encoder or discriminator.encoder  # the same for every variant
    return found | {KEYWORDS: keyword_rule(found["taxonomy"], encoder)}


def keyword_rule(scored: Sequence[Scored], encoder: Encoder) -> list[Scored]:
    """The same examples marked by matching words (the greedy annotator itself), no model at all."""
    encoded = encoder.responses([one.example.response for one in scored])
    return [_marked(one, response) for one, response in zip(scored, encoded, strict=True)]


def _marked(one: Scored, response: EncodedResponse) -> Scored:
    example = one.example
    label = greedy(example.criterion, check(example.criterion, "", example.response), example.response)
    marks = [*label_with(label, response.spans, len(response.ids)), int(label.whole)]
    return Scored(example, np.array(marks, dtype=float), one.y)


# --- training ---


def training_table(study: Study) -> pd.DataFrame:
    """One row per discriminator: what it was trained on and how its loss (Eq. 5) went."""
    rows = []
    for variant in study.variants:
        log = read_json(study.folders[variant.name] / TRAINING_LOG)
        losses = [row["loss"] for row in log["log"] if "loss" in row]
        row = {"discriminator": variant.name, "about": variant.about, "seed": variant.seed}
        row |= {"examples": log["examples"], "weight of a relevant token": log["pos_weight"]}
        rows.append(row | {"first loss": losses[0], "last loss": losses[-1]})
    return pd.DataFrame(rows)


def draw_training(study: Study) -> Figure:
    """BCE over the optimizer steps. The balanced loss is another loss: compare its shape, not its height."""
    fig, axis = plt.subplots(figsize=(7.5, 4.2))
    ends = []
    for variant in study.variants:
        log = [row for row in read_json(study.folders[variant.name] / TRAINING_LOG)["log"] if "loss" in row]
        steps, losses = [row["step"] for row in log], [row["loss"] for row in log]
        axis.plot(steps, losses, color=color_of(variant.name), linewidth=1.6)
        if variant.seed == 0:
            ends.append((losses[-1], variant.name, steps[-1]))
    axis.set(xlabel="optimizer step", ylabel="BCE per response token (log scale)", yscale="log")
    _label_ends(axis, ends)
    return fig


def _label_ends(axis, ends: list[tuple[float, str, int]]) -> None:
    """Names at the right ends of the lines, moved apart where they would overlap (in axis units, log scale)."""
    low, high = np.log(axis.get_ylim())
    place = -1.0
    for value, name, step in sorted(ends):
        place = max((np.log(value) - low) / (high - low), place + 0.06)
        x, y = axis.transAxes.inverted().transform(axis.transData.transform((step, value)))
        color = readable(color_of(name))
        axis.annotate(name, (x, y), (1.03, place), xycoords="axes fraction", color=color, va="center",
                      fontsize=9, annotation_clip=False)  # fmt: skip


# --- tables ---


def score_table(scored: Sequence[Scored], key: Key, name: str) -> pd.DataFrame:
    """One row a group: precision, recall, F1 with its interval over examples, AUC, calibration error."""
    table = pd.DataFrame(validate.table(scored, key))
    table["F1"] = [_interval(*row) for row in zip(table["f1"], table["f1_low"], table["f1_high"], strict=True)]
    table = table.rename(columns={"group": name, "auc": "AUC", "calibration_error": "calibration error"})
    columns = ["examples", "tokens", "relevant", "marked", "precision", "recall", "F1", "AUC", "calibration error"]
    return table[[name, *columns]]


def _interval(value: float, low: float, high: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def seed_table(predictions: Predictions, names: Sequence[str]) -> pd.DataFrame:
    """F1 per family over independently trained discriminators, with an interval where there are three or more."""
    by_family: dict[str, list[float]] = {}
    for name in names:
        for row in validate.table(predictions[name], validate.family):
            by_family.setdefault(row["group"], []).append(row["f1"])
    rows = []
    for family, values in by_family.items():
        enough = len(values) >= ENOUGH_RUNS and np.isfinite(values).all()
        low, high = bootstrap(values, ["A"] * len(values)) if enough else (np.nan, np.nan)
        row = {"family": family, "seeds": len(values), "mean F1": float(np.mean(values)), "low": low, "high": high}
        rows.append(row | {"worst seed": min(values)})
    return pd.DataFrame(rows)


def comparison_table(predictions: Predictions) -> pd.DataFrame:
    """Every discriminator on the same tokens; families count equally in the mean F1.

    the lead: mean F1 of `taxonomy` minus this one's, the same examples resampled for both
    """
    rows = []
    reference = validate.mean_f1_draws(predictions["taxonomy"])
    best = validate.mean_f1(predictions["taxonomy"])
    for name, scored in predictions.items():
        p, y = np.concatenate([one.p for one in scored]), np.concatenate([one.y for one in scored])
        scores = validate.scores_of(validate.counts(p, y))
        mean, draws = validate.mean_f1(scored), validate.mean_f1_draws(scored)
        row = {"discriminator": name, "mean F1 over families": _interval(mean, *percentile_interval(draws))}
        lead = _interval(best - mean, *percentile_interval(reference - draws))
        row["taxonomy's lead"] = "" if name == "taxonomy" else lead
        row["without END"] = validate.mean_f1([one for one in scored if not _unknowable(one)])
        row |= {"precision": scores.precision, "recall": scores.recall, "AUC": validate.auc(p, y)}
        rows.append(row | {"calibration error": validate.calibration_error(validate.calibration(p, y))})
    return pd.DataFrame(rows)


def _unknowable(one: Scored) -> bool:
    return one.example.criterion.family in UNKNOWABLE


def written_table(study: Study) -> pd.DataFrame:
    """The same comparison on responses that nobody constructed."""
    tables = []
    for source, examples in study.written().items():
        table = comparison_table(predict(study, examples)).drop(columns="without END")
        tables.append(table.assign(**{"responses of": source, "examples": len(examples)}))
    found = pd.concat(tables, ignore_index=True)
    return found[["responses of", "examples", *(c for c in found if c not in ("responses of", "examples"))]]


def case_table(predictions: Predictions) -> pd.DataFrame:
    """Table 6 as numbers: tokens labelled relevant and tokens marked, by scope, polarity and verdict.

    exactly right: share of responses in which every single token is on the right side of 0.5.
    """
    rows = []
    for name, scored in predictions.items():
        for row in validate.table(scored, validate.case):
            members = [one for one in scored if validate.case(one) == row["group"]]
            right = np.mean([((one.p >= HALF) == one.y).all() for one in members])
            rows.append(
                {"case": row["group"], "discriminator": name, "examples": row["examples"]}
                | {"labelled": row["relevant"], "marked": row["marked"], "exactly right": right}
            )
    return pd.DataFrame(rows).sort_values("case", kind="stable", ignore_index=True)


def held_out_table(predictions: Predictions, unseen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The families that some discriminator never saw (`unseen`: by variant), first; `taxonomy` beside them."""
    rows = []
    for name in dict.fromkeys(["taxonomy", *unseen]):
        for row in validate.table(predictions[name], validate.family):
            seen = row["group"] not in unseen.get(name, ())
            score = _interval(row["f1"], row["f1_low"], row["f1_high"])
            found = {"family": row["group"], "in training": "yes" if seen else "no", "discriminator": name}
            found |= {"precision": row["precision"], "recall": row["recall"], "F1": score, "AUC": row["auc"]}
            rows.append(found)
    table = pd.DataFrame(rows)
    unseen_first = ~table["family"].isin({family for families in unseen.values() for family in families})
    return table.assign(order=unseen_first).sort_values(["order", "family"], kind="stable").drop(columns="order")


def threshold_table(scored: Sequence[Scored]) -> pd.DataFrame:
    """The same predictions cut at 0.5 and, as the released code in effect does, at 0.998."""
    table = pd.DataFrame(validate.threshold_effect(scored, validate.family))
    wide = table.pivot(index="group", columns="threshold", values=["marked", "recall", "precision", "f1"])
    wide.columns = [f"{'F1' if score == 'f1' else score} at {cut:g}" for score, cut in wide.columns]
    kept = wide["marked at 0.998"] / wide["marked at 0.5"]
    return wide.assign(**{"marks that survive": kept}).reset_index().rename(columns={"group": "family"})


def reading_table(
    study: Study, examples: Sequence[LabelledExample], counts: Sequence[int] = (1, 2, 5, 10, 20), group: int = 8
) -> pd.DataFrame:
    """Tokens that each kind reads of one response and its K criteria, on average, relative to one criterion.

    group: responses to the same prompt, whose criteria the packed one reads once for all of them
    """
    rows = []
    for name in [variant.name for variant in study.variants if variant.name in ("taxonomy", "packed")]:
        encoder = study.load(name).encoder
        criterion = np.mean([len(encoder.prefix(example.criterion.text)) for example in examples])
        response = np.mean([len(one.ids) + 1 for one in encoder.responses([e.response for e in examples])])
        if name == "packed":
            read = {k: k * criterion / group + len(encoder.lead) + response for k in counts}
        else:
            read = {k: k * (criterion + response) for k in counts}
        row = {"discriminator": name, "tokens for one criterion": read[counts[0]]}
        rows.append(row | {f"K = {k}": read[k] / read[counts[0]] for k in counts})
    return pd.DataFrame(rows)


def end_table(predictions: Predictions) -> pd.DataFrame:
    """END under the causal discriminator and, where there is one, the bidirectional, by verdict."""
    rows = []
    for name in [name for name in ("taxonomy", "bidirectional") if name in predictions]:
        scored = [one for one in predictions[name] if _unknowable(one)]
        table = score_table(scored, lambda one: "satisfied" if one.example.verdict else "violated", "verdict")
        rows.append(table.assign(discriminator=name))
    columns = ["discriminator", "verdict", "examples", "relevant", "marked", "precision", "recall", "F1", "AUC"]
    return pd.concat(rows, ignore_index=True)[columns]


# --- figures ---


def draw_families(predictions: Predictions, names: Sequence[str]) -> Figure:
    """F1 per family with its interval over examples, one colour per discriminator that the profile has."""
    names = [name for name in names if name in predictions]
    tables = {name: pd.DataFrame(validate.table(predictions[name], validate.family)) for name in names}
    families = list(tables[names[0]].sort_values("f1")["group"])
    fig, axis = plt.subplots(figsize=(7.5, 0.5 * len(families) + 1.4))
    for n, name in enumerate(names):
        table = tables[name].set_index("group").loc[families]
        y = np.arange(len(families)) + 0.22 * ((len(names) - 1) / 2 - n)
        f1 = table["f1"].fillna(0)
        errors = np.abs([f1 - table["f1_low"].fillna(0), table["f1_high"].fillna(0) - f1])
        axis.errorbar(f1, y, xerr=errors, fmt="o", color=color_of(name), markersize=5, elinewidth=1.4, label=name)
    axis.axvline(0.95, color="#555555", linewidth=0.8, linestyle=":")
    axis.set(yticks=range(len(families)), yticklabels=families, xlim=(-0.03, 1.03), xlabel="F1 at p = 0.5")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(names), handletextpad=0.1, columnspacing=1)
    return fig


def draw_calibration(predictions: Predictions, names: Sequence[str]) -> Figure:
    """Share of relevant tokens against the mean p of each bin. Global criteria alone have one class: no curve."""
    fig, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), sharey=True)
    for axis, scopes in zip(axes, (("local",), ("local", "global")), strict=True):
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
        for name in [name for name in names if name in predictions]:
            members = [one for one in predictions[name] if validate.scope(one) in scopes]
            p, y = np.concatenate([one.p for one in members]), np.concatenate([one.y for one in members])
            curve = validate.calibration(p, y)
            error = validate.calibration_error(curve)
            axis.plot([b.mean_p for b in curve], [b.share for b in curve], "o-", markersize=4, linewidth=1.4,
                      color=color_of(name), label=f"{name}: error {error:.3f}")  # fmt: skip
        axis.set(
            title=f"{' and '.join(scopes)} criteria", xlabel="mean p of the bin", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
        )
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.16), fontsize=8.5)
    axes[0].set_ylabel("share of relevant tokens")
    return fig


# --- conclusions, computed ---


def mean_f1(predictions: Predictions) -> dict[str, float]:
    """Mean F1 over families, by discriminator."""
    return {name: validate.mean_f1(scored) for name, scored in predictions.items()}


def family_f1(scored: Sequence[Scored]) -> dict[str, float]:
    return {row["group"]: row["f1"] for row in validate.table(scored, validate.family)}


def unseen_f1(predictions: Predictions, unseen: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """By discriminator: F1 on each of the families that it was not trained on."""
    return {
        name: {family: _f1(predictions[name], [family]) for family in families} for name, families in unseen.items()
    }


def conclusions(predictions: Predictions, unseen: Mapping[str, Sequence[str]]) -> str:
    """What this run's numbers say, as Markdown: nothing here is typed in advance."""
    scored = predictions["taxonomy"]
    f1, mean = family_f1(scored), mean_f1(predictions)
    below = {name: value for name, value in f1.items() if name not in UNKNOWABLE and not value >= ENOUGH_F1}
    end = {name: _f1(found, UNKNOWABLE) for name, found in predictions.items() if name in ("taxonomy", "bidirectional")}
    cut = validate.mean_f1(scored, threshold=RELEASED_THRESHOLD)
    lines = [
        f"Families below F1 {ENOUGH_F1}, END aside: **{_listed(below) or 'none'}**.",
        f"END, F1: {_listed(end)}.",
        f"Mean F1 over families: {_listed(mean)}.",
        *(
            f"Families that {name} was never trained on, F1: {_listed(never)}."
            for name, never in unseen_f1(predictions, unseen).items()
        ),
        f"Cut at 0.998 instead of 0.5, the mean F1 goes from {mean['taxonomy']:.3f} to {cut:.3f}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _f1(scored: Sequence[Scored], families: Sequence[str]) -> float:
    return validate.mean_f1([one for one in scored if one.example.criterion.family in families])
