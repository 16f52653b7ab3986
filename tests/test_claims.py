"""Every claim on runs whose answer is known: it replicates, it fails, it does so partly, it cannot be tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtt_lib.analysis import claims, comparison
from rtt_lib.analysis.claims import wilson
from rtt_lib.analysis.evidence import Evidence
from rtt_lib.analysis.judging import FAILS, PARTLY, REPLICATES, UNTESTED

SEEDS = ("A0", "A1", "A2", "B0", "B1")
NOISE = np.array([0.010, -0.010, 0.005, 0.000, -0.005])  # the same for all arms of a seed unless `wobble`
WOBBLE = np.array([0.3, -0.3, 0.2, -0.2, 0.0])  # spoils any pairing: no interval of a small difference excludes zero


def scores(seeds=SEEDS, world="x", wobble=(), **arms) -> pd.DataFrame:
    """One row per run; an arm's name in keywords has _ for a blank and two for a dash."""
    rows = []
    for name, score in arms.items():
        arm = name.replace("__", "-").replace("_", " ").replace("beta ", "beta 0.").replace("beta 0.1", "beta 1")
        noise = NOISE + (WOBBLE if name in wobble else 0)
        for k, seed in enumerate(seeds):
            value = score + noise[k]
            rows.append(dict(arm=arm, world=world, seed=seed) | {"all satisfied": value, "per constraint": value})
    return pd.DataFrame(rows).assign(**{"out of domain": lambda f: f["all satisfied"], "language loss": 2.0})


def curves(seeds=SEEDS, world="x", steps=60, **arms) -> pd.DataFrame:
    """arm: (step at which the rate has climbed to 0.6, rate at the end, entropy at the end)."""
    frames = []
    for name, (climbed, end, entropy) in arms.items():
        for k, seed in enumerate(seeds):
            step = np.arange(1, steps + 1)
            rate = np.interp(step, [0, climbed + k % 2, 45, steps - 15], [0, 0.6, 0.6, end])
            rows = {"step": step, "verdict/aon": rate, "entropy": entropy + NOISE[k]}
            frames.append(pd.DataFrame(rows).assign(arm=name.replace("__", "-"), world=world, seed=seed))
    return pd.concat(frames, ignore_index=True)


NO_CURVES = pd.DataFrame(columns=["arm", "world", "seed", "step"])


def evidence(tmp_path, runs=None, lines=NO_CURVES) -> Evidence:
    return Evidence(pd.DataFrame(columns=["arm", "world", "seed"]) if runs is None else runs, lines, tmp_path)


CORE = {"RL__AON": 0.5, "RL__CSR": 0.5, "RTT__AON": 0.6, "RTT__CSR": 0.6}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, REPLICATES),
        ({"RTT__AON": 0.4}, PARTLY),
        ({"RTT__AON": 0.4, "RTT__CSR": 0.4}, FAILS),
        ({"RTT__AON": 0.5, "RTT__CSR": 0.5}, FAILS),
    ],
)
def test_c1_needs_every_comparison(tmp_path, change, verdict):
    assert claims.c1(evidence(tmp_path, scores(**CORE | change))).verdict == verdict


def test_c1_in_another_world_counts_as_much(tmp_path):
    other = scores(world="y", **CORE | {"RTT__AON": 0.3, "RTT__CSR": 0.3})
    judged = claims.c1(evidence(tmp_path, pd.concat([scores(**CORE), other])))
    assert judged.verdict == PARTLY and judged.reason == "shown in 2 of 4 comparisons, reversed in 2."
    mean, opposite = "+10.0 [+10.0, +10.0] (A +10.0 B +10.0)", "-20.0 [-20.0, -20.0] (A -20.0 B -20.0)"
    assert f"x {mean}, n = 5 | y {opposite}, n = 5" in judged.ours
    assert judged.n == "5 paired seeds: A0 A1 A2 B0 B1"


def test_more_for_the_opposite_is_no_replication(tmp_path):
    worlds = [scores(world=world, **CORE | {"RTT__AON": 0.3, "RTT__CSR": 0.3}) for world in ("y", "z")]
    judged = claims.c1(evidence(tmp_path, pd.concat([scores(**CORE), *worlds])))
    assert judged.verdict == FAILS and judged.reason.startswith("shown in 2 of 6 comparisons, reversed in 4.")


def test_a_difference_within_the_noise_is_no_verdict(tmp_path):
    judged = claims.c1(evidence(tmp_path, scores(wobble=("RTT__AON", "RTT__CSR"), **CORE | {"RTT__AON": 0.51})))
    assert judged.verdict == UNTESTED and "shown in 0 of 2 comparisons, reversed in 0." in judged.reason


def test_two_seeds_test_nothing_and_show_no_interval(tmp_path):
    judged = claims.c1(evidence(tmp_path, scores(seeds=("A0", "B0"), **CORE)))
    assert judged.verdict == UNTESTED and "[" not in judged.ours and "n = 2" in judged.ours


def test_c2_to_be_as_good_as_dpo_is_not_to_beat_it(tmp_path):
    supervised = {"SFT": 0.2, "DPO": 0.3}
    assert claims.c2(evidence(tmp_path, scores(**CORE, **supervised))).verdict == REPLICATES
    assert claims.c2(evidence(tmp_path, scores(**CORE, SFT=0.2, DPO=0.5))).verdict == PARTLY
    assert claims.c2(evidence(tmp_path, scores(**CORE, SFT=0.9, DPO=0.9))).verdict == FAILS
    assert claims.c2(evidence(tmp_path, scores(**CORE))).verdict == UNTESTED


@pytest.mark.parametrize(
    ("aon", "csr", "verdict"),
    [
        (0.0, 0.0, REPLICATES),  # nothing lost
        (0.08, -1.0, REPLICATES),  # within the margin
        (0.0, 3.0, PARTLY),
        (0.2, 3.0, FAILS),  # both beyond it
    ],
)
def test_c3_is_about_losses_beyond_a_margin(tmp_path, aon, csr, verdict):
    runs = scores(base=0.6, RTT__AON=0.6, RTT__CSR=0.6, RL__CSR=0.6)
    runs["language loss"] += runs["arm"].map({"base": 0, "RTT-AON": aon, "RTT-CSR": csr, "RL-CSR": 7})
    judged = claims.c3(evidence(tmp_path, runs))
    assert judged.verdict == verdict and f"RTT-CSR - base, language loss (nats per token): x {csr:+.2f}" in judged.ours
    assert "RL's loss, which does not count: RL-CSR - base, language loss (nats per token): x +7.00" in judged.reason


def test_c3_a_wide_interval_neither_keeps_nor_loses(tmp_path):
    runs = scores(base=0.6, RTT__AON=0.6, RTT__CSR=0.6, wobble=("base",))
    runs["language loss"] += runs["all satisfied"]
    assert claims.c3(evidence(tmp_path, runs)).verdict == UNTESTED


def test_c3_more_lost_than_kept_fails(tmp_path):
    worlds = [scores(base=0.6, RTT__AON=0.2, RTT__CSR=0.2, world=world) for world in "xyz"]
    runs = pd.concat(worlds)
    runs.loc[(runs["arm"] != "base") & (runs["world"] != "x"), "language loss"] = 2.5
    judged = claims.c3(evidence(tmp_path, runs))
    assert judged.verdict == FAILS and "shown in 2 of 6 comparisons, reversed in 4." in judged.reason


def test_c4_the_wrong_sign_fails(tmp_path):
    both = scores(RTT__AON=0.6, RTT__AON_inter=0.5)
    assert claims.c4(evidence(tmp_path, both)).verdict == REPLICATES
    assert claims.c4(evidence(tmp_path, scores(RTT__AON=0.5, RTT__AON_inter=0.6))).verdict == FAILS
    unequal = pd.concat([both, scores(RTT__AON=0.5, RTT__AON_inter=0.6, world="y")])
    assert claims.c4(evidence(tmp_path, unequal)).verdict == PARTLY


def test_c5_is_an_order(tmp_path):
    weights = {"RTT__AON": 0.6, "RTT__AON_greedy": 0.55, "RL__AON": 0.5, "RTT__AON_random": 0.4}
    assert claims.c5(evidence(tmp_path, scores(**weights))).verdict == REPLICATES
    assert claims.c5(evidence(tmp_path, scores(**weights | {"RTT__AON_greedy": 0.45}))).verdict == PARTLY
    reverse = dict(zip(weights, reversed(weights.values()), strict=True))
    assert claims.c5(evidence(tmp_path, scores(**reverse))).verdict == FAILS
    assert claims.c5(evidence(tmp_path, scores(**CORE))).verdict == UNTESTED


def test_c6_the_best_has_to_beat_all(tmp_path):
    sweep = {
        "RL__AON": 0.5,
        "RTT__AON_beta_25": 0.55,
        "RTT__AON": 0.6,
        "RTT__AON_beta_75": 0.55,
        "RTT__AON_beta_1": 0.4,
    }
    judged = claims.c6(evidence(tmp_path, scores(**sweep)))
    assert judged.verdict == REPLICATES and "shown in 4 of 4" in judged.reason
    assert claims.c6(evidence(tmp_path, scores(**sweep | {"RTT__AON_beta_25": 0.7}))).verdict == PARTLY
    assert claims.c6(evidence(tmp_path, scores(**sweep | {"RTT__AON": 0.3}))).verdict == FAILS
    assert claims.c6(evidence(tmp_path, scores(**CORE))).verdict == UNTESTED


@pytest.mark.parametrize(
    ("rtt", "verdict"),
    [
        ((10, 0.6, 0.4), REPLICATES),
        ((10, 0.6, 2.0), PARTLY),  # faster, but not surer
        ((44, 0.6, 2.0), FAILS),
    ],
)
def test_c7_faster_and_surer(tmp_path, rtt, verdict):
    judged = claims.c7(evidence(tmp_path, lines=curves(RL__CSR=(30, 0.6, 1.4), RTT__CSR=rtt)))
    assert judged.verdict == verdict and "steps half way (steps)" in judged.ours


def test_c7_without_runs_and_with_a_run_that_never_gets_there(tmp_path):
    assert claims.c7(evidence(tmp_path)).verdict == UNTESTED
    lines = curves(RL__CSR=(30, 0.6, 1.4), RTT__CSR=(30, 0.6, 0.4))
    lines.loc[lines["arm"] == "RTT-CSR", "verdict/aon"] = 0.1
    steps = comparison.half_way(lines, ("RL-CSR", "RTT-CSR")).groupby("arm")[comparison.HALF_WAY].mean()
    assert steps["RTT-CSR"] == 60 and 15 < steps["RL-CSR"] < 30


@pytest.mark.parametrize(
    ("rl", "rtt", "verdict"),
    [
        (0.2, 0.6, REPLICATES),
        (0.2, 0.35, PARTLY),  # both fall, RL-CSR more
        (0.6, 0.6, UNTESTED),  # nobody falls
        (0.6, 0.2, UNTESTED),  # the wrong one does: no run shows that RL-CSR can
    ],
)
def test_c8_only_rl_collapses(tmp_path, rl, rtt, verdict):
    judged = claims.c8(evidence(tmp_path, lines=curves(RL__CSR=(20, rl, 1.0), RTT__CSR=(20, rtt, 1.0))))
    assert judged.verdict == verdict
    assert f"RL-CSR: {5 * (rl < 0.4)} of 5 runs lose a third" in judged.ours


def test_c8_gives_the_reason_of_its_own_verdict(tmp_path):
    """The rule's words on what decides are about another verdict where C8's own rule overrides it."""
    none = claims.c8(evidence(tmp_path, lines=curves(RL__CSR=(20, 0.6, 1.0), RTT__CSR=(20, 0.6, 1.0))))
    assert none.reason.startswith("No run of RL-CSR collapses, so ") and "Without" not in none.reason
    both = claims.c8(evidence(tmp_path, lines=curves(RL__CSR=(20, 0.2, 1.0), RTT__CSR=(20, 0.35, 1.0))))
    assert "runs of RTT-CSR collapse too" in both.reason and "Without" not in both.reason


def test_c8_with_one_run_cannot_be_tested(tmp_path):
    lines = curves(seeds=("A0",), RL__CSR=(20, 0.2, 1.0), RTT__CSR=(20, 0.6, 1.0))
    assert claims.c8(evidence(tmp_path, lines=lines)).verdict == UNTESTED


@pytest.mark.parametrize(
    ("right", "examples", "verdict"),
    [
        ((1.0, 0.99), 500, REPLICATES),
        ((1.0, 0.3), 500, PARTLY),
        ((0.5, 0.3), 500, FAILS),
        ((1.0, 1.0), 6, UNTESTED),
    ],
)
def test_c10_reads_the_cases_of_the_discriminator(tmp_path, right, examples, verdict):
    cases = pd.DataFrame({"case": ["global, satisfied", "local positive, violated"], "discriminator": "taxonomy"})
    cases = cases.assign(examples=examples, **{"exactly right": right})
    greedy = cases.assign(discriminator="greedy", **{"exactly right": 0.0})
    pd.concat([cases, greedy]).to_csv(tmp_path / "03_cases.csv", index=False)
    judged = claims.c10(evidence(tmp_path))
    assert judged.verdict == verdict and judged.n == f"{2 * examples} fresh responses"
    assert "global, satisfied: " in judged.ours


def test_c10_without_a_table(tmp_path):
    assert claims.c10(evidence(tmp_path)).verdict == UNTESTED


def test_c11_follows_the_simulation(tmp_path, monkeypatch):
    assert claims.c11(evidence(tmp_path)).verdict == REPLICATES
    simulated = claims.simulate(draws=3)
    swapped = simulated.assign(scheme=simulated["scheme"].map({"inter": "intra", "intra": "inter"}))
    monkeypatch.setattr(claims, "simulate", lambda: swapped)
    assert claims.c11(evidence(tmp_path)).verdict == FAILS
    monkeypatch.setattr(claims, "simulate", lambda: pd.concat([simulated.assign(scheme=s) for s in ("inter", "intra")]))
    assert claims.c11(evidence(tmp_path)).verdict != REPLICATES


def test_wilson_by_hand():
    # n = 10, all right: (1 + z^2/20 -+ z^2/20) / (1 + z^2/10) = 1 / 1.38415 and 1.
    assert wilson(1.0, 10) == (pytest.approx(0.72247, abs=1e-5), pytest.approx(1.0))
    assert wilson(0.5, 96) == (pytest.approx(0.40190, abs=1e-4), pytest.approx(0.59810, abs=1e-4))
