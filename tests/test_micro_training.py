"""The micro discriminators: trained once, the same every time, kept when nothing changed; and their tables."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from toys import micro_tokenizer, tiny

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json
from rtt_lib.profile import load_profile
from rtt_lib.relevance import validate
from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import TEMPLATE_KEY, Discriminator, TokenRelevance
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.report import discriminator as discriminators
from rtt_lib.report import gallery
from rtt_lib.report import relevance_labels as labels
from rtt_lib.report import token_attribution as attributions
from rtt_lib.schema import Criterion
from rtt_lib.studies.runs import ensure_base
from rtt_lib.worlds.micro import discriminators as micro_training
from rtt_lib.worlds.micro.discriminators import Variant

START = Criterion("start bako", "micro:start", {"word": "bako"})
END = Criterion("end desu", "micro:end", {"word": "desu"})
COMMAS = Criterion("no commas", "micro:no_commas")
SHORT = Criterion("at most 8 words", "micro:at_most_words", {"n": 8})


@pytest.fixture(scope="module")
def profile():
    small = {"policy.pretrain_steps": "2", "discriminator.samples": "64", "compute.workers": "1"}
    return load_profile("ci", small)


@pytest.fixture(scope="module")
def base(profile, tmp_path_factory):
    return ensure_base(tmp_path_factory.mktemp("runs"), "M", "A", profile.policy.pretrain_steps)


def test_a_discriminator_is_a_function_of_code_and_profile(profile, base, tmp_path):
    variant = Variant("taxonomy", "")
    for place in ("one", "two"):
        micro_training.train_for(profile, tmp_path / place, variant, base)
    one, two = (micro_training.folder_of(tmp_path / place, variant) for place in ("one", "two"))
    names = sorted(path.name for path in one.iterdir())
    assert {"model.safetensors", "stamp", "training.json"} <= set(names)
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert [path.name for path in one.parent.iterdir()] == ["taxonomy"]  # no attempt is left behind
    assert any("loss" in row for row in read_json(one / "training.json")["log"])


def test_settings_seed_and_base_decide_whether_it_is_trained_again(profile, base, tmp_path):
    variant = Variant("taxonomy", "")
    first = micro_training.fingerprint(profile, variant, base)
    settings = dataclasses.replace(profile.discriminator, learning_rate=1e-4)
    slower = dataclasses.replace(profile, discriminator=settings)
    more_seeds = dataclasses.replace(profile, discriminator=dataclasses.replace(profile.discriminator, seeds=(0, 1)))
    other_base = tmp_path / "base"
    other_base.mkdir()
    (other_base / "model.safetensors").write_bytes(b"other")
    changed = {
        micro_training.fingerprint(slower, variant, base),
        micro_training.fingerprint(profile, dataclasses.replace(variant, seed=1), base),
        micro_training.fingerprint(profile, variant, other_base),
    }
    assert len(changed | {first}) == 4
    assert micro_training.fingerprint(more_seeds, variant, base) == first  # another seed does not redo this one
    assert micro_training.fingerprint(profile, dataclasses.replace(variant, about="other words"), base) == first
    assert not micro_training.is_trained(profile, tmp_path, variant, base)
    folder = micro_training.folder_of(tmp_path, variant)
    folder.mkdir(parents=True)
    (folder / "stamp").write_text(first)
    assert micro_training.is_trained(profile, tmp_path, variant, base)
    assert not micro_training.is_trained(slower, tmp_path, variant, base)


def test_what_is_trained_and_where(profile):
    five = dataclasses.replace(profile.discriminator, seeds=(0, 1, 2))
    names = [v.name for v in micro_training.variants(dataclasses.replace(profile, discriminator=five))]
    assert names[:4] == ["taxonomy", "greedy", "taxonomy-seed1", "taxonomy-seed2"]
    assert len(set(names)) == len(names)


def test_held_out_families_are_not_trained_on_and_annotators_differ(profile):
    seen = {e.criterion.family for e in micro_training.examples_for(profile, Variant("v", ""))}
    held_out = micro_training.examples_for(profile, Variant("v", "", held_out=("start", "include")))
    assert {"start", "include"} <= seen
    assert {e.criterion.family for e in held_out} == seen - {"start", "include"}
    greedy = micro_training.examples_for(profile, Variant("v", "", annotator="greedy"))
    assert not any(example.label.whole for example in greedy)
    assert any(example.label.whole for example in micro_training.examples_for(profile, Variant("v", "")))


def test_fresh_examples_are_not_the_training_ones(profile):
    trained = {(e.criterion.text, e.response) for e in micro_training.examples_for(profile, Variant("v", ""))}
    fresh = {(e.criterion.text, e.response) for e in micro_training.fresh_examples(200)}
    assert not trained & fresh


@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_the_control_sees_the_future_also_after_loading(base, tmp_path, bidirectional):
    parts = micro_training.backbone(base, bidirectional=bidirectional, seed=0)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    Discriminator(parts.model, parts.tokenizer).save(tmp_path)
    loaded = Discriminator.load(tmp_path, "cpu")
    first, second = loaded.attribute("end bako", "mera bako"), loaded.attribute("end bako", "mera desu")
    assert (first[0].relevance != pytest.approx(second[0].relevance, abs=1e-5)) == bidirectional


def test_another_data_source_is_refused(profile, tmp_path):
    other = dataclasses.replace(profile, data=dataclasses.replace(profile.data, source="composed"))
    with pytest.raises(RTTError, match="need the micro world"):
        list(micro_training.train_all(other, tmp_path))


# --- tables ---


def scored(criterion, p, y, verdict=True) -> validate.Scored:
    words = ["bako", "mera", "desu", "kuvo", "gosu"][: len(p) - 1]
    return validate.Scored(
        LabelledExample(criterion, " ".join(words), Label(), verdict), np.array(p), np.array(y, dtype=bool)
    )


def test_cases_by_hand():
    batch = [
        scored(START, [0.9, 0.1, 0.1, 0.1], [1, 0, 0, 0]),
        scored(START, [0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0]),
        scored(SHORT, [0.9, 0.9], [1, 1]),
    ]
    table = discriminators.case_table({"taxonomy": batch}).set_index("case")
    assert table.loc["local positive, satisfied", ["labelled", "marked", "exactly right"]].tolist() == [
        0.25,
        0.375,
        0.5,
    ]
    assert table.loc["global, satisfied", "exactly right"] == 1


def test_intervals_over_seeds_need_three():
    right, wrong = scored(START, [0.9, 0.1], [1, 0]), scored(START, [0.1, 0.1], [1, 0])
    predictions = {"a": [right], "b": [right], "c": [wrong]}
    two = discriminators.seed_table(predictions, ["a", "b"]).iloc[0]
    assert two["mean F1"] == 1 and math.isnan(two["low"])
    three = discriminators.seed_table(predictions, ["a", "b", "c"]).iloc[0]
    assert three["mean F1"] == pytest.approx(2 / 3) and three["worst seed"] == 0
    reach = 1.5**0.5 * 4.303 / 1.960  # three values, two degrees of freedom: see test_stats.py
    assert three["low"] == pytest.approx(2 / 3 * (1 - reach), abs=5e-3)
    assert three["high"] == pytest.approx((2 + reach) / 3, abs=5e-3)


def test_thresholds_and_conclusions():
    sure, unsure = scored(START, [0.9999, 0.1], [1, 0]), scored(COMMAS, [0.1, 0.9, 0.9], [0, 1, 1], False)
    end = scored(END, [0.1, 0.1, 0.6], [0, 0, 1])
    table = discriminators.threshold_table([sure, unsure]).set_index("family")
    assert table.loc["start", "marks that survive"] == 1 and table.loc["no_commas", "recall at 0.998"] == 0
    everything = [sure, unsure, end]
    names = ("taxonomy", "greedy", "held-out", "balanced", "bidirectional", discriminators.KEYWORDS)
    text = discriminators.conclusions(dict.fromkeys(names, everything), {"held-out": ("start",)})
    assert "**none**" in text and "from 1.000 to 0.333" in text
    comparison = discriminators.comparison_table({"taxonomy": everything}).iloc[0]
    assert comparison["mean F1 over families"] == "1.000 [1.000, 1.000]" and comparison["AUC"] == 1


def test_the_keyword_rule_marks_mentions():
    example = LabelledExample(COMMAS, "bako , desu", Label(((5, 6),)), False)
    parts = tiny("llama", micro_tokenizer())
    one = validate.Scored(example, np.zeros(4), np.array([0, 1, 0, 0], dtype=bool))
    encoder = Discriminator(parts.model, parts.tokenizer).encoder
    (found,) = discriminators.keyword_rule([one], encoder)
    assert found.p.tolist() == [0, 1, 0, 0]


# --- labels and attributions ---


def test_the_taxonomy_is_computed_as_the_paper_has_it():
    table = labels.taxonomy_table()
    keys = table[["scope", "polarity", "verdict"]].agg(" ".join, axis=1)
    assert dict(zip(keys, table["relevant"], strict=True)) == {
        "global - satisfied": "all",
        "global - violated": "all",
        "local positive satisfied": "segments",
        "local positive violated": "nothing",
        "local negative violated": "segments",
        "local negative satisfied": "nothing",
    }
    assert "⟦bako⟧ mera , desu" in set(table["response"])


def test_counts_by_hand():
    examples = [
        LabelledExample(START, "bako mera", Label(((0, 4),)), True),
        LabelledExample(START, "mera bako", Label(), False),
        LabelledExample(SHORT, "bako", Label(whole=True), True),
    ]
    table = labels.count_table(examples, labels.case_of, "case").set_index("case")
    assert table.loc["local positive, satisfied", ["segments", "relevant characters"]].tolist() == [1, 4 / 9]
    assert table.loc["local positive, violated", "nothing"] == 1 and table.loc["global, satisfied", "all"] == 1
    assert labels.edit_size("one two", "one two,") == 1 and labels.edit_size("abc", "axc") == 2


def test_every_byte_of_an_emoji_is_relevant():
    tokenizer = labels.byte_level_tokenizer(["plain words"])
    table = labels.token_table(tokenizer, "a 😀 b", [(2, 3)])
    assert table.loc[table["relevant"], "text"].tolist() == ["'😀'"] * 4
    assert table["text"].iloc[-1] == "''" and not table["relevant"].iloc[-1]


def test_what_is_shown_is_escaped_and_bracketed():
    evil = "<script>x</script>"
    page = gallery.grid(["a & b"], [[evil, gallery.Shaded(evil, [TokenRelevance(0, 8, 1.0)], "<i>")]]).data
    assert "<script" not in page and "<i>" not in page and "a &amp; b" in page
    assert gallery.in_brackets("ab cd", gallery.of_label(Label(((3, 5),)), "ab cd")) == "ab ⟦cd⟧"
    assert gallery.in_brackets("ab", None) == gallery.NO_LABEL


def test_text_cases_cover_table_6_and_soft_ones_have_no_label():
    cases = attributions.text_cases()
    assert {attributions.case_of(case) for case in cases} == {
        *("global, satisfied", "global, violated", "local positive, satisfied", "local positive, violated"),
        *("local negative, satisfied", "local negative, violated", attributions.SOFT),
    }
    wanted = [[TokenRelevance(s, e, 1.0) for s, e in case.label.spans] for case in cases]
    table = attributions.case_table(cases, wanted)
    soft = table["case"] == attributions.SOFT
    assert set(table.loc[soft, "label"]) == {gallery.NO_LABEL} and table.loc[soft, "tokens right"].isna().all()
    assert (table["label"] == table["marked"])[~soft].all()
    assert "**1 of 1**" in attributions.patterns(table)


def test_words_outside_the_little_language_are_named(base, monkeypatch):
    parts = micro_training.backbone(base, bidirectional=False, seed=0)
    setattr(parts.model.config, TEMPLATE_KEY, parts.template)
    model = Discriminator(parts.model, parts.tokenizer)
    assert attributions.unknown_words(model, "start bako hello") == ["hello"]
    monkeypatch.setenv(attributions.PROGRESS_FILE, "somewhere")
    cases = [LabelledExample(START, "bako mera", Label(((0, 4),)), True)]
    assert "bako" in attributions.explorer(model, cases).data
    monkeypatch.delenv(attributions.PROGRESS_FILE)
    box = attributions.explorer(model, cases)
    box.children[2].value = "bako hello"
    assert "does not have" in box.children[3].value and "hello" in box.children[3].value


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_empty_cases_stay_out_of_the_figures():
    assert isinstance(labels.negatives_table([]), pd.DataFrame)
