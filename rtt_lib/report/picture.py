"""The picture on the front page of the repository: one response, its rubric, the credit of each token.

`python -m rtt_lib.report.picture` draws it again.
"""

from __future__ import annotations

from html import escape

import torch
from torch import Tensor

from rtt_lib.credit import combine, response_advantage, token_advantage
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.report.theme import hex_of, ink_on, rgb_of, shade

FILE = REPOSITORY / "docs" / "rtt.svg"
TOKENS = ("Sure", "!", "Cats", "nap", ",", "purr", ".", "<end>")
CRITERIA = (  # text, verdict, what is relevant, the places of the relevant tokens
    ("“Start with Sure.”", 1, "one token is relevant", (0,)),
    ("“Use no comma.”", 0, "the comma is relevant", (4,)),
    ("“At most ten words.”", 1, "no token stands out", tuple(range(len(TOKENS)))),
)
BETA, GROUP = 0.5, 8
INK, SOFT, GROUND = "#1f2933", "#52606d", "#fdfdfc"
LEFT, STEP, WIDTH = 300, 80, 74  # of the cells, in the picture's units


def credit() -> dict[str, Tensor]:
    """A_k of each criterion, A_tok, A_res and A, each [T]: the response is one of a group that all fail something."""
    verdicts = torch.tensor([[float(verdict) for _, verdict, _, _ in CRITERIA]])
    p = torch.zeros(1, len(CRITERIA), len(TOKENS))
    for k, (_, _, _, places) in enumerate(CRITERIA):
        p[0, k, list(places)] = 1
    mask = torch.ones(1, len(TOKENS), dtype=torch.bool)
    rows = {}
    for k, (text, _, _, _) in enumerate(CRITERIA):
        rows[text] = token_advantage(verdicts[:, k : k + 1], p[:, k : k + 1], mask, 1)[0]
    a_tok = token_advantage(verdicts, p, mask, 1)
    a_res = response_advantage(torch.zeros(GROUP), GROUP)[:1]
    return rows | {
        "A_tok": a_tok[0],
        "A_res": a_res.expand(len(TOKENS)),
        "A": combine(a_res, a_tok, beta=BETA)[0],
    }


def picture() -> str:
    """The SVG."""
    rows = credit()
    largest = max(values.abs().max().item() for values in rows.values())
    title = "One response that fails, its rubric, and what each token is credited with"
    parts = [
        _text(24, 38, escape(title), 18, bold=True),
        _text(24, 82, "response o", bold=True),
        *(_cell(n, 58, 36, escape(token), "#ffffff", 16) for n, token in enumerate(TOKENS)),
    ]
    for row, (text, verdict, about, _) in enumerate(CRITERIA):
        y = 118 + 52 * row
        said = "satisfied, s = +1" if verdict else "violated, s = −1"
        parts += [_text(24, y + 14, text), _text(24, y + 33, f"{said}; {about}", 13, SOFT)]
        parts += _values(rows[text], y, largest)
    parts.append(_text(24, 290, f"above: {_sub('A', 'k')}, standardised over the tokens of this response", 13, SOFT))
    all_fail = "every response of its group fails, so AON gives all of them 0"
    for name, y, about in (("tok", 316, "the mean over the criteria"), ("res", 362, "")):
        parts += [_text(24, y + 22, f"{_sub('A', name)}"), _text(74, y + 22, about, 13, SOFT)]
        parts += _values(rows[f"A_{name}"], y, largest)
    parts.append(_text(74, 377, "the same for all tokens:", 13, SOFT))
    parts.append(_text(74, 393, "AON is silent here", 13, SOFT))
    parts += [_text(24, 430, f"A = {_sub('A', 'res')} + {BETA:g} {_sub('A', 'tok')}", bold=True)]
    parts += _values(rows["A"], 408, largest)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 462" role="img" aria-labelledby="title" '
        'font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif">\n'
        f'<title id="title">{escape(title)}: {all_fail}, and RTT still raises Sure and lowers the comma</title>\n'
        f'<rect width="960" height="462" rx="10" fill="{GROUND}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _values(values: Tensor, y: int, largest: float) -> list[str]:
    cells = []
    for n, value in enumerate(values.tolist()):
        value = round(value, 2) + 0.0
        written = f"{value:+.2f}".replace("-", "−") if value else "0"
        cells.append(_cell(n, y, 34, written, hex_of(shade(value, largest)), 14))
    return cells


def _cell(n: int, y: int, height: int, text: str, color: str, size: int) -> str:
    x = LEFT + n * STEP
    box = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{height}" rx="5" fill="{color}" stroke="#9aa5b1"/>'
    return box + _text(x + WIDTH / 2, y + height / 2 + 5, text, size, ink_on(rgb_of(color)), anchor="middle")


def _text(x: float, y: float, text: str, size: int = 15, color: str = INK, bold=False, anchor="start") -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{color}"{weight}>{text}</text>'


def _sub(letter: str, below: str) -> str:
    """A letter with an index, and back to the line."""
    return f'{letter}<tspan font-size="11" dy="4">{below}</tspan><tspan dy="-4">&#8203;</tspan>'


def main() -> None:
    write_text(FILE, picture())


if __name__ == "__main__":
    main()
