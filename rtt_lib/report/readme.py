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

PROFILES = ("micro", "micro-full")
BEGIN, END = "<!-- claims: made by python -m rtt_lib.report.readme -->", "<!-- claims end -->"


def verdicts_table(results: Path, profiles: Sequence[str] = PROFILES) -> str:
    """One row per claim: its number, its statement, and its verdict in each profile, as Markdown."""
    claims = [pd.read_csv(results / profile / "tables" / "claims.csv") for profile in profiles]
    for profile, found in zip(profiles[1:], claims[1:], strict=True):
        if found["claim"].tolist() != claims[0]["claim"].tolist():
            raise RTTError(f"{profile} and {profiles[0]} judge different claims: run both profiles with this code")
    verdicts = {f"`{profile}`": found["verdict"] for profile, found in zip(profiles, claims, strict=True)}
    return markdown_table(claims[0][["claim", "statement"]].assign(**verdicts))


def with_claims(text: str, table: str) -> str:
    """`text` with what stands between the two marks replaced by `table`."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise RTTError(f"README.md: the table of claims belongs between the lines '{BEGIN}' and '{END}'")
    return f"{before}{begin}\n{table}{end}{after}"


def main() -> None:
    readme = REPOSITORY / "README.md"
    write_text(readme, with_claims(readme.read_text(encoding="utf-8"), verdicts_table(REPOSITORY / "results")))


if __name__ == "__main__":
    main()
