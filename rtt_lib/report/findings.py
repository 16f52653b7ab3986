"""The findings of the micro world beside those of the English world, made from the published runs.

python -m rtt_lib.report.findings     writes the table into docs/english.md, between two marks (HTML comments)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rtt_lib.analysis.findings import findings_table
from rtt_lib.command import guarded
from rtt_lib.files import write_text
from rtt_lib.profile import REPOSITORY, RESULTS
from rtt_lib.report.readme import between
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import RECORDS_ONLY, RUNS, curves_table, results_table
from rtt_lib.tables import markdown_table

PROFILES = ("micro", "micro-full", "english")  # of these, the ones that have results
PAGE = REPOSITORY / "docs" / "english.md"
BEGIN, END = "<!-- findings: made by python -m rtt_lib.report.findings -->", "<!-- findings end -->"


def published_findings(name: str, results: Path) -> pd.DataFrame:
    """The findings of one profile's published runs. `RTT_RECORDS_ONLY` has to be set."""
    profile = load_profile(name)
    specs = plan(profile, [name for name in profile.experiments if name != "bases"])  # other bases: another question
    return findings_table(results_table(specs, results), curves_table(specs, results))


def side_by_side(found: Mapping[str, pd.DataFrame]) -> str:
    """One row per finding with each profile's verdict and what was measured, as Markdown."""
    table = next(iter(found.values()))[["statement"]].rename(columns={"statement": "finding"})
    for name, findings in found.items():
        table[f"`{name}`"] = "**" + findings["verdict"] + "**: " + findings["measured"].str.replace("|", "/")
    return markdown_table(table)


def main() -> None:
    os.environ[RECORDS_ONLY] = "1"
    published = [name for name in PROFILES if (RESULTS / name / RUNS).is_file()]
    found = {name: published_findings(name, RESULTS / name) for name in published}
    write_text(PAGE, between(PAGE.read_text(encoding="utf-8"), BEGIN, END, side_by_side(found), PAGE.name))


if __name__ == "__main__":
    sys.exit(guarded(main))
