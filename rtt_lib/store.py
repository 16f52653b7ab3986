"""Where trained things are kept, for all profiles together: each in the folder that its fingerprint names.

    bases/<fingerprint>/            a base policy
    discriminators/<fingerprint>/   a discriminator
    runs/<fingerprint>/             a trained policy with its log; its evaluations are below it

A folder is complete when `made.json` is there, which is written last. What has the same fingerprint is made once,
whichever profile asks for it, also when two processes ask at the same time.

The package brings some of these folders, in `rtt_lib/shipped/`. One of them is used in place of the store's where it
has the fingerprint that is asked for. After a change of code or versions nothing asks for it any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.profile import REPOSITORY

STORE = "RTT_STORE"  # another place for the store
FROM_SCRATCH = "RTT_FROM_SCRATCH"  # if set, nothing that the package brings is used
KINDS = ("bases", "discriminators", "runs")
MADE, LOCK = "made.json", ".lock"
SHIPPED = Path(__file__).resolve().parent / "shipped"


def root() -> Path:
    return Path(os.environ.get(STORE, REPOSITORY / "results" / "store")).resolve()


def folder_of(kind: str, fingerprint: str) -> Path:
    return root() / kind / fingerprint if shipped(kind, fingerprint) is None else SHIPPED / kind / fingerprint


def shipped(kind: str, fingerprint: str) -> dict[str, Any] | None:
    """What was noted of a folder that the package brings; None where it brings none, or none is to be used."""
    return None if os.environ.get(FROM_SCRATCH) else made(SHIPPED / kind / fingerprint)


def made(folder: Path) -> dict[str, Any] | None:
    """What was noted when the folder was completed; None while it is not complete."""
    try:
        return read_json(folder / MADE) if (folder / MADE).is_file() else None
    except RTTError:  # damaged: it is made again
        return None


def make(folder: Path, work: Callable[[Path], None], about: Mapping[str, Any]) -> Path:
    """The folder, complete. `work` fills it if that is not done yet. After an interruption it finds what it left
    there."""
    if made(folder) is None:
        with locked(folder):
            if made(folder) is None:
                started = time.perf_counter()
                work(folder)
                write_json(folder / MADE, {**about, "seconds": round(time.perf_counter() - started, 2)})
    return folder


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """One process at a time; the lock dies with the process, whatever kills it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def in_use(folder: Path) -> bool:
    """Does a process hold it, to fill it?"""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def entries() -> Iterator[tuple[str, Path]]:
    """(kind, folder) of everything that is kept, complete or not."""
    for kind in KINDS:
        for folder in sorted((root() / kind).glob("*")):
            if folder.is_dir():
                yield kind, folder


def remove(folder: Path) -> None:
    """Leave nothing of it, if it is there."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise RTTError(f"{folder}: cannot be removed ({error}): remove it by hand") from error
