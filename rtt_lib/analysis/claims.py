"""The paper's claims C1 to C11, each with the paper's figure, ours with its interval, and a verdict.

Verdicts are computed, never written by hand, from the 95% intervals of paired differences:

    replicates           every comparison that the claim makes is shown: its interval lies on the claimed side of zero
    partly               some are shown, and at least as many as are shown to be the other way round
    does not replicate   more are shown to be the other way round, or every interval leaves out a gain of a point
    cannot be tested     fewer than three paired runs, or so few that nothing is shown either way, or the run has
                         nothing of the kind the claim speaks of

C3 (no loss), C6 (the best of five), C8 (collapse), C10 and C11 have rules of their own, which their reasons give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import BETAS, ENOUGH_RUNS, OWN_FAMILIES, SCORES, half_way, unit_of
from rtt_lib.analysis.coverage import coverage, coverage_apart
from rtt_lib.analysis.length_bias import SCENARIOS, simulate
from rtt_lib.analysis.shapes import run_shapes
from rtt_lib.files import write_text
from rtt_lib.stats import bootstrap, paired
from rtt_lib.tables import markdown_table, save_table

REPLICATES, FAILS, PARTLY = "replicates", "does not replicate", "partly"
UNTESTED = "cannot be tested at this size"
VERDICTS = (REPLICATES, PARTLY, FAILS, UNTESTED)
COLUMNS = ["claim", "statement", "verdict", "paper", "ours", "n", "reason", "where"]
SCORE = "all satisfied"
# a share's interval below this shows that there is no gain: the paper's mean gains are 1.6 to 2.5 points
SMALLEST_GAIN = 0.01
AT_CHANCE = 0.15  # a base policy that scores less out of domain has little to lose: by chance it is some 0.06
# How much may be lost and still be called kept: the paper calls a drop of 2.84 points (MMLU-Pro, Qwen3) kept.
KEPT_MARGIN = {"out of domain": 0.03, "language loss": 0.1}
# A fall of the all-or-nothing rate that we call one: a third of the peak, and more than the noise of a training curve.
COLLAPSE, NOISE = 1 / 3, 0.02
PATTERN = 0.9  # share of responses in which every token has to be on the right side


@dataclass(frozen=True)
class Comparison:
    """arm - baseline over paired seeds; `result` is that of `stats.paired`."""

    arm: str
    baseline: str
    world: str
    column: str
    seeds: tuple[str, ...]
    result: dict

    @property
    def tested(self) -> bool:
        return self.result["pairs"] >= ENOUGH_RUNS

    @property
    def name(self) -> str:
        return f"{self.arm} - {self.baseline}, {self.column} ({unit_of(self.column)[0]})"

    def numbers(self) -> str:
        """`L +3.1 [+1.0, +5.2] (A +2.0 B +4.8), n = 5`: the interval only where there are enough runs for one, the base
        policies' own means only where some have several runs."""
        _, factor, digits = unit_of(self.column)
        mean, low, high = (f"{factor * self.result[key]:+.{digits}f}" for key in ("difference", "low", "high"))
        interval = f" [{low}, {high}]" if self.tested else ""
        by_base, pairs = self.result["by base"], self.result["pairs"]
        bases = " ".join(f"{base} {factor * value:+.{digits}f}" for base, value in by_base.items())
        return f"{self.world} {mean}{interval}" + (f" ({bases})" if 1 < len(by_base) < pairs else "") + f", n = {pairs}"


@dataclass(frozen=True)
class Evidence:
    """What the claims are judged on: one row per run, one per rollout step, and the tables of other notebooks."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    tables: Path

    def table(self, name: str) -> pd.DataFrame | None:
        path = self.tables / f"{name}.csv"
        return pd.read_csv(path) if path.exists() else None

    def compare(self, arm: str, baseline: str, column: str = SCORE) -> list[Comparison]:
        """One comparison for each world in which both arms were run."""
        return compare(self.runs, arm, baseline, column)


def compare(runs: pd.DataFrame, arm: str, baseline: str, column: str) -> list[Comparison]:
    found = []
    for world in sorted(runs["world"].unique()):
        here = runs[(runs["world"] == world) & runs[column].notna()] if column in runs else runs.iloc[:0]
        seeds = [set(here.loc[here["arm"] == name, "seed"]) for name in (arm, baseline)]
        both = tuple(sorted(seeds[0] & seeds[1]))
        if both:
            found.append(Comparison(arm, baseline, world, column, both, paired(here, arm, baseline, column, world)))
    return found


@dataclass(frozen=True)
class Judgement:
    ours: str
    n: str
    verdict: str
    reason: str


def untested(reason: str, ours: str = "not run in this profile", n: str = "0 runs") -> Judgement:
    return Judgement(ours, n, UNTESTED, reason)


def in_figures(comparisons: Sequence[Comparison]) -> str:
    """Each comparison's name, and behind it its figures in each world."""
    by_name: dict[str, list[str]] = {}
    for one in comparisons:
        by_name.setdefault(one.name, []).append(one.numbers())
    return "; ".join(f"{name}: {' | '.join(numbers)}" for name, numbers in by_name.items())


def pairs_of(comparisons: Sequence[Comparison]) -> str:
    seeds = sorted({seed for one in comparisons for seed in one.seeds})
    return f"{len(seeds)} paired {'seed' if len(seeds) == 1 else 'seeds'}: {' '.join(seeds)}"


def judge(comparisons: Sequence[Comparison], caveat: str = "") -> Judgement:
    """Judge the claim that all of `comparisons` are positive."""
    if not comparisons:
        return untested("the runs that it compares are not in this profile.")
    tested = [one for one in comparisons if one.tested]
    ours, n = in_figures(comparisons), pairs_of(comparisons)
    if not tested:
        return untested(f"fewer than {ENOUGH_RUNS} paired runs, so no interval.", ours, n)
    better = sum(one.result["better"] for one in tested)
    worse = sum(one.result["worse"] for one in tested)
    verdict = verdict_of(better, worse, len(tested), against=all(map(_no_gain, tested)))
    reason = f"shown in {better} of {len(tested)} comparisons, the opposite in {worse}."
    if verdict == UNTESTED:
        reason += " Too few runs: the intervals hold both zero and a gain of a point."
    if len(tested) < len(comparisons):
        reason += f" {len(comparisons) - len(tested)} more have fewer than {ENOUGH_RUNS} pairs."
    return Judgement(ours, n, verdict, f"{reason} {caveat}".strip())


def verdict_of(shown: int, opposite: int, of: int, against: bool = False) -> str:
    """The rule of every claim. `against`: no interval leaves room for a gain."""
    if shown == of:
        return REPLICATES
    if shown and shown >= opposite:
        return PARTLY
    return FAILS if opposite or against else UNTESTED


def _no_gain(one: Comparison) -> bool:
    """The interval leaves out a gain of `SMALLEST_GAIN`. Only scores have such a limit."""
    return one.column in SCORES and one.result["high"] < SMALLEST_GAIN


# --- one function a claim ---


def c1(e: Evidence) -> Judgement:
    columns = (SCORE, "per constraint")
    return judge([c for r in ("AON", "CSR") for column in columns for c in e.compare(f"RTT-{r}", f"RL-{r}", column)])


def c2(e: Evidence) -> Judgement:
    comparisons = [c for rl in ("RL-AON", "RL-CSR") for other in ("SFT", "DPO") for c in e.compare(rl, other)]
    return judge(comparisons, "The supervised responses here come from a constructor that never errs.")


def c3(e: Evidence) -> Judgement:
    """A claim of no loss: kept where the interval leaves out a loss beyond the margin, lost where one is shown."""
    comparisons = [
        one for arm in ("RTT-AON", "RTT-CSR") for column in KEPT_MARGIN for one in e.compare(arm, "base", column)
    ]
    base = e.runs[e.runs["arm"] == "base"].groupby("world")
    idle = set() if base.ngroups == 0 else set(base["out of domain"].mean().loc[lambda score: score < AT_CHANCE].index)
    unfit = idle | set(OWN_FAMILIES)
    comparisons = [one for one in comparisons if one.column != "out of domain" or one.world not in unfit]
    tested = [one for one in comparisons if one.tested]
    if not tested:
        figures = (in_figures(comparisons), pairs_of(comparisons)) if comparisons else ()
        return untested(f"fewer than {ENOUGH_RUNS} paired runs, so no interval.", *figures)
    kept, lost = sum(map(_kept, tested)), sum(map(_lost, tested))
    reason = (
        f"of {len(tested)} comparisons {kept} leave out a loss beyond 3 points (other constraint families) or 0.1 "
        f"nats (the base language), {lost} show such a loss. These two stand for Table 2."
    )
    if idle:
        reason += f" Other families are left out in {' and '.join(sorted(idle))}, where the base policy is at chance."
    return Judgement(in_figures(comparisons), pairs_of(comparisons), verdict_of(kept, lost, len(tested)), reason)


def _kept(one: Comparison) -> bool:
    margin = KEPT_MARGIN[one.column]
    return one.result["high"] < margin if one.column == "language loss" else one.result["low"] > -margin


def _lost(one: Comparison) -> bool:
    margin = KEPT_MARGIN[one.column]
    return one.result["low"] > margin if one.column == "language loss" else one.result["high"] < -margin


def c4(e: Evidence) -> Judgement:
    return judge(e.compare("RTT-AON", "RTT-AON inter"))


def c5(e: Evidence) -> Judgement:
    order = ["RTT-AON", "RTT-AON greedy", "RL-AON", "RTT-AON random"]
    comparisons = [c for better, worse in [*pairwise(order), (order[0], order[-1])] for c in e.compare(better, worse)]
    if {"RTT-AON greedy", "RTT-AON random"} - {name for c in comparisons for name in (c.arm, c.baseline)}:
        return untested("the runs that it compares are not in this profile.")
    return judge(
        comparisons, "Uniform weights give no token credit: RL-AON. By Table 4's means uniform is above greedy."
    )


def c6(e: Evidence) -> Judgement:
    swept = [c for beta in ("0.25", "0.75", "1") for c in e.compare("RTT-AON", f"RTT-AON beta {beta}")]
    if not swept:
        return untested("the runs that it compares are not in this profile.")
    worlds = {one.world for one in swept}
    comparisons = [c for c in e.compare("RTT-AON", "RL-AON") if c.world in worlds] + swept
    by_world = e.runs[e.runs["world"].isin(worlds)].groupby(["world", "arm"])[SCORE].mean()
    means = by_world.groupby("arm").mean()
    order = means.reindex(["RL-AON", *BETAS]).dropna().sort_values(ascending=False)
    judged = judge(comparisons, f"Beta 0 is RL-AON. By their means: {', '.join(order.index)}.")
    refuted = any(one.tested and one.result["worse"] for one in comparisons)
    return replace(judged, verdict=FAILS) if refuted else judged  # one better rival refutes "best"


def c7(e: Evidence) -> Judgement:
    """Faster: fewer steps to half of what RL-CSR gains. Both are claimed to be lower for RTT: RL - RTT is positive."""
    shapes = run_shapes(e.curves, ("RL-CSR", "RTT-CSR"))
    if shapes.empty:
        return untested("the runs that it compares are not in this profile.")
    shapes = shapes.merge(half_way(e.curves, ("RL-CSR", "RTT-CSR")))
    return judge([c for col in ("steps half way", "final entropy") for c in compare(shapes, "RL-CSR", "RTT-CSR", col)])


def c8(e: Evidence) -> Judgement:
    """RL-CSR falls from its peak (Fig. 5) and RTT-CSR does not."""
    shapes = run_shapes(e.curves, ("RL-CSR", "RTT-CSR"))
    comparisons = compare(shapes, "RL-CSR", "RTT-CSR", "fall from peak") if len(shapes) else []
    judged = judge(comparisons, "The paper saw it on one model of three.")
    if not any(one.tested for one in comparisons):
        return judged
    collapsed = shapes["fall from peak"] > (COLLAPSE * shapes["peak"]).clip(lower=NOISE)
    by_arm = collapsed.groupby(shapes["arm"])
    fell, runs = by_arm.sum(), by_arm.size()
    counts = "; ".join(f"{arm}: {fell[arm]} of {runs[arm]} runs lose a third of their peak" for arm in fell.index)
    verdict = judged.verdict
    if not fell["RL-CSR"]:
        verdict = FAILS if fell["RTT-CSR"] else UNTESTED
    elif fell["RTT-CSR"] and verdict == REPLICATES:
        verdict = PARTLY
    reason = "No run of RL-CSR collapses here: fall from peak, " if not fell["RL-CSR"] else "Fall from peak: "
    more = [one.world for one in comparisons if one.tested and one.result["worse"]]
    return Judgement(
        f"{judged.ours}; {counts}",
        judged.n,
        verdict,
        reason + judged.reason + (f" In {' and '.join(more)} RTT-CSR falls more." if more else ""),
    )


def c9(e: Evidence) -> Judgement:
    return untested(
        "a share of the GPU hours of 4B models on 32 GPUs; here policy and discriminator are tiny, and times are kept "
        "out of the tables, which have to come out the same twice.",
        "not part of a table: `python -m rtt_lib.run.speed step` measures this machine",
    )


def c10(e: Evidence) -> Judgement:
    """The cases of Table 6: is every token of a response on the right side of 0.5?"""
    cases = e.table("03_cases")
    if cases is None:
        return untested("notebook 03 has left no table of cases.")
    cases = cases[cases["discriminator"] == "taxonomy"]
    if cases.empty:
        return untested("notebook 03 has left no table of cases.")
    rows, shown, refuted = [], 0, 0
    for row in cases.to_dict("records"):
        low, high = wilson(row["exactly right"], int(row["examples"]))
        shown, refuted = shown + (low > PATTERN), refuted + (high < PATTERN)
        rows.append(f"{row['case']}: {100 * row['exactly right']:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    verdict = verdict_of(shown, refuted, len(rows))
    reason = (
        f"that every token is right in 90% of the responses is shown in {shown} of {len(rows)} cases, the opposite in "
        f"{refuted}. The paper's soft criteria need a judge and are not among them."
    )
    ours = f"responses with every token right (%): {'; '.join(rows)}"
    return Judgement(ours, f"{int(cases['examples'].sum())} fresh responses", verdict, reason)


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% score interval of a proportion: it stays within [0, 1] and is no point at 0 or 1."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def c11(e: Evidence) -> Judgement:
    """The advantage of a group's shortest response: how much larger is it when the others are 64 times as long?"""
    biased = [scenario.name for scenario in SCENARIOS if scenario.shortest != scenario.others]
    simulated = simulate()
    simulated = simulated[simulated["scenario"].isin(biased)]
    found, words = {}, []
    for scheme, rows in simulated.groupby("scheme"):
        short, equal = (rows.loc[rows["ratio"] == r, "mean"].abs().to_numpy() for r in (min(rows["ratio"]), 1.0))
        low, high = bootstrap(short - equal, ["A"] * len(short))
        found[scheme] = (low, high)
        words.append(f"{scheme} {np.mean(short - equal):+.3f} [{low:+.3f}, {high:+.3f}]")
    inter_is, intra_is_not = found["inter"][0] > 0, max(map(abs, found["intra"])) < 1e-6
    verdict = REPLICATES if inter_is and intra_is_not else PARTLY if inter_is or intra_is_not else FAILS
    ours = "growth of the shortest response's mean advantage, others 64 times as long: " + ", ".join(words)
    reason = "an identity of the two schemes, simulated with the training code; whether it matters in training is C4."
    return Judgement(ours, f"{len(short)} groups a scheme and length ratio", verdict, reason)


@dataclass(frozen=True)
class Claim:
    id: str
    statement: str
    paper: str
    where: str
    test: Callable[[Evidence], Judgement]


CLAIMS = (
    Claim(
        "C1",
        "RTT beats RL with the same reward",
        "Table 1, mean gain: 2.50 points (instruction level), 1.64 (rubric level)",
        "notebook 06, part 3 (core_differences); notebook 07, part 3 (table_3_differences)",
        c1,
    ),
    Claim(
        "C2",
        "SFT and DPO gain far less than RL",
        "Table 1: RL is above in 72 of 84 comparisons",
        "notebook 07, part 1 (table_1_differences)",
        c2,
    ),
    Claim(
        "C3",
        "Out-of-domain ability is kept",
        "Table 2: -2.84 to +4.60 points",
        "notebook 07, part 2 (table_2_differences)",
        c3,
    ),
    Claim(
        "C4",
        "Intra beats inter normalisation",
        "Table 3: in 20 of 21 cells",
        "notebook 07, part 3 (table_3_differences)",
        c4,
    ),
    Claim(
        "C5",
        "Token weights: ours > greedy > uniform >> random",
        "Table 4, means: 64.47, 62.63, 63.05, 57.87",
        "notebook 07, part 4 (table_4_differences)",
        c5,
    ),
    Claim(
        "C6",
        "beta = 0.5 is best of 0, 0.25, 0.5, 0.75, 1",
        "Figure 3 (read off): 60.27, 61.61, 61.75, 60.85, 60.40",
        "notebook 07, part 5 (figure_3_differences)",
        c6,
    ),
    Claim(
        "C7",
        "RTT-CSR improves faster and with lower entropy than RL-CSR",
        "Figure 4: curves, no number",
        "notebook 06, part 2 (core_half_way); notebook 11, part 1 (beyond_failure_differences)",
        c7,
    ),
    Claim(
        "C8",
        "RL-CSR can collapse where RTT-CSR does not",
        "Figure 5: Llama3.2-3B, one run",
        "notebook 07, part 6 (figures_4_and_5); notebook 11, part 1 (beyond_failure_differences)",
        c8,
    ),
    Claim(
        "C9",
        "The discriminator costs 7.8% of the GPU hours",
        "Table 5: 7.8%, +8.5% over RL",
        "notebook 07, part 7 (paper_table_5)",
        c9,
    ),
    Claim(
        "C10",
        "Relevance falls where the taxonomy says",
        "Table 6: examples, no accuracy",
        "notebook 03 (03_cases); notebook 09 for the pictures",
        c10,
    ),
    Claim(
        "C11",
        "Inter normalisation has a length bias, intra has none",
        "App. D, Eq. 9 to 18",
        "notebook 05 (05_simulation)",
        c11,
    ),
)


def claims_table(evidence: Evidence) -> pd.DataFrame:
    """One row per claim, no cell empty."""
    rows = []
    for claim in CLAIMS:
        found = claim.test(evidence)
        rows.append(
            [claim.id, claim.statement, found.verdict, claim.paper, found.ours, found.n, found.reason, claim.where]
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def save_claims(evidence: Evidence, profile: str, results: Path) -> pd.DataFrame:
    """Leave `tables/claims.csv`, which the site's first page shows, and `claims.md`; returns the table."""
    table = save_table(claims_table(evidence), "claims", results)
    write_text(results / "claims.md", claims_markdown(table, profile, designs(evidence.runs)))
    return table


def designs(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """Which base policies the runs of an arm start from: (A, A, A, B, B) for five runs, three of them from A."""
    bases = runs.groupby(["world", "arm"])["seed"].agg(lambda seeds: tuple(sorted(seed[0] for seed in seeds)))
    return sorted(set(bases[bases.map(len) >= ENOUGH_RUNS]), key=len, reverse=True)


OVER_BASES = "Every run starts from a base policy of its own, so that the intervals hold how base policies differ."
WITHIN_BASES = (
    "Intervals are of seeds within the base policies (where there are several, their own means stand in brackets); "
    "they know of no other base policy."
)


def _of_bases(design: Sequence[str]) -> bool:
    return len(set(design)) == len(design)


def _held(design: Sequence[str]) -> str:
    """How often an interval over these runs holds the true mean, by simulation."""
    if _of_bases(design):
        return f"from {' '.join(design)} in {coverage(design):.0%} of simulations"
    return (
        f"from {' '.join(design)} in {coverage(design):.0%} of simulations in which base policies do not differ, in "
        f"{coverage_apart(design, 1.0):.0%} where they differ as much as seeds do"
    )


def claims_markdown(table: pd.DataFrame, profile: str, designs: Sequence[tuple[str, ...]]) -> str:
    """`designs`: from which base policies the runs start. This decides what their intervals are worth."""
    counts = ", ".join(f"{verdict}: {(table['verdict'] == verdict).sum()}" for verdict in VERDICTS)
    held = "; ".join(map(_held, designs))
    of_bases = bool(designs) and all(map(_of_bases, designs))
    return (
        f"# The paper's claims, profile `{profile}`\n\n{counts}.\n\n"
        "*Ours* are mean paired differences over seeds with 95% stratified bootstrap intervals, in points (hundredths) "
        "unless another unit is given. A claim replicates where every interval lies on the claimed side of zero, "
        "partly where some do and as many as lie on the other side, not where more lie there or none leaves room for a "
        f"gain of {100 * SMALLEST_GAIN:g} point; it cannot be tested where the runs are too few to show anything. C3, "
        "C6, C8, C10 and C11 have rules of their own, in their reasons. "
        + (OVER_BASES if of_bases else WITHIN_BASES)
        + " They know of no other discriminator. Several comparisons are made at once."
        + (f" The true mean of normal values is held {held}." if held else "")
        + "\n\n"
        + markdown_table(table)
    )
