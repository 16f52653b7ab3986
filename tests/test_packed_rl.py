"""RL with both discriminators: the comparisons speak of planned runs, and the sign is packed minus the other."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.analysis import packed_rl
from rtt_lib.analysis.contrasts import CONTRADICTED, NEGLIGIBLE, SUPPORTED, UNTESTED, decide
from rtt_lib.files import write_jsonl
from rtt_lib.profile import REPOSITORY, RESULTS
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import RUNS, published_table

SHOWN = {SUPPORTED, CONTRADICTED}
SEEDS = ("A0", "B1", "C2", "D3", "E4")


def test_every_comparison_has_its_runs_and_they_are_those_of_micro():
    planned = {(spec.arm.name, spec.world, spec.seed) for spec in plan(load_profile("packed"))}
    wanted = {(arm, one.world, seed) for one in packed_rl.COMPARISONS for arm in one.weights for seed in SEEDS}
    assert wanted <= planned
    in_micro = {spec.place: spec.fingerprint for spec in plan(load_profile("micro"))}
    core = plan(load_profile("packed"), ["core"])
    assert [in_micro[spec.place] for spec in core] == [spec.fingerprint for spec in core]


def record(arm: str, world: str, seed: str, score: float) -> dict:
    scores = {"all_satisfied": score, "satisfied": score, "families": {}}
    rest = {"language_loss": 1.0, "mean_words": 9.0, "truncated": 0.0}
    return {
        "arm": arm,
        "world": world,
        "seed": seed,
        "sampled": scores,
        "greedy": scores,
        "out_of_domain": scores,
    } | rest


def test_the_table_by_hand(tmp_path):
    """In L the packed one loses ten points, give or take one; in U it is alike; in M nothing was run."""
    rows = []
    for n, seed in enumerate(SEEDS):
        rows.append(record("RTT-AON", "L", seed, 0.5))
        rows.append(record("RTT-AON packed", "L", seed, 0.39 + 0.005 * n))
        rows.append(record("RTT-CSR", "U", seed, 0.5 + 0.1 * n))
        rows.append(record("RTT-CSR packed", "U", seed, 0.499 + 0.1 * n + 0.001 * n))
    write_jsonl(tmp_path / RUNS, rows)
    packed_rl.main([str(tmp_path)])
    table = pd.read_csv(tmp_path / "tables" / "packed_rl.csv").set_index("claim")
    assert table.loc["RTT-AON L", "difference"] == pytest.approx(-0.1)
    verdicts = table["verdict"].to_dict()
    assert verdicts["RTT-AON L"] == CONTRADICTED and verdicts["RTT-CSR U"] == NEGLIGIBLE
    assert {verdicts[f"{arm} M"] for arm in packed_rl.REWARDED_BY} == {UNTESTED}


def test_the_page_holds_what_the_published_runs_say():
    page = (REPOSITORY / "docs" / "packed.md").read_text()
    found = {one.contrast.id: one for one in decide(packed_rl.COMPARISONS, published_table(RESULTS / "packed"))}
    assert {one.pairs for one in found.values()} == {5} and not {one.verdict for one in found.values()} & SHOWN
    assert [name for name, one in found.items() if one.verdict == NEGLIGIBLE] == ["RTT-AON M"]
    for world in "LMU":
        cells = (found[f"{arm} {world}"] for arm in packed_rl.REWARDED_BY)
        said = (f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]" for one in cells)
        assert f"| {world} | {' | '.join(said)} |" in page
