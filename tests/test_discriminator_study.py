"""What notebooks 03 and 09 examine: a profile's discriminators, on responses that nobody trained them on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from english_toy import toy_profile
from toys import micro_tokenizer, tiny

from rtt_lib.analysis.discriminator_study import BASE_POLICY, _label, study_of
from rtt_lib.errors import RTTError
from rtt_lib.relevance.discriminator import TEMPLATE_KEY, Discriminator
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.english.corpus import HELD_OUT
from rtt_lib.worlds.micro import discriminators as micro_training


@pytest.fixture(scope="module")
def micro():
    return study_of(load_profile("ci", {"policy.pretrain_steps": "2", "rl.max_response_tokens": "8"}))


def test_a_micro_profile_examines_its_own(micro):
    names = [variant.name for variant in micro.variants]
    assert names[:2] == ["taxonomy", "greedy"] and list(micro.folders) == names
    assert len(set(micro.folders.values())) == len(names) and micro.precision == "float32"
    assert micro.unseen == {"held-out": micro_training.HELD_OUT}
    assert {variant.name: variant.held_out for variant in micro.variants}["held-out"] == micro_training.HELD_OUT


def test_fresh_examples_have_both_verdicts(micro):
    assert len(micro.fresh(60)) == 60 and {example.verdict for example in micro.fresh(60)} == {True, False}


def test_the_base_policys_own_responses_are_labelled(micro):
    written = micro.written()
    assert list(written) == [BASE_POLICY] and {example.split for example in written[BASE_POLICY]} == {"rollout"}
    assert len(written[BASE_POLICY]) > 100 and all(example.response for example in written[BASE_POLICY])


def test_a_profile_on_text_examines_what_is_there(tmp_path):
    profile = load_profile("smol-cpu")
    mine = tmp_path / "mine"
    named = replace(profile, discriminator=replace(profile.discriminator, checkpoint=str(mine)))
    with pytest.raises(RTTError, match=r"no discriminator in .*/mine: name a folder with one"):
        study_of(named)
    mine.mkdir()
    (mine / "metrics.json").write_text(json.dumps({"held out": ["label"]}))
    study = study_of(named)
    assert [variant.name for variant in study.variants] == ["taxonomy"]
    assert study.folders == {"taxonomy": mine} and study.unseen == {"taxonomy": ("label",)}
    (tmp_path / "mine-greedy").mkdir()
    both = study_of(named)
    assert [variant.annotator for variant in both.variants] == ["taxonomy", "greedy"]
    assert list(both.train()) == both.variants and both.unseen["greedy"] == ()


@pytest.mark.slow
@pytest.mark.usefixtures("small_english")
def test_an_english_profile_examines_the_two_that_arms_read():
    study = study_of(toy_profile())
    assert list(study.train()) == study.variants and list(study.folders) == ["taxonomy", "greedy"]
    loaded = [Discriminator.load(folder) for folder in study.folders.values()]
    assert study.unseen == {"taxonomy": HELD_OUT, "greedy": HELD_OUT} and len(loaded) == 2
    fresh = study.fresh(60)
    assert {example.verdict for example in fresh} == {True, False}
    assert {example.criterion.family for example in fresh} > set(HELD_OUT)
    (own,) = study.written().values()
    assert {example.split for example in own} == {"sampled"} and len(own) > 100


def test_written_responses_are_labelled_where_a_rule_knows_the_criterion():
    commas, kind = Criterion("No commas.", "composed:no_commas"), Criterion("Be kind.")
    rows = [{"id": "p", "response": "one, two"}, {"id": "p", "response": ""}]
    (example,) = _label([RubricPrompt("p", "q", (commas, kind))], rows)
    assert (example.criterion, example.verdict, example.split) == (commas, False, "written")
    assert example.label.spans == ((3, 4),)


def test_a_discriminator_is_loaded_in_the_studys_precision(tmp_path):
    parts = tiny("llama", micro_tokenizer())
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    Discriminator(parts.model, parts.tokenizer).save(tmp_path)
    study = study_of(load_profile("ci"))
    half = replace(study, folders={"tiny": tmp_path}, precision="bfloat16")
    assert str(half.load("tiny").model.dtype) == "torch.bfloat16"
