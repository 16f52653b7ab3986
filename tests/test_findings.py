"""The findings of the micro world, judged on runs whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import findings
from rtt_lib.analysis.claims import FAILS, PARTLY, REPLICATES, UNTESTED

SEEDS = ("A0", "B1", "C2")
NOISE = dict(zip((*SEEDS, "I8", "N13"), (0.02, -0.02, 0.0, 0.1, -0.1), strict=True))
ARMS = (*findings.ARMS, "RTT-AON raw", "RTT-CSR relative")
AS_IN_MICRO = {
    "RL-AON": {"early": 0.2, "tokens": 0, "global": 0.5, "score": 0.5},
    "RL-CSR": {"early": 0.2, "tokens": 0, "global": 0.5, "score": 0.5},
    "RTT-AON": {"early": 0.3, "tokens": 6, "global": 0.1, "score": 0.5},
    "RTT-CSR": {"early": 0.3, "tokens": 6, "global": 0.1, "score": 0.5},
    "RTT-AON no EOS": {"early": 0.3, "tokens": 1, "global": 0.1, "score": 0.5},
    "RTT-AON raw": {"early": 0.3, "tokens": 6, "global": 0.1, "score": 0.3},
    "RTT-CSR relative": {"early": 0.3, "tokens": 1, "global": 0.5, "score": 0.6},
}


def judged(seeds=SEEDS, **changes: dict[str, float]) -> pd.DataFrame:
    """The table, where arms differ by more than the noise, which pairing takes out. An arm's name has _ for dashes."""
    runs, curves = [], []
    for arm, what in AS_IN_MICRO.items():
        what = what | changes.get(arm.replace("-", "_").replace(" ", "_"), {})
        for seed in seeds:
            place, noise = {"arm": arm, "world": "english", "seed": seed}, NOISE[seed]
            runs.append(place | {"all satisfied": what["score"] + noise})
            step = np.arange(1, 41)
            start = np.where(step == 1, 0.0, 1.0)  # on the first step all arms sample from the same policy
            curve = {
                "step": step,
                "verdict/aon": np.where(step <= 10, what["early"], 0.5) + noise,
                "completions/mean_length": 30 + start * what["tokens"] + noise,
                "verdict/words": 0.2 + start * what["global"] + noise,
                "verdict/start": 0.2 + noise,
            }
            curves.append(pd.DataFrame(curve).assign(**place))
    return findings.findings_table(pd.DataFrame(runs), pd.concat(curves)).set_index("finding")


def test_as_in_micro_everything_replicates_with_the_differences_that_went_in():
    table = judged()
    assert list(table.index) == ["early lead", "length", "global criteria", "rounding", "relative"]
    assert set(table["verdict"]) == {REPLICATES} and set(table["n"]) == {"3 paired seeds: A0 B1 C2"}
    said = table["measured"]
    assert said["early lead"].startswith("RTT-AON - RL-AON, first quarter (points): english +10.0 [+10.0, +10.0], n")
    assert "RTT-CSR - RL-CSR, tokens added (tokens): english +6.00" in said["length"]
    assert "RTT-AON - RTT-AON no EOS, tokens added (tokens): english +5.00" in said["length"]
    assert "RL-AON - RTT-AON, global criteria gained (points): english +40.0" in said["global criteria"]
    assert said["rounding"].startswith("RTT-AON - RTT-AON raw, all satisfied (points): english +20.0")
    assert "RTT-CSR relative - RL-CSR, all satisfied (points): english +10.0" in said["relative"]


def test_base_policies_of_the_tuning_and_of_the_predictions_have_no_say():
    assert judged(seeds=(*SEEDS, "I8", "N13")).equals(judged())


@pytest.mark.parametrize(
    ("finding", "changes", "verdict"),
    [
        ("early lead", {"RTT_AON": {"early": 0.1}}, PARTLY),
        ("early lead", {"RTT_AON": {"early": 0.1}, "RTT_CSR": {"early": 0.1}}, FAILS),
        ("early lead", {"RTT_AON": {"early": 0.2}, "RTT_CSR": {"early": 0.2}}, UNTESTED),
        ("length", {"RTT_AON_no_EOS": {"tokens": 9}}, PARTLY),
        ("length", {"RTT_AON": {"tokens": -3}, "RTT_CSR": {"tokens": -3}}, FAILS),
        ("global criteria", {"RTT_AON": {"global": 0.6}, "RTT_CSR": {"global": 0.6}}, FAILS),
        ("rounding", {"RTT_AON_raw": {"score": 0.6}}, FAILS),
        ("relative", {"RL_CSR": {"score": 0.7}}, PARTLY),
    ],
)
def test_what_speaks_against_a_finding_changes_its_verdict_and_no_other(finding, changes, verdict):
    table = judged(**changes)
    assert table.loc[finding, "verdict"] == verdict
    assert table.loc["early lead" if finding != "early lead" else "rounding", "verdict"] == REPLICATES


def test_two_pairs_or_no_runs_test_nothing():
    none = pd.DataFrame(columns=["arm", "world", "seed", "step"])
    for table in (judged(SEEDS[:2]), findings.findings_table(none, none)):
        assert set(table["verdict"]) == {UNTESTED}
