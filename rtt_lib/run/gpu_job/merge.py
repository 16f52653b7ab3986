"""`rtt gpu-merge`: add what a job brought back to the published records of its profile.

Policies stay on the machine that trained them. A record says so, and with which commit, packages and GPU it was made.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.profile import RESULTS, Profile
from rtt_lib.run.pipeline import check_place
from rtt_lib.studies import records
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec

ABOUT = """\
Add the runs that `make gpu-job` had made elsewhere to the published records of their profile, in results/<profile>.

  rtt gpu-merge A0.tar.xz A1.tar.xz        then rtt site PROFILE makes tables, figures and site of them

Archives of several jobs go together if the settings of their runs are the same, the number of steps too.
"""
JOBS = "jobs.json"  # what each job noted about itself
LEFT_THERE = "left on the machine that trained it"
NAMED = 5  # of runs in a message


def main(arguments: Sequence[str]) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("rtt gpu-merge", description=ABOUT, formatter_class=raw)
    parser.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    parser.add_argument("--results", type=Path, metavar="DIR", help="instead of results/<profile>")
    options = parser.parse_args(arguments)
    for archive in options.archives:
        with tempfile.TemporaryDirectory() as folder:
            unpack(archive, Path(folder))
            print(f"{archive}: {merge(Path(folder), options.results)}")
    return 0


def unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise RTTError(f"{archive}: cannot be read as an archive ({error})") from error
    missing = [name for name in ("profile.yaml", "manifest.json", "job.json", "runs") if not (folder / name).exists()]
    if missing:
        raise RTTError(f"{archive}: no {', '.join(missing)} in it: not an archive of a job, or of one without runs")


def merge(folder: Path, results: Path | None = None) -> records.Published:
    """Add an unpacked archive's runs; those of the same place are replaced."""
    profile = load_profile(folder / "profile.yaml")
    results = (results or RESULTS / profile.name).resolve()
    check_place(profile, results)
    with records.locked(results):
        return _add(folder, profile, results)


def _add(folder: Path, profile: Profile, results: Path) -> records.Published:
    check_settings(profile, results)
    specs, job, found = plan(profile), read_json(folder / "job.json"), {}
    check_kept(specs, results)
    for spec in specs:
        run = folder / "runs" / spec.arm.name / spec.seed
        if not run.is_dir():
            continue
        record = read_json(run / "result.json")
        made_with = (record["made_with"] or {}) | {"git": job["git"]}
        log = run / "log.csv"
        curve = records.read_log(log, spec) if log.is_file() else None
        found[spec.place] = records.Finished(record | {"made_with": made_with, "policy": LEFT_THERE}, curve)
        records.copy_responses(run / "responses", spec, results)
    write_text(results / "profile.yaml", (folder / "profile.yaml").read_text(encoding="utf-8"))
    write_json(results / "manifest.json", read_json(folder / "manifest.json") | {"git": job["git"]})
    kept = results / JOBS
    jobs = [each for each in (read_json(kept) if kept.is_file() else []) if each["seeds"] != job["seeds"]]
    write_json(kept, [*jobs, job])
    return records.add(specs, results, found)


def check_kept(specs: Sequence[RunSpec], results: Path) -> None:
    """Published runs that the archive's profile does not plan are not dropped."""
    planned = {str(spec.place) for spec in specs}
    lost = [place for place in records.recorded(results) if place not in planned]
    if lost:
        named = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED} more" if len(lost) > NAMED else "")
        raise RTTError(
            f"{results / records.RUNS}: holds runs that the archive's profile does not plan ({named}): merge into "
            "another folder with --results, or make the job of a profile that plans them too"
        )


def check_settings(profile: Profile, results: Path) -> None:
    """Runs of other settings are not added: their scores would stand in one table."""
    kept = results / "profile.yaml"
    if not (results / records.RUNS).is_file():
        return
    mine, theirs = (asdict(replace(each, experiments={}, about="")) for each in (profile, load_profile(kept)))
    other = [
        f"{section}.{name} is {value} here and {theirs[section][name]} there"
        for section, values in mine.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != theirs[section][name]
    ]
    if other:
        raise RTTError(
            f"{results}: holds runs of other settings ({'; '.join(other)}): merge into another folder with --results"
        )
