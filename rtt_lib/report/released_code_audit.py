"""The released code against the paper, one small demonstration per departure (D1 to D10).

Everything here is written from a description of what that code does, in our own words; no line is copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rtt_lib.analysis.rollouts import Graded
from rtt_lib.credit import response_advantage, token_advantage
from rtt_lib.profile import Profile
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.sources import DiscriminatorSource
from rtt_lib.studies.plan import plan
from rtt_lib.studies.spec import RunSpec
from rtt_lib.verify.judge import DEFAULT_TEMPLATE, fit_response, parse_answer, read_template, render
from rtt_lib.worlds import family, micro
from rtt_lib.worlds.micro.discriminators import of_kind, trained

# --- D1: reshape instead of transpose ---


def rows_received(responses: int, criteria: int) -> pd.DataFrame:
    """Which (response, criterion) rows the released reshape averages for each response: flat rows r G + g."""
    rows = []
    for g in range(responses):
        flat = [r * responses + g for r in range(criteria)]
        names = [f"o{n // criteria + 1} c{n % criteria + 1}" for n in flat]
        own = sum(n // criteria == g for n in flat) / criteria
        rows.append({"response": f"o{g + 1}", "gets the mean of": ", ".join(names), "its own share": own})
    return pd.DataFrame(rows)


def mixing_correlations(criteria: Sequence[int] = (1, 2, 3, 5, 8), tokens: int = 64, draws: int = 50) -> pd.DataFrame:
    """Correlation of the released token advantage with the paper's on random verdicts and relevance."""
    generator, responses = torch.Generator().manual_seed(0), 8
    rows = []
    for k in criteria:
        for _ in range(draws):
            verdicts = (torch.rand(responses, k, generator=generator) < 0.5).float()
            relevance = torch.rand(responses, k, tokens, generator=generator)
            rows.append((k, _agreement(verdicts, relevance, torch.ones(responses, tokens), responses)))
    return pd.DataFrame(rows, columns=["criteria", "correlation"])


def mixing_table(correlations: pd.DataFrame) -> pd.DataFrame:
    grouped = correlations.groupby("criteria")["correlation"]
    return grouped.agg(["mean", "std", "min", "max"]).rename_axis("criteria").reset_index()


def mixing_on_rollouts(scored: Graded) -> dict[str, float]:
    """The same on real rollouts: correlation, and the share of tokens whose credit changes sign."""
    paper, released = (scored.credit(scheme)[scored.mask] for scheme in ("intra", "released"))
    both = (paper.abs() > 1e-6) & (released.abs() > 1e-6)
    flipped = (paper.sign() != released.sign())[both].float().mean().item()
    correlation = torch.corrcoef(torch.stack([paper, released]))[0, 1].item()
    return {"correlation with the paper": correlation, "tokens with the opposite sign": flipped}


def _agreement(verdicts: Tensor, relevance: Tensor, mask: Tensor, group_size: int) -> float:
    both = [token_advantage(verdicts, relevance, mask, group_size, scheme) for scheme in ("intra", "released")]
    return torch.corrcoef(torch.stack([credit.flatten() for credit in both]))[0, 1].item()


def draw_mixing(correlations: pd.DataFrame) -> Figure:
    """One dot per random draw; 1 would be the paper's advantage."""
    fig, axis = plt.subplots(figsize=(6.5, 3.6))
    counts = sorted(correlations["criteria"].unique())
    rng = np.random.default_rng(0)
    for place, k in enumerate(counts):
        values = correlations.loc[correlations["criteria"] == k, "correlation"].to_numpy()
        axis.plot(place + rng.uniform(-0.12, 0.12, len(values)), values, "o", color="#882255", alpha=0.35, markersize=4)
        axis.annotate(f"{values.mean():.2f}", (place + 0.2, values.mean()), va="center", fontsize=9)
    axis.axhline(1, color="#0072B2", linewidth=1.2)
    axis.annotate("the paper's formula", (len(counts) - 0.5, 0.97), ha="right", va="top", color="#0072B2", fontsize=9)
    axis.set(xticks=range(len(counts)), xticklabels=counts, xlim=(-0.5, len(counts) - 0.4))
    axis.set(xlabel="criteria in the rubric", ylabel="correlation, released and paper", ylim=(-0.25, 1.06))
    return fig


# --- D2: relevance written into an integer buffer ---


def truncated(relevance: Tensor) -> Tensor:
    """What is left of relevance after a trip through bf16 and an integer tensor."""
    buffer = torch.zeros(relevance.shape, dtype=torch.long)
    buffer[...] = relevance.to(torch.bfloat16)
    return buffer


def truncation_table(values: Sequence[float] = (0.05, 0.5, 0.9, 0.99, 0.997, 0.998, 0.9985, 1.0)) -> pd.DataFrame:
    p = torch.tensor(values)
    return pd.DataFrame({"p": values, "in bf16": p.to(torch.bfloat16).tolist(), "stored": truncated(p).tolist()})


def smallest_survivor() -> float:
    """The smallest float32 relevance that is stored as 1, by bisection on the bits."""
    low, high = (int(torch.tensor(x).view(torch.int32)) for x in (0.5, 1.0))
    while high - low > 1:
        middle = (low + high) // 2
        kept = truncated(torch.tensor(middle, dtype=torch.int32).view(torch.float32)).item()
        low, high = (low, middle) if kept else (middle, high)
    return torch.tensor(high, dtype=torch.int32).view(torch.float32).item()


def survival_table(predicted: Tensor, scored: Graded) -> pd.DataFrame:
    """How much of a discriminator's relevance survives, on tokens that are relevant and on those that are not."""
    inside = scored.mask.unsqueeze(1).expand_as(predicted) & ~scored.verdicts.isnan().unsqueeze(-1)
    rows = []
    for name, truth in (("relevant", True), ("not relevant", False)):
        p = predicted[inside & (scored.relevance.bool() == truth)]
        kept = truncated(p).float()
        rows.append(
            {
                "tokens": name,
                "count": len(p),
                "mean p": p.mean().item(),
                "p at least 0.5": (p >= 0.5).float().mean().item(),
                "left after truncation": kept.mean().item(),
            }
        )
    return pd.DataFrame(rows)


def discriminator_survival(profile: Profile, scored: Graded) -> pd.DataFrame:
    """`survival_table` of the discriminator that notebook 03 trained; empty where it reads another language."""
    if family(profile) is not micro:
        return pd.DataFrame(columns=["tokens", "count", "mean p", "p at least 0.5", "left after truncation"])
    folder = trained(profile, of_kind("taxonomy"))
    return survival_table(DiscriminatorSource(Discriminator.load(folder), raw=True)(scored.rollouts), scored)


# --- D3: loss aggregation ---


def token_weights(lengths: Sequence[int]) -> pd.DataFrame:
    """How much one token, and all of a response, weigh in the loss of a group: Eq. 6 and per-sequence mean."""
    n = np.asarray(lengths, float)
    by_token, by_sequence = np.full(len(n), 1 / n.sum()), 1 / (len(n) * n)
    return pd.DataFrame(
        {
            "length": lengths,
            "one token, Eq. 6": by_token,
            "one token, released": by_sequence,
            "the response, Eq. 6": by_token * n,
            "the response, released": by_sequence * n,
        }
    )


# --- D4: CSR as a mean of +-1 ---


def csr_difference() -> float:
    """The largest difference between A_res of CSR and of the mean of +-1 scores (2 CSR - 1), in 200 groups of eight
    with random verdicts on five criteria."""
    verdicts = (torch.rand(200 * 8, 5, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    difference = response_advantage(verdicts.mean(1), 8) - response_advantage((2 * verdicts - 1).mean(1), 8)
    return difference.abs().max().item()


# --- D5: what reaches the judge, and what is made of its answer ---

CRITERION = "The answer must mention the year 1969."


def judge_window_table(response_lengths: Sequence[int] = (100, 1_000, 10_000), window: int = 2_000) -> pd.DataFrame:
    """Does the criterion reach the judge? A prompt cut at its end, criterion last, beside a response cut in its middle.

    Lengths and window are in characters.
    """
    template = read_template(DEFAULT_TEMPLATE)
    rows = []
    for length in response_lengths:
        response = "x" * length
        released = f"Response:\n{response}\n\nCriterion:\n{CRITERION}\n"[:window]
        shown = fit_response(lambda text: len(render(template, CRITERION, "", text)) <= window, response)
        ours = "" if shown is None else render(template, CRITERION, "", shown)
        rows.append((length, CRITERION in released, CRITERION in ours))
    return pd.DataFrame(rows, columns=["characters of response", "cut at the end", "cut in the middle (here)"])


ANSWERS = ("YES", "No.", "**Yes**", "", "I cannot decide this.", "The year is there, so the criterion holds.")


def judge_answer_table(answers: Sequence[str] = ANSWERS) -> pd.DataFrame:
    """An answer that is neither YES nor NO counts as violated there, and as unknown (no part in the reward) here."""
    words = {True: "satisfied", False: "violated", None: "unknown"}
    rows = [(a, words[parse_answer(a) is True], words[parse_answer(a)]) for a in answers]
    return pd.DataFrame(rows, columns=["the judge says", "released", "here"])


# --- D7: group axis first ---


def group_axis_table(rewards: Sequence[float], group_size: int) -> pd.DataFrame:
    """A_res when rows that are ordered prompt by prompt are grouped right, and with the group axis first."""
    r = torch.tensor(rewards, dtype=torch.float64)
    prompts = len(r) // group_size
    mixed = response_advantage(r.view(group_size, prompts).T.reshape(-1), group_size)
    wrong = mixed.view(prompts, group_size).T.reshape(-1)
    place = np.arange(len(r))
    return pd.DataFrame(
        {
            "prompt": place // group_size + 1,
            "response": place % group_size + 1,
            "reward": rewards,
            "compared with rows": [
                ", ".join(str(n + 1) for n in range(i % prompts, len(r), prompts)) for i in range(len(r))
            ],
            "A_res": response_advantage(r, group_size).tolist(),
            "A_res, group axis first": wrong.tolist(),
        }
    )


# --- D10: EOS outside the relevance, inside the mask ---


def eos_table(lengths: Sequence[int] = (4, 16, 64, 256, 1024)) -> pd.DataFrame:
    """One satisfied global criterion: A_tok of EOS when relevance stops before it, and when it does not."""
    rows = []
    for n in lengths:
        mask, relevance = torch.ones(1, n + 1), torch.ones(1, 1, n + 1)
        with_eos = token_advantage(torch.ones(1, 1), relevance, mask, 1)[0, -1].item()
        relevance[..., -1] = 0
        rows.append((n, token_advantage(torch.ones(1, 1), relevance, mask, 1)[0, -1].item(), -(n**0.5), with_eos))
    return pd.DataFrame(rows, columns=["words", "EOS, released", "-sqrt(n)", "EOS, here"])


# --- all of them ---

ADVANTAGES = "roll/utils/functionals.py, reward_norm_rubrics"
DISCRIMINATOR = "roll/pipeline/rlvr/rewards/discriminator_worker.py, post_procsess_weights"
DEPARTURES = (
    ("D1", "rows are reshaped, not transposed: a response is paid other responses' rows", ADVANTAGES, "run"),
    ("D2", "relevance goes through an integer buffer", DISCRIMINATOR, "run"),
    ("D3", "loss: mean per sequence, then over the batch", "default configuration", "run"),
    ("D4", "CSR is a mean of +1 and -1", "rule and judge rewards", "run"),
    ("D5", "long judge prompts lose the criterion; an unreadable answer is a violation", "judge worker", "run"),
    ("D6", "checker code from the data set is executed in the training process", "rule rewards", "run"),
    ("D7", "one branch groups rows with the group axis first", f"{ADVANTAGES}, rubric_token_mean-groups_adv", "run"),
    ("D8", "the shipped configurations name parts that the code does not register", "configurations", "read"),
    ("D9", "the port of MulDimIF's checkers disagrees with the official ones", "MulDimIF rewards", "run"),
    ("D10", "relevance stops before EOS, the mask does not", f"{DISCRIMINATOR} and advantages", "read"),
)


def departures_table() -> pd.DataFrame:
    """Departure, where, how it was established, and its effect, measured now by the demonstrations above."""
    effects = measured_effects()
    rows = [(key, what, where, how, effects[key]) for key, what, where, how in DEPARTURES]
    return pd.DataFrame(rows, columns=["", "departure", "where", "established by", "effect here"])


def measured_effects() -> dict[str, str]:
    three = mixing_correlations((3,))["correlation"]
    weights = token_weights((4, 20))
    windows = judge_window_table()
    answers = judge_answer_table()
    axis = group_axis_table(GROUP_AXIS_REWARDS, 3)
    changed = int(((axis["A_res"] - axis["A_res, group axis first"]).abs() > 1e-6).sum())
    lost = int((~windows["cut at the end"]).sum())
    misread = int((answers["released"] != answers["here"]).sum())
    eos = eos_table((256,)).iloc[0]
    ratio = weights["one token, released"][0] / weights["one token, released"][1]
    return {
        "D1": f"correlation with the paper {three.mean():.2f} ± {three.std():.2f} (G = 8, K = 3, random inputs)",
        "D2": f"relevance below {smallest_survivor():.4f} becomes 0",
        "D3": f"a token of a 4-token response weighs {ratio:.1f} times one of a 20-token response",
        "D4": f"none: A_res differs by at most {csr_difference():.0e}",
        "D5": f"the criterion is lost in {lost} of {len(windows)} prompts; {misread} of {len(answers)} answers misread",
        "D6": "none on the numbers; here such code runs in a sandbox (rtt_lib/verify/sandbox.py)",
        "D7": f"{changed} of {len(axis)} advantages change: responses to different prompts are compared",
        "D8": "it does not start as shipped",
        "D9": "the rewards on MulDimIF rows are suspect; not measured here",
        "D10": f"after {eos['words']:.0f} words under a satisfied global criterion EOS gets {eos['EOS, released']:.1f}",
    }


# An easy prompt and a hard one, three responses each.
GROUP_AXIS_REWARDS = (1.0, 0.5, 0.75, 0.0, 0.5, 0.25)

# --- the experiment ---

PAPER = "RTT-AON"
NOISE = f"{PAPER} random"
AS_RELEASED = f"{PAPER} as released"
RELEASED = (*(f"{PAPER} {name}" for name in ("mixed rows", "truncated", "sequence mean")), AS_RELEASED)
ARMS = ("RL-AON", NOISE, PAPER, *RELEASED)
PAIRS = tuple((arm, baseline) for baseline in (PAPER, "RL-AON", NOISE) for arm in (PAPER, *RELEASED) if arm != baseline)


def released_specs(profile: Profile) -> list[RunSpec]:
    """The runs of the experiment `released` and, in its worlds, of the arms it is compared with."""
    worlds = {spec.world for spec in plan(profile, ["released"])}
    specs = plan(profile, ["core", "weights", "released"])
    return [spec for spec in specs if spec.arm.name in ARMS and spec.world in worlds]
