"""How good a policy on text is: scores by hand, and what an evaluation leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from text_toy import rows_of, spec_of

from rtt_lib.analysis import benchmarks as tables
from rtt_lib.files import read_json
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies import execute
from rtt_lib.studies.execute import is_done
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import curves_table, records_of, results_table
from rtt_lib.verify.batch import Verifier
from rtt_lib.worlds.text import world as text_world
from rtt_lib.worlds.text.evaluation import backend, grade

pytestmark = pytest.mark.usefixtures("without_hub")


@pytest.mark.parametrize(
    "changes, chosen",
    [
        ({}, "transformers"),
        ({"compute.sampler": "fast"}, "fast"),
        ({"compute.vllm": "colocate"}, "vllm"),
    ],
)
def test_the_profile_says_what_samples(changes, chosen):
    assert backend(load_profile("smol-cpu", changes)) == chosen


def test_scores_by_hand():
    prompts = [
        RubricPrompt("a", "q", (Criterion("no commas", "composed:no_commas"), Criterion("kind"))),
        RubricPrompt("b", "r", (Criterion("no commas", "composed:no_commas"),)),
    ]
    rows = [
        {"id": "a", "prompt": "q", "response": "one, two"},
        {"id": "a", "prompt": "q", "response": "one"},
        {"id": "b", "prompt": "r", "response": "one"},
    ]
    found = grade(prompts, rows, Verifier())
    assert found["satisfied"] == pytest.approx(2 / 3) and found["unknown"] == 2
    # Soft criteria are unknown without a judge: `a` is left out, also where it is violated; `b` is satisfied.
    assert found["families"] == {"judge": None, "no_commas": pytest.approx(2 / 3)}
    assert found["all_satisfied"] == 1 and found["responses_unknown"] == 2


@pytest.mark.usefixtures("one_thread")
def test_the_evaluation_leaves_responses_and_a_row_of_the_tables(text_profile, empty_store, tmp_path, monkeypatch):
    more = replace(text_profile, evaluation=replace(text_profile.evaluation, benchmarks=("ifeval", "ifbench")))
    specs = [spec_of(more, "base", seed) for seed in ("A0", "A1")]
    for spec in specs:
        execute.train(spec)
        execute.evaluate(spec)
        assert is_done(spec)
    record = read_json(specs[0].evaluation / "result.json")
    assert record["benchmarks"]["ifeval"]["responses"] == 6 and record["benchmarks"]["ifeval"]["unknown"] == 0
    assert record["out_of_domain"]["satisfied"] == record["benchmarks"]["ifeval"]["satisfied"]
    assert "the hub does not answer" in record["benchmarks"]["ifbench"]["missing"]
    said = tables.left_out(records_of(specs, tmp_path))
    assert "IFBench is left out: " in said and "IFEval" not in said
    with monkeypatch.context() as patch:
        patch.setattr(text_world, "_can_be_had", lambda benchmark, text_profile: benchmark == "ifbench")
        assert not is_done(specs[0]), "tried again as soon as it can be had"
    assert list(execute.run_all(specs, tmp_path, workers=1)) == specs
    responses = [rows_of(tmp_path / "responses" / "base" / seed / "ifeval.jsonl.gz") for seed in ("A0", "A1")]
    assert [row["id"] for row in responses[0]] == [row["id"] for row in responses[1]]
    assert [row["response"] for row in responses[0]] != [row["response"] for row in responses[1]]
    assert not (tmp_path / "responses" / "base" / "A0" / "ifbench.jsonl.gz").exists()
    table = results_table(specs, tmp_path)
    assert list(table["world"]) == ["composed"] * 2 and table["per constraint"].between(0, 1).all()
    assert table["language loss"].isna().all() and table["language loss"].dtype == float
    assert list(curves_table(specs, tmp_path)) == ["arm", "world", "seed", "step"]
