"""Tables that commands print, read again."""

from __future__ import annotations


def cells_of(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")[1:-1]]
