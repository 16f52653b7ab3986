"""Figures look alike and are saved alike."""

from __future__ import annotations

import base64
import io

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from rtt_lib.report.figures import empty_figure
from rtt_lib.report.theme import (
    ARM_COLORS,
    DOWN,
    ENOUGH_CONTRAST,
    UP,
    VARIANT_COLORS,
    arm_color,
    contrast,
    credit_colors,
    finding_of,
    ink_on,
    readable,
    rgb_of,
    save_figure,
    shade,
    small_image,
)


def test_saved_figures_do_not_depend_on_when_they_were_saved(tmp_path):
    for name in ("one", "two"):
        fig, axis = plt.subplots()
        axis.plot([1, 3, 2], label="a")
        axis.legend()
        save_figure(fig, name, tmp_path)
        plt.close(fig)
    for suffix in ("png", "svg"):
        one, two = ((tmp_path / "figures" / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two and len(one) > 1000


def test_a_figure_carries_its_finding(tmp_path):
    fig, axis = plt.subplots()
    axis.plot([1, 3])
    said = "B is above A & stays there, by 3.0 points [+1.0, +5.0]."
    save_figure(fig, "told", tmp_path, said)
    save_figure(fig, "silent", tmp_path)
    plt.close(fig)
    folder = tmp_path / "figures"
    assert finding_of(folder / "told.png") == said and "B is above A &amp; stays" in (folder / "told.svg").read_text()
    assert finding_of(folder / "silent.png") == finding_of(folder / "missing.png") == ""


def test_an_empty_figure_says_so_whatever_it_would_have_shown(tmp_path):
    save_figure(empty_figure("Curves"), "empty", tmp_path, "Curves of the four core arms.")
    assert finding_of(tmp_path / "figures" / "empty.png") == "Curves: not run in this profile."


def test_a_small_image_is_the_same_picture_in_few_colours():
    drawn = io.BytesIO()
    Image.effect_noise((60, 40), 90).convert("RGB").save(drawn, "PNG")
    small = Image.open(io.BytesIO(base64.b64decode(small_image(base64.b64encode(drawn.getvalue()).decode()))))
    colors = small.convert("RGB").getcolors()
    assert small.size == (60, 40) and small.mode == "P" and 10 < len(colors) <= 64


def test_arms_and_variants_keep_their_colours():
    assert arm_color("RTT-CSR") == ARM_COLORS["RTT-CSR"] == arm_color("RTT-CSR beta 0.25")
    assert arm_color("RTT-AON inter") == arm_color("RTT-CSR inter") == VARIANT_COLORS["inter"]
    assert arm_color("relative") == arm_color("RTT-AON relative") == VARIANT_COLORS["relative"]
    assert arm_color("RTT-AON relative oracle") == VARIANT_COLORS["relative oracle"]  # one plot shows both
    assert (
        arm_color("SERL random R_J") == VARIANT_COLORS["random"] != arm_color("SERL no R_J") != arm_color("SERL no R_A")
    )
    colors = [*ARM_COLORS.values(), *VARIANT_COLORS.values()]
    assert len(set(colors)) == len(colors)
    assert arm_color("something else") == arm_color("something else") not in colors


def test_contrast_as_wcag_has_it():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(rgb_of("#777777"), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    assert contrast((7, 8, 9), (7, 8, 9)) == 1


def test_credit_is_blue_where_raised_white_at_zero_vermilion_where_lowered():
    assert (shade(2, 2), shade(0, 2), shade(-2, 2)) == (UP, (255, 255, 255), DOWN)
    assert shade(1, 2) == (128, 184, 216) and shade(5, 2) == UP
    for value in (-1, -0.5, 0.25, 1):
        drawn = credit_colors()((value + 1) / 2)[:3]
        assert [255 * channel for channel in drawn] == pytest.approx(shade(value), abs=2)


def test_every_label_can_be_read():
    white = (255, 255, 255)
    for n in range(-100, 101):
        assert contrast(shade(n / 100), rgb_of(ink_on(shade(n / 100)))) >= ENOUGH_CONTRAST
    for color in (*ARM_COLORS.values(), *VARIANT_COLORS.values()):
        assert contrast(rgb_of(readable(color)), white) >= ENOUGH_CONTRAST
    assert readable("#0072B2") == "#0072b2", "what can be read already stays as it is"


def test_a_file_that_is_no_picture_has_no_finding(tmp_path):
    (tmp_path / "stale.png").write_text("no picture")
    assert finding_of(tmp_path / "stale.png") == finding_of(tmp_path / "none.png") == ""
