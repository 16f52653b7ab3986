"""What is done: fingerprints of a notebook's inputs, and records of the files it wrote."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json
from rtt_lib.fingerprint import digest, file_digest, files_below
from rtt_lib.profile import REPOSITORY, Profile

# What the pipeline itself writes at the top of a results folder; everything else there is some notebook's output.
OWN_FILES = {
    *("state", "notebooks", "site", "index.html", "manifest.json", "profile.yaml", "timings.csv"),
    *("runs.jsonl.gz", "curves.csv.xz"),
}
# A notebook writes all of these whenever it runs. One that it did not write again is out of date.
DRAWN = ("tables/", "figures/")
# What a run can resume from.
RESUMABLE = re.compile(r"checkpoint-.*|attempt")
# Names of files and folders that are no results: hidden ones, what a run can resume from, and how long it took.
PASSING = re.compile(rf"\..*|{RESUMABLE.pattern}|timing\.json")

Stamp = tuple[int, int]  # size, modification time in ns


@dataclass(frozen=True)
class Notebook:
    """One source notebook. `needs`: the stems of the notebooks whose outputs it reads."""

    path: Path
    needs: tuple[str, ...]
    content: dict

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.stem.split("_", 1)[0]


def discover(folder: Path) -> list[Notebook]:
    """The notebooks `NN_*.ipynb` of a folder, in order, with their dependencies checked."""
    paths = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise RTTError(f"{folder}: no notebooks named NN_*.ipynb here")
    notebooks: list[Notebook] = []
    for path in paths:
        content = _read_notebook(path)
        earlier = [notebook.stem for notebook in notebooks]
        needs = _needs(content, earlier, path)
        for stem in needs:
            if stem not in earlier:
                raise RTTError(f"{path}: metadata rtt.needs names '{stem}', which is no notebook before it")
        notebooks.append(Notebook(path, tuple(needs), content))
    return notebooks


def _read_notebook(path: Path) -> dict:
    """A notebook of format 4, with every cell's source and metadata in place."""
    import nbformat  # slow to import

    content = read_json(path)
    try:
        if content.get("nbformat") != 4:
            raise ValueError("not of format 4")
        with warnings.catch_warnings(action="ignore"):  # the copy gets new ids where one is missing or used twice
            nbformat.validate(deepcopy(content))
    except Exception as error:  # on a file that is no notebook the validator may fail with any error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        match list(getattr(error, "relative_path", ())):
            case ["cells", number, *_]:
                reason = f"cell {number + 1}: {reason}"
        raise RTTError(
            f"{path}: not a notebook that can be run ({reason[:200]}); open and save it in JupyterLab"
        ) from error
    return content


def _needs(content: Any, earlier: list[str], path: Path) -> list[str]:
    """What a notebook declares to need; without a declaration everything before it."""
    branch = content
    for key in ("metadata", "rtt"):
        branch = branch.get(key, {}) if isinstance(branch, dict) else None
    needs = branch.get("needs", earlier) if isinstance(branch, dict) else None
    if not isinstance(needs, list):
        raise RTTError(f"{path}: not a notebook whose metadata rtt.needs is a list of notebooks")
    return needs


def profile_digest(profile: Profile) -> str:
    """The resolved profile, and the content of the local files that it names."""
    checkpoint = profile.discriminator.checkpoint and REPOSITORY / profile.discriminator.checkpoint
    named = (profile.data.path, profile.data.responses, profile.policy.model, checkpoint)
    # A relative one is no path but a name, which may also be that of a folder here: `micro`, say.
    files = [file for name in named if name and Path(name).is_absolute() for file in files_below(name)]
    return digest({"profile": asdict(profile), "files": {str(file): file_digest(file) for file in files}})


def source_digest(notebook: Notebook) -> str:
    cells = notebook.content["cells"]
    return digest([[cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])] for cell in cells])


class State:
    """The records of finished notebooks, one JSON each under `results/<profile>/state/`."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.folder = results / "state"

    def path(self, stem: str) -> Path:
        return self.folder / f"{stem}.json"

    def record_of(self, stem: str) -> dict | None:
        return _read_record(self.path(stem), {"fingerprint": str, "outputs": dict, "outcome": str})

    def outcome(self, stem: str) -> str | None:
        """Digest of all a notebook wrote when it last finished; its dependants are redone when this changes."""
        record = self.record_of(stem)
        return record["outcome"] if record else None

    def lack(self, stem: str, fingerprint: str) -> str | None:
        """Why the notebook has to run; None when it is done and unchanged."""
        record = self.record_of(stem)
        if record is None:
            return "interrupted" if self._begun(stem) else "not run yet"
        if record["fingerprint"] != fingerprint:
            return "its inputs changed"
        for name, expected in record["outputs"].items():
            path = self.results / name
            if not path.is_file():
                return f"{name} is missing"
            if file_digest(path) != expected:
                return f"{name} was altered"
        return None

    def _before_path(self, stem: str) -> Path:
        return self.folder / f"{stem}.started.json"

    def _begun(self, stem: str) -> dict | None:
        """The files that were there when the unfinished attempt began."""
        return _read_record(self._before_path(stem), {"fingerprint": str, "files": dict})

    def start(self, stem: str, fingerprint: str) -> None:
        """Note the files there before the first attempt, so that what a killed attempt wrote is counted too."""
        if (self._begun(stem) or {}).get("fingerprint") == fingerprint:
            return
        write_json(self._before_path(stem), {"fingerprint": fingerprint, "files": snapshot(self.results)})

    def finish(self, stem: str, fingerprint: str, always: Iterable[str]) -> None:
        """Record what the notebook wrote since its start, and remove its tables and figures that it no longer makes."""
        now = snapshot(self.results)
        others = self._others(stem)
        # A file of another notebook counts as this one's only if this attempt wrote it after the other had finished.
        written = [n for n in self._written(stem, now) if file_digest(self.results / n) != others.get(n)]
        names = sorted({*written, *self._reused(stem, now), *always})
        outputs = {name: file_digest(self.results / name) for name in names}
        self._remove_stale(stem, outputs)
        self._hand_over(stem, outputs)
        record = {"fingerprint": fingerprint, "outputs": outputs, "outcome": digest(outputs)}
        write_json(self.path(stem), record)
        self._before_path(stem).unlink()

    def clear_unrecorded(self) -> None:
        """Remove results without records, as a clone has them: it is not known which tables are still made.

        Runs, responses and discriminators stay, since they are checked before they are used.
        """
        ours = (self.results / "profile.yaml").is_file() and any(self.results.glob("notebooks/[0-9][0-9]_*.ipynb"))
        if ours and not any(self.folder.glob("*.json")):
            for name in DRAWN:
                shutil.rmtree(self.results / name, ignore_errors=True)

    def forget(self, stem: str) -> None:
        """Remove a notebook's record, all it wrote and what an interrupted attempt left: it starts from nothing."""
        names = {*(self.record_of(stem) or {"outputs": {}})["outputs"], *self._left_by_an_attempt(stem)}
        for name in names:
            (self.results / name).unlink(missing_ok=True)
        if self._begun(stem):
            for folder in [path for path in self.results.rglob("*") if RESUMABLE.fullmatch(path.name)]:
                shutil.rmtree(folder, ignore_errors=True)
        self.path(stem).unlink(missing_ok=True)
        self._before_path(stem).unlink(missing_ok=True)

    def _left_by_an_attempt(self, stem: str) -> list[str]:
        """The files written since an unfinished attempt began, without those of finished notebooks."""
        if not self._begun(stem):
            return []
        others = self._others(stem)
        return [name for name in self._written(stem, snapshot(self.results)) if name not in others]

    def _written(self, stem: str, now: dict[str, Stamp]) -> list[str]:
        """The files that differ from those there before the first attempt."""
        before = self._begun(stem)["files"]
        return [name for name, stamp in now.items() if before.get(name) != list(stamp)]

    def _records(self, stem: str) -> dict[Path, dict]:
        """The records of all notebooks but this one."""
        paths = [path for path in sorted(self.folder.glob("*.json")) if not path.name.endswith(".started.json")]
        records = {path: self.record_of(path.stem) for path in paths if path != self.path(stem)}
        return {path: record for path, record in records.items() if record}

    def _others(self, stem: str) -> dict[str, str]:
        return {name: value for record in self._records(stem).values() for name, value in record["outputs"].items()}

    def _hand_over(self, stem: str, outputs: dict[str, str]) -> None:
        for path, record in self._records(stem).items():
            kept = {name: value for name, value in record["outputs"].items() if name not in outputs}
            if kept != record["outputs"]:
                write_json(path, record | {"outputs": kept})

    def _reused(self, stem: str, now: dict[str, Stamp]) -> list[str]:
        """Runs and models that an earlier run of the notebook made and this one used unchanged."""
        record = self.record_of(stem) or {"outputs": {}}
        return [name for name in record["outputs"] if name in now and not name.startswith(DRAWN)]

    def _remove_stale(self, stem: str, outputs: dict[str, str]) -> None:
        for name in (self.record_of(stem) or {"outputs": {}})["outputs"]:
            if name not in outputs and name.startswith(DRAWN):
                (self.results / name).unlink(missing_ok=True)


def _read_record(path: Path, keys: dict[str, type]) -> dict | None:
    """A record of ours; None where there is none, or one that something else has damaged: then it is made anew."""
    try:
        record = read_json(path) if path.is_file() else None
    except RTTError:
        return None
    whole = isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in keys.items())
    return record if whole else None


def snapshot(results: Path) -> dict[str, Stamp]:
    """Size and time of every file that notebooks wrote, without temporary files."""
    found = {}
    for path in results.rglob("*"):
        parts = path.relative_to(results).parts
        if parts[0] in OWN_FILES or any(map(PASSING.fullmatch, parts)) or not path.is_file():
            continue
        stat = path.stat()
        found["/".join(parts)] = (stat.st_size, stat.st_mtime_ns)
    return found
