"""Policies paired on the same prompts: by hand, and from files."""

from __future__ import annotations

import pandas as pd
import pytest
from text_toy import SETTINGS
from yaml import safe_dump

from rtt_lib.analysis import held_out
from rtt_lib.analysis.held_out import Answered, accuracies, answered, families, pairs
from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl, write_text
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import open_world
from rtt_lib.worlds.text.prompts import held_out_prompts

KINDS = ["bullets", "words"]
IDS = ["1", "1", "2", "2"]  # two prompts of two criteria, two responses each


def policy(*verdicts: str) -> Answered:
    """`+-` is a response that satisfies the first criterion only; `?`: nobody knows."""
    values = [[{"+": True, "-": False, "?": None}[sign] for sign in row] for row in verdicts]
    return Answered(IDS, ["a b", "a", "a", "a b c d"], [False, True, False, False], values, [KINDS] * 4)


RL = policy("++", "+-", "--", "--")
RTT = policy("+-", "--", "--", "-+")
BASE = policy("--", "--", "--", "?-")


def test_accuracies_of_a_policy():
    row = accuracies({("RL-CSR", "A0"): RL}).iloc[0]
    assert (row["prompts"], row["responses"], row["words"], row["truncated"]) == (2, 4, 2.0, 0.25)
    assert row["all satisfied"] == 1 / 4 and row["per constraint"] == 3 / 8
    # Of two prompts, one has 2 of 4 criteria... the bootstrap draws 1,1 and 2,2 a quarter of the time each.
    assert (row["per constraint low"], row["per constraint high"]) == (0.0, 3 / 4)


def test_a_pair_is_the_first_minus_the_second_on_the_same_prompts():
    found = pairs({("base", "A0"): BASE, ("RL-CSR", "A0"): RL, ("RTT-CSR", "A0"): RTT, ("RL-CSR", "A1"): RL})
    found = found.set_index(["arm", "against", "seed", "measure"])
    assert found.loc[("RTT-CSR", "RL-CSR", "A0", "all satisfied"), "difference"] == -1 / 4
    one = found.loc[("RTT-CSR", "RL-CSR", "A0", "per constraint")]
    assert one["difference"] == (2 - 3) / 8 and (one["low"], one["high"]) == (-2 / 4, 1 / 4)
    # The base has one unknown verdict: seven criteria, none satisfied.
    assert found.loc[("RL-CSR", "base", "A0", "per constraint"), "difference"] == 3 / 8
    assert ("RL-CSR", "base", "A1", "per constraint") in found.index, "one base policy stands for all seeds"
    assert ("RTT-CSR", "RL-CSR", "A1", "per constraint") not in found.index


def test_families_leave_out_what_is_unknown():
    found = families({("base", "A0"): policy("+?", "-+", "-?", "-+"), ("RL-CSR", "A1"): RL}).set_index("family")
    assert found["base A0"].to_dict() == {"bullets": 1 / 4, "words": 1.0}
    assert found["RL-CSR A1"].to_dict() == {"bullets": 1 / 2, "words": 1 / 4}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of a profile with four held-out prompts, whose only policy writes the same for all."""
    folder = tmp_path / "toy"
    write_text(
        folder / "profile.yaml", safe_dump(SETTINGS | {"policy": {"model": "any"}, "evaluation": {"prompts": 4}})
    )
    prompts = held_out_prompts(load_profile(folder / "profile.yaml"))
    rows = [{"id": p.id, "prompt": p.prompt, "response": "Fine words, 3!", "truncated": False} for p in prompts]
    write_jsonl(folder / "held_out" / "RL-CSR" / "A0.jsonl.gz", rows)
    monkeypatch.setattr(held_out, "RESULTS", tmp_path)
    return folder


def test_published_responses_are_graded_and_tables_written(results, capsys):
    assert held_out.main(["toy"]) == 0
    shares = pd.read_csv(results / "tables" / "held_out_families.csv").set_index("family")["RL-CSR A0"]
    wrong = {"no_commas", "no_digits", "no_exclamations", "bullets"} & set(shares.index)
    assert wrong and (shares[list(wrong)] == 0).all() and (shares > 0).any()
    assert pd.read_csv(results / "tables" / "held_out.csv").loc[0, "responses"] == 4
    assert "held_out_pairs" in capsys.readouterr().out


def test_responses_to_other_prompts_are_an_error(results, capsys):
    profile = load_profile(results / "profile.yaml")
    write_jsonl(results / "held_out" / "base" / "A0.jsonl.gz", [{"id": "x", "prompt": "p", "response": ""}])
    with pytest.raises(RTTError, match=r"base/A0\.jsonl\.gz:1: 'x' is not among the held-out prompts"):
        answered(profile, results)
    for path in results.glob("held_out/*/*"):
        path.unlink()
    assert held_out.main(["toy"]) == 2
    assert "`rtt gpu-merge` leave them" in capsys.readouterr().err


def test_the_english_world_asks_its_own_prompts(tmp_path):
    profile = load_profile("english", {"evaluation.prompts": "4"})
    prompts = open_world(profile, "english").questions(4)
    rows = [{"id": p.id, "prompt": p.prompt, "response": "Fine words.", "truncated": False} for p in prompts]
    write_jsonl(tmp_path / "held_out" / "RL-CSR" / "A0.jsonl.gz", rows)
    assert answered(profile, tmp_path)["RL-CSR", "A0"].ids == [prompt.id for prompt in prompts]
