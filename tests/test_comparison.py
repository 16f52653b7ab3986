"""Tables that compare arms, on small frames whose answers are known."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import comparison
from rtt_lib.stats import bootstrap

SEEDS = ("A0", "A1", "A2", "B0", "B1")


def runs_of(worlds="L", seeds=SEEDS, **arms):
    """`RTT_AON=[...]` is the arm RTT-AON, one score per seed, the same in every world."""
    rows = [
        {"arm": arm.replace("_", "-"), "world": world, "seed": seed, "all satisfied": score, "language loss": score}
        | {"per constraint": (1 + score) / 2, "start": score, "length": 1 - score}
        for world in worlds
        for arm, scores in arms.items()
        for seed, score in zip(seeds, scores, strict=False)
    ]
    return pd.DataFrame(rows)


def curves_of(lines, arm, world="L"):
    rows = [
        {"arm": arm, "world": world, "seed": seed, "step": step, "verdict/aon": value, "entropy": 1.0}
        for seed, line in zip(SEEDS, lines, strict=False)
        for step, value in enumerate(line, start=1)
    ]
    return pd.DataFrame(rows)


class TestTables:
    def test_scores_keep_the_given_order_and_show_the_interval(self):
        runs = runs_of(RTT_AON=[0.4, 0.5, 0.6, 0.5, 0.5], RL_AON=[0.1] * 5)
        table = comparison.score_table(runs, ["RL-AON", "RTT-AON"], ["all satisfied"])
        low, high = bootstrap([0.4, 0.5, 0.6, 0.5, 0.5], ["A", "A", "A", "B", "B"])
        assert table["arm"].tolist() == ["RL-AON", "RTT-AON"] and table["runs"].tolist() == [5, 5]
        assert table["all satisfied"].tolist() == ["0.100", f"0.500 [{low:.3f}, {high:.3f}]"]

    def test_two_runs_have_no_interval(self):
        table = comparison.score_table(runs_of(base=[0.1, 0.3]), ["base"], ["all satisfied"])
        assert table["all satisfied"].tolist() == ["0.200"]

    def test_differences_are_within_seeds(self):
        """Seeds differ by far more than the arms do: only pairing shows the tenth."""
        base = [0.1, 0.3, 0.5, 0.2, 0.6]
        runs = runs_of(RL_AON=base, RTT_AON=[x + 0.1 for x in base])
        (row,) = comparison.differences(runs, [("RTT-AON", "RL-AON")], ["all satisfied"]).to_dict("records")
        assert row["difference"] == pytest.approx(0.1) and row["low"] == pytest.approx(0.1)
        assert (row["verdict"], row["pairs"], row["improved"]) == ("better", 5, 1.0)
        assert row["paper"] == pytest.approx(1.846, abs=1e-3)  # points, Table 1

    def test_a_higher_loss_is_worse(self):
        runs = runs_of(base=[0.1] * 5, RTT_AON=[0.2] * 5)
        table = comparison.differences(runs, [("RTT-AON", "base")], ["all satisfied", "language loss"])
        assert table["verdict"].tolist() == ["better", "worse"]

    def test_two_pairs_claim_nothing(self):
        table = comparison.differences(runs_of(RL_AON=[0.1, 0.1], RTT_AON=[0.9, 0.9]), comparison.SAME_REWARD)
        assert set(table["verdict"]) == {comparison.TOO_FEW} and table["low"].isna().all()
        assert "[" not in comparison.in_words(table)

    def test_no_difference_is_said_so(self):
        runs = runs_of(RL_AON=[0.5] * 5, RTT_AON=[0.4, 0.6, 0.5, 0.4, 0.6])
        table = comparison.differences(runs, comparison.SAME_REWARD, ["all satisfied"])
        assert table["verdict"].tolist() == [comparison.NO_DIFFERENCE]
        words = comparison.in_words(table)
        assert "RTT-AON against RL-AON" in words and "no difference shown" in words and "5 pairs" in words

    def test_pair_table_is_seed_by_seed(self):
        table = comparison.pair_table(runs_of(RL_AON=[0.1, 0.2], RTT_AON=[0.3, 0.1, 0.9]), "RTT-AON", "RL-AON")
        assert table["seed"].tolist() == ["A0", "A1"]  # A2 has no partner
        assert table["difference"].tolist() == pytest.approx([0.2, -0.1])

    def test_sentences_are_in_points_and_other_units_in_their_own(self):
        runs = runs_of(RL_AON=[0.1, 0.2, 0.3], RTT_AON=[0.2, 0.3, 0.4]).assign(**{"mean words": 12.0})
        table = comparison.differences(runs, [("RTT-AON", "RL-AON")], ["all satisfied", "mean words"])
        score, words = comparison.in_words(table).splitlines()
        assert "RTT-AON against RL-AON +10.0 points [+10.0, +10.0] over 3 pairs, **better**" in score
        assert "+0.00 words [+0.00, +0.00]" in words
        assert comparison.only_shown(table)["measure"].tolist() == ["all satisfied"]

    def test_families_local_before_global(self):
        runs = runs_of(RL_AON=[0.2, 0.4]).assign(**{"new wordings": 0.5})  # which is no family
        table = comparison.family_table(runs, ["RL-AON"])
        assert table[["family", "responsible tokens"]].to_numpy().tolist() == [
            ["start", "local, positive"],
            ["length", "global"],
        ]
        assert table["RL-AON"].tolist() == pytest.approx([0.3, 0.7])

    def test_families_of_the_english_world_are_those_of_composed_prompts(self):
        assert comparison.taxonomy_of("words", "english") == comparison.taxonomy_of("words", "composed") == "global"
        assert comparison.taxonomy_of("no_commas", "english") == "local, negative"

    def test_paired_curves_are_differences_within_a_seed(self):
        """The base policies' own levels, 0.1 and 0.7, drop out; a seed that only one arm has does too."""
        rl = curves_of([[0.1, 0.2], [0.7, 0.8]], "RL-AON")
        rtt = curves_of([[0.2, 0.4], [0.8, 0.6], [0.5, 0.5]], "RTT-AON")
        found = comparison.paired_curves(pd.concat([rl, rtt]), comparison.SAME_REWARD)
        assert set(found["arm"]) == {"RTT-AON - RL-AON"}
        wide = found.pivot_table(index="step", columns="seed", values="verdict/aon")
        assert wide.to_numpy() == pytest.approx(np.array([[0.1, 0.1], [0.2, -0.2]]))
        assert comparison.paired_curves(rl, comparison.SAME_REWARD).empty

    def test_speed_by_hand(self):
        """RL-AON ends at 0.5. RTT-AON's trailing mean over ten steps reaches that at step 15, in one run of two."""
        rl = curves_of([[0.5] * 20] * 2, "RL-AON")
        rtt = curves_of([[0.0] * 10 + [1.0] * 10, [0.0] * 20], "RTT-AON")
        table = comparison.speed_table(pd.concat([rl, rtt]), ["RL-AON", "RTT-AON"]).set_index("arm")
        assert table.loc["RL-AON", "median steps"] == "10"
        assert table.loc["RTT-AON", ["reached by", "median steps"]].tolist() == ["1 of 2", "never"]
        assert table.loc["RTT-AON", ["peak", "end"]].tolist() == [0.5, 0.5]

    def test_beta_sweep_names_its_ends(self):
        sweep = {"RL_AON": [0.1] * 3, "RTT_AON": [0.3] * 3, "RTT_AON beta 1": [0.2] * 3}
        table = comparison.beta_table(runs_of(**sweep)).sort_values("beta")
        assert table["beta"].tolist() == [0, 0.5, 1] and table["mean"].tolist() == pytest.approx([0.1, 0.3, 0.2])
        assert table["paper (read off)"].tolist() == [60.27, 61.75, 60.4]
        assert comparison.beta_table(runs_of(RL_AON=[0.1], RTT_AON=[0.2])).empty  # two points are no sweep


def test_quarters_of_a_run_by_hand():
    """Eight steps, two in each quarter; five steps split at 1.25, 2.5 and 3.75."""
    curves = pd.DataFrame(
        {"world": "L", "arm": "RL-AON", "seed": "A0", "step": range(1, 9), "verdict/aon": range(1, 9)}
    )
    assert comparison.quarters(curves)[list(comparison.QUARTERS)].to_numpy().tolist() == [[1.5, 3.5, 5.5, 7.5]]
    odd = comparison.quarters(curves[curves["step"] <= 5])
    assert odd[list(comparison.QUARTERS)].to_numpy().tolist() == [[1, 2, 3, 4.5]]
    assert comparison.quarters(pd.DataFrame(columns=["arm", "world", "seed", "step"])).empty
