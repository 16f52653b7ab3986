"""Notebook 11: why responses grow, why noise is scaled up, and what each variant changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from rtt_lib.credit import token_advantage
from rtt_lib.methods.arms import find_arm

# --- why responses grow: EOS under a satisfied local criterion ---

WORDS = ("bako", "miru", "tesi", "lano", "miru", "desu", "<end>")


def eos_credit(tokens: int, relevant: int) -> float:
    """-sqrt(m / (n - m)): intra's credit for an irrelevant token, m of n relevant, the criterion satisfied.

    r is 1 on m tokens and 0 on the rest: mean m/n, variance (m/n)(1 - m/n), so (0 - m/n) / std is this.
    """
    return -float(np.sqrt(relevant / (tokens - relevant)))


def worked_example() -> pd.DataFrame:
    """The credit of every token of one response that satisfies `include miru`, beside one that violates it.

    The last column: both responses satisfy it, so there is nothing left to learn.
    """
    relevance = torch.zeros(2, 1, len(WORDS), dtype=torch.float64)
    relevance[0, 0] = torch.tensor([word == "miru" for word in WORDS])
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


def noise_example() -> pd.DataFrame:
    """A satisfied `exclude miru` in a response without it: nothing is relevant, and a discriminator says so, nearly.

    Its p is 0.003 everywhere, give or take 0.0001; intra standardises what is left to unit variance.
    """
    words = tuple(word if word != "miru" else "kolu" for word in WORDS)
    p = 0.003 + 1e-4 * torch.randn(1, 1, len(words), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    satisfied, mask = torch.ones(1, 1), torch.ones(1, len(words))
    return pd.DataFrame(
        {
            "token": words,
            "p": [f"{value:.5f}" for value in p[0, 0].tolist()],
            "intra, p as it is": token_advantage(satisfied, p, mask, 1)[0].numpy(),
            "intra, p rounded": token_advantage(satisfied, p.round(), mask, 1)[0].numpy(),
        }
    )


def eos_table() -> pd.DataFrame:
    """The formula of `eos_credit` against what `rtt_lib.credit` gives the last token."""
    rows = []
    for m in (1, 2):
        for n in (4, 8, 16, 64, 256):
            relevance = torch.zeros(1, 1, n, dtype=torch.float64)
            relevance[..., :m] = 1
            a_tok = token_advantage(torch.ones(1, 1), relevance, torch.ones(1, n), 1)[0]
            formula, computed = eos_credit(n, m), a_tok[-1].item()
            rows.append((n, m, formula, computed, f"{abs(formula - computed):.0e}", a_tok[0].item()))
    return pd.DataFrame(
        rows, columns=["tokens n", "relevant m", "-sqrt(m/(n-m))", "computed, EOS", "error", "computed, a relevant one"]
    )


def arms_table(arms: Sequence[str]) -> pd.DataFrame:
    """What is changed in each arm, in the arms' own words."""
    return pd.DataFrame([(name, find_arm(name).about) for name in arms], columns=["arm", "what it is"])
