"""`rtt runs`: what the store holds, and what no profile asks for any more."""

from __future__ import annotations

from pathlib import Path

from rtt_lib import store
from rtt_lib.fingerprint import files_below
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import family

MEGABYTE = 1_000_000


def describe() -> str:
    """A line for each thing that is kept, then a sum."""
    wanted, total, lines = asked_for(), 0, []
    for kind, folder in store.entries():
        size = _size(folder)
        total += size
        lines.append(f"{_state(folder, wanted):10} {size / MEGABYTE:8.1f} MB  {kind:15} {_name(folder)}")
    return "\n".join([*lines, f"{len(lines)} kept, {total / MEGABYTE:.1f} MB, in {store.root()}"])


def prune() -> str:
    """Remove what no profile asks for."""
    wanted, lines, freed = asked_for(), [], 0
    for kind, folder in store.entries():
        if folder.resolve() not in wanted:
            freed += _size(folder)
            lines.append(f"removed {kind} {_name(folder)}")
            store.remove(folder)
    return "\n".join([*lines, f"{len(lines)} removed, {freed / MEGABYTE:.1f} MB freed"])


def asked_for() -> set[Path]:
    """The folders that the profiles of `params/` ask for, with the code as it is now."""
    found: set[Path] = set()
    for path in sorted((REPOSITORY / "params").glob("*.yaml")):
        profile = load_profile(path)
        found |= family(profile).kept_folders(profile)
        found |= {spec.folder for spec in plan(profile)}
    return {folder.resolve() for folder in found}


def _state(folder: Path, wanted: set[Path]) -> str:
    if folder.resolve() not in wanted:
        return "not asked"
    return "complete" if store.made(folder) else "begun"


def _name(folder: Path) -> str:
    about = store.made(folder) or {}
    profile = f" ({about['profile']})" if "profile" in about else ""
    return f"{folder.name}  {about.get('name', 'not complete')}{profile}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in files_below(folder))
