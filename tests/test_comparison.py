"""Tables and figures that compare arms, on small frames whose answers are known; credit views on a real tiny policy."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from rtt_lib.analysis import comparison
from rtt_lib.profile import RL
from rtt_lib.relevance.base import Rollouts
from rtt_lib.relevance.sources import Oracle, Uniform
from rtt_lib.report import figures
from rtt_lib.report import rtt_grpo as credit_view
from rtt_lib.report.theme import apply_theme
from rtt_lib.schema import Criterion
from rtt_lib.stats import bootstrap
from rtt_lib.verify import check
from rtt_lib.verify.batch import Verifier

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


@pytest.fixture(autouse=True)
def figures_of_the_house():
    apply_theme()
    yield
    plt.close("all")


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
        table = comparison.family_table(runs_of(RL_AON=[0.2, 0.4]), ["RL-AON"])
        assert table[["family", "responsible tokens"]].to_numpy().tolist() == [
            ["start", "local, positive"],
            ["length", "global"],
        ]
        assert table["RL-AON"].tolist() == pytest.approx([0.3, 0.7])

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


def test_every_base_policy_is_drawn():
    six = runs_of(seeds=("A0", "B0", "C0", "D0", "E0", "F0"), RL_AON=[0.0] * 6, RTT_AON=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    drawn = figures.paired_figure(six, comparison.SAME_REWARD[:1]).axes[0].collections
    assert sorted(float(x) for marks in drawn for x, _ in marks.get_offsets()) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    )


def test_an_experiment_that_was_not_run_gives_empty_tables_and_says_so():
    nothing = pd.DataFrame(columns=["arm", "world", "seed"])
    curves = pd.DataFrame(columns=["arm", "world", "seed", "step"])
    table = comparison.differences(nothing, comparison.PARTITION)
    families = comparison.family_table(nothing, ["base"])
    for empty in (table, families, comparison.beside_table_1(nothing), comparison.beta_table(nothing)):
        assert empty.empty and len(empty.columns) >= 3
    assert comparison.speed_table(curves, ["RL-AON"]).empty
    assert comparison.pair_table(nothing, "RTT-AON", "RL-AON").empty
    assert comparison.NOT_RUN in comparison.in_words(table).lower()
    drawn = [
        figures.learning_curves(curves, ["RL-AON"], ["entropy"]),
        figures.score_figure(nothing, ["base"]),
        figures.paired_figure(nothing, comparison.PARTITION),
        figures.beta_figure(nothing, 0.5),
        figures.family_figure(families),
    ]
    assert all(comparison.NOT_RUN in [text.get_text() for text in fig.axes[0].texts] for fig in drawn)


class TestFigures:
    def test_labels_of_lines_that_end_together_are_apart(self):
        curves = pd.concat([curves_of([[0.5] * 12] * 3, arm) for arm in ("RL-AON", "RL-CSR", "RTT-AON")])
        fig = figures.learning_curves(curves, ["RL-AON", "RL-CSR", "RTT-AON"], ["verdict/aon"])
        places = sorted(text.xyann[1] for text in fig.axes[0].texts)
        assert len(places) == 3 and min(np.diff(places)) > 0.08

    def test_band_is_the_bootstrap_interval(self):
        lines = [[0.1], [0.2], [0.6], [0.4], [0.5]]
        _, ax = plt.subplots()
        wide = pd.DataFrame(np.array(lines).T, index=[1], columns=list(SEEDS))
        figures._band(ax, wide, "black")
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        low, high = bootstrap([0.1, 0.2, 0.6, 0.4, 0.5], ["A", "A", "A", "B", "B"])
        assert (drawn.min(), drawn.max()) == pytest.approx((low, high), abs=0.02)

    def test_one_panel_per_world(self):
        runs = runs_of(worlds="LM", RL_AON=[0.1, 0.2, 0.3], RTT_AON=[0.2, 0.3, 0.5])
        assert [ax.get_title(loc="left") for ax in figures.score_figure(runs, ["RL-AON"]).axes] == [
            "World L",
            "World M",
        ]
        assert len(figures.paired_figure(runs, comparison.SAME_REWARD).axes) == 2


# --- one group of rollouts ---

RUBRIC = (Criterion("start bako", "micro:start", {"word": "bako"}), Criterion("no commas", "micro:no_commas"))
RESPONSES = ["bako desu", "desu , bako", "bako , desu bako"]


def group_of(source, **settings):
    offsets, longest = [], 5
    for response in RESPONSES:
        ends = np.cumsum([len(word) + 1 for word in response.split()]).tolist()
        spans = [(end - len(word) - 1, end - 1) for word, end in zip(response.split(), ends, strict=True)]
        offsets.append([*spans, (len(response), len(response))])
    mask = torch.tensor([[t < len(spans) for t in range(longest)] for spans in offsets])
    verdicts = [[check(criterion, "", response) for criterion in RUBRIC] for response in RESPONSES]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    rollouts = Rollouts(["p <b>"] * 3, RESPONSES, [RUBRIC] * 3, verdicts, ids, mask, offsets)
    return credit_view.assign_credit(rollouts, source, **settings)


class TestCredit:
    def test_verdicts_and_rewards(self):
        table = credit_view.verdict_table(group_of(Oracle()))
        assert table["start bako"].tolist() == ["yes", "no", "yes"]
        assert table["no commas"].tolist() == ["yes", "no", "no"]
        assert (table["AON"].tolist(), table["CSR"].tolist()) == ([1, 0, 0], [1, 0, 0.5])

    def test_one_relevant_token_among_n_by_hand(self):
        """Response 0, three tokens with the end: sqrt(2) for the start word, -1/sqrt(2) for the others."""
        table = credit_view.steps_table(group_of(Oracle()), 0, 0)
        assert table["token"].tolist() == ["bako", "desu", credit_view.END]
        assert table["A_k"].tolist() == pytest.approx([2**0.5, -(0.5**0.5), -(0.5**0.5)])

    def test_criteria_average_to_the_token_advantage(self):
        group = group_of(Oracle())
        assert torch.allclose(credit_view.criterion_advantages(group, 2).mean(0), group.a_tok[2], atol=1e-6)

    def test_columns_add_up_to_equation_7(self):
        table = credit_view.credit_table(group_of(Oracle(), beta=0.25), 2)
        assert (table["A_res"] + 0.25 * table["A_tok"]).tolist() == pytest.approx(table["A"].tolist())

    def test_without_beta_every_token_gets_the_response_advantage(self):
        group = group_of(Oracle(), beta=0.0)
        for i, n in enumerate(group.rollouts.mask.sum(1)):
            assert group.advantage[i, :n].tolist() == pytest.approx([group.a_res[i].item()] * int(n))

    def test_uniform_relevance_has_no_spread_and_no_credit(self):
        table = credit_view.spread_table(group_of(Oracle()), group_of(Uniform()), 0)
        assert table["std p_k, rounded"].tolist() == ["0.0e+00"] * 2 and table["largest |A_k|, rounded"].tolist() == [
            0,
            0,
        ]
        # one relevant token among three; a forbidden comma that is not there
        assert table["std p_k, unrounded"].tolist() == ["4.7e-01", "0.0e+00"]  # the root of 2/9
        assert table["largest |A_k|, unrounded"].tolist() == pytest.approx([2**0.5, 0])
        assert table["verdict"].tolist() == ["satisfied", "satisfied"]

    def test_summary_by_hand(self):
        (row,) = credit_view.credit_summary({"x": group_of(Uniform())}).to_dict("records")
        assert (row["AON"], row["CSR"], row["tokens"]) == pytest.approx((1 / 3, 0.5, 4.0))
        assert row["mean |A_tok|"] == 0 and row["mean |A_res|"] > 0

    def test_html_is_escaped_and_signed(self):
        html = credit_view.advantage_html(group_of(Oracle()), [0], "<script>")
        assert "<script>" not in html and "p &lt;b&gt;" in html and "&lt;end&gt;" in html
        assert credit_view.UP in html and "+" in html
        assert "start bako: satisfied" in credit_view.relevance_html(group_of(Oracle()), 0)


def test_roll_out_stops_at_the_end_token_and_does_not_touch_the_random_state():
    from transformers import LlamaForCausalLM

    from rtt_lib.worlds.micro.language import find_world, sample_prompts
    from rtt_lib.worlds.micro.policy import micro_config, micro_tokenizer

    tokenizer = micro_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(micro_config(len(tokenizer), width=16, layers=1, heads=2)).eval()
    (question,) = sample_prompts(find_world("L"), 1, "test")
    rl = RL(steps=1, group_size=16, max_response_tokens=20, temperature=1.0, top_p=1.0, top_k=0)
    before = torch.get_rng_state()
    first, again = (credit_view.roll_out(model, tokenizer, question, rl, Verifier()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before) and first.responses == again.responses
    for ids, mask, offsets in zip(first.token_ids, first.mask, first.offsets, strict=True):
        kept = ids[mask].tolist()
        assert len(offsets) == len(kept) and tokenizer.eos_token_id not in kept[:-1]
        assert kept[-1] == tokenizer.eos_token_id or len(kept) == first.token_ids.shape[1]
    assert all(len(row) == len(question.criteria) for row in first.verdicts)


def test_quarters_of_a_run_by_hand():
    """Eight steps, two in each quarter; five steps split at 1.25, 2.5 and 3.75."""
    curves = pd.DataFrame(
        {"world": "L", "arm": "RL-AON", "seed": "A0", "step": range(1, 9), "verdict/aon": range(1, 9)}
    )
    assert comparison.quarters(curves)[list(comparison.QUARTERS)].to_numpy().tolist() == [[1.5, 3.5, 5.5, 7.5]]
    odd = comparison.quarters(curves[curves["step"] <= 5])
    assert odd[list(comparison.QUARTERS)].to_numpy().tolist() == [[1, 2, 3, 4.5]]
    assert comparison.quarters(pd.DataFrame(columns=["arm", "world", "seed", "step"])).empty
