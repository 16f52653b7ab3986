"""The paper's claims C1 to C11, each with the paper's figure, ours with its interval, and a verdict.

Verdicts are computed, never written by hand. Which runs decide was fixed before they were made (`analysis.primary`);
the rule is that of `analysis.judging`. C3 (no loss), C8 (collapse), C10 and C11 have rules of their own, in
docs/fixed.md and in their reasons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from rtt_lib.analysis.comparison import half_way
from rtt_lib.analysis.evidence import SCORE, Evidence, in_figures, of_set, planned_only
from rtt_lib.analysis.judging import (
    FAILS,
    NOT_HERE,
    PARTLY,
    REPLICATES,
    UNTESTED,
    Judgement,
    Measured,
    Sign,
    finding_of,
    judge,
    reason_of,
    untested,
    verdict_of,
)
from rtt_lib.analysis.length_bias import SCENARIOS, simulate
from rtt_lib.analysis.primary import primary
from rtt_lib.analysis.shapes import run_shapes
from rtt_lib.stats import LEVEL, bootstrap, holm

KEPT_MARGIN = 0.1  # nats per token that the base language's loss may grow and still be called kept
# A fall of the all-or-nothing rate that we call one: a third of the peak, and more than the noise of a training curve.
COLLAPSE, NOISE = 1 / 3, 0.02
CORE = {"RL-AON", "RTT-AON"}  # alone they say nothing on weights or on beta
GROWTH = "growth of the advantage"  # what C11 measures, in standard deviations of the group
ALL_RIGHT = "every token right"  # what C10 measures, a share of responses
PATTERN = 0.9  # share of responses in which every token has to be on the right side


# --- one function a claim ---


def c1(e: Evidence) -> Judgement:
    return judge(of_set(e.runs, primary().claims["C1"]))


def c2(e: Evidence) -> Judgement:
    caveat = "The supervised responses here come from a constructor that never errs."
    return judge(of_set(e.runs, primary().claims["C2"]), caveat)


def c3(e: Evidence) -> Judgement:
    """A claim of no loss: what RTT adds to the language loss is below the margin."""
    chosen = primary().claims["C3"]
    judged = judge(of_set(e.runs, chosen), above=KEPT_MARGIN, lower=True)
    rivals = replace(chosen, comparisons=("RL-AON - base", "RL-CSR - base"))
    beside = [one for one in of_set(e.runs, rivals) if one.values]
    if judged.verdict == UNTESTED and not beside:
        return judged
    reason = (
        f"A comparison is shown if its interval leaves out a loss beyond {KEPT_MARGIN:g} nats, reversed if all of it "
        f"lies beyond: {judged.reason} RL's loss, which does not count: {in_figures(beside) or 'not run'}."
    )
    return replace(judged, reason=reason)


def c4(e: Evidence) -> Judgement:
    return judge(of_set(e.runs, primary().claims["C4"]))


def c5(e: Evidence) -> Judgement:
    if not _has_more(e, "C5", CORE):
        return untested(NOT_HERE)
    caveat = "Uniform weights give no token credit: RL-AON. By Table 4's means uniform is above greedy."
    return judge(of_set(e.runs, primary().claims["C5"]), caveat)


def c6(e: Evidence) -> Judgement:
    if not _has_more(e, "C6", CORE):
        return untested(NOT_HERE)
    chosen = primary().claims["C6"]
    runs = planned_only(e.runs, chosen)
    means = runs[runs["arm"].isin(chosen.arms)].groupby(["world", "arm"])[SCORE].mean()
    order = means.groupby("arm").mean().sort_values(ascending=False).index
    return judge(of_set(e.runs, chosen), f"Beta 0 is RL-AON. By their means: {', '.join(order)}.")


def _has_more(e: Evidence, claim: str, than: set[str]) -> bool:
    """Whether there is a run of an arm of the claim beside these."""
    return bool((set(primary().claims[claim].arms) - than) & set(e.runs["arm"]))


def c7(e: Evidence) -> Judgement:
    """Faster: fewer steps to half of what RL-CSR gains. Both are claimed to be lower for RTT: RL - RTT is positive."""
    chosen = primary().claims["C7"]
    curves = planned_only(e.curves, chosen)
    shapes = run_shapes(curves, chosen.arms)
    if shapes.empty:
        return untested(NOT_HERE)
    return judge(of_set(shapes.merge(half_way(curves, chosen.arms)), chosen))


def c8(e: Evidence) -> Judgement:
    """RL-CSR falls from its peak (Fig. 5) and RTT-CSR does not."""
    chosen = primary().claims["C8"]
    shapes = run_shapes(planned_only(e.curves, chosen), chosen.arms)
    if shapes.empty:
        return untested(NOT_HERE)
    seen = "The paper saw it on one model of three."
    judged = judge(of_set(shapes, chosen), seen)
    collapsed = shapes["fall from peak"] > (COLLAPSE * shapes["peak"]).clip(lower=NOISE)
    by_arm = collapsed.groupby(shapes["arm"])
    fell, runs = by_arm.sum(), by_arm.size()
    counts = "; ".join(f"{arm}: {fell[arm]} of {runs[arm]} runs lose a third of their peak" for arm in fell.index)
    judged = replace(judged, ours=f"{judged.ours}; {counts}")
    if not fell.get("RL-CSR", 0):
        reason = f"No run of RL-CSR collapses, so there is no collapse that RTT-CSR could avoid. {seen}"
        return replace(judged, verdict=UNTESTED, reason=reason)
    if fell.get("RTT-CSR", 0) and judged.verdict == REPLICATES:
        reason = f"RL-CSR falls further from its peak in every comparison, but runs of RTT-CSR collapse too. {seen}"
        return replace(judged, verdict=PARTLY, reason=reason)
    return judged


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
    shares, counts = cases["exactly right"].to_numpy(), cases["examples"].to_numpy(int)
    levels = holm(_score_test(shares, counts), of=len(cases))
    rows, signs, measured = [], [], []
    for case, share, n, level in zip(cases["case"], shares, counts, levels, strict=True):
        low, high = wilson(share, n, level)
        sign = 1 if low > PATTERN else -1 if high < PATTERN else 0
        signs.append(Sign(case, sign, complete=True, no_gain=False))
        place, ends = (case, "", "", ALL_RIGHT), (share, low, high, level)
        measured.append(Measured(*place, int(n), *ends, PATTERN, finding_of(sign)))
        rows.append(f"{case}: {100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    reason = (
        f"that every token is right in 90% of the responses is {reason_of(signs, 'cases')} The paper's soft criteria "
        "need a judge and are not among them."
    )
    ours = f"responses with every token right (%): {'; '.join(rows)}"
    return Judgement(ours, f"{counts.sum()} fresh responses", verdict_of(signs), reason, tuple(measured))


def _score_test(shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The p-value of each share against `PATTERN`, to which Wilson's intervals belong."""
    return 2 * ndtr(-np.abs(shares - PATTERN) / np.sqrt(PATTERN * (1 - PATTERN) / counts))


def wilson(share: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The score interval of a proportion: it stays within [0, 1] and is no point at 0 or 1."""
    z = float(-ndtri((1 - level) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def c11(e: Evidence) -> Judgement:
    """The advantage of a group's shortest response: how much larger is it when the others are 64 times as long?"""
    biased = [scenario.name for scenario in SCENARIOS if scenario.shortest != scenario.others]
    simulated = simulate()
    simulated = simulated[simulated["scenario"].isin(biased)]
    found, means, words = {}, {}, []
    for scheme, rows in simulated.groupby("scheme"):
        short, equal = (rows.loc[rows["ratio"] == r, "mean"].abs().to_numpy() for r in (min(rows["ratio"]), 1.0))
        low, high = bootstrap(short - equal, ["A"] * len(short))
        found[scheme], means[scheme] = (low, high), float(np.mean(short - equal))
        words.append(f"{scheme} {means[scheme]:+.3f} [{low:+.3f}, {high:+.3f}]")
    inter_is, intra_is_not = found["inter"][0] > 0, max(map(abs, found["intra"])) < 1e-6
    verdict = REPLICATES if inter_is and intra_is_not else PARTLY if inter_is or intra_is_not else FAILS
    ours = "growth of the shortest response's mean advantage, others 64 times as long: " + ", ".join(words)
    reason = "an identity of the two schemes, simulated with the training code; whether it matters in training is C4."
    n = len(short)
    measured = tuple(
        Measured(scheme, "", "", GROWTH, n, means[scheme], *found[scheme], LEVEL, 0.0, finding_of(int(holds)))
        for scheme, holds in (("inter", inter_is), ("intra", intra_is_not))
    )
    return Judgement(ours, f"{n} groups a scheme and length ratio", verdict, reason, measured)


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
        "notebook 06, part 2 (core_half_way); notebook 11, part 2 (beyond_failure_differences)",
        c7,
    ),
    Claim(
        "C8",
        "RL-CSR can collapse where RTT-CSR does not",
        "Figure 5: Llama3.2-3B, one run",
        "notebook 07, part 6 (figures_4_and_5); notebook 11, part 2 (beyond_failure_differences)",
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
