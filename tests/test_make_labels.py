"""The command that makes the paper's data for the discriminator, from two data sets to a trained D."""

from pathlib import Path

import pytest
from strong_llm import RULE, make, serving, write_profile

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.relevance.corpus import read_labelled
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.run import make_labels, train_discriminator
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.text import discriminators as text_training
from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def profile(tmp_path, server) -> Path:
    return write_profile(tmp_path, server)


@pytest.mark.slow
def test_a_second_time_nothing_is_asked(profile, server):
    assert make(profile) == 0
    first, asked = profile.with_name("labels.jsonl").read_bytes(), server.asked.total()
    unread = read_json(profile.with_name("labels.jsonl.about.json"))["lost"]["rubrics"]
    assert make(profile) == 0
    assert profile.with_name("labels.jsonl").read_bytes() == first
    assert server.asked.total() == asked + unread  # what could not be used is not kept
    assert make(profile, "--seed", "1") == 0
    assert profile.with_name("labels.jsonl").read_bytes() != first


@pytest.mark.slow
def test_other_labels_on_the_same_responses(profile, server):
    kept = ("--answers", str(profile.with_name("answers")))
    assert make(profile, *kept) == 0
    first = read_labelled(profile.with_name("labels.jsonl"), "taxonomy")
    assert make(profile, *kept, "--set", "discriminator.annotator=greedy") == 0
    second = read_labelled(profile.with_name("labels.jsonl"), "greedy")
    assert [example.response for _, example in first] == [example.response for _, example in second]
    assert all(response[a:b] == "i" for _, e in second for response in [e.response] for a, b in e.label.spans)
    with pytest.raises(RTTError, match=r"labels.jsonl:1: labels of the annotator 'greedy', asked for .* 'taxonomy'"):
        read_labelled(profile.with_name("labels.jsonl"), "taxonomy")


@pytest.mark.slow
def test_the_printed_commands_make_both_discriminators(profile, server, empty_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = load_profile(profile)
    for kind in ("taxonomy", "greedy"):
        first, second = how_to_get_one(toy, kind).split(": ", 1)[1].split(", then ")
        first = first.replace(" URL ", f" http://127.0.0.1:{server.server_port}/v1 ")
        words = first.removeprefix("python -m rtt_lib.run.make_labels toy ").split()
        assert make_labels.main([str(profile), *words, "--tulu", "tulu.jsonl"]) == 0
        words = second.removeprefix("accelerate launch -m rtt_lib.run.train_discriminator toy ").split()
        assert train_discriminator.main([str(profile), *words]) == 0
    for kind in ("taxonomy", "greedy"):
        assert read_json(discriminator_folder(toy, kind) / "metrics.json")["settings"]["annotator"] == kind


def test_without_a_server_and_without_need_it_says_so(profile, capsys):
    assert make(profile, "--writer", "nowhere", "model") == 2
    assert "url must be like http://" in capsys.readouterr().err
    assert make(profile, "--writer", "http://127.0.0.1:9/v1", "") == 2
    assert "name a server: --writer URL MODEL" in capsys.readouterr().err
    assert make_labels.main(["smol-cpu", "x.jsonl"]) == 2
    assert "rules label the data source 'composed'" in capsys.readouterr().err
    assert train_discriminator.main(["quick"]) == 2
    assert "rtt run quick --only 03" in capsys.readouterr().err


@pytest.mark.slow
def test_each_server_has_a_key_of_its_own(profile, server, monkeypatch):
    for name in ("RTT_API_KEY", "RTT_API_KEY_OMITTER"):
        monkeypatch.setenv(name, f"value of {name}".replace(" ", "-"))
    assert make(profile, "--omitter", f"http://127.0.0.1:{server.server_port}/v1", "weak") == 0
    assert server.keys["weak"] == {"Bearer value-of-RTT_API_KEY_OMITTER"}
    assert server.keys["strong"] == {"Bearer value-of-RTT_API_KEY"}


@pytest.mark.slow
def test_the_labels_train_the_discriminator_that_the_arms_use(profile, empty_store):
    assert make(profile) == 0
    labels, toy = profile.with_name("labels.jsonl"), load_profile(profile)
    own = str(discriminator_folder(toy, "taxonomy"))
    assert train_discriminator.main([str(profile), own, "--labels", str(labels)]) == 0
    trained = Discriminator.load(own)
    assert 0 <= trained.attribute(RULE, "Well, well.")[0].relevance <= 1
    metrics, log = read_json(Path(own) / "metrics.json"), read_json(Path(own) / "training.json")
    assert metrics["settings"]["learning_rate"] == 3e-3 and metrics["labels"]["file"] == "labels.jsonl"
    assert log["pos_weight"] == 1.0  # Eq. 5 as it is
    rows = read_labelled(labels, "taxonomy")
    training, unseen = text_training.split_off(rows)
    assert log["examples"] == len(training) and 0 < len(unseen) == len(rows) - len(training)
    assert sum(row["examples"] for row in metrics["tables"]["held-out prompts by response"]) == len(unseen)
    weights = Path(own, "model.safetensors").stat().st_mtime_ns
    assert train_discriminator.main([str(profile), own, "--labels", str(labels)]) == 0
    assert Path(own, "model.safetensors").stat().st_mtime_ns == weights  # examined again, not trained again
    assert list(text_training.evaluate_labels(trained, unseen, longest=20)) == [
        f"held-out prompts by label, {len(unseen)} too long",
        "held-out prompts by response",
    ]
    assert "labels that an annotator wrote" in (Path(own) / "README.md").read_text()
    assert "make_labels toy LABELS.jsonl" in how_to_get_one(toy)
