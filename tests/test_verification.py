"""What goes to a verifier and what comes back, each function by itself (test_rtt_grpo.py has them in a training)."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from rtt_lib.errors import RTTError
from rtt_lib.methods.verification import UnknownLimit, checked_verdicts, parse_rubric, rubric_dataset, undecidable
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify.batch import Verifier
from rtt_lib.verify.verdict import Verdict

START, KIND = Criterion("start bako", "micro:start", {"word": "bako"}), Criterion("Be kind.")


def test_a_rubric_survives_the_data_set():
    (text,) = rubric_dataset([RubricPrompt("a", "start bako :", (START, KIND))], conversational=False)
    (chat,) = rubric_dataset([RubricPrompt("a", "start bako :", (START, KIND))], conversational=True)
    assert text["prompt"] == "start bako :" and chat["prompt"] == [{"role": "user", "content": "start bako :"}]
    assert parse_rubric(text["criteria"]) == parse_rubric(json.loads(chat["criteria"])) == [START, KIND]
    assert parse_rubric(["Be kind.", START.to_json()]) == [KIND, START]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (None, "found nothing"),
        ("Be kind.", "found str 'Be kind.'"),
        (7, "found int '7'"),
        (["Be kind.", 7], r"criteria\[1\]: a criterion must be an object"),
        ([{"verifier": "judge"}], r"criteria\[0\]: field 'text' is missing"),
    ],
)
def test_what_is_no_rubric_is_named(cell, says):
    with pytest.raises(RTTError, match=says):
        parse_rubric(cell)


def test_verdicts_of_any_verifier_become_verdicts():
    rubrics = [[START, KIND], [KIND]]
    found = checked_verdicts([[np.bool_(True), None], (Verdict(False, "rude", ((0, 4),)),)], rubrics)
    assert found == [[Verdict(True), Verdict(None)], [Verdict(False, "rude", ((0, 4),))]]
    assert type(found[0][0].value) is bool


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([[True, True]], "verdicts on 1 responses, there are 2"),
        ([[True], [True]], "1 verdicts on response 0, whose rubric has 2"),
        ([[True, 0], [True]], "response 0, criterion 'Be kind.' is int 0: it must be True, False or None"),
        ([[True, True], [Verdict("yes")]], "response 1, criterion 'Be kind.' is str 'yes'"),
    ],
)
def test_other_answers_are_refused(answers, says):
    with pytest.raises(RTTError, match=says):
        checked_verdicts(answers, [[START, KIND], [KIND]])


def test_too_many_unknown_verdicts_stop_a_run_once_there_are_enough():
    limit = UnknownLimit(0.5)
    for _ in range(4):
        limit.count([[Verdict(None, "no judge")] * 10])  # 40 of 40, too few to say
    with pytest.raises(RTTError, match=r"100% of the last 50 .* max_unknown = 50%.*reason: no judge\. What stays"):
        limit.count([[Verdict(None, "no judge")] * 10])


def test_only_recent_batches_count():
    limit = UnknownLimit(0.5)
    for _ in range(10):
        limit.count([[Verdict(True)] * 10])
    for _ in range(5):
        limit.count([[Verdict(None)] * 10])  # half of the last hundred
    with pytest.raises(RTTError, match="60% of the last 100"):
        limit.count([[Verdict(None)] * 10])


def test_what_a_verifier_can_never_decide_is_counted_beforehand():
    share, reasons = undecidable(Verifier(), [[START, KIND], [START, START]])
    assert share == 1 / 4 and reasons.total() == 1
    assert undecidable(lambda *_: [], [[KIND]]) == (0.0, Counter()), "one that cannot say so is believed"
    assert undecidable(Verifier(), []) == (0.0, Counter())
