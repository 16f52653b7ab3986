"""What the notebooks say first, from tables written by hand."""

from __future__ import annotations

import pandas as pd

from rtt_lib.analysis.comparison import differences
from rtt_lib.analysis.shapes import GLOBAL, LENGTH
from rtt_lib.analysis.strongest import STRONGEST
from rtt_lib.report import answers
from rtt_lib.report.discriminator import KEYWORDS
from rtt_lib.report.reading import answer, sentences_of
from rtt_lib.studies.records import RUNS


def runs(values: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    """(world, arm) -> scores of the seeds A0, B0, ...: a frame as `results_table` gives it."""
    rows = [
        {"world": world, "arm": arm, "seed": f"{'ABCDE'[n]}0", "all satisfied": score, "per constraint": score}
        for (world, arm), scores in values.items()
        for n, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


PAIR = [("RTT-AON", "RL-AON")]
SCORES = {
    ("L", "RTT-AON"): [0.30, 0.31, 0.32, 0.30, 0.32],
    ("L", "RL-AON"): [0.40, 0.41, 0.42, 0.40, 0.42],
    ("U", "RTT-AON"): [0.50, 0.51, 0.52, 0.50, 0.52],
    ("U", "RL-AON"): [0.40, 0.41, 0.42, 0.40, 0.42],
    ("S", "RTT-AON"): [0.1, 0.9, 0.2, 0.8, 0.5],
    ("S", "RL-AON"): [0.9, 0.1, 0.8, 0.2, 0.5],
    ("M", "RTT-AON"): [0.2],
    ("M", "RL-AON"): [0.1],
}


class TestCompared:
    def test_worlds_stand_with_their_verdict_and_the_sign_is_the_arms(self):
        said = answers.compared(differences(runs(SCORES), PAIR), "RTT-AON", "RL-AON", when="At the end")
        assert said.startswith(
            "At the end RTT-AON against RL-AON: better in U (+10.0 points [+10.0, +10.0]); worse in "
        )
        assert "worse in L (-10.0 points [-10.0, -10.0]); no difference shown in S (+0.0 points [" in said
        assert said.endswith("; too few runs to tell in M (+10.0 points).")
        assert len(sentences_of(said)) == 1

    def test_two_worlds_with_one_verdict_share_it(self):
        scores = {("X", arm): SCORES["L", arm] for arm in ("RTT-AON", "RL-AON")} | SCORES
        said = answers.compared(differences(runs(scores), PAIR), "RTT-AON", "RL-AON")
        assert "worse in X (-10.0 points [-10.0, -10.0]) and L (-10.0" in said

    def test_a_comparison_that_is_missing_is_said(self):
        table = differences(runs(SCORES), PAIR)
        assert answers.compared(table, "RTT-CSR", "RL-CSR") == "RTT-CSR against RL-CSR: no comparison in this profile."


def test_verdicts_name_the_worlds_of_several_rivals_without_sizes():
    pairs = [("RTT-AON", rival) for rival in ("RL-AON", "SFT")]
    said = answers.verdicts(differences(runs(SCORES), pairs), "RTT-AON", ("RL-AON", "SFT"))
    assert said == (
        "RTT-AON against RL-AON: better in U, worse in L, no difference shown in S, too few runs to tell in M; "
        "against SFT: no comparison in this profile."
    )
    assert len(sentences_of(said)) == 1


def test_each_pair_of_a_table_stands_with_its_arm_in_one_sentence():
    scores = runs(SCORES | {("L", "SFT"): [0.1, 0.11, 0.12, 0.1, 0.12]})
    pairs = [("RTT-AON", "RL-AON"), ("RL-AON", "SFT"), ("RTT-AON", "SFT")]
    said = answers.each_pair(differences(scores, pairs))
    assert said == (
        "RTT-AON against RL-AON: better in U, worse in L, no difference shown in S, too few runs to tell in M; "
        "against SFT: better in L; RL-AON against SFT: better in L."
    )
    assert len(sentences_of(said)) == 1
    worse = scores.assign(**{"language loss": scores["all satisfied"]})
    table = differences(worse, pairs[1:2], ["all satisfied", "language loss"])
    assert answers.each_pair(table, "language loss") == "Language loss, RL-AON against SFT: worse in L."
    assert answers.each_pair(table, "out of domain") == "Out of domain: not run in this profile."
    assert answers.each_pair(table.iloc[:0]) == "Not run in this profile."


def test_discriminator_names_rivals_weak_families_and_those_left_out():
    mean = {"taxonomy": 0.983, "packed": 0.97, "greedy": 0.501, KEYWORDS: 0.473}
    families = {"start": 0.999, "end": 0.848, "include": 0.95}
    said = answers.discriminator(mean, families, {"exactly": 0.836, "include": 0.891})
    first, second, third = sentences_of(said)
    assert first.endswith(
        "is 0.98, against 0.50 of one that learnt from greedy labels and 0.47 of a rule that matches words."
    )
    assert second == "Families below 0.95: end (0.85)."
    assert third.endswith("F1 is 0.84 for exactly and 0.89 for include.")
    answer(said)
    alone = answers.discriminator({"taxonomy": 1.0, KEYWORDS: 0.4}, {"start": 1.0}, {})
    assert alone.endswith("against 0.40 of a rule that matches words. Families below 0.95: none.")


def test_rubric_data_names_both_ends_of_a_range():
    problems = pd.DataFrame(
        {
            "silent groups, AON": [0.54, 0.83, 0.6],
            "silent groups, CSR": [0.0, 0.001, 0.0],
            "of these, other criteria": [0.81, 0.78, 0.77],
        }
    )
    said = answers.rubric_data(problems, 8)
    assert "all 8 responses to a prompt the same reward in 54% to 83% of the groups" in said
    assert "CSR does so in 0%." in said and said.endswith("77% to 81% satisfy different criteria.")
    answer(said)


def test_relevance_labels_weigh_cases_by_their_examples():
    columns = ["case", "examples", "all", "segments", "nothing"]
    ours = pd.DataFrame([("global, satisfied", 30, 1, 0, 0), ("local, violated", 10, 0, 1, 0)], columns=columns)
    naive = pd.DataFrame([("global, satisfied", 30, 0, 0.9, 0.1), ("local, violated", 10, 0, 1, 0)], columns=columns)
    said = answers.relevance_labels(ours, naive)
    assert said.startswith("In 40 examples, the taxonomy marks all tokens in 75%, segments in 25% and nothing in 0%; ")
    assert "the greedy annotator all tokens in 0%, segments in 92% and nothing in 8%." in said
    assert said.endswith("Both mark the same kind of thing in 1 of 2 cases: “local, violated”.")
    answer(said)


def test_group_partitioning_counts_silent_groups_and_what_speaks_in_them():
    silence = pd.DataFrame(
        {"reward": ["AON", "CSR"], "groups": 64, "silent under A_res": [0.75, 0], "intra": [0.5, None]}
    )
    uniform = pd.DataFrame({"family": ["length", "end"], "relevance uniform in the response": [1.0, 0.6]})
    names = ["intra", "inter", "joint", "released"]
    correlations = pd.DataFrame([[1, 0.85, 0.9, 0.23]], index=["intra"], columns=names)
    said = answers.group_partitioning(silence, uniform, correlations)
    assert "Under AON 75% of 64 groups" in said and "in 50% of these intra still gives token credit" in said
    assert "no credit in 100% of the cases" in said
    assert said.endswith("0.85 with inter, 0.90 with joint, 0.23 with released.")
    answer(said)
    none = silence.assign(**{"silent under A_res": [0.0, 0.0], "intra": [float("nan")] * 2})
    assert "still gives" not in answers.group_partitioning(none, uniform, correlations)


def test_length_bias_compares_short_with_equal():
    simulation = pd.DataFrame(
        {
            "scenario": ["only the shortest satisfies"] * 2 + ["all satisfy"],
            "length ratio": [1.0, 1 / 64, 1.0],
            "inter, simulated": [2.19, 4.3, 9.0],
            "intra": [0.0, 0.0, -0.004],
        }
    )
    shortest = pd.DataFrame({"inter": [0.5, -0.2], "predicted": [0.5, -0.2 + 3e-13]})
    said = answers.length_bias(simulation, shortest)
    assert "of 4.30 where it has 1/64 of the others' length, 2.19 where it is as long." in said
    assert said.endswith("Eq. 12 and 17 predict inter's on 2 cases of the micro language to 3e-13.")
    answer(said)


def test_rtt_grpo_takes_the_first_quarter_from_one_table_and_the_end_from_the_other():
    scores = runs(SCORES)
    early = differences(scores.assign(**{"first quarter": scores["all satisfied"]}), PAIR, ["first quarter"])
    said = answers.rtt_grpo(early, differences(scores, PAIR))
    first, second, third = sentences_of(said)
    assert first.startswith("In the first quarter of training RTT-AON against RL-AON: better in U (+10.0 points")
    assert second.startswith("After training RTT-AON against RL-AON: better in U")
    assert third == "After training RTT-CSR against RL-CSR: no comparison in this profile."
    answer(said)


def test_baselines_and_ablations_name_the_best_beta_of_each_world():
    scores = runs(SCORES | {("L", "SFT"): [0.1, 0.11, 0.12, 0.1, 0.12]})
    trained = differences(scores, [("RL-AON", "SFT"), ("RL-AON", "DPO")])
    betas = pd.DataFrame({"world": ["L", "L", "U", "U"], "beta": [0, 0.25, 0, 1.0], "mean": [0.5, 0.6, 0.4, 0.3]})
    said = answers.baselines_and_ablations(trained, differences(scores, []), betas)
    first, second, third = sentences_of(said)
    assert first == "RL-AON against SFT: better in L; against DPO: no comparison in this profile."
    assert second.startswith("RTT-AON against RTT-AON inter: no comparison") and second.count("against") == 3
    assert third == "The beta with the highest mean is 0.25 in L and 0 in U."
    answer(said)
    none = answers.baselines_and_ablations(trained, differences(scores, []), betas.iloc[:0])
    assert none.endswith("This profile compares no values of beta.")


def test_token_attribution_names_the_family_of_the_lowest_precision():
    cases = pd.DataFrame({"tokens right": [1.0, 0.5, float("nan")]})
    rollouts = pd.DataFrame(
        {"family": ["length", "end", "start"], "relevant": [1, 0.02, 0.03], "precision": [0.1, 0.57, 0.9]}
    )
    said = answers.token_attribution(cases, rollouts)
    assert said.startswith("In 1 of 2 cases every token is on the right side of 0.5, as are 75% of the tokens")
    assert said.endswith("is end: 57% of what is marked is right."), "a global family is marked throughout"
    answer(said)
    assert len(sentences_of(answers.token_attribution(cases, rollouts.iloc[:1]))) == 1


def test_released_code_audit():
    arms = ("RTT-AON", "RL-AON", "RTT-CSR")
    mixing = {"correlation with the paper": 0.2318, "tokens with the opposite sign": 0.4057}
    first, second, third = sentences_of(answers.released_code_audit(mixing, differences(runs(SCORES), PAIR), arms))
    assert "correlates 0.23 with the paper's formula, and 41% of the tokens are pushed the other way." in first
    assert second.startswith("After training RTT-AON against RL-AON: better in U") and third.endswith("this profile.")


TUNED = "Tuned alike, the best RTT is shown to be above the best RL in 2 of 6 comparisons."


def test_beyond_the_paper_says_what_grows_and_what_is_neglected():
    rows = [("L", LENGTH, "more"), ("U", LENGTH, "no difference shown"), ("L", GLOBAL, "less")]
    failures = pd.DataFrame(rows, columns=["world", "measure", "verdict"]).assign(arm="RTT-AON", against="RL-AON")
    mended = differences(runs({("L", STRONGEST): [0.2] * 5}), [("RTT-CSR relative", STRONGEST)])
    first, second, third = sentences_of(answers.beyond_the_paper(TUNED, failures, mended))
    assert first == TUNED
    assert second == (
        "RTT-AON against RL-AON, tokens added more in L, no difference shown in U; global criteria gained less in L."
    )
    assert third == f"After training RTT-CSR relative against {STRONGEST}: no comparison in this profile."
    bare = answers.beyond_the_paper("Tuned alike: not run in this profile.", failures.iloc[:0], mended)
    assert bare.startswith("Tuned alike: not run in this profile. RTT-AON against RL-AON, tokens added not compared")
    answer(bare)


def decided(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame({"claim": [f"C{n}" for n in range(1, len(verdicts) + 1)], "verdict": verdicts})


def test_serl_groups_claims_by_verdict_and_says_how_good_the_judge_must_be():
    claims, credit = decided("supported", "undecided", "supported"), decided("untested")
    turning = {"accuracy": 0.53, "low": 0.5, "high": 0.58, "rises": 0.99, "least": 0.4, "most": 0.8, "gain": 0.1}
    first, second, third = sentences_of(answers.serl(claims, turning, credit))
    assert first == "On SERL's claims: supported C1 and C3, undecided C2."
    assert "of accuracy 53% [50%, 58%]" in second and second.endswith("99% of the resamples.")
    assert third == "On token credit: untested C1."
    outside = turning | {"accuracy": None, "low": None, "high": None}
    assert "right in 40% to 80% of the pairs, and by a straight line the actor gains with all of them." in answers.serl(
        claims, outside, credit
    )
    assert "the actor loses with all of them" in answers.serl(claims, outside | {"gain": -0.1}, credit)
    assert "Too few runs tell" in answers.serl(claims, dict.fromkeys(turning), credit)


def test_what_was_not_run_here_is_elsewhere_if_it_is_published(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "RESULTS", tmp_path)
    untested, few = decided("untested", "untested"), dict.fromkeys(("accuracy", "gain"))
    assert answers.serl(untested, few, untested) == "This profile has no runs of SERL, so that nothing is tested here."
    said = answers.conifer(untested, untested)
    assert said == "This profile has no runs in a world of levels, so that nothing is tested here."
    for name in ("serl", "conifer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUNS).touch()
    there = "The runs are in the profile {0}: see results/{0}, or give the command rtt run {0}."
    assert sentences_of(answers.serl(untested, few, untested))[1:] == [there.format("serl")]
    assert sentences_of(answers.conifer(untested, untested))[1:] == [there.format("conifer")]
    answer(answers.conifer(untested, untested))


def test_conifer():
    said = answers.conifer(decided("contradicted", "negligible"), decided("supported"))
    assert said == "On Conifer's claims: contradicted C1, negligible C2. On its twin in RL: supported C1."


def test_claims_by_verdict_and_one_by_one():
    table = decided("does not replicate", "replicates", "replicates", "cannot be tested at this size")
    said = answers.by_verdict(table)
    assert said == "Replicates: C2 and C3; does not replicate: C1; cannot be tested at this size: C4."
    table = table.assign(statement=["RTT wins", "Lengths grow", "It holds", "It is fast"])
    assert answers.on_claims(table, "C3", "C1") == "C3 (It holds): replicates; C1 (RTT wins): does not replicate."
