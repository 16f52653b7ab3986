"""Tables that set arms beside one another: means with intervals, paired differences, families, speed.

Everything reads the frames of `studies.records` (`results_table`, `curves_table`) and leaves statistics to `stats`.
An experiment that was not run gives an empty table; fewer than `stats.paired` needs for a claim gives no interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from rtt_lib.analysis import published as paper
from rtt_lib.errors import RTTError
from rtt_lib.stats import ENOUGH_RUNS, paired, smooth, steps_to_threshold, summary
from rtt_lib.verify.registry import find_rule
from rtt_lib.worlds.micro.language import WORLDS

TABLE_1 = ("base", "SFT", "DPO", "RL-CSR", "RL-AON", "RTT-CSR", "RTT-AON")
# (arm, baseline): the comparisons behind the paper's claims.
SAME_REWARD = tuple(paper.SAME_REWARD.items())
# Is the share of criteria, used as the reward, enough against sparse rewards?
SPARSITY = (("RL-CSR", "RL-AON"), ("RTT-AON", "RL-CSR"))
SUPERVISED = (("RL-AON", "SFT"), ("RL-AON", "DPO"), ("RL-CSR", "SFT"), ("RL-CSR", "DPO"))
PARTITION = (("RTT-AON", "RTT-AON inter"), ("RTT-AON", "RTT-AON joint"), ("RTT-AON", "RTT-AON mass"))
WEIGHTS = (
    *(
        ("RTT-AON", other)
        for other in ("RL-AON", "RTT-AON greedy", "RTT-AON random", "RTT-AON oracle", "RTT-AON counterfactual")
    ),
    ("RTT-AON greedy", "RL-AON"),
    ("RL-AON", "RTT-AON random"),
)
BETAS = ("RTT-AON beta 0.25", "RTT-AON", "RTT-AON beta 0.75", "RTT-AON beta 1")
SWEEP = (*((arm, "RL-AON") for arm in BETAS), *(("RTT-AON", arm) for arm in BETAS if arm != "RTT-AON"))

# `relative` without relevance: once with the same beta, once with a beta that makes its credit as strong.
CONTROLS = ("RTT-CSR decoupled", "RTT-CSR decoupled strong")
# Each arm changes one thing in the method.
SINGLE_CHANGES = tuple(
    (f"{arm} {change}", arm)
    for arm in ("RTT-AON", "RTT-CSR")
    for change in ("no EOS", "decay", "raw", "packed", "oracle", "noisy")
)

SCORES = ("all satisfied", "per constraint")
LEVEL = {"all satisfied": "instruction-level", "per constraint": "rubric-level"}  # what the paper calls them
OTHER_COLUMNS = ("greedy all satisfied", "out of domain", "language loss", "mean words", "truncated")
OTHER_COLUMNS += ("known wordings", "new wordings")  # of criteria in prompts, where a profile examines both
RULES_OF = {"english": "composed"}  # a world of text whose criteria are verified by the rules of another name
OWN_FAMILIES = ("M",)  # worlds that train on the families of the out-of-domain probe
QUARTERS = ("first quarter", "second quarter", "third quarter", "fourth quarter")  # of a training run
HALF_WAY = "steps half way"
LOWER_IS_BETTER = ("language loss", "truncated", HALF_WAY)
# Shares are said in points (hundredths), as the paper's scores are; these in units of their own.
UNITS = {
    "language loss": "nats per token",
    "final entropy": "nats per token",
    "mean words": "words",
    "tokens added": "tokens",
    "mean credit of EOS": "of token credit",
    "growth of the advantage": "standard deviations",
    HALF_WAY: "steps",
}
WINDOW = 10  # rollout steps over which a training curve is averaged

NO_DIFFERENCE, NOT_RUN, TOO_FEW = "no difference shown", "not run in this profile", "too few runs to tell"


def ordered(runs: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Only these arms, worlds in order of appearance, arms in the order given."""
    if runs.empty:
        return runs
    worlds = {world: n for n, world in enumerate(runs["world"].unique())}
    chosen = runs[runs["arm"].isin(arms)]
    place = chosen["world"].map(worlds) * len(arms) + chosen["arm"].map({arm: n for n, arm in enumerate(arms)})
    return chosen.loc[place.sort_values(kind="stable").index]


def interval(mean: float, low: float, high: float, runs: int) -> str:
    """`0.551 [0.530, 0.570]`; the mean alone where there are too few runs for an interval, or no spread (the base
    policy is the same one in all runs of a base); a dash where nothing was measured."""
    if mean != mean:
        return "-"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]" if runs >= ENOUGH_RUNS and low < high else f"{mean:.3f}"


def score_table(runs: pd.DataFrame, arms: Sequence[str], columns: Sequence[str] = SCORES) -> pd.DataFrame:
    """One row per world and arm: how many runs, and each column's mean with its 95% interval."""
    table = pd.DataFrame(columns=["world", "arm", "runs", *columns])
    chosen = ordered(runs, arms)
    if chosen.empty:
        return table
    for column in columns:
        found = summary(chosen, column)
        table[["world", "arm", "runs"]] = found[["world", "arm", "runs"]]
        table[column] = [interval(*row) for row in found[["mean", "low", "high", "runs"]].itertuples(index=False)]
    return table


def beside_table_1(runs: pd.DataFrame, arms: Sequence[str] = TABLE_1) -> pd.DataFrame:
    """Our arms beside the paper's: another model, other data, another scale, so compare the order, not the numbers."""
    table = score_table(runs, arms)
    published = paper.arm_means()
    for ours, level in LEVEL.items():
        table = table.rename(columns={ours: f"{ours} (ours, share)"})
        known = [published[level].get(arm, np.nan) for arm in table["arm"]]
        table[f"{level} (paper, mean %)"] = known
    return table


def differences(runs: pd.DataFrame, pairs: Iterable[tuple[str, str]], columns: Sequence[str] = SCORES) -> pd.DataFrame:
    """One row per world, pair of arms and column: the mean paired difference, its interval and what it shows.

    `paper` is the paper's difference in percentage points, a mean over its models and benchmarks, which come without
    seeds or intervals; ours are shares (0.01 is one point).
    """
    names = ["world", "arm", "against", "measure", "pairs", "difference", "low", "high", "by base", "improved"]
    names += ["verdict", "paper"]
    rows = []
    for world in runs["world"].unique() if len(runs) else ():
        for arm, baseline in pairs:
            for column in columns:
                found = paired(runs, arm, baseline, column, world)
                if not found["pairs"]:
                    continue
                rows.append({"world": world, "arm": arm, "against": baseline, "measure": column, **found})
                rows[-1]["by base"] = ", ".join(f"{base} {mean:+.3f}" for base, mean in found["by base"].items())
                rows[-1]["verdict"] = verdict(found, column)
                if column in LEVEL:
                    rows[-1]["paper"] = paper.difference(arm, baseline, LEVEL[column])
    table = pd.DataFrame(rows, columns=names)
    table.loc[table["pairs"] < ENOUGH_RUNS, ["low", "high"]] = np.nan
    return table


def verdict(found: dict, column: str) -> str:
    """`better`, `worse`, or why neither: the interval of the paired difference has to exclude zero."""
    if not found["pairs"]:
        return NOT_RUN
    if found["pairs"] < ENOUGH_RUNS:
        return TOO_FEW
    higher, lower = ("worse", "better") if column in LOWER_IS_BETTER else ("better", "worse")
    return higher if found["better"] else lower if found["worse"] else NO_DIFFERENCE


def pair_table(runs: pd.DataFrame, arm: str, baseline: str, column: str = "all satisfied") -> pd.DataFrame:
    """Seed by seed: both arms' scores and the difference that `differences` averages."""
    names = ["world", "seed", arm, baseline, "difference"]
    if runs.empty or not {arm, baseline} <= set(runs["arm"]):
        return pd.DataFrame(columns=names)
    wide = runs.pivot_table(index=["world", "seed"], columns="arm", values=column, sort=False)
    wide = wide[[arm, baseline]].dropna().reset_index().rename_axis(columns=None)
    return wide.assign(difference=wide[arm] - wide[baseline])[names]


def only_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `differences` that show something, for a cell: a long table is cut where it is displayed."""
    columns = ["world", "arm", "against", "measure", "pairs", "difference", "low", "high", "verdict"]
    return table.loc[table["verdict"].isin(["better", "worse"]), columns].reset_index(drop=True)


def in_words(table: pd.DataFrame) -> str:
    """The rows of `differences` as Markdown sentences, so that a conclusion is computed, not typed."""
    if table.empty:
        return f"*{NOT_RUN.capitalize()}.*"
    return "\n".join(f"- {_sentence(row)}" for row in table.to_dict("records"))


def unit_of(column: str) -> tuple[str, int, int]:
    """A score's unit, the factor that turns the score into it, and the number of digits to show."""
    return (UNITS[column], 1, 2) if column in UNITS else ("points", 100, 1)


def _sentence(row: dict) -> str:
    unit, factor, digits = unit_of(row["measure"])
    by, low, high = (f"{factor * row[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    by += f" {unit}"
    if row["pairs"] >= ENOUGH_RUNS:
        by += f" [{low}, {high}]"
    pairs = f"{row['pairs']} pair" + "s" * (row["pairs"] != 1)
    said = f" The paper: {row['paper']:+.2f} points." if row["paper"] == row["paper"] else ""
    return (
        f"World {row['world']}, *{row['measure']}*: {row['arm']} against {row['against']} {by} over {pairs}, "
        f"**{row['verdict']}**.{said}"
    )


def family_table(runs: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Share satisfied by criterion family (rows) and arm (columns), with the taxonomy's word on the family."""
    chosen = ordered(runs, arms)
    known = {"arm", "world", "seed", *SCORES, *OTHER_COLUMNS}
    families = [column for column in chosen.columns if column not in known]
    if chosen.empty:
        return pd.DataFrame(columns=["world", "family", "responsible tokens"])
    means = chosen.groupby(["world", "arm"], sort=False)[families].mean()
    long = means.stack().dropna().unstack("arm").reindex(columns=[arm for arm in arms if arm in set(chosen["arm"])])
    table = long.rename_axis(index=["world", "family"], columns=None).reset_index()
    places = zip(table["family"], table["world"], strict=True)
    table.insert(2, "responsible tokens", [taxonomy_of(*place) for place in places])
    order = {"local": 0, "global": 1}
    key = table["world"].map({w: 10 * n for n, w in enumerate(chosen["world"].unique())})
    key += table["responsible tokens"].str.split(",").str[0].map(order).fillna(2)
    return table.loc[key.sort_values(kind="stable").index].reset_index(drop=True)


def taxonomy_of(family: str, world: str) -> str:
    """Scope and polarity (App. C.3) of a family of a micro world or of composed prompts: `local, negative`."""
    known = {"length": "at_most_words"} if world in WORLDS else {}
    verifier = "micro" if world in WORLDS else RULES_OF.get(world, world)
    try:
        rule = find_rule(f"{verifier}:{known.get(family, family)}")
    except RTTError:  # a judge's criteria, or families of several verifiers
        return "-"
    return "global" if rule.scope == "global" else f"{rule.scope}, {rule.polarity}"


def speed_table(curves: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """How fast each arm learns: when its all-or-nothing rate in training reaches the level at which RL-AON ends, when
    it has half of RL-CSR's gain, its peak and its end.

    Trailing means over `WINDOW` rollout steps, or over the whole run where it is shorter.
    """
    names = ["world", "arm", "runs", "threshold", "reached by", "median steps", HALF_WAY, "peak", "end"]
    names += ["entropy at the end"]
    rows = []
    chosen = ordered(curves, arms) if "verdict/aon" in curves else curves.iloc[:0]
    halves = score_table(half_way(curves, arms), arms, [HALF_WAY]).set_index(["world", "arm"])[HALF_WAY]
    for (world, arm), group in chosen.groupby(["world", "arm"], sort=False):
        threshold = _end(curves[(curves["world"] == world) & (curves["arm"] == "RL-AON")], "verdict/aon")
        lines = [line.sort_values("step")["verdict/aon"].to_numpy() for _, line in group.groupby("seed")]
        steps = [steps_to_threshold(line, threshold, min(WINDOW, len(line))) for line in lines]
        median = np.median(steps)
        rows.append(
            {
                "world": world,
                "arm": arm,
                "runs": len(lines),
                "threshold": threshold,
                "reached by": f"{int(np.isfinite(steps).sum())} of {len(steps)}",
                "median steps": f"{median:g}" if np.isfinite(median) else "never",
                HALF_WAY: halves.get((world, arm), "-"),
                "peak": float(np.mean([_settled(line).max() for line in lines])),
                "end": _end(group, "verdict/aon"),
                "entropy at the end": _end(group, "entropy"),
            }
        )
    return pd.DataFrame(rows, columns=names)


def half_way(curves: pd.DataFrame, arms: Sequence[str], baseline: str = "RL-CSR") -> pd.DataFrame:
    """One row per run: the steps until it has half of what `baseline` gains in its world (mean over its runs).

    A run that never gets there counts as one that gets there at its end: its slowness is understated.
    """
    rows = []
    chosen = ordered(curves, [*arms, baseline]) if "verdict/aon" in curves else curves.iloc[:0]
    for world, here in chosen.groupby("world", sort=False):
        lines = {place: line.sort_values("step") for place, line in here.groupby(["arm", "seed"], sort=False)}
        lines = {place: line["verdict/aon"].dropna().to_numpy() for place, line in lines.items()}
        rivals = [_settled(line)[[0, -1]] for (arm, _), line in lines.items() if arm == baseline and len(line)]
        for (arm, seed), line in lines.items() if rivals else ():
            if arm in arms and len(line):
                steps = steps_to_threshold(line, float(np.mean(rivals)), min(WINDOW, len(line)))
                rows.append({"world": world, "arm": arm, "seed": seed, HALF_WAY: min(steps, float(len(line)))})
    return pd.DataFrame(rows, columns=["world", "arm", "seed", HALF_WAY])


def quarters(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per run: the mean all-or-nothing rate over each quarter of its training, for `differences`."""
    if "verdict/aon" not in curves:
        return pd.DataFrame(columns=["world", "arm", "seed", *QUARTERS])
    steps = curves.groupby(["world", "arm", "seed"])["step"].transform("max")
    quarter = ((4 * curves["step"] - 1) // steps).clip(0, 3).map(dict(enumerate(QUARTERS)))
    groups = curves.assign(quarter=quarter).groupby(["world", "arm", "seed", "quarter"], sort=False)
    means = groups["verdict/aon"].mean()
    return means.unstack().reindex(columns=list(QUARTERS)).reset_index()


def paired_curves(curves: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Training curves of arm - baseline, step by step within a seed: what both owe to their base policy drops out."""
    known = [measure for measure in ("verdict/aon", "verdict/csr") if measure in curves]
    by_arm = {arm: lines.set_index(["world", "seed", "step"])[known] for arm, lines in curves.groupby("arm")}
    found = [
        (by_arm[arm] - by_arm[baseline]).dropna(how="all").reset_index().assign(arm=f"{arm} - {baseline}")
        for arm, baseline in pairs
        if {arm, baseline} <= set(by_arm)
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["world", "seed", "step", "arm"])


def _settled(line: np.ndarray) -> np.ndarray:
    """The trailing means that cover a full window."""
    window = min(WINDOW, len(line))
    return smooth(line, window)[window - 1 :]


def _end(curves: pd.DataFrame, column: str) -> float:
    """Mean over runs of the last `WINDOW` steps."""
    if curves.empty or column not in curves:
        return float("nan")
    tails = curves.sort_values("step").groupby("seed")[column].apply(lambda line: line.tail(WINDOW).mean())
    return float(tails.mean())


def beta_table(runs: pd.DataFrame, profile_beta: float = 0.5) -> pd.DataFrame:
    """The sweep of Figure 3: beta 0 is RL-AON, the profile's own beta is RTT-AON."""
    names = {0.0: "RL-AON", profile_beta: "RTT-AON"}
    sweep = {beta: names.get(beta, f"RTT-AON beta {beta:g}") for beta in paper.figure3()["beta"]}
    swept = ordered(runs, list(sweep.values()))
    # Without a run between the two ends there is no sweep.
    if swept.empty or set(swept["arm"]) <= set(names.values()):
        return pd.DataFrame(columns=["world", "beta", "arm", "runs", "mean", "low", "high", "paper (read off)"])
    swept = swept[swept["world"].isin(swept.loc[swept["arm"].str.contains("beta"), "world"])]
    beta_of = {arm: beta for beta, arm in sweep.items()}
    table = summary(swept, "all satisfied").drop(columns="iqm")
    table.insert(1, "beta", table["arm"].map(beta_of))
    table.loc[table["runs"] < ENOUGH_RUNS, ["low", "high"]] = np.nan
    return table.assign(**{"paper (read off)": table["beta"].map(paper.figure3().set_index("beta")["score"])})
