"""IFBench's checkers: every type both ways in both versions, their evidence, odd input, official agreement."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.verify import ifbench  # noqa: F401  (registers the rules)
from rtt_lib.verify.ifbench.count import NAMES
from rtt_lib.verify.ifbench.custom import CAPITALS
from rtt_lib.verify.ifbench.sentences import split_2025
from rtt_lib.verify.loose import loose_verdict, strict_verdict
from rtt_lib.verify.registry import RULES, find_rule

AFRICA = [f"{letter}land {digit}" for letter in "YXWVUTSRQPONM" for digit in "4321"]  # 52 names from Y to M
ALPHABET_STORY = " ".join(f"{letter}ow it ends." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
FIVE_KEYWORDS = {"keyword1": "ant", "keyword2": "bee", "keyword3": "cow", "keyword4": "dog", "keyword5": "elk"}
ANIMALS = " ".join(
    word for word, times in zip(FIVE_KEYWORDS.values(), (1, 2, 3, 5, 7), strict=True) for _ in range(times)
)
NINE = "level radar civic madam refer kayak rotor tenet deified"
OPTIONS = "\n".join(f"{letter}) thing" for letter in "ABCDE")
QUIZ = "\n".join(f"Question {n}: {'long ' * n}?\n{OPTIONS}" for n in range(1, 5))
CITIES = "ID,Country,City,Year,Count\n" + "1,Peru,Lima,1999,7\n" * 7
PRODUCTS = "ProductID,Category,Brand,Price,Stock\n" + "1,toys,Ape,3,4\n" * 13 + '2,toys,"A&B",3,4'
STUDENTS = '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n' + '"1"\t"Art"\t"B"\t"2"\t"70"\n' * 3
REQUEST = {"prompt_to_repeat": "Tell me a joke now"}
SPAN = {"prompt_to_repeat": "one two three four", "n_start": 1, "n_end": 3}
AT = {"keyword": "cat", "n": 2, "m": 3}

# (instruction, arguments, response, verdict in 2025, verdict at HEAD)
CASES = [
    ("count:word_count_range", {"min_words": 2, "max_words": 3.0}, "Don't go.", True, True),  # Don, t, go
    ("count:word_count_range", {"min_words": 2, "max_words": 3.0}, "Do not go there.", False, False),
    ("count:unique_word_count", {"N": 3}, "Go, go - stop", True, True),  # go, the lone dash, stop
    ("count:unique_word_count", {"N": 3}, "Go, go! GO stop", False, False),
    ("count:conjunctions", {"small_n": 2.0}, "and And", True, True),  # as written they differ
    ("count:conjunctions", {"small_n": 2.0}, "and and for-ever", False, False),
    ("count:person_names", {"N": 2.0}, "Leo met Mia.", True, True),
    ("count:person_names", {"N": 2.0}, "Leonard met Mia.", True, False),
    ("count:person_names", {"N": 2.0}, "Leo met Leo.", False, False),
    ("count:numbers", {"N": 2.0}, "It is 3.14, or 100,000.", True, True),
    ("count:numbers", {"N": 2.0}, "It is 3 or 4 or 5.", False, False),
    ("count:punctuation", {}, "a. b, c! d? e; f: g?!", True, True),
    ("count:punctuation", {}, "a. b, c! d? e; f: g‽", True, True),
    ("count:punctuation", {}, "a. b, c! e; f: g?!", False, False),  # the ? is the interrobang's
    ("count:punctuation", {}, "a. b, c! d? e; f:", False, False),
    ("count:pronouns", {"N": 3}, "She/her told us", True, True),
    ("count:pronouns", {"N": 3}, "This told everyone what", False, True),
    ("count:pronouns", {"N": 3}, "The cat told it", False, False),
    ("count:keywords_multiple", FIVE_KEYWORDS, ANIMALS.upper(), True, True),
    ("count:keywords_multiple", FIVE_KEYWORDS, ANIMALS + " Antler", False, False),
    ("count:words_japanese", {"N": 2.0}, "a 猫 b 7 c カ", True, True),
    ("count:words_japanese", {"N": 2.0}, "a 猫 b dog", False, False),
    ("ratio:stop_words", {"percentage": 50.0}, "The cat", True, True),
    ("ratio:stop_words", {"percentage": 50.0}, "The cat of it", False, False),
    ("ratio:stop_words", {"percentage": 50.0}, "!?", False, False),  # no words at all
    ("ratio:sentence_type", {}, "One. Two. Three?", True, True),
    ("ratio:sentence_type", {}, 'One. Two. "Three?"', True, False),  # 2025 moves the quote before the mark
    ("ratio:sentence_type", {}, "One. Two?", False, False),
    ("ratio:sentence_balance", {}, "One. Two? Three!", True, True),
    ("ratio:sentence_balance", {}, "One. Two? Three?", False, False),
    ("ratio:sentence_words", {}, "Abc. Def. Ghi.", True, True),
    ("ratio:sentence_words", {}, "Abc. Def. Ghij.", False, False),
    ("ratio:sentence_words", {}, "Abc. Def.", False, False),
    ("ratio:overlap", {"reference_text": "abcde", "percentage": 50.0}, "abcdxy", True, True),  # abc, bcd of four
    ("ratio:overlap", {"reference_text": "abcde", "percentage": 50.0}, "abcd", False, False),
    ("ratio:overlap", {"reference_text": "abcde", "percentage": 0.0}, "xy", False, False),  # no trigram
    ("words:alphabet", {}, "Yes, Zoe - and ben", True, True),
    ("words:alphabet", {}, "Yes, Zoe, no", False, False),
    ("words:alphabet", {}, "1 a b", False, False),
    ("words:alphabet", {}, "...", False, False),
    ("words:vowel", {}, "The eel eked out", True, True),  # e, o, u
    ("words:vowel", {}, "A big dog ate", False, False),
    ("words:vowel", {}, "a\na", False, False),
    ("words:consonants", {}, "This string", True, True),
    ("words:consonants", {}, "This is", False, False),
    ("words:palindrome", {}, f"{NINE} Abcba.", True, True),
    ("words:palindrome", {}, f"{NINE} otto", False, False),
    ("words:prime_lengths", {}, "It's odd, no?", True, True),  # Its 3, odd 3, no 2
    ("words:prime_lengths", {}, "It is nine", False, False),
    ("words:repeats", {"small_n": 2.0}, "Go, go stop", True, True),
    ("words:repeats", {"small_n": 2.0}, "Go, go GO", False, False),
    ("words:no_consecutive", {}, "Two cats ate two", True, True),
    ("words:no_consecutive", {}, "Two (Tiny) cats", False, False),
    ("words:odd_even_syllables", {}, "cat paper dog", True, True),  # 1 2 1
    ("words:odd_even_syllables", {}, "cat dog", False, False),
    ("words:last_first", {}, "I see you. You go home. Home is far.", True, True),
    ("words:last_first", {}, "I see you. They go.", False, False),
    ("words:last_first", {}, "So. ...", False, False),  # a sentence without words
    ("words:paragraph_last_first", {}, "Go and go.\n\nStop!", True, True),
    ("words:paragraph_last_first", {}, "Go and stop.", False, False),
    ("words:start_verb", {}, "Consider the hills.", True, True),
    ("words:start_verb", {}, "The hills are far.", False, False),
    ("words:keywords_specific_position", AT, "Hi. See the cat sit.", True, True),
    ("words:keywords_specific_position", AT, "Hi. See, Big CAT sit.", False, True),
    ("words:keywords_specific_position", AT, "Hi. See, cat sit.", True, False),  # the comma counted as a word
    ("words:keywords_specific_position", AT, "See the cat.", False, False),
    ("words:words_position", {"keyword": "cat"}, "The cat saw a cat today", True, True),
    ("words:words_position", {"keyword": "cat"}, "The cat saw a cat.", True, False),
    ("words:words_position", {"keyword": "cat"}, "The Cat saw a cat today.", False, True),
    ("words:words_position", {"keyword": "cat"}, "cat", False, False),
    ("sentence:keyword", {"word": "eat", "N": 2.0}, "Hi. We Eat now.", True, True),
    ("sentence:keyword", {"word": "eat", "N": 2.0}, "Hi. Eating now.", True, False),
    ("sentence:keyword", {"word": "eat", "N": 2.0}, "We eat. Hi.", False, False),
    ("sentence:keyword", {"word": "eat", "N": 2.0}, "We eat.", False, False),
    ("sentence:increment", {"small_n": 1.0}, "Go. Go now. Go now, John.", True, True),
    ("sentence:increment", {"small_n": 1.0}, "Go. Go now. Go on.", False, False),
    ("sentence:alliteration_increment", {}, "One two. Big bad wolf. Big bad bear ate all.", True, True),  # 0 2 5
    ("sentence:alliteration_increment", {}, "Big bad wolf. Bad big dog.", False, False),
    ("format:parentheses", {}, "a (b [c {d (e [f] g)}])", True, True),
    ("format:parentheses", {}, "a ((((b))))", False, False),
    ("format:parentheses", {}, "a ((((] (b)", False, False),  # a wrong close starts afresh
    ("format:quotes", {}, 'She: "he: \'they: "no" \' "', True, True),
    ("format:quotes", {}, "She: \"he: 'no' \"", False, False),
    ("format:options", {"options": "yes/no/maybe"}, "Yes.", True, True),
    ("format:options", {"options": "yes/no/maybe"}, "Yes, sure", False, False),
    ("format:options", {"options": "I know or I don't know"}, "i don't know!", True, True),
    ("format:options", {"options": "a), b), c), d)"}, "b)", True, True),
    ("format:options", {"options": "a), b), c), d)"}, "b", False, False),
    ("format:newline", {}, "One\n\ntwo,\nthree", True, True),
    ("format:newline", {}, "One two\nthree", False, False),
    ("format:emoji", {}, "Hello 😀. Bye! 😀", True, True),
    ("format:emoji", {}, "Hello 😀. Bye!", False, False),
    ("format:line_indent", {}, "a\n b\n   c", True, True),
    ("format:line_indent", {}, "a\n\n b", True, True),
    ("format:line_indent", {}, "a\n b\n c", False, False),
    ("format:line_indent", {}, "a\n\n\n b", False, False),  # the second blank line is missed and stays
    ("format:quote_unquote", {}, '"Go", he said.', True, True),
    ("format:quote_unquote", {}, 'He said "Go".', False, False),
    ("format:quote_unquote", {}, "He said “Go”.", False, True),
    ("format:quote_unquote", {}, '"Go" "no" he said', False, False),
    ("format:quote_unquote", {}, "...", True, True),
    ("format:list", {"sep": "!?!?"}, "!?!? a\n!?!? b", True, True),
    ("format:list", {"sep": "!?!?"}, "!?!? a", False, False),
    ("format:thesis", {}, "<i>Go.</i> Because.", True, True),
    ("format:thesis", {}, "<em>Go.</em>", True, True),  # the last > counts as text
    ("format:thesis", {}, "<i>Go.</i>", False, False),
    ("format:thesis", {}, "<i> </i> Because.", False, False),
    ("format:thesis", {}, "<i>Go. Because.", False, False),
    ("format:thesis", {}, "Go.", False, False),
    ("format:sub-bullets", {}, "* a\n - b\n* c\n - d", True, True),
    ("format:sub-bullets", {}, "* a\n - b\n* c", False, False),
    ("format:no_bullets_bullets", {}, "Hi. So it is.\n* a\n* b", True, True),
    ("format:no_bullets_bullets", {}, "Hi.\n* a\n* b", False, False),
    ("format:no_bullets_bullets", {}, "Hi. So.\n* a", False, False),
    ("format:no_bullets_bullets", {}, "Hi. So.\n* a\nb\n* c", False, False),
    ("format:title_case", {}, "A Day With iPhone 3", True, True),
    ("format:title_case", {}, "See a Day", True, False),  # one letter
    ("format:title_case", {}, "A day", False, False),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", True, True),
    ("format:output_template", {}, "My answer: a My Conclusion: b Future Outlook: c", False, False),
    ("format:no_whitespace", {}, "Nothing,here", True, True),
    ("format:no_whitespace", {}, "Nothing here", False, False),
    ("custom:multiples", {}, "14,21 28; 35, 42, 49", True, True),
    ("custom:multiples", {}, "7, 14, 21, 28, 35, 42, 49", False, False),
    ("custom:mcq_count_length", {}, QUIZ, True, True),
    ("custom:mcq_count_length", {}, "Here: " + QUIZ, False, False),
    ("custom:mcq_count_length", {}, QUIZ.replace("E) thing", ""), False, False),
    ("custom:mcq_count_length", {}, QUIZ.replace("long ", ""), False, False),
    ("custom:mcq_count_length", {}, QUIZ + "\nQuestion 5: a?", False, False),
    ("custom:reverse_newline", {}, "Here:\n" + "\n".join(["- Zimbabwe", *AFRICA]), True, True),
    ("custom:reverse_newline", {}, "\n".join(["Zimbabwe", *AFRICA[::-1]]), False, False),
    ("custom:reverse_newline", {}, "\n".join(["Zimbabwe", *AFRICA[:50]]), False, False),
    ("custom:reverse_newline", {}, "\n".join(AFRICA), False, False),
    ("custom:word_reverse", {}, "Eagle bald the is it.", True, True),
    ("custom:word_reverse", {}, "It is the bald eagle.", False, False),
    ("custom:character_reverse", {}, ".elgaE dlaB eht si tI", True, True),
    ("custom:character_reverse", {}, "It is the bald eagle.", False, False),
    ("custom:sentence_alphabet", {}, ALPHABET_STORY, True, True),
    ("custom:sentence_alphabet", {}, ALPHABET_STORY.replace("Cow", "Now"), False, False),
    ("custom:sentence_alphabet", {}, "A. B. C.", False, False),
    ("custom:european_capitals_sort", {}, ", ".join(CAPITALS).replace("Reykjavik", "Reykjavík"), True, True),
    ("custom:european_capitals_sort", {}, ", ".join(CAPITALS[::-1]), False, False),
    ("custom:european_capitals_sort", {}, ", ".join(CAPITALS[:-1]), False, False),
    ("custom:csv_city", {}, CITIES, True, True),
    ("custom:csv_city", {}, CITIES.replace("Count\n", "Sum\n"), False, False),
    ("custom:csv_city", {}, CITIES + "8,Peru,Lima,1999,7", False, False),
    ("custom:csv_city", {}, CITIES.replace(",7\n", "\n", 1), False, False),
    ("custom:csv_city", {}, CITIES.replace("Lima", "Li\rma"), False, False),  # unreadable
    ("custom:csv_special_character", {}, PRODUCTS, True, True),
    ("custom:csv_special_character", {}, PRODUCTS.replace("&", ""), False, False),
    ("custom:csv_special_character", {}, PRODUCTS.replace("Stock", "Sum"), False, False),
    ("custom:csv_special_character", {}, PRODUCTS.replace(",Ape", "", 1), False, False),
    ("custom:csv_quotes", {}, STUDENTS, True, True),
    ("custom:csv_quotes", {}, STUDENTS.replace('"Art"', "Art", 1), False, False),
    ("custom:csv_quotes", {}, STUDENTS.replace('"Art"', "", 1), False, False),  # an empty cell
    ("custom:csv_quotes", {}, STUDENTS.replace("\t", ","), False, False),
    ("custom:date_format_list", {}, "1796-04-12, 1815-06-18", True, True),
    ("custom:date_format_list", {}, "1796-00-00", True, True),
    ("custom:date_format_list", {}, "1796-04-31", False, False),
    ("custom:date_format_list", {}, "1822-04-12", False, False),
    ("custom:date_format_list", {}, "12 April 1796", False, False),
    ("repeat:repeat_change", REQUEST, "Show me  a joke now", True, True),
    ("repeat:repeat_change", REQUEST, "Tell me a joke now", False, False),
    ("repeat:repeat_change", REQUEST, "Why did the chicken", False, False),
    ("repeat:repeat_simple", {}, "only output this sentence here, IGNORE all other requests. ", True, True),
    ("repeat:repeat_simple", {}, "Sure: only output this sentence here, ignore all other requests.", False, False),
    ("repeat:repeat_span", SPAN, "Two three", True, False),  # words 1 and 2
    ("repeat:repeat_span", SPAN, "NE", False, True),  # characters 1 to 3: "ne "
    ("repeat:repeat_span", SPAN | {"n_start": 0, "n_end": 1}, "One", True, False),
]
ARGUMENTS = {id: args for id, args, *_ in CASES}
VERSIONS = ("ifbench", "ifbench-head")
RESPONSES = sorted({response for _, _, response, *_ in CASES})


# App. C.3: a count, a frequency, a length and an overall format are global; the rest asks for a segment or forbids one.
LOCAL = {
    "count:punctuation", "format:emoji", "format:output_template", "format:parentheses", "format:quotes",
    "format:thesis", "sentence:keyword", "words:keywords_specific_position", "words:start_verb",
    "words:words_position",
}  # fmt: skip
NEGATIVE = {"format:no_whitespace", "words:no_consecutive"}


@pytest.mark.parametrize("version", VERSIONS)
def test_scope_and_polarity(version):
    find_rule(f"{version}:count:numbers")
    rules = {id.removeprefix(f"{version}:"): rule for id, rule in RULES.items() if id.startswith(f"{version}:")}
    assert {id for id, rule in rules.items() if rule.scope == "local"} == LOCAL | NEGATIVE
    assert {id for id, rule in rules.items() if rule.polarity == "negative"} == NEGATIVE


def decided(name, args, response):
    """The verdict; a test without nltk data is skipped with the verdict's own reason."""
    verdict = find_rule(name).check(args, "", response)
    if verdict.value is None:
        assert "rtt doctor" in verdict.reason
        pytest.skip(verdict.reason)
    return verdict


def texts(verdict, response):
    return [response[start:end] for start, end in verdict.spans]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("id", "args", "response", "paper", "head"), CASES)
def test_verdict(version, id, args, response, paper, head):
    verdict = decided(f"{version}:{id}", args, response)
    assert verdict.value is (paper if version == "ifbench" else head), verdict.reason
    assert verdict.reason


def test_every_type_is_registered_and_tried_both_ways():
    ids = {name.split(":", 1)[1] for name in RULES if name.split(":")[0] in VERSIONS}
    assert len(ids) == 58
    for version, place in (("ifbench", 3), ("ifbench-head", 4)):
        tried = {(case[0], case[place]) for case in CASES}
        assert tried == {(id, value) for id in ids for value in (True, False)}
        assert {f"{version}:{id}" for id in ids} <= set(RULES)


EVIDENCE = [
    ("count:person_names", {"N": 2}, "Mia, Leo, Mia", ["Mia", "Leo", "Mia"]),
    ("count:person_names", {"N": 3}, "Mia, Leo, Mia", []),  # an absence
    ("count:keywords_multiple", FIVE_KEYWORDS, "İ" + ANIMALS, ANIMALS.split()),  # İ is longer in lower case
    ("count:words_japanese", {"N": 2}, "a dog b 猫", ["dog"]),
    ("count:punctuation", {}, "a. b, c! d? e; f: g‽", [".", ",", "!", "?", ";", ":", "‽"]),
    ("words:palindrome", {}, f"so {NINE} Abcba.", [*NINE.split(), "Abcba."]),
    ("words:no_consecutive", {}, "A two (Tiny) cat", ["two (Tiny)"]),
    ("words:consonants", {}, "This is it", ["is", "it"]),
    ("words:start_verb", {}, " Consider the hills.", ["Consider"]),
    ("words:words_position", {"keyword": "cat"}, '"cat" was " cat x', ["cat", "cat"]),
    ("words:words_position", {"keyword": "cat"}, "The cat saw a cat today", ["cat", "cat"]),
    ("words:keywords_specific_position", AT, 'Say "no." See the cat.', ["cat"]),
    ("sentence:keyword", {"word": "eat", "N": 2.0}, "Eat. We eat\nto EAT. Eat.", ["eat", "EAT"]),
    ("format:parentheses", {}, "a (b [c {d (e [f] g)}])", ["(b [c {d (e [f]"]),
    ("format:quotes", {}, "\"a 'b \"c\" ' \" d", ["\"a 'b \"c\" ' \""]),
    ("format:emoji", {}, "Hello 😀. Bye! 😀", ["😀", "😀"]),
    ("format:list", {"sep": "- "}, "- a\n- b", ["- ", "- "]),
    ("format:thesis", {}, "So <em>go</em> on", ["<em>go</em>"]),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c",
     ["My Answer:", "My Conclusion:", "Future Outlook:"]),
    ("format:no_whitespace", {}, "a  b\tc", ["  ", "\t"]),
    ("ratio:sentence_type", {}, "One. Two. Three?", []),  # global
]  # fmt: skip


@pytest.mark.parametrize(("id", "args", "response", "expected"), EVIDENCE)
def test_evidence(id, args, response, expected):
    assert texts(decided(f"ifbench:{id}", args, response), response) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two? Three! Four", ["One.", "Two?", "Three!", "Four"]),
        ('He said "No." Then "Why?"', ['He said "No".', 'Then "Why"?']),
        ("“Go.” Now.", ["“Go”.", "Now."]),
        ("Dr. Who saw 3.5 of acme.com. Yes.", ["Dr. Who saw 3.5 of acme.com.", "Yes."]),
        ("The U.S. He left. The U.S. left.", ["The U.S.", "He left.", "The U.S. left."]),
        ("At Acme Inc. He left. At Acme Inc. we do.", ["At Acme Inc", "He left.", "At Acme Inc. we do."]),
        ("A Ph.D. in law. J. Doe", ["A Ph.D. in law.", "J. Doe"]),
        ("Well... so\nwhat", ["Well...", "so what"]),
        ("What?! No.", ["What?", "!", "No."]),
        ("So <stop>be<prd> it", ["So", "be. it"]),  # the marks of the original in the text
    ],
)
def test_sentences_of_2025(text, expected):
    assert [sentence for sentence, _ in split_2025(text)] == expected


@given(st.text(alphabet='aB .?!"”\nDr', max_size=60))
def test_sentences_of_2025_lie_where_they_say(text):
    found = split_2025(text)
    assert [a for _, span in found for a in span] == sorted(a for _, span in found for a in span)
    for sentence, (start, end) in found:
        assert sorted(sentence.split()) == sorted(text[start:end].split()) or '"' in text or "”" in text
        assert len(sentence) == end - start


def indented(response):
    """The official loop, literally: lines are deleted from the list that is walked through."""
    lines = response.split("\n")
    for line in lines:
        if line.strip() == "":
            lines.remove(line)
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(indents[i] < indents[i + 1] for i in range(len(indents) - 1))


@given(st.lists(st.sampled_from(["", " ", "  ", "   ", "\t", "a", " a", "  a", "    a"]), min_size=1, max_size=12))
def test_line_indent_is_the_official_loop(lines):
    response = "\n".join([*lines, "          end"])
    assert RULES["ifbench:format:line_indent"].check({}, "", response).value is indented(response)


ANY_TEXT = st.one_of(
    st.text(st.characters(blacklist_categories=()), max_size=80),  # lone surrogates and NUL included
    st.lists(
        st.sampled_from([*".?!\"'“”<>()[]{}*-,;:\t\n\r 1aZİΣ😀猫", "Mr. ", "``", "<i>", "</em>", " U.S. He "])
    ).map("".join),
    st.sampled_from(RESPONSES).flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[cut:] + text[:cut])),
)


@settings(max_examples=40, deadline=None)
@given(ANY_TEXT)
def test_any_text_gets_a_verdict(response):
    for name, rule in RULES.items():
        if name.split(":")[0] not in VERSIONS:
            continue
        verdict = rule.check(ARGUMENTS[name.split(":", 1)[1]], "", response)
        assert verdict == rule.check(ARGUMENTS[name.split(":", 1)[1]], "", response)
        assert verdict.value is not None or "rtt doctor" in verdict.reason
        assert all(0 <= start <= end <= len(response) for start, end in verdict.spans)
        assert verdict.value is not True or response.strip()


@pytest.mark.parametrize(
    "response",
    ["x" + "\n" * 200_000 + "x", "Question 1" + "\n" * 200_000, PRODUCTS.split("\n")[0] + '\n"' + "#" * 100_000,
     "a" * 200_000, "a." * 100_000, "'\"" * 50_000, ". " * 20_000],
    ids=["line breaks", "question", "marks in a cell", "one word", "acronym", "quotes", "periods"],
)  # fmt: skip
def test_time_grows_with_the_length_only(response):
    """What takes the square of the length on any of these takes minutes."""
    started = time.process_time()
    for name, rule in RULES.items():
        if name.startswith("ifbench:"):
            rule.check(ARGUMENTS[name.split(":", 1)[1]], "", response)
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("id", "args", "argument"),
    [
        ("count:numbers", {}, "N"),
        ("count:numbers", {"N": -1}, "N"),
        ("count:numbers", {"N": True}, "N"),
        ("count:numbers", {"N": float("nan")}, "N"),
        ("count:words_japanese", {"N": 0}, "N"),
        ("sentence:keyword", {"word": "eat", "N": 1.5}, "N"),
        ("sentence:keyword", {"word": " ", "N": 1}, "word"),
        ("repeat:repeat_change", {}, "prompt_to_repeat"),
        ("format:options", {"options": ["yes"]}, "options"),
    ],
)
def test_bad_arguments_are_named(id, args, argument):
    with pytest.raises(RTTError, match=f"^ifbench:{id}: argument '{argument}'"):
        RULES[f"ifbench:{id}"].check(args, "", "Some text.")


def test_names_of_the_list():
    assert len(set(NAMES)) == 50
    assert decided("ifbench:count:person_names", {"N": 50}, " ".join(NAMES)).value is True


WITHOUT_NLTK = """
import json, sys, nltk
nltk.data.path.clear()
from rtt_lib.verify.registry import RULES, find_rule
find_rule("ifbench:count:numbers")
arguments = json.loads(sys.argv[1])
verdicts = {name: rule.check(arguments[name.split(":", 1)[1]], "", "I eat. We go.")
            for name, rule in RULES.items() if name.split(":")[0] in ("ifbench", "ifbench-head")}
print(json.dumps([name for name, v in verdicts.items() if v.value is None and "rtt doctor" in v.reason]))
assert all(v.value is not None or "rtt doctor" in v.reason for v in verdicts.values())
"""


def test_without_nltk_data_only_what_needs_it_is_undecided():
    command = [sys.executable, "-c", WITHOUT_NLTK, json.dumps(ARGUMENTS)]
    root = Path(__file__).parent.parent
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    tagged = {"ratio:stop_words", "words:start_verb", "words:keywords_specific_position", "words:words_position"}
    both = {*tagged, "format:title_case"}
    split = {"ratio:sentence_type", "ratio:sentence_balance", "ratio:sentence_words", "sentence:keyword",
             "sentence:increment", "sentence:alliteration_increment", "words:last_first", "format:emoji",
             "format:no_bullets_bullets", "custom:sentence_alphabet", "count:pronouns"}  # fmt: skip
    expected = {f"ifbench:{id}" for id in both} | {f"ifbench-head:{id}" for id in both | split}
    assert set(json.loads(run.stdout)) == expected


DATA = os.environ.get("RTT_TEST_DATA")


@pytest.mark.skipif(not DATA, reason="RTT_TEST_DATA is not set: official verdicts on real responses are not shipped")
@pytest.mark.parametrize("model", ["llama_3b", "qwen25_7b"])
@pytest.mark.parametrize(("version", "suffix"), [("ifbench", ""), ("ifbench-head", "_head")])
def test_agreement_with_the_official_verdicts(model, version, suffix):
    compared, differing = 0, []
    with gzip.open(f"{DATA}/graders/ifbench.{model}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            for place, id in enumerate(row["instruction_id_list"]):
                if place in row["unstable"]:
                    continue
                asked = (find_rule(f"{version}:{id}"), row["kwargs"][place], row["prompt"], row["response"])
                ours = [strict_verdict(*asked).value, loose_verdict(*asked).value]
                compared += 1
                if ours != [row[f"strict{suffix}"][place], row[f"loose{suffix}"][place]]:
                    differing.append((row["key"], id, ours))
    assert compared == 335
    assert differing == []
