"""The group partitioning problem, shown: what each scheme standardises together, and what it makes of responses."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from rtt_lib.analysis.rollouts import Graded, score
from rtt_lib.credit import SCHEMES, response_advantage
from rtt_lib.report.theme import credit_colors, ink_on, shade
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.worlds.micro.policy import micro_tokenizer

EOS = "<eos>"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
SILENT = 1e-6  # an advantage below this is none

# What is standardised: token rewards, a response's mean reward, or verdicts. Read with the docstrings of credit.py.
STANDARDISED = {
    "intra": "token rewards",
    "inter": "token rewards",
    "joint": "token rewards",
    "position": "token rewards",
    "mass": "mean token rewards",
    "decoupled": "verdicts",
    "relative": "verdicts",
    "released": "token rewards",
}
DRAWN = (
    "intra",
    "inter",
    "joint",
    "position",
    "mass",
    "relative",
)  # as cubes; decoupled looks like relative, released like intra


def scheme_table() -> pd.DataFrame:
    """One row per scheme: its group, in the words of its docstring, and what is standardised in it."""
    rows = []
    for name, scheme in SCHEMES.items():
        group = (scheme.__doc__ or "").strip().split("\n\n")[0].removeprefix("Group: ").split("\n")[0].rstrip(".")
        rows.append({"scheme": name, "a group is": group, "standardised": STANDARDISED[name]})
    return pd.DataFrame(rows)


# --- a worked example ---


def worked_example() -> Graded:
    """Three responses under three criteria: a local positive one, a local negative one and a global one."""
    criteria = (
        Criterion("start bako", "micro:start", {"word": "bako"}),
        Criterion("no commas", "micro:no_commas"),
        Criterion("at most 4 words", "micro:at_most_words", {"n": 4}),
    )
    prompt = RubricPrompt("example", " ; ".join(c.text for c in criteria) + " :", criteria)
    texts = ("bako desu , fiti", "bako lati gosu", "desu bako , gosu , kuvo nira")
    tokenizer = micro_tokenizer()
    ids = [[*tokenizer(text).input_ids, tokenizer.eos_token_id] for text in texts]
    return score([prompt] * len(ids), ids, tokenizer, len(ids))


def verdict_table(scored: Graded) -> pd.DataFrame:
    """The responses of one rubric: verdicts, both response-level rewards and A_res under each."""
    columns = {"response": list(scored.rollouts.responses)}
    for k, criterion in enumerate(scored.rollouts.criteria[0]):
        columns[criterion.text] = ["satisfied" if v == 1 else "violated" for v in scored.verdicts[:, k].tolist()]
    for kind in ("aon", "csr"):
        reward = scored.response_reward(kind)
        columns[kind.upper()] = reward.tolist()
        columns[f"A_res ({kind.upper()})"] = response_advantage(reward, scored.group_size).tolist()
    return pd.DataFrame(columns)


def draw_rewards(scored: Graded) -> Figure:
    """r_k = s_k p_k, one panel per criterion."""
    criteria = scored.rollouts.criteria[0]
    panels = {f"r for “{criterion.text}”": scored.rewards[:, k] for k, criterion in enumerate(criteria)}
    return _heat_maps(scored, panels, columns=1)


def draw_advantages(scored: Graded) -> Figure:
    """A_tok of every token, one panel per scheme, on one colour scale."""
    return _heat_maps(scored, {scheme: scored.credit(scheme) for scheme in SCHEMES}, columns=2)


def _heat_maps(scored: Graded, panels: dict[str, Tensor], columns: int) -> Figure:
    """panels: title -> [B, T]."""
    rows = -(-len(panels) // columns)
    batch, length = scored.mask.shape
    size = (min(0.62 * length, 6.2) * columns, (0.42 * batch + 0.55) * rows)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    scale = max(max(values.abs().max().item() for values in panels.values()), SILENT)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=False):
        shown = values.masked_fill(~scored.mask, torch.nan).numpy()
        image = axis.imshow(shown, cmap=credit_colors(), vmin=-scale, vmax=scale, aspect="auto")
        _write_cells(axis, scored, values, scale)
        axis.set_title(title)
    fig.colorbar(image, ax=list(axes.flat[: len(panels)]), shrink=0.6, label="blue: raise, orange: lower", aspect=30)
    return fig


def _write_cells(axis: Axes, scored: Graded, values: Tensor, scale: float) -> None:
    """The word and the number in every cell, black or white as the colour asks; no axes."""
    for i, words in enumerate(scored.words):
        for t, word in enumerate(words):
            value = round(values[i, t].item(), 2) + 0.0  # no "-0.00"
            color = ink_on(shade(value, scale))
            label = f"{word.strip('<>').upper() if word == EOS else word}\n{value:+.2f}"
            axis.text(t, i, label, ha="center", va="center", fontsize=7, color=color)
    axis.set(xticks=[], yticks=range(len(scored.words)), yticklabels=[f"o{i + 1}" for i in range(len(scored.words))])
    axis.grid(False)
    axis.spines[:].set_visible(False)


# --- the {sample, token, criterion} space ---


def partition(scheme: str, samples: int, tokens: int, criteria: int) -> np.ndarray:
    """[G, T, K] integers: cells of one number are standardised together (responses of equal length).

    For `mass`, `decoupled` and `relative` a response's tokens share one value, so they share its cell.
    """
    g, t, k = np.indices((samples, tokens, criteria))
    groups = {
        "intra": g * criteria + k,
        "released": g * criteria + k,  # whole rows; their credit goes to other responses
        "inter": k,
        "joint": g,
        "position": (t * 4 // tokens) * criteria + k,
        "mass": k,
        "decoupled": k,
        "relative": k,
    }
    return groups[scheme]


def draw_partition_space() -> Figure:
    """The cube of G = 3 responses, T = 8 tokens and K = 2 criteria; one colour, one group."""
    samples, tokens, criteria = 3, 8, 2
    fig = plt.figure(figsize=(10.5, 5.4))
    for n, scheme in enumerate(DRAWN):
        axis = fig.add_subplot(2, 3, n + 1, projection="3d")
        groups = partition(scheme, samples, tokens, criteria)
        merged = STANDARDISED[scheme] != "token rewards"
        _draw_cube(axis, groups[:, :1] if merged else groups, tokens if merged else 1)
        count = len(np.unique(groups))
        axis.set_title(f"{scheme}: {count} group{'s' if count > 1 else ''} of {STANDARDISED[scheme]}", fontsize=10)
    return fig


def _draw_cube(axis: Axes, groups: np.ndarray, width: int) -> None:
    """Voxels [T, G, K] coloured by group; `width` tokens are one cell where a response has a single value."""
    cells = groups.transpose(1, 0, 2)[:, :, ::-1]
    corners = np.indices(np.array(cells.shape) + 1).astype(float)
    axis.voxels(
        corners[0] * width,
        corners[1],
        corners[2],
        np.ones(cells.shape, bool),
        facecolors=np.array(PALETTE)[cells % len(PALETTE)],
        edgecolor="white",
        linewidth=0.8,
        shade=False,
    )
    axis.set_box_aspect((2.2, 1.2, 0.9), zoom=1.02)
    axis.view_init(elev=24, azim=-62)
    axis.set_axis_off()
    tokens, samples, _ = (int(corner.max()) for corner in (corners[0] * width, corners[1], corners[2]))
    for x, y, z, words, direction in (
        (tokens / 2, -0.9, 0, "tokens", "x"),
        (tokens + 0.9, samples / 2, 0, "responses", "y"),
        (-0.7, 0, 1, "criteria", "z"),
    ):
        axis.text(x, y, z, words, zdir=direction, ha="center", va="center", fontsize=9)


# --- real rollouts ---


def token_table(scored: Graded) -> pd.DataFrame:
    """One row per token: group, response, position, word and A_tok under each scheme."""
    response, position = scored.mask.nonzero(as_tuple=True)
    columns = {
        "group": (response // scored.group_size).tolist(),
        "response": response.tolist(),
        "position": position.tolist(),
        "word": [scored.words[i][t] for i, t in zip(response.tolist(), position.tolist(), strict=True)],
    }
    credit = {scheme: scored.credit(scheme)[scored.mask].numpy() for scheme in SCHEMES}
    return pd.DataFrame(columns | credit)


def describe_schemes(tokens: pd.DataFrame) -> pd.DataFrame:
    """Per scheme: spread of A_tok, tokens without credit, the largest mean over a response, and EOS' credit."""
    rows = []
    for scheme in SCHEMES:
        values = tokens[scheme]
        rows.append(
            {
                "scheme": scheme,
                "std": values.std(ddof=0),
                "largest": values.abs().max(),
                "tokens without credit": (values.abs() < SILENT).mean(),
                "largest mean over a response": tokens.groupby("response")[scheme].mean().abs().max(),
                "credit of EOS": values[tokens["word"] == EOS].mean(),
            }
        )
    return pd.DataFrame(rows)


def silence_table(scored: Graded) -> pd.DataFrame:
    """Groups that the response-level reward leaves without any signal, and what each scheme still gives them.

    A group is silent under AON or CSR if its A_res is zero throughout.
    """
    rows = []
    for kind in ("aon", "csr"):
        reward = scored.response_reward(kind)
        a_res = response_advantage(reward, scored.group_size).view(-1, scored.group_size)
        silent = a_res.abs().amax(1) < SILENT
        row = {"reward": kind.upper(), "groups": len(silent), "silent under A_res": silent.float().mean().item()}
        for scheme in SCHEMES:
            credit = scored.credit(scheme).abs().amax(1).view(-1, scored.group_size).amax(1)
            row[scheme] = (credit[silent] > SILENT).float().mean().item() if silent.any() else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def zero_variance_table(scored: Graded) -> pd.DataFrame:
    """Per criterion family: how often there is nothing to standardise, so that the scheme gives nothing.

    relevance uniform in a response: `intra` is zero there; verdicts equal in a group: `relative` is zero there.
    """
    groups = scored.verdicts.view(-1, scored.group_size, scored.verdicts.shape[1])
    equal = (groups.amax(1) == groups.amin(1)).repeat_interleave(scored.group_size, 0)
    outside = ~scored.mask.unsqueeze(1)
    highest = scored.relevance.masked_fill(outside, 0).amax(-1)
    lowest = scored.relevance.masked_fill(outside, 1).amin(-1)
    rows = []
    for i, rubric in enumerate(scored.rollouts.criteria):
        for k, criterion in enumerate(rubric):
            family = "length" if "words" in criterion.family else criterion.family
            uniform = (highest[i, k] - lowest[i, k]).item() < SILENT
            rows.append((family, scored.verdicts[i, k].item(), float(uniform), float(equal[i, k])))
    names = ["family", "satisfied", "relevance uniform in the response", "verdicts equal in the group"]
    return pd.DataFrame(rows, columns=names).groupby("family").mean().reset_index()


def correlation_table(tokens: pd.DataFrame) -> pd.DataFrame:
    """Pearson correlation of A_tok over tokens, scheme by scheme; a scheme without any credit has none."""
    return tokens[list(SCHEMES)].corr().rename_axis("scheme")


def draw_distributions(tokens: pd.DataFrame) -> Figure:
    """A_tok over all tokens (box: quartiles, whiskers: 5% to 95%), and EOS' own mean as a diamond."""
    fig, axis = plt.subplots(figsize=(7.5, 0.42 * len(SCHEMES) + 1.2))
    values = [tokens[scheme].to_numpy() for scheme in SCHEMES]
    axis.boxplot(values, whis=(5, 95), orientation="horizontal", showfliers=False, widths=0.55,
                 medianprops={"color": "#D55E00", "linewidth": 2})  # fmt: skip
    ends = tokens["word"] == EOS
    means = [tokens.loc[ends, scheme].mean() for scheme in SCHEMES]
    axis.plot(means, range(1, len(SCHEMES) + 1), "D", color="#0072B2", label="mean credit of EOS")
    axis.axvline(0, color="#555555", linewidth=0.8)
    axis.set(yticks=range(1, len(SCHEMES) + 1), yticklabels=list(SCHEMES), xlabel="token advantage A_tok")
    axis.invert_yaxis()
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0))
    return fig


def draw_correlations(correlations: pd.DataFrame) -> Figure:
    fig, axis = plt.subplots(figsize=(6.2, 5.2))
    axis.imshow(correlations, cmap=credit_colors(), vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(correlations.to_numpy().round(2) + 0.0):  # no "-0.00"
        color = ink_on(shade(0.0 if np.isnan(value) else value))
        axis.text(j, i, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", color=color, fontsize=9)
    names = list(correlations.columns)
    axis.set(xticks=range(len(names)), yticks=range(len(names)), yticklabels=names)
    axis.set_xticklabels(names, rotation=35, ha="right")
    axis.grid(False)
    return fig
