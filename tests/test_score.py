"""`rtt score` from a file to its rows: what is wrong is said before anything trains, and a child bears the faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_execute import PROFILE

from rtt_lib import origin
from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import Arm
from rtt_lib.report import leaderboard
from rtt_lib.run import cli, score
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.shipped import models

HEAD = "def rule(verdicts, relevance, mask, group_size, progress):\n    "
RULE = f'{HEAD}"""Praise what is relevant."""\n    return relevance.mean(1) * mask\n'
ORACLE = "from rtt_lib.methods.arms import Arm\narm = Arm('My Rule', 'in short', relevance='oracle')\n"


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "my_rule.py"
        path.write_text(text)
        return path

    return written


def refused(file: Path) -> str:
    with pytest.raises(RTTError) as caught:
        score.checked(file)
    return str(caught.value)


def test_a_child_gives_the_arm_and_what_the_file_prints_stays_there(write, capfd):
    found = score.checked(write(f"print('hello')\n{RULE}"))
    assert found == Arm("my_rule", "Praise what is relevant.", trainer="user-rule", reward="csr")
    assert "hello" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_wrong_rule_is_a_message_of_the_command(write, capsys, monkeypatch):
    monkeypatch.setattr(score, "score", lambda *_: pytest.fail("it trains"))
    assert cli.main(["score", str(write(HEAD + "return relevance.mean(1)"))]) == 2
    said = capsys.readouterr().err
    assert "my_rule.py: an ordinary batch" in said and "outside the mask get credit" in said


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert cli.main(["score", str(tmp_path / "none.py")]) == 2
    assert "none.py: no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_that_ends_its_process_or_never_ends_is_told(write, monkeypatch):
    gone = refused(write("import os\nprint('last words', flush=True)\nos._exit(3)"))
    assert "it ended its process (exit code 3)" in gone and "last words" in gone
    monkeypatch.setattr(score, "CHECK_SECONDS", 1)
    assert "its checks did not end within 1 s" in refused(write(RULE))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RL-CSR", "there is an arm 'RL-CSR' already"),
        ("a/b", "'a/b' is no name for a rule"),
        (".a", "'.a' is no name for a rule"),
        ("", "'' is no name for a rule"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, message):
    with pytest.raises(RTTError, match=message):
        score._arm(Path("my_rule.py"), {"name": name, "about": ""})


def test_lists_of_an_answer_are_tuples_again():
    assert score._tuples([["steps", 3], ["beta", 0.5]]) == (("steps", 3), ("beta", 0.5))


@pytest.fixture
def one_run(monkeypatch, tmp_path):
    """World L and base policy A alone, against a rival with known runs."""
    rival = next(entry for entry in leaderboard.read() if entry.name == "RL-CSR")
    rival = replace(rival, runs=rival.runs[:1])
    assert (rival.runs[0].world, rival.runs[0].seed) == ("L", "A0")
    monkeypatch.setattr(leaderboard, "WORLDS", ("L",))
    monkeypatch.setattr(leaderboard, "SEEDS", ("A0",))
    monkeypatch.setattr(leaderboard, "read", lambda: [rival])
    monkeypatch.setattr(score, "RESULTS", tmp_path)
    return rival


@pytest.mark.slow
def test_from_a_file_to_its_row(write, one_run, empty_store, tmp_path, capsys):
    file = write(ORACLE + RULE)
    said = score.score(file, score.checked(file), PROFILE)
    rows, (folder,) = said.splitlines(), (tmp_path / "score").iterdir()
    assert folder.name.startswith("My_Rule-") and (folder / "my_rule.py").read_text() == file.read_text()
    entry = leaderboard.read_entry(folder / "entry" / "My_Rule.json")
    assert rows[-1] == f"entry: {folder / 'entry' / 'My_Rule.json'}"
    (run,) = entry.runs
    difference = 100 * (run.satisfied - one_run.runs[0].satisfied)
    assert rows[-2].startswith(f">| L | My Rule | {difference:+.1f} [")
    assert entry.rule == file.read_text() and entry.source == "rtt score my_rule.py" and entry.about == "in short"
    assert len(run.curve) == PROFILE.rl.steps and run.suppressed is not None and 0 < run.words < 9
    shown, all_of_them = capsys.readouterr().out, len(models(PROFILE))
    assert f"{all_of_them} of {all_of_them} micro models are made here" in shown and "1 of 1: L/My Rule/A0" in shown
    trained = {path: path.stat().st_mtime_ns for path in (empty_store / "runs").rglob("log.csv")}
    assert score.score(file, score.checked(file), PROFILE) == said
    assert trained == {path: path.stat().st_mtime_ns for path in (empty_store / "runs").rglob("log.csv")}


def test_the_commit_is_that_of_the_start(write, one_run, monkeypatch, tmp_path, commit_during):
    monkeypatch.setattr(leaderboard, "WORLDS", ())  # no runs
    commit_during(origin, execute, "run_all")
    score.score(write(RULE), Arm("My Rule", "in short"), PROFILE)
    (entry,) = (tmp_path / "score").rglob("My_Rule.json")
    assert leaderboard.read_entry(entry).commit == "a"


@pytest.mark.slow
def test_a_rule_that_ends_the_process_in_training_is_told(write, one_run, empty_store):
    """The checks ask at the start and in the middle of a run only."""
    text = HEAD + "import os; return mask.float() if progress in (0.0, 0.5) else os._exit(1)"
    file = write(ORACLE + text)
    with pytest.raises(RTTError, match=r"my_rule\.py: it ended the process that trained with it"):
        score.score(file, score.checked(file), PROFILE)


def test_it_scores_with_the_settings_of_a_profile_that_has_all_worlds():
    profile = load_profile(score.PROFILE)
    assert set(leaderboard.WORLDS) <= {world for one in profile.experiments.values() for world in one.worlds}
