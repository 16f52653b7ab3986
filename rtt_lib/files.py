"""Reading and writing files so that a kill at any moment leaves the old file or the new one, never half."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path` atomically: a temporary file beside it, flushed to disk, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private (0600); a result is as readable as any file the user makes.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def plain(value: Any) -> Any:
    """As JSON and YAML have it: tuples become lists."""
    return json.loads(json.dumps(value))


def write_text(path: str | Path, text: str) -> Path:
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> Path:
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> Path:
    """Write one JSON object a line; a name ending in `.gz` is compressed (with a fixed time, so equal bytes)."""
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
    return write_bytes(path, gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RTTError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RTTError(f"{path}: not valid JSON ({error})") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict:
    """A JSON object with each name once: Python would silently keep the last of several."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return row


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict]]:
    """Yield (line number, object) for each non-empty line; anything but a JSON object is an error naming the line."""
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line, object_pairs_hook=_no_duplicates)
                except (ValueError, RecursionError) as error:
                    raise RTTError(f"{path}:{number}: not valid JSON ({error})") from error
                if not isinstance(row, dict):
                    raise RTTError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
                yield number, row
    except (OSError, EOFError, zlib.error) as error:
        raise RTTError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint of a transformers trainer, if any.

    `trainer_state.json` is written last, so a folder without a readable one is what a kill left.
    """
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            read_json(path / "trainer_state.json")
        except RTTError:
            continue
        return str(path)
    return None
