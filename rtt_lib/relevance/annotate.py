"""Which characters of a response are relevant to a criterion: the rule annotators (App. C.3).

*Taxonomy*: scope and polarity of the rule, with the verifier's own evidence as the exact segments. *Greedy*: the
baseline that picks whatever looks related, blind to scope, polarity and verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtt_lib.relevance.spans import label_tokens
from rtt_lib.schema import Criterion
from rtt_lib.verify.registry import Rule, rule_of
from rtt_lib.verify.verdict import Span, Verdict


@dataclass(frozen=True)
class Label:
    """Relevant segments of one response for one criterion.

    whole: the criterion is global, so that every token is relevant, the one that ends the response included.
    """

    spans: tuple[Span, ...] = ()
    whole: bool = False


Annotator = Callable[[Criterion, Verdict, str], Label | None]

NAIVE_WORDS = 8
STOP_WORDS = re.compile(
    "about|after|also|before|does|each|every|exactly|from|have|include|least|more|most|must|only|other|response|should|"
    "than|that|their|there|these|this|using|with|words?|write|your",
    re.IGNORECASE,
)


def taxonomy_spans(rule: Rule, verdict: Verdict, response: str) -> list[Span] | None:
    """The paper's taxonomy; None where the verdict is unknown, since then nothing is known about relevance.

    global: the whole response. local, positive: the segments that satisfy, nothing if violated.
    local, negative: the segments that violate, nothing if satisfied.
    """
    if verdict.value is None:
        return None
    if rule.scope == "global":
        return [(0, len(response))]
    shows_evidence = verdict.value is (rule.polarity == "positive")
    return list(verdict.spans) if shows_evidence else []


def taxonomy(criterion: Criterion, verdict: Verdict, response: str) -> Label | None:
    """Annotator by rule, scope, polarity and evidence. None: unknown verdict, or no rule that knows (a soft one)."""
    if verdict.value is None or not _has_rule(criterion):
        return None
    rule = rule_of(criterion)
    return Label(tuple(taxonomy_spans(rule, verdict, response) or ()), whole=rule.scope == "global")


def label_with(label: Label, offsets: Sequence[Span], n_tokens: int) -> list[int]:
    """0/1 for each of `n_tokens` response tokens; a global criterion takes them all, EOS included."""
    if label.whole:
        return [1] * n_tokens
    touched = [int(value) for value in label_tokens(offsets[:n_tokens], label.spans)]
    return touched + [0] * (n_tokens - len(touched))


def greedy(criterion: Criterion, verdict: Verdict, response: str) -> Label:
    """The naive annotator: the segments that look most relevant, whatever the verdict, scope and polarity.

    In this order, the first that finds something: (1) the verifier's evidence and every mention of a textual
    argument of the criterion; (2) every mention of a content word of the criterion's text; (3) with nothing to
    match ("at most 100 words") a naive reader still picks something: the first clause, at most eight words of it.
    """
    found = [*verdict.spans, *_mentions(_texts(criterion.args), response)]
    if not found:
        words = [w for w in re.findall(r"\w{4,}", criterion.text) if not STOP_WORDS.fullmatch(w)]
        found = list(_mentions(words, response))
    return Label(tuple(sorted(set(found)))) if found else Label(_first_clause(response))


def _has_rule(criterion: Criterion) -> bool:
    return criterion.hard and criterion.verifier != "code:python"


def _texts(value: Any) -> Iterator[str]:
    """All strings inside a criterion's arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _mentions(texts: Sequence[str] | Iterator[str], response: str) -> Iterator[Span]:
    """Occurrences of each text, as whole words where it begins and ends with a letter, ignoring case."""
    for text in texts:
        if not text.strip():
            continue
        left = r"\b" if text[0].isalnum() else ""
        right = r"\b" if text[-1].isalnum() else ""
        for match in re.finditer(left + re.escape(text) + right, response, re.IGNORECASE):
            yield match.span()


def _first_clause(response: str) -> tuple[Span, ...]:
    clause = re.match(r"\s*[^.!?,;:\n]*", response)
    words = list(re.finditer(r"\S+", clause.group() if clause else ""))[:NAIVE_WORDS]
    return ((words[0].start(), words[-1].end()),) if words else ()
