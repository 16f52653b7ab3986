"""The table of claims in README.md, made from the committed results.

python -m rtt_lib.report.readme     writes it between the two marks, which are HTML comments
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY
from rtt_lib.tables import markdown_table

PROFILES = ("micro", "micro-full", "english")  # of these, the ones that have results
BEGIN, END = "<!-- claims: made by python -m rtt_lib.report.readme -->", "<!-- claims end -->"


def verdicts_table(results: Path, profiles: Sequence[str] = PROFILES) -> str:
    """One row per claim: its number, its statement, and its verdict in each profile that has results, as Markdown."""
    tables = {profile: results / profile / "tables" / "claims.csv" for profile in profiles}
    profiles = [profile for profile, path in tables.items() if path.is_file()]
    claims = [pd.read_csv(tables[profile]) for profile in profiles]
    for profile, found in zip(profiles[1:], claims[1:], strict=True):
        if found["claim"].tolist() != claims[0]["claim"].tolist():
            raise RTTError(f"{profile} and {profiles[0]} judge different claims: run both profiles with this code")
    verdicts = {f"`{profile}`": found["verdict"] for profile, found in zip(profiles, claims, strict=True)}
    return markdown_table(claims[0][["claim", "statement"]].assign(**verdicts))


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
    main()
