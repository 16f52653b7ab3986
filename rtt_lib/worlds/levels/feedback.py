"""Feedback by rule: an account of the counts that an answer reaches, and a critique of a weak draft.

An account follows the answer: `= bako 2 words 11`. Only prompts that ask for a count or a length have one, as in
Conifer. A critique is the user's reply to a draft: `<ask> no ; exclude bako :` names what the draft breaks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rtt_lib.schema import Criterion
from rtt_lib.verify import verify
from rtt_lib.verify.micro import COMMA
from rtt_lib.worlds.levels.ladders import ASK, NUMBERS, family_of
from rtt_lib.worlds.micro.language import MAX_WORDS
from rtt_lib.worlds.teaching import Account, Critique

ACCOUNT, FILLER = "=", ";"


def reached(criterion: Criterion, answer: str) -> int:
    """What a criterion of counts or lengths counts in an answer."""
    words = [token for token in answer.split() if token != COMMA]
    return words.count(criterion.args["word"]) if "word" in criterion.args else len(words)


def account(criteria: Sequence[Criterion], answer: str, kind: Account, rng: random.Random) -> str:
    """Empty where no criterion counts. `false` gives other numbers, `filler` says nothing; both are as long."""
    counted = [criterion for criterion in criteria if family_of(criterion) in NUMBERS]
    if kind == "none" or not counted:
        return ""
    if kind == "filler":
        return " ".join([ACCOUNT, *[FILLER] * (2 * len(counted))])
    parts = [ACCOUNT]
    for criterion in counted:
        number = reached(criterion, answer)
        if kind == "false":
            number = rng.choice([n for n in range(MAX_WORDS + 1) if n != number])
        parts += [criterion.args.get("word", "words"), str(number)]
    return " ".join(parts)


def without_account(response: str) -> str:
    """The answer itself, which is what a verifier reads."""
    tokens = response.split()
    return " ".join(tokens[: tokens.index(ACCOUNT)]) if ACCOUNT in tokens else response


def critique(criteria: Sequence[Criterion], draft: str, kind: Critique, rng: random.Random) -> str | None:
    """None where the draft meets every criterion. `wrong` names as many that hold; all that hold, if there are fewer,
    and where none does, as `bare` none."""
    verdicts = [verify(criterion, "", draft) for criterion in criteria]
    broken = [criterion for criterion, holds in zip(criteria, verdicts, strict=True) if not holds]
    kept = [criterion for criterion, holds in zip(criteria, verdicts, strict=True) if holds]
    if not broken:
        return None
    named = {"full": broken, "bare": [], "wrong": rng.sample(kept, min(len(broken), len(kept)))}[kind]
    return " ; ".join([f"{ASK} no", *(criterion.text for criterion in named)]) + " :"
