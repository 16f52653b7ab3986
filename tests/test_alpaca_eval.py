"""AlpacaEval 2 by its own package, against a judge that is a script on this machine.

The package is no dependency. RTT_ALPACA_EVAL_PYTHON names a Python that has it; without it the last test is skipped.
"""

from __future__ import annotations

import json
import os
import sys

import pandas as pd
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.run.alpaca_eval import annotator, main, outputs, read_references

PACKAGE = os.environ.get("RTT_ALPACA_EVAL_PYTHON")
REFERENCES = [
    {"instruction": f"Name animal {n}.", "output": f"{'BEST' if n == 0 else 'WORST'} {n}", "generator": "reference"}
    for n in range(4)
]


def test_responses_stand_beside_their_instructions():
    rows = outputs(REFERENCES[:2], ["A cat.", "A dog."], "policy")
    assert rows == [
        {"instruction": "Name animal 0.", "output": "A cat.", "generator": "policy"},
        {"instruction": "Name animal 1.", "output": "A dog.", "generator": "policy"},
    ]


def test_the_annotator_asks_the_named_model_for_one_token(tmp_path):
    (settings,) = annotator("some-instruct", tmp_path / "question.txt").values()
    asked = settings["completions_kwargs"]
    assert (asked["model_name"], asked["max_tokens"], asked["requires_chatml"]) == ("some-instruct", 1, True)


def test_references_of_another_form_are_refused(tmp_path):
    write_json(tmp_path / "rows.json", [{"instruction": "Name one."}])
    with pytest.raises(RTTError, match="instruction, output, generator"):
        read_references(tmp_path / "rows.json")


def test_a_python_without_the_package_is_an_error(tmp_path, capfd):
    write_json(tmp_path / "references.json", REFERENCES)
    words = [str(tmp_path / "model"), str(tmp_path / "references.json"), str(tmp_path / "out")]
    words += ["--url", "http://localhost:1/v1", "--model", "judge", "--python"]
    assert main([*words, str(tmp_path / "none")]) == 2 and "cannot be started" in capfd.readouterr().err
    assert main([*words, sys.executable]) == 2 and "alpaca_eval ended with status 1" in capfd.readouterr().err


def prefers(handler) -> None:
    """The output that says BEST, else the one that does not say WORST: nine times out of ten."""
    question = handler.body["messages"][-1]["content"]
    first, second = question.split('"model_identifier": "m"')[1].split('"model_identifier": "M"')
    second = second.split("## Task")[0]
    best = "m" if "BEST" in first or "WORST" in second else "M"
    tops = [{"token": best, "bytes": None, "logprob": -0.105}, {"token": "mM".replace(best, ""), "bytes": None,
             "logprob": -2.303}]  # fmt: skip
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": best},
        "finish_reason": "length",
        "logprobs": {"content": [tops[0] | {"top_logprobs": tops}]},
    }
    reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    handler.send(200, json.dumps(reply | {"usage": usage}).encode())


@pytest.mark.slow
@pytest.mark.skipif(PACKAGE is None, reason="RTT_ALPACA_EVAL_PYTHON names no Python with alpaca_eval")
@pytest.mark.usefixtures("without_hub")
def test_the_package_judges_what_the_policy_wrote(text_folder, tmp_path, server, monkeypatch):
    monkeypatch.setenv("OPENAI_MAX_CONCURRENCY", "1")  # the script reads the last question
    server.script = [prefers]
    write_json(tmp_path / "references.json", REFERENCES)
    words = [str(text_folder / "model"), str(tmp_path / "references.json"), str(tmp_path / "out")]
    words += ["--python", PACKAGE, "--url", server.url, "--model", "judge-instruct", "--name", "toy"]
    assert main([*words, "--metric", "get_winrate", "--max-tokens", "8"]) == 0
    found = pd.read_csv(tmp_path / "out" / "leaderboard.csv", index_col=0)
    # By the judge's probabilities the policy has 0.1 of the first question and 0.9 of each of the others.
    assert found.loc["toy", "win_rate"] == pytest.approx(100 * (0.1 + 3 * 0.9) / 4, abs=0.1)
    assert found.loc["toy", "n_total"] == 4 and len(server.seen) == 4
    assert {body["model"] for _, _, body in server.seen} == {"judge-instruct"}
    assert len(read_json(tmp_path / "out" / "annotations.json")) == 4
    assert [row["instruction"] for row in read_json(tmp_path / "out" / "outputs.json")] == [
        row["instruction"] for row in REFERENCES
    ]
