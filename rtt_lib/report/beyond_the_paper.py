"""RTT's failure modes: responses that grow, global criteria that are neglected, entropy, falling back from the peak.

Reads the training curves (`train.runs.curves_table`). Statistics, tables and figures are those of `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from rtt_lib.analysis.comparison import WINDOW, differences, ordered, score_table, taxonomy_of
from rtt_lib.credit import token_advantage
from rtt_lib.stats import smooth

LENGTH, CUT, EOS = "tokens added", "cut at the cap at the end", "mean credit of EOS"
LOCAL, GLOBAL = "local criteria gained", "global criteria gained"
ENTROPY, FALL = "final entropy", "fall from peak"
SHAPES = (LENGTH, CUT, EOS, LOCAL, GLOBAL, ENTROPY, FALL)
# Columns of the training log in a reader's words; figures take their titles from them.
CURVES = {
    "completions/mean_length": "tokens per response",
    "completions/clipped_ratio": "responses cut at the cap",
    "credit/eos": "token credit of EOS",
}
LOCAL_CURVE, GLOBAL_CURVE = "local criteria satisfied", "global criteria satisfied"

# --- why responses grow: EOS under a satisfied local criterion ---

WORDS = ("bako", "miru", "tesi", "lano", "miru", "desu", "<end>")


def eos_credit(tokens: int, relevant: int) -> float:
    """-sqrt(m / (n - m)): intra's credit for an irrelevant token, m of n relevant, the criterion satisfied.

    r is 1 on m tokens and 0 on the rest: mean m/n, variance (m/n)(1 - m/n), so (0 - m/n) / std is this.
    """
    return -float(np.sqrt(relevant / (tokens - relevant)))


def worked_example(word: str = "miru") -> pd.DataFrame:
    """The credit of every token of one response that satisfies `include miru`, beside one that violates it.

    The last column: both responses satisfy it, so there is nothing left to learn.
    """
    relevance = torch.zeros(2, 1, len(WORDS), dtype=torch.float64)
    relevance[0, 0] = torch.tensor([w == word for w in WORDS])
    mask = torch.ones(2, len(WORDS))
    no_eos = mask.clone()
    no_eos[:, -1] = 0
    one, both = torch.tensor([[1.0], [0.0]]), torch.ones(2, 1)
    same = relevance[:1].expand(2, -1, -1)
    table = pd.DataFrame(
        {
            "token": WORDS,
            "relevance": relevance[0, 0].numpy(),
            "intra": token_advantage(one, relevance, mask, 2)[0].numpy(),
            "intra, both satisfy": token_advantage(both, same, mask, 2)[0].numpy(),
            "intra, no EOS": token_advantage(one, relevance, mask, 2, eligible=no_eos)[0].numpy(),
            "relative": token_advantage(one, relevance, mask, 2, "relative")[0].numpy(),
            "relative, both satisfy": token_advantage(both, same, mask, 2, "relative")[0].numpy(),
        }
    )
    return table.set_index("token").add(0.0).reset_index()  # no minus before a zero


def noise_example(level: float = 0.003, spread: float = 1e-4) -> pd.DataFrame:
    """A satisfied `exclude miru` in a response without it: nothing is relevant, and a discriminator says so, nearly.

    Its p is `level` everywhere, give or take `spread`; intra standardises what is left to unit variance.
    """
    words = tuple(word if word != "miru" else "kolu" for word in WORDS)
    p = level + spread * torch.randn(1, 1, len(words), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    satisfied, mask = torch.ones(1, 1), torch.ones(1, len(words))
    return pd.DataFrame(
        {
            "token": words,
            "p": [f"{value:.5f}" for value in p[0, 0].tolist()],
            "intra, p as it is": token_advantage(satisfied, p, mask, 1)[0].numpy(),
            "intra, p rounded": token_advantage(satisfied, p.round(), mask, 1)[0].numpy(),
        }
    )


def eos_table(tokens: Sequence[int] = (4, 8, 16, 64, 256), relevant: Sequence[int] = (1, 2)) -> pd.DataFrame:
    """The formula of `eos_credit` against what `rtt_lib.credit` gives the last token."""
    rows = []
    for m in relevant:
        for n in tokens:
            relevance = torch.zeros(1, 1, n, dtype=torch.float64)
            relevance[..., :m] = 1
            a_tok = token_advantage(torch.ones(1, 1), relevance, torch.ones(1, n), 1)[0]
            formula, computed = eos_credit(n, m), a_tok[-1].item()
            rows.append((n, m, formula, computed, f"{abs(formula - computed):.0e}", a_tok[0].item()))
    return pd.DataFrame(
        rows, columns=["tokens n", "relevant m", "-sqrt(m/(n-m))", "computed, EOS", "error", "computed, a relevant one"]
    )


# --- what the curves show ---


def with_scopes(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves with readable names, and two more: mean share satisfied over local and over global families."""
    curves = curves.rename(columns=CURVES)
    for name, scope in ((LOCAL_CURVE, "local"), (GLOBAL_CURVE, "global")):
        columns = [column for column in curves if column.startswith("verdict/") and _scope(column, curves) == scope]
        curves[name] = curves[columns].mean(axis=1) if columns else np.nan
    return curves


def _scope(column: str, curves: pd.DataFrame) -> str:
    """local or global for the column of a criterion family (a profile's worlds are of one kind), `-` for any other."""
    family = column.removeprefix("verdict/")
    return "-" if curves.empty else taxonomy_of(family, curves["world"].iloc[0]).split(",")[0]


def run_shapes(curves: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """One row per run: how its curves begin, peak and end, over means of `WINDOW` steps.

    What is added or gained is counted from the first step, on which all arms sample from the same policy.
    """
    rows = []
    chosen = ordered(curves, arms) if "verdict/aon" in curves else curves.iloc[:0]
    for (world, arm, seed), curve in with_scopes(chosen).groupby(["world", "arm", "seed"], sort=False):
        curve = curve[curve["verdict/aon"].notna()].sort_values("step")
        if len(curve):
            rows.append({"world": world, "arm": arm, "seed": seed} | _shape(curve))
    return pd.DataFrame(rows, columns=["world", "arm", "seed", "start", "end", "peak", *SHAPES])


def _shape(curve: pd.DataFrame) -> dict[str, float]:
    window = max(1, min(WINDOW, len(curve) // 3))  # a toy run still has a beginning and an end
    settled = smooth(curve["verdict/aon"], window)[window - 1 :]

    def end(column: str) -> float:
        return curve[column].tail(window).mean() if column in curve else np.nan

    def change(column: str) -> float:
        return end(column) - curve[column].iloc[0] if column in curve else np.nan

    return {
        "start": settled[0],
        "end": settled[-1],
        "peak": settled.max(),
        LENGTH: change(CURVES["completions/mean_length"]),
        CUT: end(CURVES["completions/clipped_ratio"]),
        EOS: curve[CURVES["credit/eos"]].mean() if CURVES["credit/eos"] in curve else np.nan,
        LOCAL: change(LOCAL_CURVE),
        GLOBAL: change(GLOBAL_CURVE),
        ENTROPY: end("entropy"),
        FALL: settled.max() - settled[-1],
    }


def shape_table(shapes: pd.DataFrame, arms: Sequence[str], columns: Sequence[str] = SHAPES) -> pd.DataFrame:
    """One row per world and arm, means with intervals; a dash where an arm has no such thing (EOS credit of RL)."""
    return score_table(shapes, arms, columns)


def shape_differences(
    shapes: pd.DataFrame, pairs: Iterable[tuple[str, str]], columns: Sequence[str] = SHAPES
) -> pd.DataFrame:
    """`comparison.differences` of the runs' shapes. More is not better here, so the verdict says more or less."""
    table = differences(shapes, pairs, columns).drop(columns="improved")
    return table.assign(verdict=table["verdict"].replace({"better": "more", "worse": "less"}))


def arms_table(arms: Sequence[str]) -> pd.DataFrame:
    """What is changed in each arm, in the arms' own words."""
    from rtt_lib.methods.arms import find_arm

    return pd.DataFrame([(name, find_arm(name).about) for name in arms], columns=["arm", "what it is"])
