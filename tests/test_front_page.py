"""The first page's sentences and cards: from small tables whose answer is known."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.analysis.claims_page import COLUMNS, COMPARISON_COLUMNS
from rtt_lib.analysis.rtt_minus_rl import COLUMNS as BESIDE_COLUMNS
from rtt_lib.report.front_page import SAYS, front_page, outcome, places, say
from rtt_lib.tables import save_table

NAN = float("nan")
REASON = "shown in 1 of 4 comparisons, reversed in 1. More of it."


def compared(claim: str, *rows: tuple, measure: str = "all satisfied", baseline: str = "RL") -> pd.DataFrame:
    """rows: (arm, world, mean, finding); the intervals reach 0.01 to both sides."""
    made = []
    for arm, world, mean, finding in rows:
        ends = (mean, mean - 0.01, mean + 0.01, 0.99, 0.0)
        made.append((claim, arm, baseline and arm.replace("RTT", baseline), world, measure, 8, *ends, finding))
    return pd.DataFrame(made, columns=COMPARISON_COLUMNS)


C1 = compared(
    "C1",
    ("RTT-AON", "L", -0.066, "reversed"),
    ("RTT-AON", "U", 0.133, "shown"),
    ("RTT-AON", "S", 0.004, "neither"),
    ("RTT-CSR", "L", 0.002, "neither"),
    ("RTT-CSR", "U", 0.063, "shown"),
    ("RTT-CSR", "S", NAN, "not run"),
)


def beside(*rows: tuple) -> pd.DataFrame:
    """rows: (world, arm, measure, of RTT, of RL, half the interval)."""
    made = []
    for world, arm, measure, rtt, rl, half in rows:
        mean = rtt - rl
        made.append((world, arm, arm.replace("RTT", "RL"), measure, 8, rtt, rl, mean, mean - half, mean + half))
    return pd.DataFrame(made, columns=BESIDE_COLUMNS)


BESIDE = beside(
    ("L", "RTT-AON", "global criteria", 0.56, 0.83, 0.1),
    ("L", "RTT-CSR", "global criteria", 0.77, 0.83, 0.01),  # the smaller difference is not named
    ("S", "RTT-AON", "global criteria", 0.5, 0.6, 0.2),  # not shown
    ("L", "RTT-AON", "mean words", 22.16, 13.79, 1.0),
    ("U", "RTT-CSR", "mean words", 23.0, 15.0, 1.0),
)


def written(folder, compared=None, beside=None, claim="C1") -> None:
    row = [claim, "RTT beats RL", "partly", "Table 1", "numbers", "8 paired seeds", REASON, "notebook 06, part 3 (x)"]
    save_table(pd.DataFrame([row], columns=COLUMNS), "claims", folder)
    for name, table in (("claim_comparisons", compared), ("rtt_minus_rl", beside)):
        if table is not None:
            save_table(table, name, folder)


PARTS = {"06": {"stem": "06_rtt_grpo", "3": "part-3"}}


def test_the_answer_says_where_rtt_beat_rl_and_what_differs_elsewhere(tmp_path):
    written(tmp_path, C1, BESIDE)
    front = front_page(tmp_path / "tables", PARTS)
    assert front.answer == [
        "RTT beat RL with the same reward in U (RTT-AON by 13.3, RTT-CSR by 6.3 points) and lost to it in L (RTT-AON "
        "by 6.6 points); in S neither is shown: the interval there is 2.0 points wide.",
        "In L RTT satisfies criteria about the whole response, such as its length, less often than RL: 56% against 83% "
        "in L (RTT-AON).",
        "RTT writes more words per response than RL in L and U: 22.2 against 13.8 in L (RTT-AON), 23.0 against 15.0 in "
        "U (RTT-CSR).",
        "In U, where RTT is ahead, no criterion is about the whole response.",
    ]
    assert front.figure.index("world L") < front.figure.index("world U") < front.figure.index("world S")
    assert front.figure.count("<circle") == 4 and front.figure.count("<rect") == 1  # S with CSR was not run
    assert "8 paired runs each" in front.caption and "Holm" in " ".join(front.rule)


def test_where_neither_is_shown_the_answer_says_how_wide_the_intervals_are():
    rows = [("RTT-AON", "L", -0.05, "neither"), ("RTT-AON", "U", 0.0, "neither"), ("RTT-AON", "M", -0.3, "reversed")]
    main = compared("C1", *rows)
    main[["low", "high"]] = [[-0.25, 0.15], [-0.045, 0.045], [-0.9, -0.1]]
    assert outcome(main).endswith("; in L and U neither is shown: the intervals there are 9.0 to 40.0 points wide.")


def test_nothing_is_said_that_the_tables_do_not_show(tmp_path):
    lost = compared("C1", ("RTT-AON", "L", -0.1, "reversed"), ("RTT-AON", "M", NAN, "not run"))
    level = beside(("L", "RTT-AON", "global criteria", 0.9, 0.8, 0.01), ("L", "RTT-AON", "mean words", 12.0, 14.0, 1.0))
    written(tmp_path, lost, level)
    assert front_page(tmp_path / "tables", PARTS).answer == [
        "RTT beat RL with the same reward in no world and lost to it in L (RTT-AON by 10.0 points); M has too few "
        "runs to say."
    ]


def test_the_card_holds_the_sentence_the_plot_and_the_way_to_the_notebook(tmp_path):
    written(tmp_path, C1)
    (card,) = front_page(tmp_path / "tables", PARTS).cards
    assert card.sentence == (
        "2 of 6 comparisons show that RTT is ahead (U: +6.3 to +13.3 points), 1 that it is behind (L: −6.6 points); 1 "
        "has too few runs to say."
    )
    assert len(card.plots) == 1 and card.plots[0].count("<circle") == 4 and card.sentence in card.plots[0]
    assert card.links == [("06_rtt_grpo.html#part-3", "notebook 06, part 3")]


def test_measures_with_other_units_are_drawn_apart(tmp_path):
    steps = compared("C7", ("RTT-CSR", "L", 5.0, "shown"), measure="steps half way")
    entropy = compared("C7", ("RTT-CSR", "U", 0.5, "shown"), measure="final entropy")
    written(tmp_path, pd.concat([steps, entropy]), claim="C7")
    (card,) = front_page(tmp_path / "tables", {}).cards
    assert len(card.plots) == 2 and "half way, steps<" in card.plots[0] and "entropy, nats" in card.plots[1]
    assert card.sentence.startswith(
        "2 of 2 comparisons show that RTT-CSR is faster or has lower entropy (L and U), none"
    )
    assert card.links == []


def test_a_share_of_responses_is_no_difference(tmp_path):
    cases = compared("C10", ("global", "", 0.95, "shown"), measure="every token right", baseline="")
    written(tmp_path, cases, claim="C10")
    (card,) = front_page(tmp_path / "tables", PARTS).cards
    assert "1 of 1 cases shows that every token is right in over 90% of the responses (95.0 % of" in card.sentence
    assert ">95.0<" in card.plots[0] and ">global<" in card.plots[0]


@pytest.mark.parametrize("claim", ["C1", "C8"])
def test_without_comparisons_and_for_a_claim_without_words_the_reason_begins(claim):
    nothing = pd.DataFrame(columns=COMPARISON_COLUMNS)
    assert say(claim, REASON, nothing) == "Shown in 1 of 4 comparisons, reversed in 1."
    assert say("C8", "No run collapses, so no. The rest.", C1) == "No run collapses, so no."
    assert "C8" not in SAYS


def test_older_results_without_comparisons_still_have_cards(tmp_path):
    written(tmp_path)
    front = front_page(tmp_path / "tables", PARTS)
    assert front.answer == ["Shown in 1 of 4 comparisons, reversed in 1."] and front.figure is None
    assert front.cards[0].plots == [] and front.rule == []
    assert front_page(tmp_path / "nowhere", {}).cards == []


def test_places_lead_to_cells_and_parts_that_exist():
    parts = {"06": PARTS["06"] | {"a": "cell-a"}, "03": {"stem": "03_words", "c": "cell-c"}}
    where = "notebook 06, part 3 (a); notebook 06, part 3 (b); notebook 06, part 9 (b); notebook 11, part 2 (c); "
    assert places(where + "notebook 03 (c); notebook 06 for the pictures", parts) == [
        ("06_rtt_grpo.html#cell-a", "notebook 06, part 3"),
        ("06_rtt_grpo.html#part-3", "notebook 06, part 3"),
        ("06_rtt_grpo.html", "notebook 06, part 9"),
        ("03_words.html#cell-c", "notebook 03"),
        ("06_rtt_grpo.html", "notebook 06"),
    ]
