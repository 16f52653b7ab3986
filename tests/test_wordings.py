"""An instruction's own words."""

from __future__ import annotations

from test_ifeval import argument_sets

from rtt_lib.rubrics.wordings import instruction_text


def test_wordings_hold_every_argument():
    for name, args in argument_sets().items():
        text = instruction_text(name, args)
        for value in args.values():
            for part in value if isinstance(value, list) else [value]:
                assert ("German" if part == "de" else str(part)) in text
