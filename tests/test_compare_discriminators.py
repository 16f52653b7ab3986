"""The table of discriminators before and after, with a tiny policy and tiny discriminators."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from text_toy import SETTINGS
from toys import byte_tokenizer, tiny

from rtt_lib.analysis import discriminator_study
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, TEMPLATE_KEY, Discriminator
from rtt_lib.run import compare_discriminators
from rtt_lib.run.compare_discriminators import named_folders


@pytest.mark.usefixtures("empty_store", "without_hub")
def test_the_tables_before_and_after(text_folder, tmp_path, capsys, monkeypatch, commit_during):
    monkeypatch.setattr(discriminator_study, "ROLLOUT_PROMPTS", 3)
    monkeypatch.setattr(discriminator_study, "ROLLOUTS_EACH", 1)
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=2048)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    for name in ("shipped", "own"):
        Discriminator(parts.model, parts.tokenizer).save(tmp_path / name)
    write_json(tmp_path / "own" / "metrics.json", {"corpus": "half and half", "held out": ["label"], "tables": {}})
    named = {"model": "smollm2-135m", "checkpoint": str(tmp_path / "shipped")}
    settings = SETTINGS | {"policy": {"model": str(text_folder / "model")}, "discriminator": named}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))

    commit_during(compare_discriminators, compare_discriminators, "predictions")
    out = tmp_path / "out"
    words = [str(tmp_path / "toy.yaml"), f"own={tmp_path / 'own'}", "--fresh", "12", "--out", str(out)]
    assert compare_discriminators.main(words) == 0
    summary = pd.read_csv(out / "tables" / "summary.csv")
    assert list(summary["discriminator"]) == ["before", "own"] * 2
    assert list(summary["responses"]) == ["constructed"] * 2 + ["the base policy"] * 2
    assert (summary["gain"] == 0).all(), "they are the same"
    assert "| the base policy | own |" in capsys.readouterr().out
    assert set(pd.read_csv(out / "tables" / "families.csv")["discriminator"]) == {"before", "own"}
    about = read_json(out / "about.json")
    assert about["discriminators"] == {"before": {}, "own": {"corpus": "half and half", "held out": ["label"]}}
    assert about["commit"] == "a", "of the start"


def test_names_are_checked(tmp_path):
    assert named_folders([f"a={tmp_path}"]) == {"a": tmp_path}
    for words, reason in (
        (["a"], "expected NAME=FOLDER"),
        ([f"before={tmp_path}"], "is taken"),
        ([f"a={tmp_path}", f"a={tmp_path}"], "is taken"),
        ([f"a={tmp_path}/none"], "no such folder"),
    ):
        with pytest.raises(RTTError, match=reason):
            named_folders(words)


def test_a_micro_profile_has_a_notebook_for_it(tmp_path, capsys):
    assert compare_discriminators.main(["ci", f"a={tmp_path}"]) == 2
    assert "notebook 03 compares its discriminators" in capsys.readouterr().err
