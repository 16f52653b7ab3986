"""Best against best: settings chosen on some base policies by the rule of docs/fixed.md, tested on others.

python -m rtt_lib.analysis.tuning [RESULTS]     the settings that won, as experiments for a profile
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtt_lib.analysis.comparison import NOT_RUN, SAME_REWARD, differences
from rtt_lib.analysis.evidence import Comparison, comparison, in_figures
from rtt_lib.analysis.judging import corrected
from rtt_lib.analysis.primary import Tuning, longer, primary
from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.methods.arms import find_arm
from rtt_lib.profile import RESULTS, RL
from rtt_lib.stats import summary
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import results_table

TRIED = ["world", "method", "arm", "runs", "mean", "chosen", "at an end"]
ANSWERED = ["question", "world", "steps", "arm", "against", "runs", "difference", "low", "high", "level", "finding"]
NO_ADVICE = "No recommendation:"  # begins what is said where tests are missing
FIRST = "the best RTT against the best RL"
FIELDS = {"learning_rate": "lr", "minibatches": "minibatches"}


def tried(runs: pd.DataFrame, tuning: Tuning, rl: RL) -> pd.DataFrame:
    """One row per world, method and setting: its mean over the base policies that settings are chosen on.

    A setting is chosen only where every setting of the method has all its runs. `at an end`: which of its values are
    the highest or the lowest of three or more that were tried, so that the best may lie beyond.
    """
    here = runs[runs["seed"].isin(tuning.chosen_on)].reindex(columns=["world", "arm", tuning.measure])
    scores = here.astype({tuning.measure: float}).groupby(["world", "arm"])[tuning.measure].agg(["count", "mean"])
    rows = []
    for world in tuning.worlds:
        for method in tuning.methods:
            arms = tuning.arms(method)
            found = scores.reindex(pd.MultiIndex.from_product([[world], arms]))
            whole = bool((found["count"] == len(tuning.chosen_on)).all())
            best = arms[int(np.argmax(found["mean"].to_numpy()))] if whole else None
            for arm, count, mean in zip(arms, found["count"].fillna(0), found["mean"], strict=True):
                rows.append([world, method, arm, int(count), mean, arm == best, at_an_end(arm, arms, rl)])
    return pd.DataFrame(rows, columns=TRIED)


def at_an_end(arm: str, arms: Sequence[str], rl: RL) -> str:
    """`lr highest`: of an arm's values among those of `arms`. Of two values each is an end, so that says nothing."""
    values = {name: _values(name, rl) for name in arms}
    found = []
    for field, value in values[arm].items():
        range_ = {other[field] for other in values.values()}
        if len(range_) > 2 and value in (min(range_), max(range_)):
            found.append(f"{field} {'highest' if value == max(range_) else 'lowest'}")
    return ", ".join(found)


def _values(name: str, rl: RL) -> dict[str, float]:
    arm = find_arm(name)
    own = arm.over(rl)
    values = {word: getattr(own, field) for field, word in FIELDS.items()}
    return values | {"beta": rl.beta if arm.beta is None else arm.beta}


def chosen(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """World -> method -> the arm that won, from `tried`; a world counts once all its methods have one."""
    won = table[table["chosen"]]
    worlds = {world: rows.set_index("method")["arm"].to_dict() for world, rows in won.groupby("world", sort=False)}
    return {world: arms for world, arms in worlds.items() if set(arms) == set(table["method"])}


def tested(runs: pd.DataFrame, arms: dict[str, dict[str, str]], tuning: Tuning) -> pd.DataFrame:
    """One row per world and method: its default, its chosen settings, and these for longer, on the other policies."""
    here = runs[runs["seed"].isin(tuning.tested_on)].reindex(columns=["world", "arm", "seed", tuning.measure])
    scores = summary(here, tuning.measure).set_index(["world", "arm"])

    def cell(world: str, arm: str) -> str:
        if (world, arm) not in scores.index:
            return NOT_RUN
        row = scores.loc[(world, arm)]
        return f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}], n = {int(row['runs'])}"

    rows = [
        [world, method, cell(world, method), arm, cell(world, arm), cell(world, longer(arm, tuning.long))]
        for world, each in arms.items()
        for method, arm in each.items()
    ]
    long = f"chosen, {tuning.long} steps"
    return pd.DataFrame(rows, columns=["world", "method", "this project's default", "settings", "chosen", long])


@dataclass(frozen=True)
class Best:
    """The best RL and the best RTT arm of a world, by the base policies that settings are chosen on."""

    world: str
    rl: str
    rtt: str


def best_of_each(table: pd.DataFrame) -> list[Best]:
    """From `tried`, for every world that is whole."""
    found = []
    for world in chosen(table):
        won = table[table["chosen"] & (table["world"] == world)].set_index("arm")
        is_rl = won["method"].str.startswith("RL-")
        found.append(Best(world, str(won.loc[is_rl, "mean"].idxmax()), str(won.loc[~is_rl, "mean"].idxmax())))
    return found


def primary_comparisons(runs: pd.DataFrame, best: Sequence[Best], tuning: Tuning) -> list[Comparison]:
    """The best RTT minus the best RL in every world, for the usual steps and for longer."""
    return [
        comparison(runs, rtt, rl, tuning.measure, one.world, tuning.tested_on)
        for one in best
        for rtt, rl in ((one.rtt, one.rl), (longer(one.rtt, tuning.long), longer(one.rl, tuning.long)))
    ]


def questions(arms: dict[str, dict[str, str]], best: Sequence[Best], tuning: Tuning) -> dict[str, list[Best]]:
    """The question that was fixed first, then two kinds of secondary ones: each RTT method, tuned, against the best RL,
    and against the RL method with its reward, tuned."""
    rest = {f"{method} against the best RL": _of_method(method, arms, best) for method in _rtt_methods(tuning)}
    for rtt, rl in SAME_REWARD:
        rest[f"{rtt} against {rl}"] = [Best(world, each[rl], each[rtt]) for world, each in arms.items()]
    return {FIRST: list(best), **rest}


def _rtt_methods(tuning: Tuning) -> list[str]:
    return [name for name in tuning.methods if not name.startswith("RL-")]


def _of_method(method: str, arms: dict[str, dict[str, str]], best: Sequence[Best]) -> list[Best]:
    return [Best(one.world, one.rl, arms[one.world][method]) for one in best]


def answer_table(
    runs: pd.DataFrame, arms: dict[str, dict[str, str]], best: Sequence[Best], tuning: Tuning, rl: RL
) -> pd.DataFrame:
    """One row per question, world and length of training: the paired difference, its interval as Holm corrects it for
    the comparisons of its question, and what it says. Comparisons without enough runs have no row."""
    rows = []
    for question, pairs in questions(arms, best, tuning).items():
        for one, level, sign in _judged(primary_comparisons(runs, pairs, tuning), 2 * len(tuning.worlds)):
            steps = tuning.long if one.arm.endswith(longer("", tuning.long)) else rl.steps
            numbers = [len(one.values), one.mean, *one.interval(level), level]
            rows.append([question, one.world, steps, one.arm, one.baseline, *numbers, WORDS[sign]])
    return pd.DataFrame(rows, columns=ANSWERED)


def answer(comparisons: Sequence[Comparison], asked: int) -> str:
    """Tuned alike, is RTT worth it? One sentence. `asked`: how many comparisons were fixed, six."""
    signs = [sign for _, _, sign in _judged(comparisons, asked)]
    if not signs:
        return f"Tuned alike: {NOT_RUN}."
    lacking = asked - sum(one.complete for one in comparisons)
    lacking = f"; {lacking} are missing or incomplete" if lacking else ""
    return (
        f"Tuned alike, the best RTT is shown to be above the best RL in {signs.count(1)} of {asked} comparisons and "
        f"below it in {signs.count(-1)} (intervals corrected for {asked}{lacking})."
    )


def by_world(comparisons: Sequence[Comparison], asked: int) -> str:
    """And where? A line of Markdown for each comparison."""
    return "\n".join(
        f"- World {one.world}: {in_figures([one], [level])}: **{WORDS[sign]}**."
        for one, level, sign in _judged(comparisons, asked)
    )


def _judged(comparisons: Sequence[Comparison], asked: int) -> list[tuple[Comparison, float, int]]:
    """Those with runs, each with the level of its interval (missing ones count in the correction) and its sign."""
    known = [one for one in comparisons if one.tested]
    if not known:
        return []
    levels = corrected([*known, *[_missing(known[0])] * (asked - len(known))])[: len(known)]
    return [(one, level, one.sign(level)) for one, level in zip(known, levels, strict=True)]


WORDS = {1: "RTT is worth it", -1: "RL is better", 0: "no difference shown"}


def _missing(like: Comparison) -> Comparison:
    return Comparison(like.arm, like.baseline, "", like.column, like.planned, {})


def advice(runs: pd.DataFrame, arms: dict[str, dict[str, str]], best: Sequence[Best], tuning: Tuning) -> str:
    """One method or none, by the rule of docs/fixed.md: of the RTT methods, tuned, that are behind the best RL nowhere,
    by their means or by an interval, and shown to be ahead somewhere, the one that gains most. One mean below the best
    RL's rules a method out, whatever is missing beside it."""
    if len(best) < len(tuning.worlds):
        return f"{NO_ADVICE} the tuned methods are {NOT_RUN}."
    asked, fit, lacking = 2 * len(best), [], []
    for method in _rtt_methods(tuning):
        found = primary_comparisons(runs, _of_method(method, arms, best), tuning)
        if any(one.complete and one.mean < 0 for one in found):
            continue
        if not all(one.complete for one in found):
            lacking.append(method)
            continue
        levels = corrected(found)
        signs = [one.sign(level) for one, level in zip(found, levels, strict=True)]
        if 1 in signs:
            fit.append((float(np.mean([one.mean for one in found])), method, signs.count(1), in_figures(found, levels)))
    if lacking:
        return f"{NO_ADVICE} not all tests of the tuned {' and '.join(lacking)} are there."
    worlds = " and ".join(one.world for one in best)
    if not fit:
        return (
            f"No method is recommended: tuned, none has a mean at or above the best RL's in {worlds} at both lengths "
            "and is shown to be ahead somewhere."
        )
    _, method, shown, figures = max(fit)
    return (
        f"Recommended: {method}. Tuned, its mean is at or above the best RL's in {worlds} at both lengths, shown in "
        f"{shown} of {asked}: {figures}."
    )


def paired_with_default(runs: pd.DataFrame, arms: dict[str, dict[str, str]], tuning: Tuning) -> pd.DataFrame:
    """What tuning brings to each method, paired, on the base policies that the test uses."""
    here = runs[runs["seed"].isin(tuning.tested_on)]
    tables = [
        differences(here[here["world"] == world], [(arm, method) for method, arm in each.items() if arm != method])
        for world, each in arms.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else differences(here.iloc[:0], [])


def experiments(arms: dict[str, dict[str, str]], tuning: Tuning) -> str:
    """The test of the settings that won, with this project's default beside them, as lines of a profile."""
    lines = []
    for world, each in arms.items():
        lines += [f"  best-{world}:", "    arms:"]
        names = [name for method, arm in each.items() for name in (method, arm, longer(arm, tuning.long))]
        lines += [f"      - {name}" for name in dict.fromkeys(names)]
        lines += [f"    seeds: [{', '.join(tuning.tested_on)}]", f"    worlds: [{world}]"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    profile, tuning = load_profile("tuning"), primary().tuning
    asked = plan(profile, ["tuning"])
    runs = results_table(asked, Path(given[0]) if given else RESULTS / profile.name)
    arms = chosen(tried(runs, tuning, profile.rl))
    if set(arms) != set(tuning.worlds):
        raise RTTError(f"{len(runs)} of {len(asked)} runs of the tuning are there: rtt run {profile.name}")
    print(experiments(arms, tuning))


if __name__ == "__main__":
    sys.exit(guarded(main))
