"""Tables as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def markdown_table(frame: pd.DataFrame, digits: int = 3) -> str:
    """A GitHub Markdown table; numbers to the right, unknown values as a dash."""
    from pandas.api.types import is_numeric_dtype

    header = [_cell(column, digits) for column in frame.columns]
    rules = ["---:" if is_numeric_dtype(kind) else "---" for kind in frame.dtypes]
    body = [[_cell(value, digits) for value in row] for row in frame.itertuples(index=False, name=None)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rules, *body])


def _cell(value: object, digits: int) -> str:
    if isinstance(value, tuple):
        return " ".join(_cell(part, digits) for part in value if part != "")
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return " ".join(str(value).replace("|", "\\|").split())
