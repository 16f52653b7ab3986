"""What runs left, as tables: from the store, and from the small form in which a profile's runs are published."""

from __future__ import annotations

import threading

import pandas as pd
import pytest
from test_execute import SPEC, of

from rtt_lib.files import read_jsonl, write_json, write_jsonl, write_text
from rtt_lib.report.rtt_grpo import policies_here
from rtt_lib.run import cli
from rtt_lib.store import STORE
from rtt_lib.studies import records
from rtt_lib.studies.execute import is_done, is_published, run_all
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import Published, collect_responses, curves_table, publish, results_table


def test_tables_of_nothing_have_their_columns(empty_store, tmp_path):
    assert list(results_table([SPEC], tmp_path)) == ["arm", "world", "seed"]
    assert list(curves_table([SPEC], tmp_path)) == ["arm", "world", "seed", "step"]


@pytest.mark.slow
def test_published_runs_read_as_those_of_the_store(empty_store, tmp_path, monkeypatch):
    specs = [of("base"), of("RL-CSR", steps=2), of(steps=2)]
    list(run_all(specs, tmp_path, workers=1))
    scores, curves = results_table(specs, tmp_path), curves_table(specs, tmp_path)
    publish(specs, tmp_path)
    monkeypatch.setenv(records.RECORDS_ONLY, "1")
    monkeypatch.setenv("RTT_STORE", str(tmp_path / "another store"))
    pd.testing.assert_frame_equal(results_table(specs, tmp_path), scores)
    pd.testing.assert_frame_equal(curves_table(specs, tmp_path)[list(curves)], curves, check_dtype=False)
    assert list(run_all([*specs, of(seed="A9")], tmp_path, workers=1)) == specs, "nothing is trained"
    alone = curves_table(specs[1:2], tmp_path)
    assert not [name for name in alone if name.startswith("credit/a_tok")], "columns that RL does not have"
    assert not (tmp_path / "another store").exists()


def test_responses_are_copied_and_left_alone_when_the_same(empty_store, tmp_path):
    rows = [{"id": "1", "prompt": "p", "response": "r"}]
    write_jsonl(SPEC.evaluation / "responses" / "benchmarks" / "ifeval.jsonl", rows)
    collect_responses(SPEC, tmp_path)
    out = tmp_path / "responses" / "RTT-CSR oracle" / "A0" / "ifeval.jsonl.gz"
    assert [row for _, row in read_jsonl(out)] == rows
    write_jsonl(SPEC.evaluation / "responses" / "sampled.jsonl", rows)
    before = out.stat().st_mtime_ns
    collect_responses(SPEC, tmp_path)
    assert out.stat().st_mtime_ns == before
    write_jsonl(SPEC.evaluation / "responses" / "benchmarks" / "ifeval.jsonl", [*rows, *rows])
    collect_responses(SPEC, tmp_path)
    assert len(list(read_jsonl(out))) == 2
    held_out = tmp_path / "held_out" / "RTT-CSR oracle" / "A0.jsonl.gz"
    assert [row for _, row in read_jsonl(held_out)] == rows


# --- published elsewhere ---


def leave(spec, score: float) -> None:
    """What a finished run leaves in the store, without its policy."""
    record = {"arm": spec.arm.name, "world": spec.world, "seed": spec.seed, "fingerprint": spec.fingerprint}
    record |= {"sampled": {"all_satisfied": score, "satisfied": score, "families": {}}, "mean_words": 3.0}
    record |= {"greedy": {"all_satisfied": score}, "out_of_domain": {"satisfied": score}, "language_loss": None}
    write_json(spec.evaluation / "result.json", record | {"truncated": 0.0})
    if spec.trained:
        write_text(spec.folder / "log.csv", f"step,reward\n1,0.5\n2,{score}\n")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Now in the store of one machine, now in that of another."""

    def go(name: str) -> None:
        monkeypatch.setenv(STORE, str(tmp_path / name))

    return go


def lines(results) -> dict[str, dict]:
    return {f"{row['arm']} {row['seed']}": row for _, row in read_jsonl(results / records.RUNS)}


@pytest.mark.slow
def test_what_another_machine_published_is_not_trained_here(empty_store, tmp_path, elsewhere):
    first, second = [of("base"), of(steps=2)], of(steps=2, seed="A1")
    list(run_all(first, tmp_path, workers=1))
    assert str(publish([*first, second], tmp_path)) == "2 of 3 runs published: 2 new"
    scores, curves = results_table(first, tmp_path), curves_table(first, tmp_path)
    made_with = lines(tmp_path)["RTT-CSR oracle A0"]["made_with"]
    assert made_with["versions"]["torch"] and set(made_with["git"]) == {"commit", "dirty"}

    elsewhere("another")
    assert not any(map(is_done, first)) and all(is_published(spec, tmp_path) for spec in first)
    pd.testing.assert_frame_equal(results_table(first, tmp_path), scores)
    pd.testing.assert_frame_equal(curves_table(first, tmp_path)[list(curves)], curves, check_dtype=False)
    before = lines(tmp_path)
    assert list(run_all([*first, second], tmp_path, workers=1)) == [*first, second]
    assert [path.name for path in (tmp_path / "another" / "runs").iterdir()] == [second.training_fingerprint]
    assert publish([*first, second], tmp_path) == Published(planned=3, new=1, before=2, others=0)
    assert list(lines(tmp_path)) == ["base A0", "RTT-CSR oracle A0", "RTT-CSR oracle A1"]
    assert before == {name: row for name, row in lines(tmp_path).items() if name.endswith("A0")}
    together = curves_table([*first, second], tmp_path)
    assert list(zip(together["seed"], together["step"], strict=True)) == [("A0", 1), ("A0", 2), ("A1", 1), ("A1", 2)]
    assert set(policies_here(first, [SPEC.arm.name])) == {"base"}, "a published run brings no policy"


def test_publishing_loses_no_record_and_takes_the_newer_one(tmp_path, elsewhere):
    specs = [of("base"), of(steps=2), of(steps=2, seed="A1")]
    elsewhere("one")
    leave(specs[0], 0.1)
    leave(specs[1], 0.2)
    assert publish(specs, tmp_path) == Published(planned=3, new=2, before=0, others=0)
    elsewhere("two")
    leave(specs[2], 0.3)
    assert publish(specs, tmp_path) == Published(planned=3, new=1, before=2, others=0)
    scores = results_table(specs, tmp_path)
    assert list(scores["all satisfied"]) == [0.1, 0.2, 0.3]
    before = (tmp_path / records.RUNS).read_bytes(), (tmp_path / records.CURVES).read_bytes()
    elsewhere("three")
    assert publish(specs, tmp_path) == Published(planned=3, new=0, before=3, others=0)
    assert before == ((tmp_path / records.RUNS).read_bytes(), (tmp_path / records.CURVES).read_bytes())
    leave(specs[1], 0.4)
    publish(specs, tmp_path)
    assert list(results_table(specs, tmp_path)["all satisfied"]) == [0.1, 0.4, 0.3]
    assert list(curves_table(specs[1:], tmp_path)["reward"]) == [0.5, 0.4, 0.5, 0.3]


def test_two_that_publish_at_once_take_turns(tmp_path, elsewhere):
    """Else the one that reads first and writes last drops what the other has added."""
    elsewhere("one")
    leave(of("base"), 0.1)
    specs = [of("base"), of("base", seed="A1")]
    second = threading.Thread(target=publish, args=(specs, tmp_path))
    with records.locked(tmp_path):
        second.start()
        second.join(0.3)
        assert second.is_alive() and not (tmp_path / records.RUNS).exists()
        other = {"world": "L", "arm": "base", "seed": "A1", "fingerprint": "of another machine"}
        records.add(specs, tmp_path, {specs[1].place: records.Finished(other, None)})
    second.join()
    assert list(lines(tmp_path)) == ["base A0", "base A1"]


def test_other_settings_are_not_done_but_stay_published(tmp_path, elsewhere):
    elsewhere("one")
    leave(of(steps=2), 0.2)
    publish([of(steps=2)], tmp_path)
    elsewhere("two")
    longer = of(steps=3)
    assert is_published(of(steps=2), tmp_path) and not is_published(longer, tmp_path)
    assert results_table([longer], tmp_path).empty and curves_table([longer], tmp_path).empty
    found = publish([longer], tmp_path)
    assert found == Published(planned=1, new=0, before=0, others=1)
    assert str(found) == "1 of 1 runs published: 1 published before by other code, settings or packages than those here"
    assert is_published(of(steps=2), tmp_path), "still there"
    leave(longer, 0.3)
    publish([longer], tmp_path)
    assert is_published(longer, tmp_path) and not is_published(of(steps=2), tmp_path)


def test_a_record_without_its_curve_is_not_done(tmp_path, elsewhere):
    elsewhere("one")
    specs = [of("base"), of(steps=2)]
    for spec in specs:
        leave(spec, 0.2)
    publish(specs, tmp_path)
    elsewhere("two")
    (tmp_path / records.CURVES).unlink()
    assert [is_published(spec, tmp_path) for spec in specs] == [True, False], "the base policy has no curve"


def test_a_published_record_with_a_gap_that_can_be_filled_is_not_done(tmp_path, elsewhere, monkeypatch):
    elsewhere("one")
    leave(of("base"), 0.2)
    publish([of("base")], tmp_path)
    elsewhere("two")
    assert is_published(of("base"), tmp_path)
    monkeypatch.setattr("rtt_lib.worlds.micro.world.MicroWorld.lacking", lambda world, record: True)
    assert not is_published(of("base"), tmp_path)


def test_what_is_finished_can_be_published_while_the_rest_runs(tmp_path, elsewhere, monkeypatch, capsys):
    monkeypatch.setattr("rtt_lib.profile.RESULTS", tmp_path / "results")
    elsewhere("one")
    specs = plan(load_profile("ci"))
    leave(specs[0], 0.2)
    write_jsonl(specs[0].evaluation / "responses" / "benchmarks" / "ifeval.jsonl", [{"id": "1"}])
    (specs[1].folder / "attempt").mkdir(parents=True)
    assert cli.main(["runs", "--publish", "ci"]) == 0
    results = tmp_path / "results" / "ci"
    assert capsys.readouterr().out == f"1 of {len(specs)} runs published: 1 new\n"
    assert list(lines(results)) == [f"{specs[0].arm.name} {specs[0].seed}"]
    assert (results / "responses" / specs[0].arm.name / specs[0].seed / "ifeval.jsonl.gz").is_file()
    assert load_profile(results / "profile.yaml") == load_profile("ci")
    assert cli.main(["runs", "--publish", str(results)]) == 0
