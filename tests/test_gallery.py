"""Shaded responses: only text, whatever a model wrote."""

from __future__ import annotations

from rtt_lib.relevance.annotate import Label
from rtt_lib.relevance.discriminator import TokenRelevance
from rtt_lib.report import gallery


def test_what_is_shown_is_escaped_and_bracketed():
    evil = "<script>x</script>"
    page = gallery.grid(["a & b"], [[evil, gallery.Shaded(evil, [TokenRelevance(0, 8, 1.0)], "<i>")]]).data
    assert "<script" not in page and "<i>" not in page and "a &amp; b" in page
    assert gallery.in_brackets("ab cd", gallery.of_label(Label(((3, 5),)), "ab cd")) == "ab ⟦cd⟧"
    assert gallery.in_brackets("ab", None) == gallery.NO_LABEL
