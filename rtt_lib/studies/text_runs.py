"""The runs of a profile that trains a language model on text: which there are, and how each is started.

Every run is a process of its own, `python -m rtt_lib.worlds.text.training`; `compute.workers` of
them share the cores. It leaves what a micro run leaves, see `rtt_lib.studies.runs`, and besides

    responses/<arm>/<seed>/<benchmark>.jsonl            what notebook 08 grades
    runs/<source>/<arm>/<seed>/trained.json             the policy is complete; what is left is the evaluation
    runs/<source>/<arm>/<seed>.log                      what the process printed, until it has succeeded
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import yaml

from rtt_lib.errors import RTTError
from rtt_lib.files import plain, read_json, write_text
from rtt_lib.methods.arms import Arm, find_arm
from rtt_lib.models import identity, precision
from rtt_lib.profile import CONSTRUCTED, REPOSITORY, RL, Profile
from rtt_lib.relevance.shipped import SHIPPED
from rtt_lib.run.manifest import cores
from rtt_lib.studies.runs import code_fingerprint

MODULE = "rtt_lib.worlds.text.training"
PARENT = "RTT_PARENT"  # the process without which a run that it started must not go on
GPUS_PER_MACHINE = 8
# As for micro runs: what a trained policy depends on, and what its evaluation depends on besides.
_CODE = (
    "bench/text.py",
    "credit.py",
    "models.py",
    "relevance/annotate.py",
    "relevance/base.py",
    "relevance/discriminator.py",
    "relevance/encoding.py",
    "relevance/responses.py",
    "relevance/sources.py",
    "relevance/spans.py",
    "rubrics",
    "train/baselines.py",
    "train/micro_run.py",
    "train/rtt_grpo.py",
    "train/settings.py",
    "train/text_run.py",
    "verify",
)
_EVALUATION_CODE = ("bench/generate.py",)


@dataclass(frozen=True)
class TextRunSpec:
    """Everything that decides a run's outcome; `seed` A0 is the profile's model with RL seed 0."""

    arm: Arm
    seed: str
    profile: Profile = field(hash=False)
    discriminator: str | None = None

    @property
    def world(self) -> str:
        """What the micro worlds' letters are there: the data the policy is trained on."""
        return self.profile.data.source

    @property
    def rl(self) -> RL:
        return self.profile.rl

    @property
    def number(self) -> int:
        return int(self.seed[1:])

    @property
    def place(self) -> Path:
        return Path(self.world) / self.arm.name / self.seed

    def training_fingerprint(self) -> str:
        """Of the trained policy: an evaluation of other size does not train it anew."""
        profile = self.profile
        data = asdict(profile.data)
        if self.arm.trainer not in ("sft", "dpo"):
            data["responses"] = None
        for key in ("path", "responses"):
            if data[key] and Path(data[key]).is_file():
                data[key] = hashlib.sha256(Path(data[key]).read_bytes()).hexdigest()
        start = [_weights(profile.policy.model), precision()]  # a name is another model where the hub does not answer
        arm = asdict(replace(self.arm, about=""))  # the words about it decide nothing
        settings = [arm, self.seed, data, asdict(profile.policy), asdict(profile.rl), start]
        judge = [profile.compute.judge_url and profile.compute.judge_model, profile.compute.vllm]
        digest = hashlib.sha256(json.dumps([settings, judge], sort_keys=True).encode())
        digest.update(code_fingerprint(_CODE).encode())
        for weights in self._discriminator_weights():
            digest.update(weights.read_bytes())
        return digest.hexdigest()[:16]

    def fingerprint(self) -> str:
        evaluation = json.dumps(asdict(self.profile.evaluation), sort_keys=True)
        parts = self.training_fingerprint() + evaluation + code_fingerprint(_EVALUATION_CODE)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def _discriminator_weights(self) -> list[Path]:
        if self.discriminator is None:
            return []
        found = weight_files(self.discriminator)
        if not found:
            raise RTTError(
                f"arm {self.arm.name}: no discriminator in {self.discriminator}: "
                + how_to_get_one(self.profile, greedy=self.arm.relevance == "greedy")
            )
        return found


def weight_files(discriminator: str) -> list[Path]:
    return sorted(Path(discriminator).glob("*.safetensors"))


def how_to_get_one(profile: Profile, greedy: bool = False) -> str:
    """A discriminator on text: from somewhere else, or trained on labels by rule, or after the paper by an LLM."""
    named = "name a folder with one as discriminator.checkpoint"
    training, changed = f"-m rtt_lib.worlds.text.discriminators {profile.name}", ""
    labels, answers = "LABELS.jsonl", " --omitter URL Qwen/Qwen3-4B-Instruct-2507"
    if greedy:  # other labels, on the responses of the first
        changed, answers = " --set discriminator.annotator=greedy", f"{answers} --answers {labels}.answers"
        labels = "GREEDY.jsonl"
    if profile.data.source in CONSTRUCTED:
        return f"{named}, or train one on labels by rule: python {training}{changed}"
    return (
        f"{named}, or make one after the paper, its labels by an LLM: python -m rtt_lib.relevance.llm_corpus "
        f"{profile.name} {labels}{answers}{changed}, then accelerate launch {training} --labels {labels}{changed}"
    )


@cache
def _weights(model: str) -> str:
    return identity(model)


def spec_of(profile: Profile, arm: str, seed: str, results: Path) -> TextRunSpec:
    chosen = find_arm(arm)
    return TextRunSpec(chosen, seed, profile, discriminator_folder(profile, chosen, results))


def plan(profile: Profile, experiments: Sequence[str], results: Path) -> list[TextRunSpec]:
    """The runs that the named experiments need, each once; those that the profile lacks are left out."""
    specs: dict[Path, TextRunSpec] = {}
    for name in experiments:
        if name in profile.experiments:
            experiment = profile.experiments[name]
            for arm in experiment.arms:
                for seed in experiment.seeds:
                    spec = spec_of(profile, arm, seed, results)
                    specs[spec.place] = spec
    return list(specs.values())


def discriminator_folder(profile: Profile, arm: Arm, results: Path) -> str | None:
    """The checkpoint that the profile names; else the shipped one, or a place in these results for other models.

    None where none is needed.
    """
    if arm.response_only or arm.relevance not in ("discriminator", "raw", "truncated", "greedy"):
        return None
    settings = profile.discriminator
    if settings.checkpoint:
        chosen = REPOSITORY / settings.checkpoint
    else:
        chosen = SHIPPED if settings.model == SHIPPED.name else own_folder(profile, results)
    return str(with_greedy_labels(chosen) if arm.relevance == "greedy" else chosen)


def own_folder(profile: Profile, results: Path) -> Path:
    """Where a discriminator that is trained for the profile belongs."""
    return results / "discriminator" / Path(profile.discriminator.model).name


def with_greedy_labels(folder: Path) -> Path:
    """The one trained on greedy labels lies beside the one trained on taxonomy labels."""
    return folder.with_name(f"{folder.name}-greedy")


# ---------------------------------------------------------------------------------------------------------- starting


def launcher(profile: Profile) -> list[str]:
    """What runs a module of ours: Python, or one process per GPU by accelerate."""
    gpus = profile.compute.policy_gpus
    if not gpus:
        return ["python"]
    words = ["accelerate", "launch", "--num_processes", str(gpus)]
    if gpus > GPUS_PER_MACHINE:  # started once on every machine
        words += ["--num_machines", str(-(-gpus // GPUS_PER_MACHINE)), "--machine_rank", "$MACHINE_RANK"]
        words += ["--main_process_ip", "$MAIN_IP", "--main_process_port", "29500"]
    return [*words, "--mixed_precision", "bf16"]


def command_line(profile: Profile, spec: TextRunSpec, results: Path, overrides: Sequence[str] = ()) -> str:
    """What a person types to train and evaluate one arm; `overrides`: what `--set` changed in the profile."""
    changed = [word for override in overrides for word in ("--set", override)]
    words = shlex.join([MODULE, profile.name, spec.arm.name, spec.seed, "--results", str(results), *changed])
    return f"{' '.join(launcher(profile))} -m {words}"


def run_all(specs: Sequence[TextRunSpec], results: Path, workers: int) -> Iterator[TextRunSpec]:
    """Run what is not done yet, `workers` at a time (one at a time on several GPUs), and yield each that is finished.

    Two runs with half of the cores each are through before two with all of them, one after the other.
    """
    waiting = []
    for spec in specs:
        if is_done(spec, results / "runs"):
            yield spec
        else:
            waiting.append(spec)
    if any(spec.profile.compute.policy_gpus for spec in waiting):
        workers = 1
    # The longest first, so that no core is idle at the end: with a discriminator, without, not trained at all.
    waiting.sort(key=lambda spec: (spec.arm.trainer == "none", spec.arm.response_only))
    pool = ThreadPoolExecutor(workers)
    try:
        jobs = {pool.submit(_run_apart, spec, results, workers): spec for spec in waiting}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]
    finally:
        pool.shutdown(cancel_futures=True)


def _run_apart(spec: TextRunSpec, results: Path, workers: int) -> None:
    """Train and evaluate in a process of its own, which ends with this one; a failure shows what it printed last."""
    if spec.profile.compute.policy_gpus > GPUS_PER_MACHINE:
        raise RTTError(
            f"profile {spec.profile.name} trains on {spec.profile.compute.policy_gpus} GPUs of several machines: start "
            f"the launch commands that `rtt run {spec.profile.name} --dry-run` prints, then run this again"
        )
    profile = write_text(results / "runs" / "profile.yaml", yaml.safe_dump(plain(asdict(spec.profile))))
    program = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands.launch"]}
    first, *rest = launcher(spec.profile)
    command = [*program[first], *(word for word in rest if word != "launch"), "-m", MODULE]
    command += [str(profile), spec.arm.name, spec.seed, "--results", str(results)]
    log = results / "runs" / spec.place.with_name(f"{spec.seed}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        code = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT, env=_environment(workers))
    if code:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RTTError(f"run {spec.place} ended with exit code {code}; {log} ends with\n{tail}")
    log.unlink()


def _environment(workers: int) -> dict[str, str]:
    """The machine's cores shared out, and large pages for large tensors: training is a fifth faster with them."""
    share = str(max(1, cores() // workers))
    folders = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    threads = {name: share for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    pages = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    return os.environ | threads | pages | {PARENT: str(os.getpid()), "PYTHONPATH": folders}


def end_with_parent() -> None:
    """No run outlives the notebook that started it: the next attempt would write into the same folder."""
    if PARENT not in os.environ:
        return
    parent = int(os.environ[PARENT])

    def watch() -> None:
        while True:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os._exit(1)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()


def is_trained(spec: TextRunSpec, folder: Path) -> bool:
    """The policy is there (it is not published), made by the same code and settings."""
    path = folder / "trained.json"
    here = spec.arm.trainer == "none" or (folder / "policy" / "config.json").is_file()
    return here and path.exists() and read_json(path)["fingerprint"] == spec.training_fingerprint()


def is_done(spec: TextRunSpec, runs: Path) -> bool:
    """Trained, and evaluated by the same code and settings."""
    path = runs / spec.place / "result.json"
    if not (path.exists() and is_trained(spec, path.parent)):
        return False
    record = read_json(path)
    missing = [name for name, found in record["benchmarks"].items() if "missing" in found]
    return record["fingerprint"] == spec.fingerprint() and not any(_can_be_had(name, spec.profile) for name in missing)


def _can_be_had(benchmark: str, profile: Profile) -> bool:
    from rtt_lib.report.benchmarks import benchmark_files, prompts_of

    try:
        prompts_of(benchmark, benchmark_files(profile))
    except RTTError:
        return False
    return True
