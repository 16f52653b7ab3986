"""FollowBench's three scores of graded responses, by level and category.

HSR: the share of responses that satisfy all constraints of their level.
SSR: the mean share of constraints satisfied; a level that a rule decides as a whole counts as its HSR.
CSL: how many levels in a row hold, from level 1 on, on average over groups.

A response with an undecided verdict counts nowhere. For CSL a whole group counts only if each of its levels has a
response and every verdict is known. Means over categories weigh each category alike, and leave out one of which nothing
is known: without a judge they are about the levels that rules decide, and `decided` says how many these are. The
released code gives `example` no SSR.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean

from rtt_lib.rubrics.followbench import CATEGORIES, group_and_level
from rtt_lib.verify.followbench import LEVELS

Values = Sequence[bool | None]
Table = dict[str, dict[str, float | None]]


def summarise(ids: Sequence[str], verdicts: Sequence[Values]) -> dict:
    """ids: of the prompts that were answered; verdicts: of each response, one or as many as its level."""
    decided = [(id, values) for id, values in zip(ids, verdicts, strict=True) if None not in values]
    return {
        "responses": len(ids),
        "undecided_responses": len(ids) - len(decided),
        "undecided_verdicts": sum(list(values).count(None) for values in verdicts),
        "decided": counts_by_category(decided),
        "hsr": by_category_and_level(decided, lambda values: float(all(values))),
        "ssr": by_category_and_level(decided, fmean),
        "csl": csl(ids, verdicts),
    }


def by_category_and_level(decided: Sequence[tuple[str, Values]], score: Callable[[Values], float]) -> Table:
    """Means of each category and, as `all`, of categories: by level, and as `mean` of the levels."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for id, values in decided:
        group, level = group_and_level(id)
        found[_category(group), level].append(score(values))
    table = {
        category: {str(n): _mean(found.get((category, n), [])) for n in range(1, LEVELS + 1)} for category in CATEGORIES
    }
    table["all"] = {str(n): _mean([row[str(n)] for row in table.values()]) for n in range(1, LEVELS + 1)}
    return {category: row | {"mean": _mean(list(row.values()))} for category, row in table.items()}


def counts_by_category(decided: Sequence[tuple[str, Values]]) -> dict[str, int]:
    """How many responses the scores are about."""
    found = Counter(_category(group_and_level(id)[0]) for id, _ in decided)
    return {category: found[category] for category in CATEGORIES}


def csl(ids: Sequence[str], verdicts: Sequence[Values]) -> dict[str, float | None]:
    """By category, and as `all` the mean of categories; the n-th responses to a group's prompts are its n-th run."""
    runs: dict[tuple[str, int], dict[int, Values]] = defaultdict(dict)
    times: dict[str, int] = defaultdict(int)
    for id, values in zip(ids, verdicts, strict=True):
        group, level = group_and_level(id)
        runs[group, times[id]][level] = values
        times[id] += 1
    found: dict[str, list[float]] = defaultdict(list)
    for (group, _), levels in runs.items():
        if len(levels) == LEVELS and not any(None in values for values in levels.values()):
            found[_category(group)].append(levels_in_a_row([levels[n] for n in sorted(levels)]))
    table = {category: _mean(found.get(category, [])) for category in CATEGORIES}
    return table | {"all": _mean(list(table.values()))}


def levels_in_a_row(levels: Sequence[Values]) -> int:
    """How many hold before the first that does not."""
    return next((n for n, values in enumerate(levels) if not all(values)), len(levels))


def _category(group: str) -> str:
    return group.rpartition("-")[0]


def _mean(values: Sequence[float | None]) -> float | None:
    """Over what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
