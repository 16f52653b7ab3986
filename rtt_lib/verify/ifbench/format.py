"""format:* Marks, nesting, lines and templates."""

from __future__ import annotations

import re
import string
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import pairwise

import emoji

from rtt_lib.verify import text
from rtt_lib.verify.ifbench.common import (
    HEAD,
    PAPER,
    STRIPPED,
    Args,
    Sentences,
    by_2025,
    by_punkt,
    find_all,
    instruction,
    sentence_instruction,
    without_punctuation,
    words_of,
)
from rtt_lib.verify.verdict import Verdict

CLOSES = {")": "(", "]": "[", "}": "{"}
LABELS = ("My Answer:", "My Conclusion:", "Future Outlook:")


@instruction("format:parentheses", "local")
def parentheses(args: Args, prompt: str, response: str) -> Verdict:
    """Five levels deep before the first close after them; a wrong close starts afresh. What stays open is ignored."""
    stack, deepest = [], 0
    for place, character in enumerate(response):
        if character in "([{":
            stack.append((character, place))
            deepest = max(deepest, len(stack))
        elif character in CLOSES:
            if not stack or stack[-1][0] != CLOSES[character]:
                stack, deepest = [], 0
            elif deepest >= 5:
                return Verdict(True, f"nested {deepest} levels deep", ((stack[0][1], place + 1),))
            else:
                stack.pop()
    return Verdict(False, "no brackets nested five levels deep")


@instruction("format:quotes", "local")
def quotes(args: Args, prompt: str, response: str) -> Verdict:
    r"""Three levels of " and ' closed again. An apostrophe is a quote here, as officially."""
    stack, deepest = [], 0
    for place, character in enumerate(response):
        if stack and character == stack[-1][0]:
            _, opened = stack.pop()
            if deepest - len(stack) >= 3:
                return Verdict(True, "quotes nested three levels deep", ((opened, place + 1),))
        elif character in "\"'":
            stack.append((character, place))
            deepest = max(deepest, len(stack))
    return Verdict(False, "no quotes nested three levels deep")


@instruction("format:options", "global")
def options(args: Args, prompt: str, response: str) -> Verdict:
    listed = words_of(args, "options")
    separator = next((mark for mark in ("/", "or") if mark in listed), ",")
    allowed = [option.strip() for option in listed.split(separator)]
    if re.match(r"\W*a\W*b\W*c", listed, re.IGNORECASE):  # lettered options: to the letter
        holds = response in allowed
    else:
        holds = _plain(response) in map(_plain, allowed)
    return Verdict(holds, f"{'one' if holds else 'none'} of the options: {', '.join(allowed)}")


def _plain(value: str) -> str:
    return value.strip(STRIPPED).lower()


@instruction("format:newline", "global")
def newline(args: Args, prompt: str, response: str) -> Verdict:
    bare = without_punctuation(response).strip()
    lines, words = sum(line != "" for line in bare.split("\n")), len(bare.split())
    return Verdict(lines == words, f"{words} words on {lines} lines")


@sentence_instruction("format:emoji", "local")
def emojis(args: Args, sentences: Sentences, response: str) -> Verdict:
    """Each sentence's last or second to last character, or the next one's first, punctuation aside."""
    bare = [without_punctuation(sentence.text).strip() for sentence in sentences]
    for place, sentence in enumerate(bare):
        following = bare[place + 1][:1] if place + 1 < len(bare) else ""
        if not sentence or not any(emoji.is_emoji(c) for c in (*sentence[-2:], following)):
            return Verdict(False, f"no emoji at the end of sentence {place + 1}")
    spans = tuple((found["match_start"], found["match_end"]) for found in emoji.emoji_list(response))
    return Verdict(True, "an emoji at the end of every sentence", spans)


@instruction("format:line_indent", "global")
def line_indent(args: Args, prompt: str, response: str) -> Verdict:
    indents = [len(line) - len(line.lstrip(" ")) for line in _kept_lines(response.split("\n"))]
    holds = all(before < after for before, after in pairwise(indents))
    return Verdict(holds, "each line is indented further" if holds else "a line is not indented further")


def _kept_lines(lines: list[str]) -> list[str]:
    """The lines that the official loop keeps. It deletes blank lines from the list that it walks through. Each deletion
    makes it skip the next line, and it deletes the first line that equals the current blank one, which may be a line
    that it skipped before. We do this in one pass, with the places of the equal blank lines seen so far.
    """
    met, deleted, place = defaultdict(deque), set(), 0
    while place < len(lines):
        if lines[place].strip():
            place += 1
            continue
        met[lines[place]].append(place)
        deleted.add(met[lines[place]].popleft())
        if place + 1 < len(lines) and not lines[place + 1].strip():
            met[lines[place + 1]].append(place + 1)
        place += 2
    return [line for place, line in enumerate(lines) if place not in deleted]


@instruction("format:quote_unquote", "global", versions=(PAPER,))
def quote_unquote(args: Args, prompt: str, response: str) -> Verdict:
    return _quotes_apart(response.replace("“", '"').replace("”", '"'))


@instruction("format:quote_unquote", "global", versions=(HEAD,))
def quote_unquote_straight(args: Args, prompt: str, response: str) -> Verdict:
    """HEAD looks at straight quotes only."""
    return _quotes_apart(response)


def _quotes_apart(response: str) -> Verdict:
    compact = "".join(response.replace("'\"'", "").split())
    if '""' in compact:
        return Verdict(False, "a quote follows a quote with nothing between them")
    if compact.strip(string.digits + string.punctuation.replace('"', "")).endswith('"'):
        return Verdict(False, "the response ends with a quote")
    return Verdict(True, "something follows every quote")


@instruction("format:list", "global")
def list_marker(args: Args, prompt: str, response: str) -> Verdict:
    """At least two markers, anywhere."""
    found = find_all(words_of(args, "sep"), response)
    holds = len(found) >= 2
    return Verdict(holds, f"{len(found)} list markers, at least 2 asked for", found if holds else ())


@instruction("format:thesis", "local")
def thesis(args: Args, prompt: str, response: str) -> Verdict:
    """Something between the first <i> (or <em>, if there is no <i>) and its close, and something after it.

    As officially, three characters are cut after the start and four after the close, so that the > of <em> and of
    </em> count as text.
    """
    start = _first(response, "<i>", "<em>")
    if start < 0:
        return Verdict(False, "no <i> or <em>")
    close = _first(response, "</i>", "</em>", start)
    if close < 0:
        return Verdict(False, "the italics are not closed")
    if not response[start + 3 : close].strip():
        return Verdict(False, "nothing in italics")
    if not response[close + 4 :].strip():
        return Verdict(False, "nothing after the italics")
    return Verdict(True, "text in italics with text after it", ((start, response.index(">", close) + 1),))


def _first(response: str, tag: str, fallback: str, start: int = 0) -> int:
    found = response.find(tag, start)
    return found if found >= 0 else response.find(fallback, start)


@instruction("format:sub-bullets", "global")
def sub_bullets(args: Args, prompt: str, response: str) -> Verdict:
    """A - after every *, before the next; a response without * passes, as officially."""
    bullets = response.split("*")[1:]
    bare = sum("-" not in bullet for bullet in bullets)
    return Verdict(bare == 0, f"{bare} of {len(bullets)} bullet points have no sub-bullet")


@instruction("format:no_bullets_bullets", "global", versions=(PAPER,))
def no_bullets_bullets(args: Args, prompt: str, response: str) -> Verdict:
    return _sentences_then_bullets(response, by_2025)


@instruction("format:no_bullets_bullets", "global", versions=(HEAD,))
@text.needs_nltk("punkt_tab")
def no_bullets_bullets_head(args: Args, prompt: str, response: str) -> Verdict:
    return _sentences_then_bullets(response, by_punkt)


def _sentences_then_bullets(response: str, sentences_of: Callable[[str], Sentences]) -> Verdict:
    """Two sentences, then two or more lines with *; after a blank line only bullet points may come."""
    sentences, bullets, prose = 0, 0, True
    for line in map(str.strip, response.split("\n")):
        if line.startswith("*"):
            if sentences < 2:
                return Verdict(False, f"{sentences} sentences before the first bullet point")
            bullets, prose = bullets + 1, False
        elif prose:
            found = len(sentences_of(line))
            sentences, prose = sentences + found, found > 0
        else:
            return Verdict(False, "a line that is no bullet point after a blank line or a bullet point")
    return Verdict(bullets >= 2, f"{sentences} sentences, then {bullets} bullet points")


@instruction("format:title_case", "global", versions=(PAPER,))
@text.needs_nltk("punkt_tab")
def title_case(args: Args, prompt: str, response: str) -> Verdict:
    return _title_case(token for token in text.tokens(response) if len(token) > 1)


@instruction("format:title_case", "global", versions=(HEAD,))
@text.needs_nltk("punkt_tab")
def title_case_head(args: Args, prompt: str, response: str) -> Verdict:
    """HEAD looks at one-letter words too ("a" must be "A")."""
    return _title_case(token for token in text.tokens(response) if token[0].isalpha())


def _title_case(words: Iterable[str]) -> Verdict:
    """No word that begins small, unless it mixes cases after that (iPhone)."""
    for word in words:
        rest = word[1:]
        if word[0].islower() and (not rest or rest.islower() or rest.isupper()):
            return Verdict(False, f"{word[:40]!r} does not begin with a capital")
    return Verdict(True, "every word begins with a capital")


@instruction("format:output_template", "local")
def output_template(args: Args, prompt: str, response: str) -> Verdict:
    missing = [label for label in LABELS if label not in response]
    if missing:
        return Verdict(False, f"missing: {', '.join(missing)}")
    return Verdict(True, "all three labels", tuple(sorted(sum((find_all(label, response) for label in LABELS), ()))))


@instruction("format:no_whitespace", "local", "negative")
def no_whitespace(args: Args, prompt: str, response: str) -> Verdict:
    spans = text.match_spans(r"\s+", response)
    return Verdict(not spans, f"{len(spans)} runs of white space", spans)
