"""`rtt runs`: what the store holds, and what no profile asks for any more."""

from __future__ import annotations

from pathlib import Path

from rtt_lib import store
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import files_below
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import family

MEGABYTE = 1_000_000
NOT_ASKED, UNKNOWN, IN_USE = "not asked for", "cannot be told", "in use"


def describe() -> str:
    """A line for each thing that is kept, then a sum."""
    wanted, unknown = asked_for()
    total, lines = 0, []
    for kind, folder in store.entries():
        size = _size(folder)
        total += size
        lines.append(f"{_state(folder, wanted, unknown):14} {size / MEGABYTE:8.1f} MB  {kind:15} {_name(folder)}")
    return "\n".join([*lines, f"{len(lines)} kept, {total / MEGABYTE:.1f} MB, in {store.root()}"])


def prune() -> str:
    """Remove what no profile asks for and no process is filling."""
    wanted, unknown = asked_for()
    lines, freed = [], 0
    for kind, folder in store.entries():
        if _state(folder, wanted, unknown) == NOT_ASKED:
            freed += _size(folder)
            lines.append(f"removed {kind} {_name(folder)}")
            store.remove(folder)
    return "\n".join([*lines, f"{len(lines)} removed, {freed / MEGABYTE:.1f} MB freed"])


def asked_for() -> tuple[set[Path], dict[str, str]]:
    """The folders that the profiles of `params/` ask for, with the code as it is now.

    And the profiles of which that cannot be told here, a discriminator being absent say, with the reason: what they
    left is not removed. Nor is, while there is such a profile, what is not complete, which does not say whose it is.
    """
    found: set[Path] = set()
    unknown: dict[str, str] = {}
    for path in sorted((REPOSITORY / "params").glob("*.yaml")):
        try:
            profile = load_profile(path)
            found |= family(profile).kept_folders(profile)  # first: these can be told also where the runs cannot
            found |= {spec.folder for spec in plan(profile)}
        except RTTError as error:
            unknown[path.stem] = str(error)
    return {folder.resolve() for folder in found}, unknown


def _state(folder: Path, wanted: set[Path], unknown: dict[str, str]) -> str:
    if store.in_use(folder):
        return IN_USE
    about = store.made(folder)
    if folder.resolve() in wanted:
        return "complete" if about else "begun"
    of_unknown = about.get("profile") in unknown if about else bool(unknown)
    return UNKNOWN if of_unknown else NOT_ASKED


def _name(folder: Path) -> str:
    about = store.made(folder) or {}
    profile = f" ({about['profile']})" if "profile" in about else ""
    return f"{folder.name}  {about.get('name', 'not complete')}{profile}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in files_below(folder))
