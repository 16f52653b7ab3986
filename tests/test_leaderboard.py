"""The leaderboard: its columns by hand, and the committed page and entries."""

from __future__ import annotations

import pandas as pd
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.methods.user_rule import check, load
from rtt_lib.profile import RESULTS
from rtt_lib.report import leaderboard
from rtt_lib.report.leaderboard import PAGE, Entry, Run, board, page, published, read, run_of, standing, write
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import recorded
from rtt_lib.worlds.micro import discriminators


def entry(name: str, satisfied=(0.5, 0.5, 0.5), curve=(0.0, 1.0), suppressed: float | None = 0.25) -> Entry:
    """The same runs in all three worlds; satisfied: from the base policies A, B and C."""
    runs = [
        Run(world, seed, value, 12.0, 0.75, suppressed, tuple(curve))
        for world in leaderboard.WORLDS
        for seed, value in zip(leaderboard.SEEDS, satisfied, strict=True)
    ]
    return Entry(name, "about it", "text", f"rtt score {name}.py", "0123456789abcdef", tuple(runs))


RIVAL = entry("RL-CSR", (0.4, 0.5, 0.6))


def test_points_are_the_mean_of_paired_differences_and_the_best_comes_first():
    table = board([entry("worse", (0.3, 0.4, 0.5)), RIVAL, entry("better", (0.5, 0.6, 0.8))])
    assert table["world"].tolist() == list("LLLMMMUUU") and table["rule"].tolist() == ["better", "RL-CSR", "worse"] * 3
    points = table.set_index(["world", "rule"])[leaderboard.POINTS]
    assert points["L", "RL-CSR"] == "0"
    assert points["M", "better"].startswith("+13.3 [") and points["U", "worse"] == "-10.0 [-10.0, -10.0]"
    low, high = (float(text) for text in points["L", "better"][7:-1].split(", "))
    assert low < 13.3 < high


def test_half_way_is_half_of_what_the_rival_gains():
    slow = range(1, 41)  # trailing means over ten steps: from 5.5 to 35.5, half way is 20.5, the mean of 16 to 25
    table = board([entry("RL-CSR", curve=slow), entry("fast", curve=[40.0] * 40), entry("never", curve=[0.0] * 40)])
    steps = table[table["world"] == "L"].set_index("rule")[leaderboard.HALF_WAY]
    assert steps.to_dict() == {"RL-CSR": 25.0, "fast": 10.0, "never": 40.0}


def test_what_was_not_logged_is_a_dash():
    rows = board([RIVAL, entry("old", suppressed=None)]).set_index("rule").loc["old"]
    assert rows[leaderboard.SUPPRESSED].isna().all() and (rows[leaderboard.LENGTH] == 12).all()
    line = next(
        line for line in leaderboard.shown(board([RIVAL, entry("old", suppressed=None)])).splitlines() if "old" in line
    )
    assert line.endswith("| 12.0 | 0.75 | - |")


def test_a_run_is_read_from_its_record_and_its_log():
    record = {"world": "L", "seed": "A0", "sampled": {"all_satisfied": 0.5}, "mean_words": 11.25, "other": 1}
    log = pd.DataFrame(
        {"step": range(20, 0, -1), "entropy": [float(n) for n in range(20, 0, -1)], leaderboard.CURVE: 0.5}
    )
    found = run_of(record, log)
    assert (found.satisfied, found.words, found.suppressed) == (0.5, 11.25, None)
    assert found.entropy == 15.5, "the mean of the last ten steps, 11 to 20" and len(found.curve) == 20
    assert run_of(record, log.assign(**{"credit/suppressed_criteria": 0.2})).suppressed == 0.2


def test_an_entry_survives_its_file_and_a_broken_one_is_named(tmp_path):
    path = write(entry("my rule"), tmp_path)
    assert path.name == "my_rule.json" and read(tmp_path) == [entry("my rule")]
    short = entry("short")
    write(Entry(short.name, "", "", "", "", short.runs[:-1]), tmp_path)
    with pytest.raises(RTTError, match=r"short\.json: the runs must be L/A0, L/B1, .*, U/C2"):
        read(tmp_path)
    (tmp_path / "short.json").write_text('{"name": "x"}')
    with pytest.raises(RTTError, match=r"short\.json: no entry of the leaderboard"):
        read(tmp_path)


def test_ones_own_rows_are_marked_and_replace_the_old_ones():
    text = standing(entry("mine", (0.5, 0.6, 0.7)), [RIVAL, entry("mine")])
    marked = [line for line in text.splitlines() if line.startswith(">")]
    assert len(text.splitlines()) == 2 + 6 and len(marked) == 3 and all("| mine | +10.0 [" in line for line in marked)


def test_without_the_rival_there_is_no_board():
    with pytest.raises(RTTError, match=r"no runs of RL-CSR to compare with"):
        board([entry("mine")])


# --- what is committed ---


def test_the_committed_page_is_that_of_the_committed_entries():
    assert PAGE.read_text(encoding="utf-8") == page(read())


def test_the_committed_baselines_are_those_of_the_published_records():
    entries = {found.name: found for found in read()}
    trained_at = {record["made_with"]["git"]["commit"] for record in recorded(RESULTS / "micro").values()}
    for found in published("micro"):
        assert entries[found.name] == found and {found.commit} == trained_at, "not where the notebooks were drawn"
    steps = load_profile("micro").rl.steps
    assert "RL-CSR" in entries and all(len(run.curve) == steps for run in entries["RL-CSR"].runs)
    assert f"policy for {steps} steps" in PAGE.read_text(encoding="utf-8")


def test_the_settings_of_the_baselines_are_those_of_a_score():
    there, here = load_profile(RESULTS / "micro" / "profile.yaml"), load_profile("micro")
    assert (there.rl, there.policy, there.evaluation) == (here.rl, here.policy, here.evaluation)
    taxonomy = discriminators.of_kind("taxonomy")
    assert discriminators.fingerprint(there, taxonomy) == discriminators.fingerprint(here, taxonomy)


def test_the_rule_that_the_page_shows_passes_the_checks(tmp_path):
    text = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_rule.py").write_text(text)
    rule = load(tmp_path / "my_rule.py")
    check(rule)
    assert rule.arm.about == "Blame alone: the tokens of violated criteria."
