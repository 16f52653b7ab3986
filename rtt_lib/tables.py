"""Tables as CSV and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtt_lib.errors import RTTError
from rtt_lib.files import write_text

if TYPE_CHECKING:
    import pandas as pd


def save_table(frame: pd.DataFrame, name: str, results_dir: str | Path, digits: int = 3) -> pd.DataFrame:
    """Save `tables/<name>.csv` (ten digits) and `.md` (`digits` decimals); returns what the `.md` shows, for a cell.

    An index that carries names becomes columns; a plain row number is left out.
    """
    folder = Path(results_dir) / "tables"
    flat = frame.reset_index() if any(level is not None for level in frame.index.names) else frame
    text = flat.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_text(folder / f"{file_stem(name)}.csv", text)
    write_text(folder / f"{name}.md", markdown_table(flat, digits))
    return frame.round(digits)


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


def file_stem(name: str) -> str:
    """A file's stem; tables and figures lie flat in their folders, where the site finds them."""
    if not name or "/" in name or name.startswith("."):
        raise RTTError(f"'{name}': a figure's or table's name is a plain file name without folder or suffix")
    return name
