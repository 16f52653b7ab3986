"""MulDimIF: constraints read into rules, hand-made responses for each category, and the official verdicts."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtt_lib.errors import RTTError
from rtt_lib.relevance.annotate import taxonomy
from rtt_lib.schema import Criterion
from rtt_lib.verify.muldimif import CATEGORIES, category, check, languages, layout, parsed, punctuation, verifier_id
from rtt_lib.verify.muldimif.keywords import KeywordRule
from rtt_lib.verify.muldimif.keywords import parse as parse_keywords
from rtt_lib.verify.muldimif.lengths import count_sentences, parse_paragraphs, parse_sentences
from rtt_lib.verify.muldimif.markdown import HeadingRule, headings
from rtt_lib.verify.muldimif.markdown import parse as parse_markdown
from rtt_lib.verify.muldimif.structured import depth, parse_attributes, parse_nesting
from rtt_lib.verify.muldimif.tables import TableRule
from rtt_lib.verify.muldimif.tables import parse as parse_table
from rtt_lib.verify.muldimif.wording import TO_HUNDRED, Bounds, Numbers
from rtt_lib.verify.muldimif.words import parse as parse_words
from rtt_lib.verify.registry import find_rule, rule_of
from rtt_lib.verify.text import nltk_missing

needs_punkt = pytest.mark.skipif(nltk_missing("punkt_tab") is not None, reason=str(nltk_missing("punkt_tab")))

IDENTIFIERS, KEYWORDS = ("Content", "Identifiers"), ("Content", "Keywords")
PUNCTUATION, NESTING, MARKDOWN = ("Content", "Punctuation"), ("Format", "Json"), ("Format", "Markdown")
TABLE, XML = ("Format", "Table"), ("XML", "Number of attributes")
CHINESE, ENGLISH = ("Language", "Chinese"), ("Language", "English")
PARAGRAPHS, SENTENCES, WORDS = ("Length", "Paragraphs"), ("Length", "Sentences"), ("Length", "Words")


def judge(kind: tuple[str, str], text: str, response: str):
    return check({"type": kind[0], "subtype": kind[1], "text": text}, "", response)


def understands(kind: tuple[str, str], text: str) -> bool:
    return parsed({"type": kind[0], "subtype": kind[1], "text": text})


# Constraint, a response that satisfies it, one that violates it.
CASES = [
    (IDENTIFIERS, "Start with the identifier 'Cities:'", "## cities: Oslo", "Oslo is one of the cities:"),
    (IDENTIFIERS, "Start identifier: 'Hello'", "hello there", "Well, hello"),
    (IDENTIFIERS, "Start identifier: Each example must start with the word 'Example:'", "Example: a", "example: a"),
    (IDENTIFIERS, "The name of the showroom must start with the letter 'P'.", "Visit Palace", "Visit the pub"),
    (("Format", "Text"), "No bullet points", "One - two", "One\n  - two"),
    (("Format", "Blurb"), "resembling a short blurb", "x" * 200, "x" * 201),
    (KEYWORDS, "Must include the keyword 'sea salt'", "The SEA SALT, again", "Sea salts"),
    (KEYWORDS, "Must include the keywords 'tea' and 'milk'", "milk in tea", "milk"),
    (KEYWORDS, "Must include a word such as 'tea' or 'milk'", "milk", "water"),
    (KEYWORDS, "The keyword 'tea' must appear at least twice", "tea, Tea", "tea"),
    (KEYWORDS, 'The names "Ann" and "Bob" must appear multiple times', "Ann Bob Bob Ann", "Ann Bob Bob"),
    (KEYWORDS, "Includes the keyword 'Tea' and avoids the keyword 'ilk'", "Tea with lemon", "Tea with milk"),
    (KEYWORDS, "該句必須包含關鍵詞「代表」", "他代表大家", "他代 表大家"),
    (KEYWORDS, "Must use capitalized letters for each word and include the keyword 'tea'", "Hot Tea", "Hot tea"),
    (KEYWORDS, "the term must be at most 2 words long and include the keyword 'tea'", "green tea", "a green tea"),
    (KEYWORDS, "Each item must include the keyword 'tea'", "- tea\n- a tea", "- tea\n- milk"),
    (KEYWORDS, "Each item must include the keyword 'tea'", "1. tea\n2. a tea", "1. tea\n2. milk"),
    (KEYWORDS, "every item must include the keyword 'tea'", '["tea", "my tea"]', '["tea", "milk"]'),
    (KEYWORDS, "Each part must include the keyword 'tea'", "tea\n---\ntea", "tea\n---\nmilk"),
    (KEYWORDS, "Each drink must include the keyword 'tea'", "|Drink|No|\n|-|-|\n|tea|1|", "|Drink|\n|-|\n|milk|"),
    (PUNCTUATION, "The answer must end with a period.", " Yes? No. ", "Yes. No!"),
    (PUNCTUATION, "End with a period or a question mark", "Why?", "Why!"),
    (PUNCTUATION, "avoid using exclamation marks", "Yes! No.", "Yes!"),
    (PUNCTUATION, "Ensure that the paragraph ends with a period", "One. Two.\n\nThree.", "One\n\nThree."),
    (PUNCTUATION, "Each entry in the table must end with a period", "|A|B|\n|-|-|\n|x.|y.|", "|A|B|\n|-|-|\n|x.|y|"),
    (NESTING, "Must include a JSON object with at least two levels of nesting", '{"a": {"b": 1}}', '{"a": 1}'),
    (NESTING, "object nesting levels not exceeding 2", '{"a": [1]}', '{"a": [{"b": 1}]}'),
    (NESTING, "a JSON example with exactly two levels", 'So:\n```json\n{"a": [1]}\n```', "not JSON"),
    (MARKDOWN, "The answer must include a level 2 heading", "text\n  ## One", "# One\n##Two"),
    (MARKDOWN, "Must include a level 2 heading titled 'Tea'", "## Tea", "# Tea\n## tea"),
    (MARKDOWN, "Use at least two heading levels", "# A\n### B", "# A\n# B"),
    (MARKDOWN, "Use exactly two heading levels: H1 and H2", "# A\n## B", "# A\n## B\n### C"),
    (MARKDOWN, "must use heading levels 1 and 3", "# A\n### B", "# A\n## B"),
    (MARKDOWN, "must begin with a level 2 heading", "Well\n## A\n# B", "# B\n## A"),
    (MARKDOWN, "Any headings used must not exceed level 2", "# A\n## B", "# A\n### B"),
    (MARKDOWN, "Each title should be presented as a level 2 heading", "## A\n## B", "# A\n## B"),
    (MARKDOWN, "Use heading levels to organize the answer", "###### A", "A"),
    (MARKDOWN, "use block quotes to highlight", "a\n> b", "a b"),
    (MARKDOWN, "Use bold and bullet points", "- **a**", "- a"),
    (TABLE, "must have no more than 2 rows in the table", "|A|\n|---|\n|1|\n|2|", "|A|\n|---|\n|1|\n|2|\n|3|"),
    (TABLE, "The table must have exactly two columns", "|A|B|\n|---|---|", "|A|\n|---|"),
    (TABLE, "a table with exactly 2 columns: Tea, Milk", "|Tea|Milk|", "|T|Milk|"),
    (TABLE, "If a table is used, it must not exceed 3 rows", "no table", "|A|\n" * 5),
    (TABLE, "The table must not exceed 3 rows", "|A|\n|B|", "no table"),
    (("Table", "Table"), "a table, which is limited to a maximum of 2 rows", "|A|\n|-|\n|1|", "|A|\n|-|\n|1|\n|2|"),
    (XML, "Each XML element must have no more than two attributes", "<a x='1' y='2'/>", "<a x='1' y='2' z='3'>"),
    (XML, "Number of attributes must be exactly 1", "<a b:x=\"1\">", "<a>"),
    (XML, "with at least 1 attributes", "```xml\n<a x='1'>\n``` <b>", "```xml\n<b>"),
    (CHINESE, "The answer must be in Simplified Chinese", "这是汉语", "這是漢語"),
    (CHINESE, "必须将文本翻译为简体中文", "他说汉语", "Chinese"),
    (CHINESE, "Must use Traditional Chinese characters", "這是漢語", "這是汉語"),
    (CHINESE, "確保使用繁體中文書寫", "Yes 這是漢語", "这是汉语"),
    (CHINESE, 'Must include the phrase "你好"', "他说你好", "他说好"),
    (ENGLISH, "The answer must use capitalized letters for each word", "Hello 3 World é", "Hello world"),
    (ENGLISH, "All Uppercase", "HELLO 3 É", "HELLO é"),
    (ENGLISH, "The answer must be in lowercase", "hello 3", "Hello"),
    (ENGLISH, "Each word in the headings is capitalized", "# Good Day\nbad text", "# Good day\nGood"),
    (ENGLISH, "Each word in the table entries must be capitalized", "|low|\n|Up|", "|Up|\n|low|"),
    (ENGLISH, "all JSON keys are capitalized", '{"Key": "value"}', '{"key": "Value"}'),
    (PARAGRAPHS, "at least two paragraphs", "One.\n\nTwo.", "One.\nTwo."),
    (PARAGRAPHS, "between 2 and 3 paragraphs", "1\n\n2\n\n\n\n3", "1\n\n2\n\n3\n\n4"),
    (PARAGRAPHS, "最多分为两个段落", "一\n\n二", "一\n\n二\n\n三"),
    (SENTENCES, "The answer must contain at most two sentences", "One. Two!", "One. Two! Three?"),
    (SENTENCES, "The answer must be a single sentence", "One.", "One. Two."),
    (SENTENCES, "between 2 to 3 sentences", "One. Two.", "One."),
    (SENTENCES, "包含至少两句话", "一. 二.", "一."),
    (SENTENCES, "描述应由2到3个句子组成", "a. b. c.", "a. b. c. d."),
    (WORDS, "The answer must be at most three words long", "one two three", "one two three four"),
    (WORDS, "Range: 2-3 words", "one two", "one"),
    (WORDS, "between twenty and twenty five words", "word " * 20, "word " * 19),
    (WORDS, "Exactly 1,000 words", "word " * 1000, "word " * 999),
    (WORDS, "limit the answer to 2 words", "one two", "one two three"),
    (WORDS, "at most 3 words, with the keyword 'tea'", "Tea for two", "Coffee for two"),
    (WORDS, "最多3字", "你好吗", "你好吗？"),
    (WORDS, "2到3个字", "你好 and more", "你"),
    (WORDS, "Each name must be at most two words long", "1. Ann\n2. Bob Lee", "1. Ann\n2. Bob van Lee"),
    (WORDS, "Each cell must contain at most 2 words", "|Name|\n|---|\n|Ann Lee|", "|Name|\n|---|\n|Ann van Lee|"),
    (WORDS, "Each name must be at most 2 words", "|Name|On|\n|---|---|\n|Ann|1 May 2020|", "|Name|\n|---|\n|a b c|"),
    (WORDS, "Each entry must contain at least 2 words", '{"x": "one two"}', '{"x": "one"}'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "good", "bad"), CASES, ids=[f"{k[1]}: {t[:40]}" for k, t, _, _ in CASES])
def test_satisfied_and_violated(kind, text, good, bad):
    assert understands(kind, text)
    assert judge(kind, text, good).value is True
    assert judge(kind, text, bad).value is False


def test_every_category_has_cases_in_both_languages_where_it_has_both():
    assert {category(*kind) for kind, *_ in CASES} == set(CATEGORIES)
    chinese = {category(*kind) for kind, text, *_ in CASES if re.search("[\u4e00-\u9fff]", text)}
    assert chinese >= {"Content_Keywords", "Language_Chinese"} | {f"Length_{n}" for n in ("Paragraphs", "Words")}


@needs_punkt
def test_each_sentence_ends_with_a_period():
    text = "Each sentence must end with a period"
    assert judge(PUNCTUATION, text, "One. Dr. Lee is two.").value is True
    verdict = judge(PUNCTUATION, text, " One. Two! Three.")
    assert (verdict.value, verdict.spans) == (False, ((9, 10),))


def test_sentences_are_undecided_without_nltk_data(monkeypatch):
    monkeypatch.setattr(punctuation, "nltk_missing", lambda name: f"no {name}")
    verdict = judge(PUNCTUATION, "Each sentence must end with a period", "One.")
    assert (verdict.value, verdict.reason) == (None, "no punkt_tab")
    assert judge(PUNCTUATION, "The answer must end with a period", "One.").value is True


# What the benchmark's parser gets no rule from, with the verdict it gives whatever the response.
UNPARSED = [
    (IDENTIFIERS, "Sign it", False),
    (("Format", "Text"), "The answer must be in full sentences", True),
    (KEYWORDS, "Must include the keyword 'tea' in each section", False),
    (KEYWORDS, "Name some players", True),
    (KEYWORDS, "Name Ann or Bob", False),
    (MARKDOWN, "Use level 2 headings", True),
    (TABLE, "List up to 3 names", True),
    (XML, "Use few attributes", False),
    (CHINESE, "用中文", False),
    (ENGLISH, "Entirely in uppercase", False),
    (PARAGRAPHS, "not exceeding a total of 3 paragraphs", False),
    (SENTENCES, "not exceed 10 sentences", True),
    (SENTENCES, "at least one complete sentence", True),
    (WORDS, "Be brief", True),
    (WORDS, "Each row must have between 2 to 3 words", False),
]


@pytest.mark.parametrize(("kind", "text", "constant"), UNPARSED)
@pytest.mark.parametrize("response", ["Tea. Milk", "TEA\n\nAnn Bob 5\n# A", "|A|\n|B|"])
def test_unparsed_wordings_have_the_official_constant_verdict_and_say_so(kind, text, constant, response):
    assert not understands(kind, text)
    verdict = judge(kind, text, response)
    assert verdict.value is constant and "no rule from this wording" in verdict.reason and not verdict.spans


SLIPS = [
    # "all" is found in "Additionally": each sentence, not the last one, is looked at.
    pytest.param(PUNCTUATION, "Additionally, end with a period", "Why? Yes.", False, marks=needs_punkt),
    (PUNCTUATION, "Conclude with a period as the final punctuation mark", "Why?", True),
    (TABLE, "exactly 2 columns: Name, Land", "|me|l|", True),  # asks for m, e and l
    (SENTENCES, "at most two sentences", "Costs 3.5 e.g. today.", False),  # 4 marks
    (SENTENCES, "at least one sentence", "No end mark", False),
    (KEYWORDS, "Must include 'children's rights'", "children", True),  # an apostrophe closes the quotation
    (KEYWORDS, "Must include 'children's rights' and 'tea'", "tea, children's rights", False),  # and opens the next
    (WORDS, "at most 3 words", "很多很多字 a b c", False),
    (WORDS, "at least 3 words", "one two three。", False),  # one full-width mark: only such are counted
    (XML, "Number of attributes must be exactly 5", "no XML", True),
    (NESTING, "object nesting levels must not exceed 2", "null", False),
    (MARKDOWN, "For the company, use at least two heading levels", "# A\n## B", False),  # "any": each heading alone
    (IDENTIFIERS, "Start identifier: Each example must start with 'E:'", "one E: for two examples", True),
    (TABLE, "no more than 2 rows in a table", "|A|\n|---|\nprose\nprose\n|B|", False),
    (ENGLISH, "The text must be in capitalized form", "Hello World", False),
]


@pytest.mark.parametrize(("kind", "text", "response", "value"), SLIPS)
def test_official_slips_are_kept(kind, text, response, value):
    assert judge(kind, text, response).value is value


def test_wordings_become_rules():
    assert parse_sentences("Use no longer than twelve sentences").bounds == Bounds(most=12)
    assert parse_paragraphs("Range: 2-4").bounds == Bounds(2, 4)
    assert parse_keywords("Include 'a' or 'b' at least 3 times") == KeywordRule(("a", "b"), least=3, any_of=True)
    assert parse_keywords("each cell must have 'x'").each == "cell"
    assert parse_markdown("Include a heading level 2").headings == HeadingRule(levels=frozenset({2}))
    assert parse_markdown("use up to three levels").headings == HeadingRule(count=Bounds(most=3))
    assert parse_table("If you use a table, no more than 3 rows and 2 columns") == TableRule(Bounds(most=3), None)
    assert parse_table("Table: not exceed 3 rows and 2 columns").columns == Bounds(most=2)
    assert parse_nesting("at most 3, no more than 2 levels, and at least two").bounds == Bounds(2, 2)
    assert parse_attributes("Limit the number of attributes to two").bounds == Bounds(2, 2)
    assert parse_words("between 100 and 50 words").bounds == Bounds(50, 100)
    assert parse_words("a single word").bounds == Bounds(1, 1)
    assert parse_words("Each name in it must be at most ten words").part == "name in it"


def test_numbers_and_bounds():
    numbers = Numbers(TO_HUNDRED)
    values = {"3,500": 3500, "twenty-five": 25, "one hundred": 100, "hundred five": 105, "dozen": None, "²": None}
    assert {text: numbers.read_compound(text) for text in values} == values
    assert [str(b) for b in (Bounds(), Bounds(2, 2), Bounds(2), Bounds(most=3), Bounds(2, 3))] == [
        "any number", "exactly 2", "at least 2", "at most 3", "2 to 3"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "response", "evidence"),
    [
        (KEYWORDS, "Include 'tea' and 'milk'", "Milk, tea; TEA", ["Milk", "tea", "TEA"]),
        (KEYWORDS, "Include 'tea' and 'milk'", "tea", []),
        (KEYWORDS, "Includes the keyword 'tea' and avoids the keyword 'ilk'", "tea, milk, silk", ["ilk", "ilk"]),
        (PUNCTUATION, "The answer must end with a period", " a. b. ", ["."]),
        (PUNCTUATION, "Each entry in the table ends with a period", "x|x\n--\n|a.|x|", ["x"]),
        (MARKDOWN, "Include a level 2 heading", "# A\n ## B \n## C", ["## B", "## C"]),
        (MARKDOWN, "must begin with a level 1 heading", "# A\n# B", ["# A"]),
        (MARKDOWN, "Each title should be presented as a level 2 heading", "# A\n## B", ["# A"]),
        (ENGLISH, "use capitalized letters for each word", "A big Dog ran", ["big", "ran"]),
        (IDENTIFIERS, "Start with the identifier 'Tea:'", "# tea: yes", ["tea:"]),
        (CHINESE, 'Must include the phrase "你好"', "说你好", ["你好"]),
    ],
)  # fmt: skip
def test_evidence(kind, text, response, evidence):
    assert [response[start:end] for start, end in judge(kind, text, response).spans] == evidence


def test_evidence_lies_in_the_row_that_is_wrong():
    assert judge(PUNCTUATION, "Each cell must end with a period", "|x|\n|-|\n|x|").spans == ((9, 10),)


def test_names_of_types():
    assert category("Table", "Row limit") == "Format_Table"
    assert verifier_id("Length", "Words: At most") == "muldimif:Length_Words"
    for name in CATEGORIES:
        assert find_rule(f"muldimif:{name}").check is check
    assert (find_rule("muldimif:Content_Keywords").scope, find_rule("muldimif:Length_Words").scope) == (
        "local",
        "global",
    )
    with pytest.raises(RTTError, match=r"no constraint type 'Tone_Polite'.*Content_Identifiers"):
        verifier_id("Tone", "Polite")
    with pytest.raises(RTTError, match=r"needs the argument 'text'.*found 3"):
        check({"type": "Length", "subtype": "Words", "text": 3}, "", "")


# Every case of App. C.3 (PAPER section 2): global; local and to be present; local and to be absent.
PLACES = [
    (KEYWORDS, "Must include the keyword 'tea'", "local", "positive"),
    (KEYWORDS, "Each item must include the keyword 'tea'", "local", "positive"),
    (KEYWORDS, "The keyword 'tea' must appear at least twice", "global", "positive"),  # a frequency
    (KEYWORDS, "the term must be at most 2 words long and include the keyword 'tea'", "global", "positive"),
    (KEYWORDS, "Must use capitalized letters for each word and include the keyword 'tea'", "global", "positive"),
    (PUNCTUATION, "Must end with a period", "local", "positive"),
    (PUNCTUATION, "Avoid exclamation marks", "local", "negative"),
    (PUNCTUATION, "Each sentence must not end with a period", "local", "negative"),
    (IDENTIFIERS, "Start identifier: 'Hello'", "local", "positive"),
    (IDENTIFIERS, "The answer must be in full sentences", "global", "positive"),
    (("Format", "Text"), "No bullet points", "local", "negative"),
    (("Format", "Blurb"), "resembling a short blurb", "global", "positive"),
    (MARKDOWN, "Include a heading level 2", "local", "positive"),
    (MARKDOWN, "Use at least two heading levels", "global", "positive"),
    (MARKDOWN, "Any headings must not exceed level 2", "local", "negative"),
    (MARKDOWN, "The whole answer as block quotes", "global", "positive"),
    (MARKDOWN, "Include a block quote", "local", "positive"),
    (WORDS, "At most 3 words", "global", "positive"),
    (TABLE, "If you use a table, no more than 3 rows", "global", "positive"),
]


@pytest.mark.parametrize(("kind", "text", "scope", "polarity"), PLACES, ids=[text for _, text, *_ in PLACES])
def test_the_wording_decides_scope_and_polarity(kind, text, scope, polarity):
    rule = rule_of(Criterion(text, verifier_id(*kind), {"type": kind[0], "subtype": kind[1], "text": text}))
    assert (rule.scope, rule.polarity) == (scope, polarity)


OFFENDING = [
    (PUNCTUATION, "Avoid exclamation marks", "Hello there!", "Hello there.", ["!"]),
    (("Format", "Text"), "No bullet points", "One\n - two\n* three", "One - two", ["- two", "* three"]),
    (MARKDOWN, "Headings must not exceed level 2", "# A\n\n### B", "# A\n\n## B", ["### B"]),
    (MARKDOWN, "Any headings must not exceed level 2", "# A\n### B", "# A\n## B", ["### B"]),
]


@pytest.mark.parametrize(("kind", "text", "bad", "good", "segments"), OFFENDING)
def test_what_must_be_absent_is_relevant_where_it_is_there(kind, text, bad, good, segments):
    """App. C.3: the offending segments where the constraint is violated, nothing where it is satisfied."""
    criterion = Criterion(text, verifier_id(*kind), {"type": kind[0], "subtype": kind[1], "text": text})
    label = taxonomy(criterion, judge(kind, text, bad), bad)
    assert [bad[start:end] for start, end in label.spans] == segments and not label.whole
    assert taxonomy(criterion, judge(kind, text, good), good).spans == ()


def test_unreadable_json_is_undecided():
    for response in ("[" * 100_000, "1" * 5000):
        verdict = judge(NESTING, "at least two levels of nesting", response)
        assert verdict.value is None and "cannot be read" in verdict.reason


HARD = [
    "a" * 300_000, "A" * 300_000 + " b", "\n" * 300_000 + "x", " " * 300_000 + "x", "x" + " " * 300_000 + "x",
    "#\n" * 30_000, "| " * 30_000, "|a|\n" * 30_000, "<a " * 30_000, "```json" * 30_000, "汉漢" * 30_000, '"' * 300_000,
    "__" + "a" * 300_000, "[" * 300_000, "- " * 30_000, "\ud800\x00" * 30_000,
]  # fmt: skip


def test_time_grows_with_the_length_only():
    """300,000 characters without punctuation: what takes quadratic time would take minutes."""
    one_of_each = {category(*kind) + text.split()[0]: (kind, text) for kind, text, _, _ in CASES}
    start = time.process_time()
    for response in HARD:
        for kind, text in one_of_each.values():
            judge(kind, text, response)
    assert time.process_time() - start < 60


# Pieces that the checkers look for, and any Unicode besides, lone surrogates included.
PIECES = ["|", "---", "\n", "\n\n", "# ", "## A", "- ", "1. ", "> ", "**", "{", "}", '"a": ', "[", "]", "<a b='c'>",
          "```json", "```xml", "```", "tea", "Tea.", "!", "。", "汉", "漢", ":", "'", " "]  # fmt: skip
characters = st.characters(codec=None)
texts = st.lists(st.sampled_from(PIECES) | st.text(characters, max_size=5), max_size=20).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CASES), texts)
def test_any_response_gets_a_verdict_that_repeats(case, response):
    verdict = judge(*case[:2], response)
    assert verdict.value in (True, False, None) and verdict == judge(*case[:2], response)
    assert all(0 <= start < end <= len(response) for start, end in verdict.spans)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([kind for kind, *_ in CASES]), st.sampled_from(CASES), texts, texts)
def test_any_constraint_text_is_read(kind, case, added, response):
    assert judge(kind, case[1] + added, response).value in (True, False, None)
    assert judge(kind, added, response).value in (True, False, None)


@settings(deadline=None)
@given(texts)
def test_fast_ways_equal_the_obvious_ones(response):
    assert count_sentences(response) == len(re.findall(r"[^.!?]*[.!?]", response))
    slow = [match.groups() for line in response.split("\n") if (match := re.match(r"(#+)\s+(.*?)\s*$", line.strip()))]
    assert [("#" * heading.level, heading.title) for heading in headings(response)] == slow
    is_json = re.match(r"\s*[{\[]", response) is not None
    table = re.search(r"^\s*\|.+\|", response, re.MULTILINE) is not None
    assert (layout.layout(response) == "json") == is_json
    assert (layout.layout(response) == "table") == (table and not is_json)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.integers(), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x)))
def test_depth_equals_the_recursive_one(data):
    def slow(node):
        children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
        return 1 + max(map(slow, children)) if children else 0

    assert depth(data) == slow(data)


@settings(deadline=None)
@given(texts)
def test_scripts_by_character_equal_scripts_by_text(response):
    from zhconv import convert

    expected = any(convert(letter, "zh-tw") != letter for letter in response)
    assert languages._changes(set(response), "zh-tw") == expected


DATA = os.environ.get("RTT_TEST_DATA")
with_data = pytest.mark.skipif(
    not DATA, reason="RTT_TEST_DATA is not set: no official verdicts on real responses here; the cases above still ran"
)


def rows(name: str) -> list[dict]:
    with gzip.open(Path(DATA) / "graders" / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@with_data
@needs_punkt
def test_agreement_with_the_official_verdicts_on_single_constraints():
    """Required: 99.5% where the official parser understands the constraint. Measured: all of 3,065, unparsed too."""
    pairs = rows("muldimif_pairs.jsonl.gz")
    assert len(pairs) > 3000
    assert all(category(*row["constraint"][:2]) == row["category"] for row in pairs)
    differing = [row for row in pairs if judge(row["constraint"][:2], row["constraint"][2], row["response"]).value
                 is not row["verdict"]]  # fmt: skip
    assert differing == []
    unparsed = [row for row in pairs if row["official_unparsed"]]
    assert not any(understands(row["constraint"][:2], row["constraint"][2]) for row in unparsed)


@with_data
@needs_punkt
def test_agreement_with_the_official_judges_on_whole_items():
    for row in rows("muldimif_items.jsonl.gz"):
        values = [judge(constraint[:2], constraint[2], row["response"]).value for constraint in row["constraints"]]
        assert values == list(map(bool, row["judges"]))


@with_data
def test_how_many_of_the_benchmarks_constraints_are_parsed():
    items = json.loads((Path(DATA) / "benchmarks" / "muldimif.json").read_text(encoding="utf-8"))
    constraints = [constraint for item in items for constraint in item["constraints"]]
    unparsed = Counter(category(*c[:2]) for c in constraints if not understands(c[:2], c[2]))
    assert len(constraints) == 4180
    assert unparsed == {
        "Format_Markdown": 92, "Format_Table": 21, "Content_Keywords": 15, "Length_Sentences": 12,
        "Language_English": 5, "Length_Words": 4, "Content_Identifiers": 1, "Length_Paragraphs": 1,
    }  # fmt: skip
