"""The draw of a token: by hand, and against transformers' own warpers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from rtt_lib.bench.draw import draw, noise
from rtt_lib.profile import Evaluation

SETTINGS = Evaluation(temperature=0.9, top_p=0.95, top_k=30, max_tokens=10)


def test_draw_by_hand():
    """Probabilities .5 .3 .2: top-p .6 keeps the first two (.5 alone does not reach it), rescaled to .625 and .375."""
    scores = torch.log(torch.tensor([[0.2, 0.5, 0.3]])).repeat(4, 1)
    uniform = torch.tensor([0.0, 0.62, 0.63, 0.9999])
    settings = replace(SETTINGS, temperature=1.0, top_k=0, top_p=0.6)
    assert draw(scores, uniform, settings).tolist() == [1, 1, 2, 2]
    assert draw(scores, uniform, replace(settings, top_p=0.4)).tolist() == [1, 1, 1, 1]
    assert draw(scores, uniform, replace(settings, top_p=1.0)).tolist() == [1, 2, 2, 0]
    assert draw(scores, uniform, replace(settings, top_p=1.0, top_k=2)).tolist() == [1, 1, 2, 2]
    # Temperature 1/2 squares the odds: .25 .09 .04 -> .66 .24 .11
    uniform, settings = torch.tensor([0.65, 0.67, 0.88, 0.91]), replace(settings, temperature=0.5, top_p=1.0)
    assert draw(scores, uniform, settings).tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize("top_p, top_k", [(1.0, 0), (0.8, 0), (1.0, 5), (0.8, 20), (1e-9, 0)])
def test_draws_have_the_distribution_of_transformers_own_warpers(top_p, top_k):
    generator = torch.Generator().manual_seed(1)
    scores, n = 3 * torch.randn(40, generator=generator), 20_000
    settings = replace(SETTINGS, temperature=0.7, top_p=top_p, top_k=top_k)
    drawn = draw(scores.expand(n, -1), (torch.arange(n) + 0.5) / n, settings)
    warped = TemperatureLogitsWarper(0.7)(None, scores[None])
    warped = TopKLogitsWarper(top_k)(None, warped) if top_k else warped
    expected = TopPLogitsWarper(top_p)(None, warped).softmax(1)[0]
    found = torch.bincount(drawn, minlength=40) / n
    torch.testing.assert_close(found, expected, atol=2.1 / n, rtol=0)


def test_the_noise_of_a_row_depends_on_its_seed_alone():
    found = noise([5, 6, 5], 8)
    assert found.shape == (3, 8) and torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    assert torch.equal(noise([6, 1], 8)[0], found[1]) and (found >= 0).all() and (found < 1).all()
