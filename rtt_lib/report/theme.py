"""One look for every figure of the project, and the function that saves them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.files import write_bytes
from rtt_lib.tables import file_stem

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

RGB = tuple[int, int, int]
# Credit: what is raised is blue, what is lowered vermilion, in every figure; told apart by colour-blind readers too.
UP, DOWN = (0, 114, 178), (213, 94, 0)
COLORS = 64  # of an image in an executed notebook
ENOUGH_CONTRAST = 4.5  # of text, as WCAG's level AA has it

# Okabe and Ito's palette, told apart by colour-blind readers too: the baselines warm, RTT with the same reward cool.
ARM_COLORS = {
    "RL-AON": "#D55E00",
    "RL-CSR": "#E69F00",
    "RTT-AON": "#0072B2",
    "RTT-CSR": "#56B4E9",
    "SFT": "#44AA99",
    "DPO": "#332288",
    "base": "#000000",
}
# A variant of an arm ("RTT-AON inter") is drawn in its own colour, the same in every figure.
VARIANT_COLORS = {  # the first one found in a name counts: "relative noisy" is noisy
    "noisy": "#999933",
    "raw": "#661100",
    "relative oracle": "#00441B",
    "strong": "#A65628",  # "decoupled strong"
    "decoupled": "#4D4D4D",
    "eos": "#6699CC",
    "relative": "#009E73",
    "oracle": "#117733",
    "inter": "#CC79A7",
    "as": "#000075",  # "as released"
    "mixed": "#882255",
    "truncated": "#CC6677",
    "sequence": "#DDCC77",
    "decay": "#7F6FB0",
    "joint": "#8C6D31",
    "position": "#637939",
    "mass": "#843C39",
    "counterfactual": "#AA4499",
    "greedy": "#AA6655",
    "uniform": "#BBAA44",
    "random": "#888888",
    "control": "#666666",
    "shuffled": "#2A9D8F",
    "reversed": "#C75B12",
    "separate": "#9D4EDD",
    "level": "#C19A00",  # "Conifer level 1"
    "easy": "#588157",  # "easy to hard"
    "bandit": "#5A189A",
    "filter": "#0F6E84",
    "scaffold": "#D1495B",
    "no draft": "#4A4E69",
    "bare": "#8F2D56",
    "wrong": "#218380",
    "loss": "#73683B",
    "pointwise": "#3E8E41",  # of SERL, from here on
    "no r j": "#C2410C",
    "no r a": "#9F1239",
    "one order": "#0E7490",
    "summed": "#1D4ED8",
    "frozen": "#4D7C0F",
    "copeland": "#B45309",
    "pairs": "#BE185D",
    "16": "#A23B72",
    "even": "#1B7F9C",  # "per criterion even"
    "criterion": "#15803D",
}


def arm_color(name: str) -> str:
    """The colour of an arm: its variant's where it has one, else that of the arm it begins with."""
    words = name.lower().replace("/", " ").replace("_", " ").split()
    for variant, color in VARIANT_COLORS.items():
        if set(variant.split()) <= set(words):
            return color
    for arm, color in ARM_COLORS.items():
        if words and words[0] == arm.lower():
            return color
    others = ("#6A3D9A", "#4C956C", "#B15928", "#1B7F9C", "#A23B72")
    return others[sum(name.encode("utf-8")) % len(others)]


def shade(value: float, largest: float = 1.0) -> RGB:
    """White at 0, UP at +largest and above, DOWN at -largest and below."""
    part = min(1.0, abs(value) / largest)
    return tuple(round(255 + part * (channel - 255)) for channel in (UP if value > 0 else DOWN))


def credit_colors() -> Colormap:
    """The same for matplotlib: DOWN, white, UP."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("credit", [hex_of(shade(value)) for value in (-1, 0, 1)])


def hex_of(color: RGB) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)


def rgb_of(color: str) -> RGB:
    """`#0072B2` -> (0, 114, 178)."""
    return tuple(int(color[n : n + 2], 16) for n in (1, 3, 5))


def contrast(one: RGB, other: RGB) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: RGB) -> float:
    parts = [channel / 255 for channel in color]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(color: RGB) -> str:
    """Black or white, whichever is read better on a colour: one of the two always has enough contrast."""
    return "#ffffff" if contrast(color, (255, 255, 255)) > contrast(color, (0, 0, 0)) else "#000000"


def readable(color: str) -> str:
    """A colour darkened until it can be read as text on white."""
    rgb = rgb_of(color)
    while contrast(rgb, (255, 255, 255)) < ENOUGH_CONTRAST:
        rgb = tuple(int(channel * 0.97) for channel in rgb)
    return hex_of(rgb)


def apply_theme() -> None:
    """Set seaborn's and matplotlib's defaults, and how many digits a displayed table shows."""
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette=list(ARM_COLORS.values())[:6])
    plt.rcParams.update(
        {
            "figure.figsize": (7.0, 4.2),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "savefig.dpi": 160,
            "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters on every machine
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.edgecolor": "#555555",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#E5E5E5",
            "legend.frameon": False,
            "svg.hashsalt": "rtt",
            "svg.fonttype": "none",
        }
    )
    pd.options.display.precision = 3
    pd.options.display.max_colwidth = 120
    pd.options.display.max_rows = 100


def save_figure(fig: Figure, name: str, results_dir: str | Path, finding: str = "") -> None:
    """Save `figures/<name>.png` and `.svg`; equal figures give equal bytes (no date, fixed ids).

    finding: what the figure shows, in a sentence; the files carry it, and the site says it under the figure and to
    readers who do not see it. An empty figure has a label that is said instead.
    """
    import matplotlib

    finding = fig.get_label() or finding
    said = ({"Description": finding}, {"Title": finding}) if finding else ({}, {})
    for suffix, metadata in (("png", {"Software": None} | said[0]), ("svg", {"Date": None, "Creator": None} | said[1])):
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "rtt"}):
            fig.savefig(buffer, format=suffix, metadata=metadata, bbox_inches="tight")
        write_bytes(Path(results_dir) / "figures" / f"{file_stem(name)}.{suffix}", buffer.getvalue())


def finding_of(figure: Path) -> str:
    """What `save_figure` wrote into a PNG; empty if nothing, or if the file is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(figure) as image:
            return image.info.get("Description", "")
    except (FileNotFoundError, UnidentifiedImageError):
        return ""


def small_image(png: str) -> str:
    """An image as notebooks hold it (base64), with a palette of 64 colours: figures have few, a quarter of the size."""
    from PIL import Image  # slow to import

    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    small = io.BytesIO()
    image.quantize(COLORS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode("ascii")
