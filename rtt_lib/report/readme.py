"""The tables of claims in README.md, made from the committed results.

python -m rtt_lib.report.readme     writes them between the two marks, which are HTML comments
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.tables import markdown_table

PROFILES = ("micro", "micro-full", "english", "serl", "conifer")  # of these, the ones that have results
BEGIN, END = "<!-- claims: made by python -m rtt_lib.report.readme -->", "<!-- claims end -->"


def verdicts_table(results: Path, profiles: Sequence[str] = PROFILES) -> str:
    """One row per claim: its number, its statement, and its verdict in each profile that has results, as Markdown.

    Profiles that judge the same claims share a table; those of another paper's claims have their own below it.
    """
    groups: list[dict[str, pd.DataFrame]] = []
    for profile in profiles:
        path = claims_file(results / profile / "tables", profile)
        if path is None:
            continue
        found = pd.read_csv(path)
        group = next((group for group in groups if _share_claims(found, group)), None)
        if group is None:
            groups.append({profile: found})
        else:
            group[profile] = found
    return "\n".join(map(_table_of, groups))


def claims_file(tables: Path, profile: str) -> Path | None:
    """The claims that a profile is for: `<profile>_claims.csv` of another paper's, else RTT's `claims.csv`."""
    names = (f"{profile}_claims.csv", "claims.csv")
    return next((tables / name for name in names if (tables / name).is_file()), None)


def _share_claims(found: pd.DataFrame, group: dict[str, pd.DataFrame]) -> bool:
    return any(not set(found["claim"]).isdisjoint(other["claim"]) for other in group.values())


def _table_of(group: dict[str, pd.DataFrame]) -> str:
    (first, claims), *others = group.items()
    for profile, found in others:
        if found["claim"].tolist() != claims["claim"].tolist():
            raise RTTError(f"{profile} and {first} judge different claims: run both profiles with this code")
    verdicts = {f"`{profile}`": found["verdict"] for profile, found in group.items()}
    return markdown_table(claims[["claim", "statement"]].assign(**verdicts))


def between(text: str, begin: str, end: str, table: str, page: str) -> str:
    """`text` with what stands between the two marks replaced by `table`."""
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise RTTError(f"{page}: the table belongs between the lines '{begin}' and '{end}'")
    return f"{before}{begin}\n{table}{end}{after}"


def main() -> None:
    readme = REPOSITORY / "README.md"
    table = verdicts_table(REPOSITORY / "results")
    write_text(readme, between(readme.read_text(encoding="utf-8"), BEGIN, END, table, readme.name))


if __name__ == "__main__":
    sys.exit(guarded(main))
