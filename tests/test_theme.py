"""Figures look alike and are saved alike."""

from __future__ import annotations

import matplotlib.pyplot as plt

from rtt_lib.report.theme import ARM_COLORS, VARIANT_COLORS, arm_color, save_figure


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


def test_arms_and_variants_keep_their_colours():
    assert arm_color("RTT-CSR") == ARM_COLORS["RTT-CSR"] == arm_color("RTT-CSR beta 0.25")
    assert arm_color("RTT-AON inter") == arm_color("RTT-CSR inter") == VARIANT_COLORS["inter"]
    assert arm_color("relative") == arm_color("RTT-AON relative") == VARIANT_COLORS["relative"]
    assert arm_color("RTT-AON relative oracle") == VARIANT_COLORS["relative oracle"]  # one plot shows both
    colors = [*ARM_COLORS.values(), *VARIANT_COLORS.values()]
    assert len(set(colors)) == len(colors)
    assert arm_color("something else") == arm_color("something else") not in colors
