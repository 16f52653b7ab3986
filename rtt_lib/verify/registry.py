"""Every rule verifier by its id, with what the relevance taxonomy needs to know about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rtt_lib.errors import RTTError
from rtt_lib.schema import Criterion
from rtt_lib.verify.verdict import Verdict

Scope = Literal["global", "local"]
Polarity = Literal["positive", "negative"]
Place = tuple[Scope, Polarity]
Check = Callable[[Mapping[str, Any], str, str], Verdict]


@dataclass(frozen=True)
class Rule:
    """A verifier and its place in the taxonomy (App. C.3).

    scope:    global: the whole response is responsible (counts, lengths, language, overall format);
              local: some segment is.
    polarity: positive: something must be present; negative: something must be absent.
    place:    scope and polarity for the arguments of one criterion, where they decide; scope and polarity above are
              then those of most criteria.
    """

    id: str
    check: Check
    scope: Scope
    polarity: Polarity = "positive"
    place: Callable[[Mapping[str, Any]], Place] | None = None


# The module that registers the rules of each family, imported at first use.
FAMILIES = {
    "ifeval": "rtt_lib.verify.ifeval",
    "ifbench": "rtt_lib.verify.ifbench",
    "ifbench-head": "rtt_lib.verify.ifbench",
    "muldimif": "rtt_lib.verify.muldimif",
    "composed": "rtt_lib.verify.composed",
    "answer": "rtt_lib.verify.answers",
    "micro": "rtt_lib.verify.micro",
}
RULES: dict[str, Rule] = {}


def rule(
    id: str, scope: Scope, polarity: Polarity = "positive", place: Callable[[Mapping[str, Any]], Place] | None = None
) -> Callable[[Check], Check]:
    """Register `check(args, prompt, response) -> Verdict` under `id` (`family:rule`)."""

    def register(check: Check) -> Check:
        if id in RULES:
            raise ValueError(f"rule {id!r} is registered twice")
        RULES[id] = Rule(id, check, scope, polarity, place)
        return check

    return register


def find_rule(id: str) -> Rule:
    """The rule of that id; an unknown one is an error that lists its family's rules."""
    family = id.split(":", 1)[0]
    if family not in FAMILIES:
        raise RTTError(f"unknown verifier {id!r}: families are {', '.join(FAMILIES)}, and 'judge', 'code:python'")
    importlib.import_module(FAMILIES[family])
    if id not in RULES:
        known = sorted(name for name in RULES if name.startswith(family + ":"))
        raise RTTError(f"unknown verifier {id!r}: {family} has {', '.join(known)}")
    return RULES[id]


def rule_of(criterion: Criterion) -> Rule:
    """The rule that decides the criterion, with the scope and the polarity that the criterion's arguments give it."""
    found = find_rule(criterion.verifier)
    if found.place is None:
        return found
    scope, polarity = found.place(criterion.args)
    return replace(found, scope=scope, polarity=polarity)
