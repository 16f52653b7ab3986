"""Notebook 09: the cases of Table 6, and the explorer."""

from __future__ import annotations

from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import TEMPLATE_KEY, Discriminator, TokenRelevance
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.report import gallery
from rtt_lib.report import token_attribution as attributions
from rtt_lib.schema import Criterion
from rtt_lib.worlds.micro import discriminators as micro_training
from rtt_lib.worlds.micro.policy import base_policy

START = Criterion("start bako", "micro:start", {"word": "bako"})


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


def test_words_outside_the_little_language_are_named(monkeypatch):
    parts = micro_training.backbone(base_policy("M", "A", 2), micro_training.Variant("taxonomy", ""))
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
