"""Length bias of inter-sample normalisation (App. D): the identities, the analytic curve, a simulation.

One criterion, G responses of lengths T_i with token rewards r(i, t). Response j is the shortest, "the rest" the
other G - 1 together; w_j = T_j / N is its share of the group's N tokens. Means and variances are over tokens,
variances are population ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rtt_lib.analysis.rollouts import Graded
from rtt_lib.credit import token_advantage

# --- the identities; floats or arrays ---


def length_shares(lengths: Sequence[int]) -> np.ndarray:
    """w_i = T_i / N: how much each response weighs in the group's mean."""
    lengths = np.asarray(lengths, float)
    return lengths / lengths.sum()


def pooled_mean(w_j: float, mean_j: float, mean_rest: float) -> float:
    """Eq. 12: mu = mu(-j) + w_j (rbar_j - mu(-j))."""
    return mean_rest + w_j * (mean_j - mean_rest)


def pooled_variance(w_j: float, var_j: float, var_rest: float, gap: float) -> float:
    """Eq. 17: sigma^2 = w_j s_j^2 + (1 - w_j) sigma(-j)^2 + w_j (1 - w_j) gap^2, gap = rbar_j - mu(-j)."""
    return w_j * var_j + (1 - w_j) * var_rest + w_j * (1 - w_j) * gap**2


def mean_advantage(w_j: float, gap: float, var_j: float, var_rest: float) -> float:
    """Mean of Eq. 8's advantage over the tokens of response j: (rbar_j - mu) / sigma = (1 - w_j) gap / sigma.

    As w_j -> 0 it tends to gap / sigma(-j): the other responses alone decide the scale.
    """
    return (1 - w_j) * gap / np.sqrt(pooled_variance(w_j, var_j, var_rest, gap))


def spread_of_advantage(w_j: float, gap: float, var_j: float, var_rest: float) -> float:
    """Standard deviation of Eq. 8's advantage over the tokens of response j: s_j / sigma. Under intra it is 1."""
    return np.sqrt(var_j / pooled_variance(w_j, var_j, var_rest, gap))


# --- the numerical check ---

DRAWS = 500  # of groups on which a line is checked


@dataclass(frozen=True)
class Split:
    """A group's statistics, and those of response j and of the rest."""

    w_j: float
    mean: float
    variance: float
    mean_j: float
    var_j: float
    mean_rest: float
    var_rest: float

    @property
    def gap(self) -> float:
        return self.mean_j - self.mean_rest


def split(rewards: Sequence[np.ndarray], j: int) -> Split:
    """rewards: one array of token rewards per response."""
    everything = np.concatenate(rewards)
    rest = np.concatenate([row for i, row in enumerate(rewards) if i != j])
    own = rewards[j]
    return Split(
        w_j=float(length_shares([len(row) for row in rewards])[j]),
        mean=everything.mean(),
        variance=everything.var(),
        mean_j=own.mean(),
        var_j=own.var(),
        mean_rest=rest.mean(),
        var_rest=rest.var(),
    )


def derivation(rewards: Sequence[np.ndarray], j: int) -> dict[str, tuple[float, float]]:
    """Every line of notebook 05's derivation: (left side, right side), which must agree."""
    s, w = split(rewards, j), length_shares([len(row) for row in rewards])
    everything = np.concatenate(rewards)
    rest = np.concatenate([row for i, row in enumerate(rewards) if i != j])
    n, n_j = len(everything), len(rewards[j])
    by_response = sum(w_i * row.mean() for w_i, row in zip(w, rewards, strict=True))
    squares = ((rewards[j] - s.mean) ** 2).sum() / n + ((rest - s.mean) ** 2).sum() / n
    own = s.var_j + (s.mean_j - s.mean) ** 2
    others = s.var_rest + (s.mean_rest - s.mean) ** 2
    return {
        "group mean = length-weighted mean of response means": (s.mean, by_response),
        "Eq. 12: mu from the rest and the gap": (s.mean, pooled_mean(s.w_j, s.mean_j, s.mean_rest)),
        "step a: squares of j and of the rest apart": (s.variance, squares),
        "step b: each part = own variance + shifted mean": (squares, n_j / n * own + (1 - n_j / n) * others),
        "step c: rbar_j - mu = (1 - w_j) gap": (s.mean_j - s.mean, (1 - s.w_j) * s.gap),
        "step c: mu(-j) - mu = -w_j gap": (s.mean_rest - s.mean, -s.w_j * s.gap),
        "Eq. 17: sigma^2 in three terms": (s.variance, equation_17(s)),
    }


def check_derivation(draws: int = DRAWS) -> pd.DataFrame:
    """The largest difference between the two sides of every line, over random ragged groups."""
    worst: dict[str, float] = {}
    for rewards, j in _random_groups(draws):
        for line, (left, right) in derivation(rewards, j).items():
            worst[line] = max(worst.get(line, 0.0), abs(left - right))
    rows = [{"line": line, "largest error": f"{error:.1e}"} for line, error in worst.items()]
    return pd.DataFrame(rows).assign(groups=draws)


def error_of(line: Callable[[Split], float]) -> float:
    """How far a line that should give sigma^2 is from it at most, over random ragged groups."""
    moments = (split(rewards, j) for rewards, j in _random_groups(DRAWS))
    return max(abs(line(s) - s.variance) for s in moments)


def equation_17(s: Split) -> float:
    return pooled_variance(s.w_j, s.var_j, s.var_rest, s.gap)


def _random_groups(draws: int) -> Iterator[tuple[list[np.ndarray], int]]:
    """Token rewards of two to eight responses under one criterion, and the place of the shortest."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        lengths = rng.integers(1, 200, rng.integers(2, 9))
        yield [rng.choice((-1, 1)) * rng.random(length) for length in lengths], int(lengths.argmin())


# --- the simulation: rtt_lib.credit on synthetic groups, against the curve ---

A, B = 2.0, 2.0  # relevance is Beta(A, B) in every response


@dataclass(frozen=True)
class Scenario:
    """Whether the shortest response and the others satisfy the criterion."""

    name: str
    shortest: bool
    others: bool

    @property
    def moments(self) -> tuple[float, float]:
        """(gap, variance of a token reward), the same variance in every response."""
        return (float(self.shortest) - float(self.others)) * 2 * A / (A + B), A * B / ((A + B) ** 2 * (A + B + 1))


SCENARIOS = (
    Scenario("only the shortest satisfies", True, False),
    Scenario("only the shortest violates", False, True),
    Scenario("all satisfy", True, True),
)
RATIOS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def share_of(ratio: np.ndarray | float, group_size: int) -> np.ndarray | float:
    """w_j of a response `ratio` times as long as each of the others."""
    return ratio / (ratio + group_size - 1)


def simulate(ratios: Sequence[float] = RATIOS, group_size: int = 8, length: int = 512, draws: int = 12) -> pd.DataFrame:
    """One row per scenario, length ratio, draw and scheme: mean and spread of the shortest response's A_tok."""
    rng = np.random.default_rng(0)
    rows = []
    for scenario in SCENARIOS:
        verdicts = torch.full((group_size, 1), float(scenario.others), dtype=torch.float64)
        verdicts[0] = float(scenario.shortest)
        for ratio in ratios:
            short = max(2, round(ratio * length))
            mask = torch.ones(group_size, length)
            mask[0, short:] = 0
            for _ in range(draws):
                relevance = torch.from_numpy(rng.beta(A, B, (group_size, 1, length)))
                for scheme in ("inter", "intra"):
                    own = token_advantage(verdicts, relevance, mask, group_size, scheme)[0, :short]
                    rows.append((scenario.name, ratio, scheme, _clean(own.mean()), _clean(own.std(correction=0))))
    return pd.DataFrame(rows, columns=["scenario", "ratio", "scheme", "mean", "spread"])


def analytic(group_size: int = 8) -> pd.DataFrame:
    """The inter scheme's curves, from Eq. 12 and 17 with the scenarios' exact moments."""
    ratio = np.geomspace(min(RATIOS), 1, 200)
    w = share_of(ratio, group_size)
    frames = []
    for scenario in SCENARIOS:
        gap, variance = scenario.moments
        curve = {"mean": mean_advantage(w, gap, variance, variance)}
        curve["spread"] = spread_of_advantage(w, gap, variance, variance)
        frames.append(pd.DataFrame({"scenario": scenario.name, "ratio": ratio, **curve}))
    return pd.concat(frames, ignore_index=True)


def simulation_table(simulated: pd.DataFrame, group_size: int = 8) -> pd.DataFrame:
    """Simulated mean advantage at the extreme ratios beside the analytic one, per scenario and scheme."""
    rows = []
    for scenario in SCENARIOS:
        gap, variance = scenario.moments
        for ratio in (simulated["ratio"].min(), simulated["ratio"].max()):
            here = simulated[(simulated["scenario"] == scenario.name) & (simulated["ratio"] == ratio)]
            means = here.groupby("scheme")["mean"].mean()
            curve = mean_advantage(share_of(ratio, group_size), gap, variance, variance)
            rows.append((scenario.name, ratio, curve, means["inter"], means["intra"]))
    return pd.DataFrame(rows, columns=["scenario", "length ratio", "inter, analytic", "inter, simulated", "intra"])


# --- the measurement on rollouts ---


def shortest_table(scored: Graded) -> pd.DataFrame:
    """One row per group and criterion: the shortest response's length ratio, w_j, and its mean advantage.

    Ratio: its length over the others' mean. `inter` and `intra` are measured with `rtt_lib.credit`, one criterion
    at a time; `predicted` comes from Eq. 12 and 17.
    """
    lengths = scored.mask.sum(1)
    rows = []
    for start in range(0, len(lengths), scored.group_size):
        group = slice(start, start + scored.group_size)
        j = int(lengths[group].argmin())
        others = (lengths[group].sum() - lengths[start + j]) / (scored.group_size - 1)
        for k, criterion in enumerate(scored.rollouts.criteria[start]):
            rewards = [scored.rewards[i, k][scored.mask[i]].double().numpy() for i in range(start, group.stop)]
            row = {"group": start // scored.group_size, "family": criterion.family, "w_j": split(rewards, j).w_j}
            row |= {"ratio": (lengths[start + j] / others).item(), "predicted": _predicted(split(rewards, j))}
            for scheme in ("inter", "intra"):
                own = _one_criterion(scored, group, k, scheme)[j]
                row[scheme] = _clean(own[scored.mask[start + j]].mean())
            rows.append(row)
    return pd.DataFrame(rows)


def _predicted(s: Split) -> float:
    """Eq. 12 and 17, and zero where the whole group has one token reward, as in `rtt_lib.credit`."""
    return float(mean_advantage(s.w_j, s.gap, s.var_j, s.var_rest)) if s.variance > 1e-12 else 0.0


def _one_criterion(scored: Graded, group: slice, k: int, scheme: str) -> torch.Tensor:
    """A_k [G, T] of one group under one criterion, in float64."""
    verdicts, relevance = scored.verdicts[group, k : k + 1].double(), scored.relevance[group, k : k + 1].double()
    return token_advantage(verdicts, relevance, scored.mask[group], scored.group_size, scheme)


def bias_table(shortest: pd.DataFrame) -> pd.DataFrame:
    """Mean size of the shortest response's mean advantage, by thirds of the length ratio; prediction error of Eq. 12
    and 17."""
    informative = shortest[shortest["predicted"].abs() > 1e-9]
    if informative.empty:
        return pd.DataFrame(columns=["length ratio", "cases", "|inter|", "|intra|", "largest error of Eq. 12 and 17"])
    places = pd.qcut(informative["ratio"].rank(method="first"), min(3, len(informative)), labels=False)
    rows = []
    for _, part in informative.groupby(places):
        rows.append(
            {
                "length ratio": f"{part['ratio'].min():.2f} to {part['ratio'].max():.2f}",
                "cases": len(part),
                "|inter|": part["inter"].abs().mean(),
                "|intra|": part["intra"].abs().mean(),
                "largest error of Eq. 12 and 17": f"{(part['inter'] - part['predicted']).abs().max():.1e}",
            }
        )
    return pd.DataFrame(rows)


def _clean(x: torch.Tensor) -> float:
    """A float without rounding noise around zero, which differs between machines."""
    return round(x.item(), 12) + 0.0
