"""Fresh runs beside published ones: the interval by hand, and the command from start to end."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from test_execute import PROFILE

from rtt_lib.analysis.spot_check import compare, in_words
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.profile import RESULTS
from rtt_lib.run import cli, spot_check
from rtt_lib.studies import execute, records
from rtt_lib.worlds.micro.shipped import BASES, DISCRIMINATORS, LETTERS


def runs(**scores) -> pd.DataFrame:
    return pd.DataFrame([{"world": "L", "arm": arm, "seed": f"A{n}", "all satisfied": value}
                         for arm, values in scores.items() for n, value in enumerate(values)])  # fmt: skip


def test_the_interval_of_a_share_stays_one():
    # n = 3: mean 0.5, s = 0.1, t = 4.3027 with 2 degrees of freedom; half = 4.3027 x 0.1 x sqrt(4/3) = 0.4968
    table = compare(runs(one=[0.4, 0.5, 0.6], wide=[0.1, 0.2, 0.9]), runs(one=[0.5], wide=[0.5])).set_index("arm")
    assert table.loc["one", ["low", "high"]].tolist() == pytest.approx([0.0032, 0.9968], abs=1e-4)
    assert table.loc["wide", ["low", "high"]].tolist() == [0, 1]


def test_each_fresh_run_is_compared_with_its_own_arm():
    published = runs(one=[0.4, 0.5, 0.6], other=[0.90, 0.91, 0.92], rare=[0.5])
    table = compare(published, runs(one=[0.9], other=[0.5], rare=[0.5], new=[0.5])).set_index("arm")
    assert table["inside"].to_dict() == {"one": True, "other": False, "rare": False, "new": False}
    assert table["published"].tolist()[:2] == pytest.approx([0.5, 0.91]) and table["runs"].tolist() == [3, 3, 1, 0]
    said = in_words(table.reset_index())
    assert said == "1 of 2 fresh runs are inside the 95% prediction interval of the published runs."


def test_what_is_drawn_is_kept_until_the_check_is_done(tmp_path):
    seeds = {spot_check.drawn(tmp_path / str(n), set()) for n in range(200)}
    assert len(seeds) > 190 and all(re.fullmatch(r"[A-H][1-9]\d{3,5}", seed) for seed in seeds)
    assert {seed[0] for seed in seeds} == set(LETTERS)
    assert spot_check.drawn(tmp_path / "0", set()) == read_json(tmp_path / "0" / "drawn.json")["seed"]
    write_json(tmp_path / "drawn.json", {"seed": "A0"})
    with pytest.raises(RTTError, match=r"a published run has the seed A0"):
        spot_check.drawn(tmp_path, {"A0"})


def test_every_cell_has_published_runs_and_a_base_policy_of_the_package():
    published = records.published_table(RESULTS / spot_check.PROFILE)
    numbers = [int(seed[1:]) for seed in published["seed"]]
    assert max(numbers) < spot_check.FIRST
    for world, arm in spot_check.CELLS:
        same = published[(published["world"] == world) & (published["arm"] == arm)]
        assert len(same) >= 5 and same["all satisfied"].std() > 0
        assert {world + base for base in LETTERS} <= set(BASES)


@pytest.mark.slow
def test_the_command_ends_in_an_answer_and_goes_on_after_an_interruption(monkeypatch, tmp_path, empty_store, capsys):
    (tmp_path / "micro").symlink_to(RESULTS / "micro")
    monkeypatch.setattr(spot_check, "RESULTS", tmp_path)
    monkeypatch.setattr(spot_check, "CELLS", (("L", "RL-CSR"), ("U", "RL-AON")))
    monkeypatch.setattr(spot_check, "load_profile", lambda name: PROFILE)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(spot_check, "run_all", interrupted)
        assert cli.main(["spot-check"]) == 130
    seed = read_json(tmp_path / "spot-check" / "drawn.json")["seed"]
    capsys.readouterr()
    assert cli.main(["spot-check"]) == 0
    said, models = capsys.readouterr().out, len(BASES) + len(DISCRIMINATORS)
    assert "| C1 | RTT beats RL with the same reward |" in said
    assert f"seed {seed}; {models} of {models} micro models" in said
    assert f"| L | RL-CSR | {seed} |" in said and f"| U | RL-AON | {seed} |" in said
    assert re.search(r"\n[012] of 2 fresh runs are inside the 95% prediction interval", said)
    answer = (tmp_path / "spot-check" / "answer.md").read_text()
    assert all(line in said for line in answer.splitlines())
    assert not (tmp_path / "spot-check" / "drawn.json").exists()
    fresh = [path for path in (empty_store / "runs").iterdir() if execute.store.made(path)]
    assert len(fresh) == 2
