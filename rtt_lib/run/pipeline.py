"""`rtt run`: a profile and the numbered notebooks, through papermill, to `results/<profile>/`.

A notebook runs when its source, the profile, the library or what its upstream notebooks wrote has changed since it
last finished; otherwise it is skipped. Everything is written so that a kill at any moment loses at most the
notebook that was running.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from rtt_lib import files, store, worlds
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import LIBRARY, digest, file_digest, tree_digest
from rtt_lib.machine import cores
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.progress import PROGRESS_FILE
from rtt_lib.run import manifest
from rtt_lib.run.state import Notebook, State, discover, profile_digest, source_digest

NOTEBOOKS = REPOSITORY / "notebooks"


class NotebookFailed(Exception):
    """A cell of a notebook raised, or its kernel died: the run stops, with exit code 1."""


@dataclass(frozen=True)
class Step:
    """One notebook of a plan. `reason`: why it has to run, None when it is done and unchanged."""

    notebook: Notebook
    reason: str | None


def select(notebooks: Sequence[Notebook], only: Sequence[str]) -> list[Notebook]:
    """The notebooks named by number or stem, and all that they need; all notebooks when `only` is empty."""
    by_name = {name: notebook for notebook in notebooks for name in (notebook.number, notebook.stem)}
    wanted: set[str] = set()
    for name in only or [notebook.stem for notebook in notebooks]:
        if name not in by_name:
            raise RTTError(f"--only {name}: no such notebook; there are {', '.join(n.stem for n in notebooks)}")
        wanted.add(by_name[name].stem)
    for notebook in reversed(notebooks):
        if notebook.stem in wanted:
            wanted.update(notebook.needs)
    return [notebook for notebook in notebooks if notebook.stem in wanted]


def forced(selected: Sequence[Notebook], only: Sequence[str]) -> list[Notebook]:
    """The notebooks that --force runs again: those that are named, without those they need; all if none is named."""
    return [notebook for notebook in selected if not only or notebook.number in only or notebook.stem in only]


def fingerprint(notebook: Notebook, inputs: dict[str, str], state: State) -> str:
    """sha256 of everything a notebook's outputs depend on. `inputs`: digests of profile and library."""
    upstream = {stem: state.outcome(stem) for stem in notebook.needs}
    return digest({"source": source_digest(notebook), "upstream": upstream, **inputs})


def inputs_of(profile: Profile, records: Path | None = None) -> dict[str, str]:
    """Digests of what every notebook depends on. records: the published runs, where only these are read."""
    found = {"profile": profile_digest(profile), "library": tree_digest(LIBRARY)}
    if profile.evaluation.benchmarks:  # the environment names their files, which may appear or change later
        found["benchmarks"] = digest({name: _content(path) for name, path in benchmark_files(profile).items()})
    if given := worlds.family(profile).given_files(profile):
        found["given"] = digest([file_digest(path) for path in given])
    if records is not None:
        found["records"] = file_digest(records)
    return found


def _content(path: Path) -> str:
    """Digest of a file, or of a folder: FollowBench may be one."""
    return tree_digest(path) if path.is_dir() else file_digest(path)


def plan(profile: Profile, notebooks: Sequence[Notebook], results: Path, anew: Sequence[Notebook] = ()) -> list[Step]:
    """What would run now, and why. A notebook that reads from one of these may turn out not to need a run."""
    state, inputs = State(results), inputs_of(profile)
    steps: list[Step] = []
    for notebook in notebooks:
        running = [step.notebook.stem for step in steps if step.reason and step.notebook.stem in notebook.needs]
        reason = "from nothing" if notebook in anew else state.lack(notebook.stem, fingerprint(notebook, inputs, state))
        if reason is None and running:
            reason = f"if {running[0]} changes"
        steps.append(Step(notebook, reason))
    return steps


def run(
    profile: Profile, results: Path, notebooks_dir: Path = NOTEBOOKS, only: Sequence[str] = (), force: bool = False
) -> Path:
    """Run what has to run, publish the runs in their small form, and build the site; returns its index page."""
    check_place(profile, results, notebooks_dir)
    results = results.resolve()
    selected = select(discover(notebooks_dir), only)
    with locked(results):
        _sweep(results)
        state, inputs = State(results), inputs_of(profile)
        if not only:
            state.clear_unrecorded()
        _write_profile(profile, results)
        if force:
            for notebook in forced(selected, only):
                state.forget(notebook.stem)
        # Taken at the start: hours later the checkout may be another one.
        made_with = manifest.collect(profile, inputs["library"], REPOSITORY)

        def about_to_run() -> None:
            files.write_json(results / "manifest.json", made_with)  # a run that skips everything leaves the old one

        ran = _run_notebooks(selected, inputs, state, _settings(profile), about_to_run)
        if ran and profile.experiments:
            from rtt_lib.studies import records  # slow to import
            from rtt_lib.studies.plan import plan as runs_of

            print(records.publish(runs_of(profile), results), flush=True)
        return _site(results)


def publish(profile: Profile, results: Path) -> str:
    """Publish what is finished, also while the rest still runs; says how much that is."""
    from rtt_lib.studies import records  # slow to import
    from rtt_lib.studies.plan import plan as runs_of

    check_place(profile, results)
    if not (results / "profile.yaml").is_file():
        _write_profile(profile, results)
    specs = runs_of(profile)
    for spec in specs:
        if records.stored(spec):
            records.collect_responses(spec, results)
    return str(records.publish(specs, results))


def _write_profile(profile: Profile, results: Path) -> None:
    files.write_text(results / "profile.yaml", yaml.safe_dump(files.plain(asdict(profile)), sort_keys=False))


def rebuild(profile: Profile, results: Path, only: Sequence[str] = ()) -> Path:
    """Everything that is not published, again from what is: the notebooks on the recorded runs, and the site.

    Nothing is trained but base policies and discriminators of the micro world; the manifest stays the runs' own.
    """
    from rtt_lib.studies.records import RECORDS_ONLY, RUNS  # slow to import

    results = results.resolve()
    if not (results / RUNS).is_file():
        raise RTTError(f"{results / RUNS}: no recorded runs here: `rtt run {profile.name}` makes them")
    settings = _settings(profile) | {RECORDS_ONLY: "1"}
    selected = select(discover(NOTEBOOKS), only)
    with locked(results):
        _sweep(results)
        state = State(results)
        if not only:
            state.clear_unrecorded()
        _run_notebooks(selected, inputs_of(profile, results / RUNS), state, settings, lambda: None)
        return _site(results)


def _run_notebooks(
    notebooks: Sequence[Notebook],
    inputs: dict[str, str],
    state: State,
    settings: dict[str, str],
    about_to_run: Callable[[], None],
) -> bool:
    """Run those that have to run, in kernels with these environment settings; did any?"""
    ran = False
    for notebook in notebooks:
        wanted = fingerprint(notebook, inputs, state)
        reason = state.lack(notebook.stem, wanted)
        if reason is None:
            print(f"{notebook.stem}: done and unchanged, skipped", flush=True)
            continue
        about_to_run()
        print(f"{notebook.stem}: running ({reason})", flush=True)
        _bring_up_to_date(notebook, wanted, state, settings)
        ran = True
    return ran


def _site(results: Path) -> Path:
    from rtt_lib.report.site import build_site  # slow to import

    return build_site(results)


def check_place(profile: Profile, results: Path, notebooks_dir: Path = NOTEBOOKS) -> None:
    """Refuse a results folder that holds the source notebooks or the results of another profile."""
    if (results / "notebooks").resolve() in (Path(notebooks_dir).resolve(), NOTEBOOKS.resolve()):
        raise RTTError(
            f"{results}: the executed notebooks would overwrite their sources in {results / 'notebooks'}: "
            "name another folder with --results"
        )
    kept = results / "profile.yaml"
    if kept.is_file() and (name := _name_in(kept)) != profile.name:
        raise RTTError(
            f"{kept}: these are the results of profile {name}, not of {profile.name}: "
            "name another folder with --results"
        )


def _name_in(profile_file: Path) -> str | None:
    try:
        tree = yaml.safe_load(profile_file.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise RTTError(f"{profile_file}: not a profile: remove it, or name another folder with --results") from error
    return tree.get("name") if isinstance(tree, dict) else None


def _settings(profile: Profile) -> dict[str, str]:
    """How many threads a kernel has: in the micro world one, a language model takes all cores. And whether it may use
    the models that the package brings."""
    threads = str(worlds.family(profile).THREADS or cores())
    made_anew = {} if profile.compute.shipped else {store.FROM_SCRATCH: "1"}
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} | made_anew


def _bring_up_to_date(notebook: Notebook, wanted: str, state: State, settings: dict[str, str]) -> None:
    state.start(notebook.stem, wanted)
    began = time.monotonic()
    execute(notebook, state.results, settings)
    seconds = time.monotonic() - began
    record_time(state.results, notebook.stem, seconds)
    state.finish(notebook.stem, wanted, always=[f"notebooks/{notebook.path.name}"])
    print(f"{notebook.stem}: finished in {seconds:.0f} s", flush=True)


def _sweep(results: Path) -> None:
    """Remove what a killed run left half written: hidden temporary files in the folders that only we write."""
    for folder in ("tables", "figures", "notebooks", "state", "site"):
        for leftover in (results / folder).glob(".*"):
            if leftover.is_file():  # JupyterLab leaves a folder of checkpoints beside a notebook that it opened
                leftover.unlink()


@contextmanager
def locked(results: Path) -> Iterator[None]:
    """Hold the results folder for this process; the lock dies with the process, whatever kills it."""
    results.mkdir(parents=True, exist_ok=True)
    handle = os.open(results / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode().strip()
            raise RTTError(f"{results}: process {holder} is running this profile; wait for it or end it") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def record_time(results: Path, stem: str, seconds: float) -> None:
    """Note a notebook's wall time in `timings.csv`, the only file of a run that depends on how fast it was."""
    path = results / "timings.csv"
    rows = dict(csv.reader(path.open(encoding="utf-8"))) if path.is_file() else {}
    rows = {"notebook": "seconds", **rows, stem: f"{seconds:.1f}"}
    header, *body = rows.items()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *sorted(body)])
    files.write_text(path, text.getvalue())


# --- one notebook --------------------------------------------------------------------------------------------------


# The injected parameters: an executed copy runs in its own folder, and can be run there again, on any machine.
FROM_ITS_FOLDER = {"profile_path": "../profile.yaml", "results_dir": ".."}


def execute(notebook: Notebook, results: Path, settings: dict[str, str]) -> None:
    """Execute one notebook to `notebooks/<name>.ipynb`; on failure leave `<name>.failed.ipynb` and raise."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    folder = results / "notebooks"
    folder.mkdir(exist_ok=True)
    partial, failed = folder / f".{notebook.stem}.partial.ipynb", folder / f"{notebook.stem}.failed.ipynb"
    with tempfile.TemporaryDirectory(prefix="rtt-progress-") as scratch:
        sidecar = Path(scratch) / "progress"
        try:
            with _in_cell_progress(sidecar):
                papermill.execute_notebook(
                    notebook.path,
                    partial,
                    parameters=FROM_ITS_FOLDER,
                    cwd=folder,
                    kernel_name="python3",
                    language="python",
                    kernel_manager_class=_kernel_manager(sidecar, settings),
                    progress_bar={"desc": notebook.stem, "mininterval": _refresh()},
                    start_timeout=300,
                    coalesce_streams=True,
                )
        except (PapermillExecutionError, RuntimeError) as error:  # the second: a kernel that died, or did not start
            _save_executed(partial, failed)
            raise NotebookFailed(f"{notebook.stem}: {_cause(error, notebook)}\n  see {failed}") from error
    _save_executed(partial, folder / notebook.path.name)
    failed.unlink(missing_ok=True)


def _kernel_manager(sidecar: Path, settings: dict[str, str]) -> type:
    """A kernel manager that starts the interpreter we run in, whatever kernels are installed for the user."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    environment = {
        **settings,
        "PYTHONHASHSEED": "0",  # results must not depend on the order of a set
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        PROGRESS_FILE: str(sidecar),
    }
    command = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
    spec = KernelSpec(argv=command, display_name="Python 3", language="python", env=environment)

    class CurrentPython(AsyncKernelManager):
        kernel_spec = spec

    return CurrentPython


def _refresh() -> float:
    """Seconds between two redraws of a bar: often on a terminal, seldom in a log file."""
    return 0.2 if sys.stderr.isatty() else 30.0


@contextmanager
def _in_cell_progress(sidecar: Path) -> Iterator[None]:
    """Show below papermill's bar what `rtt_lib.run.notebook.progress` reports from inside a cell."""
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(sidecar, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(sidecar: Path, done: threading.Event) -> None:
    from tqdm import tqdm

    bar, shown = None, None
    while not done.wait(0.3):
        if not sidecar.is_file():
            continue
        count, total, label = sidecar.read_text(encoding="utf-8").split("\t", 2)
        if shown != label or int(count) < bar.n:
            if bar is not None:
                bar.close()
            options = {"position": 1, "leave": False, "mininterval": _refresh(), "delay": _refresh()}
            bar, shown = tqdm(total=int(total) or None, desc=f"  {label}", **options), label
        bar.update(int(count) - bar.n)
    if bar is not None:
        bar.close()


def _cause(error: Exception, notebook: Notebook) -> str:
    """One line: which cell of the source notebook failed, and why."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, DeadKernelError):
        return "the kernel died (out of memory, perhaps)"
    if not isinstance(error, PapermillExecutionError):
        return f"its kernel did not start ({error}): does `{sys.executable} -m ipykernel_launcher` run?"
    sources = ["".join(cell["source"]) for cell in notebook.content["cells"]]
    cell = sources.index(error.source) + 1 if error.source in sources else error.cell_index + 1
    reason = (error.evalue or "").strip().splitlines() or ["no message"]
    return f"cell {cell} (In [{error.exec_count}]) failed: {error.ename}: {reason[0]}"


def _save_executed(partial: Path, target: Path) -> None:
    """Move an executed notebook to its place, and drop what differs between two equal runs."""
    from rtt_lib.report.theme import small_image  # slow to import

    content = files.read_json(partial)
    content["metadata"].pop("papermill", None)
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["id"] = "injected-parameters"
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = small_image(output["data"]["image/png"])
    files.write_json(target, content)
    partial.unlink()
