"""The figure of the tuned methods shows each run's mean where it is."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from test_tuning import RL, RTT, TUNING, tuning_runs, with_tests

from rtt_lib.analysis.tuning import chosen, tried
from rtt_lib.report.best_settings import best_figure


def test_chosen_and_longer_stand_in_the_row_of_their_method():
    runs = with_tests(rtt=0.6, rtt_long=0.7)
    figure = best_figure(runs, chosen(tried(runs, TUNING, RL)), TUNING)
    # where the title stands depends on whether a test before has set the theme
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes]
    assert titles == ["World L", "World M", "World U"]
    marks = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s")]
    row = list(TUNING.methods).index("RTT-CSR relative")
    here = {line.get_marker(): line for line in marks if abs(line.get_ydata()[0] - row) < 0.4}
    in_l = runs[(runs["world"] == "L") & runs["seed"].isin(TUNING.tested_on)]
    expected = [in_l.loc[in_l["arm"] == arm, "all satisfied"].mean() for arm in (RTT, f"{RTT} steps 240")]
    assert np.allclose([here["o"].get_xdata()[0], here["s"].get_xdata()[0]], expected)
    assert here["o"].get_ydata()[0] == row and len(marks) == 4
    plt.close(figure)


def test_without_a_test_it_says_so():
    runs = tuning_runs({})
    figure = best_figure(runs, chosen(tried(runs, TUNING, RL)), TUNING)
    assert "not run in this profile" in [text.get_text() for text in figure.axes[0].texts]
    plt.close(figure)
