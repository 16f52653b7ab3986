"""Accounts and critiques, word by word."""

from __future__ import annotations

import random

from test_ladders import by_hand

from rtt_lib.worlds.levels.feedback import account, critique, without_account

CRITERIA = by_hand("start ba", "exactly 2 de", "at least 10 words", "no commas")
ANSWER = "ba de ku , de la"  # two de, five words, a comma
RNG = random.Random(0)


def test_an_account_says_what_was_counted():
    assert account(CRITERIA, ANSWER, "true", RNG) == "= de 2 words 5"
    assert account(CRITERIA, "la", "true", RNG) == "= de 0 words 1"


def test_a_false_account_has_other_numbers_and_a_filler_none_and_both_are_as_long():
    for seed in range(50):
        mark, first, count, second, length = account(CRITERIA, ANSWER, "false", random.Random(seed)).split()
        assert (mark, first, second) == ("=", "de", "words") and count != "2" and length != "5"
    assert account(CRITERIA, ANSWER, "filler", RNG) == "= ; ; ; ;"


def test_only_prompts_that_count_have_an_account():
    assert account(by_hand("start ba", "no commas"), ANSWER, "true", RNG) == ""
    assert account(CRITERIA, ANSWER, "none", RNG) == ""


def test_the_answer_is_what_stands_before_the_account():
    assert without_account("ba de = de 1 words 2") == "ba de" and without_account("= de 1") == ""
    assert without_account("ba , de") == "ba , de"


def test_a_critique_names_what_is_broken():
    assert critique(CRITERIA, ANSWER, "full", RNG) == "<ask> no ; at least 10 words ; no commas :"
    assert critique(CRITERIA, ANSWER, "bare", RNG) == "<ask> no :"
    wrong = critique(CRITERIA, ANSWER, "wrong", RNG)
    assert wrong in ("<ask> no ; start ba ; exactly 2 de :", "<ask> no ; exactly 2 de ; start ba :")


def test_a_good_draft_gets_no_critique_and_a_bad_one_no_more_names_than_there_are():
    assert critique(by_hand("start ba"), ANSWER, "full", RNG) is None
    assert critique(by_hand("start de", "end ba", "include la"), ANSWER, "wrong", RNG) == "<ask> no ; include la :"
