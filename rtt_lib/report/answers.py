"""What each notebook says first: at most three sentences, computed from the tables that it shows below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from rtt_lib.analysis import judging
from rtt_lib.analysis.comparison import NO_DIFFERENCE, NOT_RUN, TOO_FEW, unit_of
from rtt_lib.analysis.contrasts import CONTRADICTED, NEGLIGIBLE, SUPPORTED, UNDECIDED, UNTESTED
from rtt_lib.analysis.shapes import GLOBAL, LENGTH
from rtt_lib.analysis.strongest import STRONGEST
from rtt_lib.profile import RESULTS
from rtt_lib.report.discriminator import ENOUGH_F1, KEYWORDS
from rtt_lib.studies.records import RUNS

# By the rule for the claims of RTT's paper, and of claims that one contrast decides.
VERDICTS = (*judging.VERDICTS, SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED, UNTESTED)
# What the discriminator of notebook 03 is set against, in words.
RIVALS = {"greedy": "one that learnt from greedy labels", KEYWORDS: "a rule that matches words"}
KINDS = {"all": "all tokens", "segments": "segments", "nothing": "nothing"}  # what a label marks, in words


def compared(table: pd.DataFrame, arm: str, against: str, measure: str = "all satisfied", when: str = "") -> str:
    """One sentence for one row a world of `comparison.differences`:
    `At the end RTT-AON against RL-AON: better in U (+13.3 points [+7.8, +17.5]); no difference shown in S (...).`"""
    start = f"{when} {arm} against {against}" if when else f"{arm} against {against}"
    rows = _rows(table, arm, against, measure)
    if not rows:
        return f"{start}: no comparison in this profile."
    parts = _by_verdict(rows, lambda row: f"{row['world']} ({_size(row)})")
    return f"{start}: {'; '.join(parts)}."


def verdicts(table: pd.DataFrame, arm: str, rivals: Sequence[str], measure: str = "all satisfied") -> str:
    """The same without sizes, for several rivals:
    `RL-AON against SFT: better in L, worse in U; against DPO: better in L and U.`"""
    parts = []
    for rival in rivals:
        found = ", ".join(_by_verdict(_rows(table, arm, rival, measure), lambda row: row["world"]))
        parts.append(f"against {rival}: {found or 'no comparison in this profile'}")
    return f"{arm} {'; '.join(parts)}."


def each_pair(table: pd.DataFrame, measure: str = "all satisfied") -> str:
    """The same in one sentence for all pairs of a table: what a figure of paired differences shows.
    `Final entropy, RTT-AON against RL-AON: less in L; RTT-CSR against RL-CSR: less in L and U.`"""
    named = "" if measure == "all satisfied" else measure.capitalize()
    pairs = table.loc[table["measure"] == measure, ["arm", "against"]].drop_duplicates()
    if pairs.empty:
        return f"{named}: {NOT_RUN}." if named else f"{NOT_RUN.capitalize()}."
    found = pairs.groupby("arm", sort=False)["against"]
    said = "; ".join(verdicts(table, arm, list(rivals), measure).removesuffix(".") for arm, rivals in found)
    return f"{named}, {said}." if named else f"{said}."


def _rows(table: pd.DataFrame, arm: str, against: str, measure: str) -> list[dict]:
    chosen = (table["arm"] == arm) & (table["against"] == against) & (table["measure"] == measure)
    return table[chosen].to_dict("records")


def _by_verdict(rows: Sequence[dict], say: Callable[[dict], str]) -> list[str]:
    """`better in U and L`, `no difference shown in S`: the worlds of each verdict that some world has."""
    parts = []
    for verdict in ("better", "more", "worse", "less", NO_DIFFERENCE, TOO_FEW):
        worlds = [say(row) for row in rows if row["verdict"] == verdict]
        if worlds:
            parts.append(f"{verdict} in {_listed(worlds)}")
    return parts


def _size(row: dict) -> str:
    """`+13.3 points [+7.8, +17.5]`, without the interval where there are too few runs for one."""
    unit, factor, digits = unit_of(row["measure"])
    mean, low, high = (f"{factor * row[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return f"{mean} {unit}" + (f" [{low}, {high}]" if row["low"] == row["low"] else "")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _range(values: pd.Series) -> str:
    """`54% to 83%`, or `54%` where both ends are written alike."""
    low, high = f"{values.min():.0%}", f"{values.max():.0%}"
    return low if low == high else f"{low} to {high}"


def rubric_data(problems: pd.DataFrame, group_size: int) -> str:
    """Notebook 01: how sparse AON is and how ambiguous CSR."""
    return (
        f"AON gives all {group_size} responses to a prompt the same reward in {_range(problems['silent groups, AON'])} "
        f"of the groups, depending on the world, and then nothing is learnt. CSR does so in "
        f"{_range(problems['silent groups, CSR'])}. But CSR says less than it seems: of the pairs of responses that it "
        f"scores alike, {_range(problems['of these, other criteria'])} satisfy different criteria."
    )


def relevance_labels(by_taxonomy: pd.DataFrame, by_greedy: pd.DataFrame) -> str:
    """Notebook 02: how much each annotator marks, and in which cases they mark another kind of thing."""
    ours, naive = (table.set_index("case") for table in (by_taxonomy, by_greedy))
    shares = [_over_cases(table) for table in (ours, naive)]
    said = [_listed([f"{words} in {share[kind]:.0%}" for kind, words in KINDS.items()]) for share in shares]
    both = [case for case in ours.index if case in naive.index]
    alike = [case for case in both if ours.loc[case, list(KINDS)].idxmax() == naive.loc[case, list(KINDS)].idxmax()]
    where = f": {_listed([f'“{case}”' for case in alike])}" if alike else ""
    return (
        f"In {int(ours['examples'].sum())} examples, the taxonomy marks {said[0]}; the greedy annotator {said[1]}. "
        f"Both mark the same kind of thing in {len(alike)} of {len(both)} cases{where}."
    )


def _over_cases(table: pd.DataFrame) -> pd.Series:
    """Shares of `all`, `segments`, `nothing` over all examples."""
    return table[list(KINDS)].mul(table["examples"], axis=0).sum() / table["examples"].sum()


def discriminator(mean: Mapping[str, float], families: Mapping[str, float], unseen: Mapping[str, float]) -> str:
    """Notebook 03: F1 of the discriminator and its rivals, its weak families, and families that were left out.

    mean: by discriminator; families: of the one that learnt from the taxonomy; unseen: of the families left out
    """
    rivals = [f"{mean[name]:.2f} of {words}" for name, words in RIVALS.items() if name in mean]
    weak = [f"{name} ({value:.2f})" for name, value in families.items() if not value >= ENOUGH_F1]
    said = (
        f"On fresh responses the discriminator's mean F1 over families is {mean['taxonomy']:.2f}, against "
        f"{_listed(rivals)}. Families below {ENOUGH_F1}: {_listed(weak) if weak else 'none'}."
    )
    if not unseen:
        return said
    left_out = _listed([f"{value:.2f} for {name}" for name, value in unseen.items()])
    return f"{said} Where training leaves out these families, F1 is {left_out}."


def group_partitioning(silence: pd.DataFrame, uniform: pd.DataFrame, correlations: pd.DataFrame) -> str:
    """Notebook 04: where intra speaks and A_res does not, what intra cannot see, how far schemes differ."""
    aon = silence.set_index("reward").loc["AON"]
    spoken = f", and in {aon['intra']:.0%} of these intra still gives token credit" if aon["intra"] >= 0 else ""
    blind = uniform.set_index("family")["relevance uniform in the response"]
    others = ", ".join(f"{correlations.loc['intra', name]:.2f} with {name}" for name in ("inter", "joint", "released"))
    return (
        f"Under AON {aon['silent under A_res']:.0%} of {int(aon['groups'])} groups of real responses have equal "
        f"rewards, so that A_res is zero{spoken}. Intra gives no credit in {blind['length']:.0%} of the cases where "
        f"the criterion is a length. The choice of the group decides the credit: intra's correlates {others}."
    )


def length_bias(simulation: pd.DataFrame, shortest: pd.DataFrame) -> str:
    """Notebook 05: the bias in the simulation, and how well the formulas predict real groups."""
    rows = simulation[simulation["scenario"] == "only the shortest satisfies"].sort_values("length ratio")
    short, equal = rows.iloc[0], rows.iloc[-1]
    largest = simulation["intra"].abs().max()
    error = (shortest["inter"] - shortest["predicted"]).abs().max()
    return (
        f"Inter rewards short responses: one that alone satisfies a criterion gets a mean advantage of "
        f"{short['inter, simulated']:.2f} where it has 1/{1 / short['length ratio']:.0f} of the others' length, "
        f"{equal['inter, simulated']:.2f} where it is as long. Intra's mean is {largest:.2f} at every length. "
        f"Eq. 12 and 17 predict inter's on {len(shortest)} cases of the micro language to {error:.0e}."
    )


def rtt_grpo(early: pd.DataFrame, after: pd.DataFrame) -> str:
    """Notebook 06: RTT minus RL with the same reward, early in training and after it."""
    return f"{early_lead(early)} {after_training(after)}"


def early_lead(early: pd.DataFrame) -> str:
    return compared(early, "RTT-AON", "RL-AON", "first quarter", "In the first quarter of training")


def after_training(after: pd.DataFrame) -> str:
    pairs = (("RTT-AON", "RL-AON"), ("RTT-CSR", "RL-CSR"))
    return " ".join(compared(after, arm, against, when="After training") for arm, against in pairs)


def baselines_and_ablations(table_1: pd.DataFrame, ablations: pd.DataFrame, betas: pd.DataFrame) -> str:
    """Notebook 07: RL against supervised training, the method against what takes a part of it away, the best beta."""
    return " ".join(
        (
            verdicts(table_1, "RL-AON", ("SFT", "DPO")),
            verdicts(ablations, "RTT-AON", ("RTT-AON inter", "RTT-AON greedy", "RTT-AON random")),
            best_beta(betas),
        )
    )


def best_beta(betas: pd.DataFrame) -> str:
    """Figure 3: which beta is best in each world, by the mean."""
    if betas.empty:
        return "This profile compares no values of beta."
    best = betas.loc[betas.groupby("world", sort=False)["mean"].idxmax(), ["world", "beta"]]
    found = [f"{beta:g} in {world}" for world, beta in best.itertuples(index=False)]
    return f"The beta with the highest mean is {_listed(found)}."


def token_attribution(cases: pd.DataFrame, rollouts: pd.DataFrame) -> str:
    """Notebook 09: how often every token is right, and which family is worst on a policy's own responses."""
    known = cases.dropna(subset="tokens right")
    right = int((known["tokens right"] == 1).sum())
    marked = rollouts[rollouts["relevant"] < 1].dropna(subset="precision")
    said = (
        f"In {right} of {len(known)} cases every token is on the right side of 0.5, as are "
        f"{known['tokens right'].mean():.0%} of the tokens of an average case."
    )
    if marked.empty:
        return said
    worst = marked.loc[marked["precision"].idxmin()]
    return (
        f"{said} On the base policy's responses the family with the lowest precision is {worst['family']}: "
        f"{worst['precision']:.0%} of what is marked is right."
    )


def released_code_audit(mixing: dict[str, float], differences: pd.DataFrame, arms: tuple[str, str, str]) -> str:
    """Notebook 10: how far the released credit is from the paper's, and what training with it does.

    arms: as released, the paper's, plain RL
    """
    as_released, paper, plain = arms
    return (
        f"On real responses the released code's token credit correlates "
        f"{mixing['correlation with the paper']:.2f} with the paper's formula, and "
        f"{mixing['tokens with the opposite sign']:.0%} of the tokens are pushed the other way. "
        f"{compared(differences, as_released, paper, when='After training')} "
        f"{compared(differences, as_released, plain, when='After training')}"
    )


def beyond_the_paper(tuned: str, failures: pd.DataFrame, mended: pd.DataFrame) -> str:
    """Notebook 11: best against best, where RTT fails, and what `relative` mends.

    tuned: of `tuning.answer`; failures: of `shapes.shape_differences`; mended: against the strongest core arm
    """
    modes = "; ".join(f"{measure} {_failure(failures, measure)}" for measure in (LENGTH, GLOBAL))
    return " ".join(
        (
            tuned,
            f"RTT-AON against RL-AON, {modes}.",
            compared(mended, "RTT-CSR relative", STRONGEST, when="After training"),
        )
    )


def _failure(failures: pd.DataFrame, measure: str) -> str:
    found = ", ".join(_by_verdict(_rows(failures, "RTT-AON", "RL-AON", measure), lambda row: row["world"]))
    return found or "not compared in this profile"


def serl(claims: pd.DataFrame, turning: Mapping[str, float | None], by_criterion: pd.DataFrame) -> str:
    """Notebook 12: the verdicts on SERL's claims, how good its judge must be, and whether token credit adds to it."""
    if _untested(claims) and _untested(by_criterion):
        return f"This profile has no runs of SERL, so that nothing is tested here.{_published_in('serl')}"
    found = (_verdicts_on("SERL's claims", claims), judge_needed(turning), _verdicts_on("token credit", by_criterion))
    return " ".join(found)


def judge_needed(turning: Mapping[str, float | None]) -> str:
    """The accuracy of a judge from which the actor gains nothing. turning: of `serl_dose.turning_point`"""
    if turning["gain"] is None:
        return "Too few runs tell how good the judge must be."
    if turning["accuracy"] is None:
        verb = "gains" if turning["gain"] > 0 else "loses"
        return (
            f"Before training the judges are right in {turning['least']:.0%} to {turning['most']:.0%} of the pairs, "
            f"and by a straight line the actor {verb} with all of them."
        )
    numbers = f"{turning['accuracy']:.0%} [{turning['low']:.0%}, {turning['high']:.0%}]"
    return (
        f"By a straight line the actor gains nothing from a judge of accuracy {numbers}, and the line rises in "
        f"{turning['rises']:.0%} of the resamples."
    )


def conifer(claims: pd.DataFrame, twin: pd.DataFrame) -> str:
    """Notebook 13: the verdicts on Conifer's claims and on those of its twin in RL."""
    if _untested(claims) and _untested(twin):
        nothing = "This profile has no runs in a world of levels, so that nothing is tested here."
        return f"{nothing}{_published_in('conifer')}"
    return " ".join((_verdicts_on("Conifer's claims", claims), _verdicts_on("its twin in RL", twin)))


def _published_in(profile: str) -> str:
    """The profile that has the runs, if they are published."""
    if not (RESULTS / profile / RUNS).is_file():
        return ""
    return f" The runs are in the profile {profile}: see results/{profile}, or give the command rtt run {profile}."


def _verdicts_on(about: str, table: pd.DataFrame) -> str:
    """`On SERL's claims: supported S-C1 and S-C3, undecided S-C2.` of a table with the columns claim, verdict."""
    return f"On {about}: {', '.join(f'{verdict} {_listed(ids)}' for verdict, ids in _named(table).items())}."


def by_verdict(table: pd.DataFrame) -> str:
    """`Replicates: C10 and C11; partly: C2.` of such a table."""
    said = "; ".join(f"{verdict}: {_listed(ids)}" for verdict, ids in _named(table).items())
    return f"{said[:1].upper()}{said[1:]}."


def _named(table: pd.DataFrame) -> dict[str, list[str]]:
    """The claims of each verdict that some claim has."""
    named = {verdict: list(table.loc[table["verdict"] == verdict, "claim"]) for verdict in VERDICTS}
    return {verdict: ids for verdict, ids in named.items() if ids}


def _untested(table: pd.DataFrame) -> bool:
    return bool((table["verdict"] == UNTESTED).all())


def on_claims(table: pd.DataFrame, *ids: str) -> str:
    """`S-C1 (it improves): supported; S-C2 (it beats others): undecided.` of a table with claim, statement, verdict."""
    rows = table.set_index("claim").loc[list(ids)]
    return "; ".join(f"{row.Index} ({row.statement}): {row.verdict}" for row in rows.itertuples()) + "."
