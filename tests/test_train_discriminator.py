"""A discriminator on text, trained by command on labels by rule, and what is held out of its training."""

from pathlib import Path

import pytest
import yaml
from text_toy import SETTINGS
from toys import byte_tokenizer, tiny

from rtt_lib.analysis import discriminator_study as studies
from rtt_lib.files import read_json
from rtt_lib.relevance.discriminator import DEFAULT_TEMPLATE, Discriminator
from rtt_lib.run import train_discriminator
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.text import discriminators as text_training


@pytest.mark.usefixtures("without_hub")
def test_a_profile_trains_its_own_on_composed_prompts(empty_store, text_folder, tmp_path):
    """Half of them with responses of the policy, the others with up to three offences."""
    parts = tiny("llama", byte_tokenizer(), DEFAULT_TEMPLATE, window=2048)
    parts.model.save_pretrained(tmp_path / "base")
    parts.tokenizer.save_pretrained(tmp_path / "base")
    training = {"epochs": 1, "micro_batch": 8, "global_batch": 8, "learning_rate": 3e-3, "lora_rank": 2}
    settings = SETTINGS | {
        "policy": {"model": str(text_folder / "model")},
        "discriminator": {"model": str(tmp_path / "base"), "samples": 60, "max_length": 512, **training},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(settings))
    folder = empty_store / "discriminators" / "base"
    options = ["--test", "40", "--longest", "300", "--own", "0.5", "--offences", "3", "--unweighted"]
    assert train_discriminator.main([str(tmp_path / "toy.yaml"), *options]) == 0
    for place in (folder, folder / "adapter"):  # the merged one, and a few MB that go on the base
        relevance = Discriminator.load(place).attribute("No comma.", "Well, well.")
        assert all(0 <= token.relevance <= 1 for token in relevance)
        metrics = read_json(place / "metrics.json")
        assert tuple(metrics["held out"]) == text_training.HELD_OUT and metrics["labels"] is None
        assert metrics["corpus"].startswith("50% the policy's own responses") and metrics["balanced"] is False
        log = read_json(place / "training.json")
        assert 40 <= log["examples"] <= 60 and log["pos_weight"] == 1
    assert {row["group"] for row in metrics["tables"]["held-out families"]} == set(text_training.HELD_OUT)
    study = studies.study_of(load_profile(tmp_path / "toy.yaml"))  # notebook 03 finds it there
    assert study.folders["taxonomy"] == folder and study.unseen["taxonomy"] == text_training.HELD_OUT


def test_without_labels_the_mend_is_named(capsys, tmp_path):
    assert train_discriminator.main(["paper-qwen3-4b", str(Path(tmp_path, "d"))]) == 2
    assert "make_labels paper-qwen3-4b LABELS.jsonl" in capsys.readouterr().err


def test_a_micro_profile_needs_no_such_training(capsys):
    assert train_discriminator.main(["ci"]) == 2
    assert "notebook 03 trains its discriminators" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    ["--own 0.5", "--offences 2", "--unweighted", "--longest 300", "--test 40"],
    ids=lambda text: text.split()[0],
)
def test_what_is_for_labels_by_rule_is_refused_with_a_file(option, capsys, tmp_path):
    labels = ["--labels", str(tmp_path / "labels.jsonl")]
    assert train_discriminator.main(["smol-cpu", *labels, *option.split()]) == 2
    assert "--own, --offences, --unweighted, --longest and --test are for labels by rule" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--own", "1.5"), ("--own", "half"), ("--offences", "0"), ("--longest", "-3"), ("--test", "0")],
)
def test_a_share_and_a_count_are_checked(option, value, capsys):
    with pytest.raises(SystemExit):
        train_discriminator.main(["smol-cpu", option, value])
    assert f"argument {option}" in capsys.readouterr().err
