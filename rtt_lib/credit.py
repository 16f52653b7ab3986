"""What is each token worth? The advantages of RTT-GRPO (section 4.2, App. D) as pure tensor functions.

Shapes: B responses in consecutive groups of G per prompt, K criteria, T tokens; inside, groups are unfolded to
N = B / G, so that "over which axes does a scheme standardise?" can be read off the code:

    p, r   [N, G, K, T]   relevance and token reward
    s      [N, G, K]      the sign of each verdict: +1 satisfied, -1 violated, 0 unknown or absent
    m      [N, G, 1, T]   1 on tokens that can receive token credit

Conventions that hold for every scheme:
- A criterion with an unknown verdict takes no part: it is not counted in |C|, nor in any statistic.
- Standard deviations are population ones (Eq. 8); where one is below `STD_FLOOR` the advantage is zero.
- Everything is finite for finite verdicts and relevance: no token, one token, one response, no known criterion
  give zeros. Half precision is computed in float32 and returned in the inputs' common type; whole numbers and
  booleans give float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STD_FLOOR = 1e-6
# Groups are worked on in blocks of about this many elements, so that the temporaries stay in the CPU's cache.
BLOCK_ELEMENTS = 1 << 20


def response_advantage(rewards: Tensor, group_size: int, eps: float = 1e-4) -> Tensor:
    """A_res, GRPO's response-level advantage: [B] -> [B].

    (r_i - mean r) / (std r + eps) over the group's rewards that are known, with the sample standard deviation, as
    TRL computes it. Zero for an unknown (NaN) reward, for a group of one, and where all rewards are equal.
    """
    r = _compute_type(rewards).reshape(-1, group_size)
    known = ~r.isnan()
    n = known.sum(1, keepdim=True)
    deviation = (r - r.nansum(1, keepdim=True) / n.clamp(min=1)).masked_fill(~known, 0)
    # The mean of n equal floats can miss them by a rounding error: equality is tested on the rewards themselves.
    highest = r.masked_fill(~known, -torch.inf).amax(1, keepdim=True)
    lowest = r.masked_fill(~known, torch.inf).amin(1, keepdim=True)
    std = (deviation.square().sum(1, keepdim=True) / (n - 1).clamp(min=1)).sqrt()
    a_res = torch.where(highest > lowest, deviation / (std + eps), 0)
    return a_res.view(-1).to(rewards.dtype if rewards.is_floating_point() else a_res.dtype)


def token_advantage(
    verdicts: Tensor,
    relevance: Tensor,
    mask: Tensor,
    group_size: int,
    scheme: str = "intra",
    eligible: Tensor | None = None,
) -> Tensor:
    """A_tok: token-level advantages, [B, T], zero outside the mask.

    verdicts   [B, K]     I(q, o_i, c_k): 1 satisfied, 0 violated, NaN unknown or absent
    relevance  [B, K, T]  p_k(i, t) in [0, 1]
    mask       [B, T]     response tokens
    group_size G          responses per prompt; a prompt's responses are consecutive
    scheme                a name in `SCHEMES`: which tokens are standardised together
    eligible   [B, T]     if given, only these tokens (not EOS, say) get token credit and enter the statistics
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown partition scheme {scheme!r}: choose one of {', '.join(SCHEMES)}")
    (batch, criteria, length), dtype = relevance.shape, torch.promote_types(verdicts.dtype, relevance.dtype)
    dtype = dtype if dtype.is_floating_point else torch.float32
    if verdicts.shape != (batch, criteria) or mask.shape != (batch, length) or batch % group_size:
        raise ValueError(
            f"verdicts {tuple(verdicts.shape)}, relevance {tuple(relevance.shape)} and mask {tuple(mask.shape)} "
            f"must be [B, K], [B, K, T] and [B, T], with B a multiple of the group size {group_size}"
        )
    tokens = mask.bool() if eligible is None else mask.bool() & eligible.bool()
    if batch == 0 or criteria == 0 or length == 0:
        return torch.zeros(batch, length, dtype=dtype, device=relevance.device)
    v = _compute_type(verdicts).reshape(-1, group_size, criteria)
    p = _compute_type(relevance).reshape(-1, group_size, criteria, length)
    m = tokens.view(-1, group_size, 1, length)
    a_tok = torch.empty(batch // group_size, group_size, length, dtype=dtype, device=relevance.device)
    step = max(1, BLOCK_ELEMENTS // (group_size * criteria * length)) if relevance.device.type == "cpu" else len(v)
    for start in range(0, len(v), step):
        block = slice(start, start + step)
        a_tok[block] = _advantage(SCHEMES[scheme], v[block], p[block], m[block])
    return a_tok.view(batch, length)


def combine(a_res: Tensor, a_tok: Tensor, alpha: float = 1.0, beta: float = 0.5) -> Tensor:
    """Eq. 7: A(i,t) = alpha * A_res(i) + beta * A_tok(i,t). [B], [B, T] -> [B, T]."""
    return alpha * a_res.unsqueeze(-1) + beta * a_tok


def _advantage(scheme: Scheme, v: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """One block, [N, G, T]: verdicts to signs s_k = 2 (I - 0.5), everything outside its mask set to zero."""
    known = ~v.isnan()
    if scheme is released and not known.all():
        raise ValueError("the released code has no notion of an unknown verdict: scheme 'released' needs all of them")
    s = torch.where(known, 2 * (v - 0.5), 0)
    p = p.masked_fill(~m, 0)
    if not known.all():  # the relevance of an unknown criterion must not matter, even if it is NaN
        p = p.masked_fill_(~known.unsqueeze(-1), 0)
    return scheme(s, p, m.to(p.dtype)) * m.squeeze(2)


# --- The partitions of the {sample, token, criterion} space. Each maps s, p, m to A_tok [N, G, T]. ---


def intra(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: the tokens of one response, one criterion at a time (section 4.2).

    s is +-1, so A_k = (r_k - mean_t r_k) / std_t r_k = s_k (p_k - mean_t p_k) / std_t p_k.
    """
    deviation, inverse_std = _standardise(p, m, (-1,))
    return _mean_over_criteria(s * inverse_std.squeeze(-1), deviation, s)


def inter(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: the tokens of all G responses to a prompt, one criterion at a time (App. D, Eq. 8)."""
    r = s.unsqueeze(-1) * p
    deviation, inverse_std = _standardise(r, m * _known(s), (1, -1))
    return _mean_over_criteria(_known(s).squeeze(-1) * inverse_std.squeeze(-1), deviation, s)


def joint(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: all tokens of one response under all its criteria together."""
    r = s.unsqueeze(-1) * p
    deviation, inverse_std = _standardise(r, m * _known(s), (2, -1))
    return _mean_over_criteria(_known(s).squeeze(-1) * inverse_std.squeeze(-1), deviation, s)


def position(s: Tensor, p: Tensor, m: Tensor, buckets: int = 4) -> Tensor:
    """Group: the tokens in the same quarter of all G responses to a prompt, one criterion at a time."""
    order = m.cumsum(-1) - 1  # [N, G, 1, T]: 0 for a response's first token
    bucket = (order * buckets).div(m.sum(-1, keepdim=True).clamp(min=1), rounding_mode="floor")
    return sum(inter(s, p * (bucket == b), m * (bucket == b)) for b in range(buckets))


def mass(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: the G responses' mean token rewards, one criterion at a time; every token gets its response's."""
    n = m.sum(-1, keepdim=True)
    r = s.unsqueeze(-1) * p.sum(-1, keepdim=True) / n.clamp(min=1)  # [N, G, K, 1]
    deviation, inverse_std = _standardise(r, _known(s) * (n > 0), (1,))
    return _mean_over_criteria((deviation * inverse_std).squeeze(-1), m.expand_as(p), s)


def decoupled(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: the G verdicts on one criterion; every token gets its response's (GDPO's normalise, then sum).

    Relevance plays no part: the control for `relative`.
    """
    return _mean_over_criteria(_verdict_advantage(s), m.expand_as(p), s)


def relative(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """Group: the G verdicts on one criterion, spread over each response by mean-one relevance (ours, not the paper's).

    A_k(i) = (I - mean_i I) / std_i I;  w_k(i,t) = p_k(i,t) / mean_t p_k(i,t), and 1 where nothing is relevant.
    """
    mean = p.sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp(min=1)
    weight = torch.where(mean > STD_FLOOR, p / mean.clamp(min=STD_FLOOR), m)
    return _mean_over_criteria(_verdict_advantage(s), weight, s)


def released(s: Tensor, p: Tensor, m: Tensor) -> Tensor:
    """What the authors' released code computes in place of `intra`: rows mixed up.

    The [G, K, T] rewards of a group are reshaped, not transposed, to [K, G, T]: row (j, g) holds the flat row
    j * G + g, that is response (j G + g) div K under criterion (j G + g) mod K, and is standardised over the
    tokens of response g's mask. With K = 1 it is `intra`.
    """
    groups, size, criteria, length = p.shape
    r = (s.unsqueeze(-1) * p).reshape(groups, criteria, size, length).transpose(1, 2)
    deviation, inverse_std = _standardise(r * m, m, (-1,))
    return _mean_over_criteria(inverse_std.squeeze(-1), deviation, s)


Scheme = Callable[[Tensor, Tensor, Tensor], Tensor]
SCHEMES: dict[str, Scheme] = {
    scheme.__name__: scheme for scheme in (intra, inter, joint, position, mass, decoupled, relative, released)
}


def _standardise(x: Tensor, weight: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """x minus its mean over `dims` (zero where `weight` is), and 1 / std there (zero below the floor).

    `x` is zero where `weight` (0 or 1) is. The two are returned apart: to divide every row here would be one more pass
    over memory, and the sum over criteria divides at no cost. Two passes, not E[x^2] - E[x]^2: that cancels
    for a nearly constant relevance.
    """
    n = weight.sum(dims, keepdim=True).clamp(min=1)
    deviation = torch.addcmul(x, x.sum(dims, keepdim=True) / n, weight, value=-1)
    std = torch.linalg.vector_norm(deviation, dim=dims, keepdim=True) / n.sqrt()
    return deviation, torch.where(std > STD_FLOOR, 1 / std, 0)


def _verdict_advantage(s: Tensor) -> Tensor:
    """[N, G, K]: each criterion's verdict standardised over the group's known ones (signs and verdicts agree)."""
    deviation, inverse_std = _standardise(s, s.abs(), (1,))
    return deviation * inverse_std


def _mean_over_criteria(coefficient: Tensor, x: Tensor, s: Tensor) -> Tensor:
    """Mean over the known criteria of coefficient [N, G, K] times x [N, G, K, T]: [N, G, T]."""
    known = s.abs().sum(-1, keepdim=True).clamp(min=1)
    return torch.einsum("ngk,ngkt->ngt", coefficient.expand_as(s) / known, x)


def _known(s: Tensor) -> Tensor:
    """[N, G, K, 1]: 1 where the verdict is known."""
    return s.abs().unsqueeze(-1)


def _compute_type(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
