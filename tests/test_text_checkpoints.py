"""Which discriminator a profile on text reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from text_toy import spec_of

from rtt_lib.errors import RTTError
from rtt_lib.profile import REPOSITORY
from rtt_lib.relevance.shipped import SHIPPED
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one, weight_files

pytestmark = pytest.mark.usefixtures("without_hub")


def test_a_plan_holds_each_run_once_with_its_discriminator(text_profile, empty_store):
    assert plan(text_profile, ["core", "beyond", "core"]) == [
        RunSpec(spec.arm, "composed", "A0", text_profile) for spec in plan(text_profile, ["core"])
    ]
    spec = spec_of(text_profile, "RTT-AON", "A1")
    assert spec.place == Path("composed/RTT-AON/A1") and (spec.world, spec.number) == ("composed", 1)
    assert discriminator_folder(text_profile, "taxonomy") == SHIPPED
    greedy = discriminator_folder(text_profile, "greedy")
    assert str(greedy) == f"{SHIPPED}-greedy" and greedy.is_dir()
    assert str(discriminator_folder(text_profile, "packed")) == f"{SHIPPED}-packed"
    other = replace(text_profile, discriminator=replace(text_profile.discriminator, model="Qwen/Qwen3-4B-Base"))
    assert discriminator_folder(other, "taxonomy") == empty_store / "discriminators" / "Qwen3-4B-Base"
    named = replace(text_profile, discriminator=replace(text_profile.discriminator, checkpoint="mine"))
    assert discriminator_folder(named, "taxonomy") == REPOSITORY / "mine"
    with pytest.raises(RTTError, match=r"no discriminator in .*mine: name a folder"):
        _ = spec_of(named, "RTT-AON", "A0").fingerprint


def test_how_to_get_one_depends_on_who_labels(text_profile):
    by_rule = how_to_get_one(text_profile)
    assert by_rule.endswith("train one on labels by rule: python -m rtt_lib.run.train_discriminator toy")
    greedy = how_to_get_one(text_profile, "greedy")
    assert greedy.endswith("train_discriminator toy --set discriminator.annotator=greedy")
    packed = how_to_get_one(text_profile, "packed")
    assert packed.endswith("train_discriminator toy --packed")
    by_llm = how_to_get_one(load_profile("paper-qwen3-4b"))
    labels, training = by_llm.split(": ", 1)[1].split(", then ")
    assert labels.startswith("python -m rtt_lib.run.make_labels paper-qwen3-4b LABELS.jsonl --omitter URL ")
    assert training.endswith("train_discriminator paper-qwen3-4b --labels LABELS.jsonl")


def test_weights_are_safetensors_alone(tmp_path):
    assert weight_files(tmp_path) == weight_files(tmp_path / "nowhere") == []
    for name in ("model-2.safetensors", "model-1.safetensors", "training_args.bin", "config.json"):
        (tmp_path / name).touch()
    assert [path.name for path in weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]
