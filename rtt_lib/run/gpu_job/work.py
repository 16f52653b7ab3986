"""On that machine: all arms of a profile side by side on its GPU, by the clock; an archive for each seed.

    python -m rtt_lib.run.gpu_job.work PROFILE OUT [--seconds 540] [--seeds A0,A1] [--steps N]

Every arm first measures some rollout steps. The slowest decides how many steps the runs have, so that all seeds end in
time; with fewer than --least steps there are fewer seeds. --steps N leaves out the measuring: for more seeds of an
earlier job. Before the time is up, what still runs is ended and what is done is packed.

    OUT/<seed>.tar.xz     profile.yaml as the runs had it, manifest.json, job.json, logs/, and of each run that is done
                          runs/<arm>/<seed>/{result.json, log.csv, made.json, responses/}; no policy
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from rtt_lib.command import guarded
from rtt_lib.errors import RTTError
from rtt_lib.files import plain, read_json, write_json, write_text
from rtt_lib.fingerprint import LIBRARY, files_below, tree_digest
from rtt_lib.machine import cores
from rtt_lib.methods.arms import find_arm
from rtt_lib.models import resolve
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.run import manifest
from rtt_lib.run.gpu_job.arm import of_steps
from rtt_lib.store import MADE
from rtt_lib.studies.execute import is_done
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec

CAREFUL = 0.9  # of the time that seems to be left is planned with
PACKING = 20  # seconds
SAID_EVERY = 30.0  # seconds


def choose(left: float, step: float, answering: float, seeds: int, least: int, most: int) -> tuple[int, int]:
    """(rollout steps of a run, seeds): as many seeds as have at least `least` steps each in the time, one at worst.

    left: seconds for everything; step: of a rollout step; answering: of a seed's evaluation
    """
    for n in range(seeds, 0, -1):
        steps = min(most, int((CAREFUL * left / n - answering) / step))
        if steps >= least:
            return steps, n
    if steps < 1:
        raise RTTError(f"{left:.0f} s are left: too few for a step of {step:.1f} s and {answering:.0f} s of evaluation")
    return steps, 1


@dataclass
class Job:
    """The arms of a profile at work, and what is known of them."""

    profile: Profile
    out: Path
    control: Path
    seeds: list[str]
    since: float  # of the monotonic clock, which all processes of a machine share
    end: float
    workers: dict[str, subprocess.Popen] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    packed: set[str] = field(default_factory=set)
    notes: dict = field(default_factory=dict)

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(spec.arm.name for spec in plan(self.profile)))

    def spec(self, arm: str, seed: str) -> RunSpec:
        return RunSpec(find_arm(arm), self.profile.data.source, seed, self.profile)

    def start(self) -> None:
        (self.control / "logs").mkdir(parents=True, exist_ok=True)
        resolve(self.profile.policy.model)  # converts a GGUF file once, and not in every arm
        write_text(self.control / "profile.yaml", yaml.safe_dump(plain(asdict(self.profile)), sort_keys=False))
        threads = {"OMP_NUM_THREADS": str(max(1, cores() // len(self.arms)))}
        for arm in self.arms:
            words = [str(self.control / "profile.yaml"), arm, str(self.control), *self.seeds]
            with self.log(arm).open("wb") as log:
                self.workers[arm] = subprocess.Popen(
                    [sys.executable, "-m", "rtt_lib.run.gpu_job.arm", *words],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | threads,
                    start_new_session=True,  # so that its children end with it
                )
        self.say(f"{len(self.arms)} arms started")

    def log(self, arm: str) -> Path:
        return self.control / "logs" / f"{arm}.log"

    def alive(self) -> list[str]:
        """Arms that are at work. One that has failed is said once, with the end of its log."""
        for arm, worker in self.workers.items():
            if worker.poll() and arm not in self.dead:
                self.dead.add(arm)
                end = self.log(arm).read_text(errors="replace")[-1500:]
                self.say(f"{arm} ended with exit code {worker.returncode}:\n{end}")
        return [arm for arm, worker in self.workers.items() if worker.poll() is None]

    def measure(self) -> float | None:
        """Seconds of a rollout step of the slowest arm, once all that live have measured; None when the time is up, or
        when all that are trained have failed.
        """
        while time.monotonic() < self.end - PACKING:
            waiting = [arm for arm in self.alive() if not (self.control / f"{arm}.seconds").exists()]
            if not waiting:
                found = [read_json(path) for path in self.control.glob("*.seconds")]
                return max(found, default=0.0) or None  # 0.0: of an arm that is not trained
            time.sleep(0.2)
        return None

    def run(self, steps: int, seeds: Sequence[str]) -> None:
        """Let the arms do so many steps, and pack each seed as it ends."""
        self.profile, self.seeds = of_steps(self.profile, steps), list(seeds)
        self.notes |= {"steps": steps, "seeds": self.seeds}
        write_json(self.control / "steps", {"steps": steps, "seeds": self.seeds})
        said = time.monotonic()
        while (alive := self.alive()) and time.monotonic() < self.end - PACKING:
            for seed in self.seeds:
                awaited = [self.spec(arm, seed) for arm in self.arms if arm not in self.dead]
                if seed not in self.packed and all(map(is_done, awaited)):
                    self.pack(seed)
            if time.monotonic() > said + SAID_EVERY:
                said = time.monotonic()
                self.say(f"{len(self.done())} runs done, at work: {', '.join(alive)}")
            time.sleep(0.5)

    def done(self) -> list[RunSpec]:
        specs = [self.spec(arm, seed) for seed in self.seeds for arm in self.arms]
        return [spec for spec in specs if is_done(spec)]

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.since:6.1f}] {text}", flush=True)

    def stop(self) -> None:
        for arm in self.alive():
            os.killpg(self.workers[arm].pid, signal.SIGKILL)  # started here, in a session of its own
            self.workers[arm].wait()
            self.dead.add(arm)
            self.say(f"{arm} ended by the clock")

    def pack(self, seed: str) -> None:
        """The archive of a seed, complete when it has its name."""
        self.packed.add(seed)
        self.out.mkdir(parents=True, exist_ok=True)
        temporary = self.out / f".{seed}.tar.xz"
        write_text(self.control / "profile.yaml", yaml.safe_dump(plain(asdict(self.profile)), sort_keys=False))
        write_json(self.control / "job.json", self.notes)
        runs = [spec for spec in self.done() if spec.seed == seed]
        with tarfile.open(temporary, "w:xz") as archive:
            for name in ("profile.yaml", "manifest.json", "job.json", "logs"):
                archive.add(self.control / name, name)
            for spec in runs:
                for name, path in files_of(spec):
                    archive.add(path, f"runs/{spec.arm.name}/{seed}/{name}")
        temporary.rename(self.out / f"{seed}.tar.xz")
        self.say(f"{seed}: {len(runs)} runs packed")


def files_of(spec: RunSpec) -> list[tuple[str, Path]]:
    """(name, file) of what a run leaves beside its policy."""
    found = [("result.json", spec.evaluation / "result.json"), (MADE, spec.folder / MADE)]
    if spec.trained:
        found.append(("log.csv", spec.folder / "log.csv"))
    responses = spec.evaluation / "responses"
    return found + [(f"responses/{path.relative_to(responses)}", path) for path in files_below(responses)]


def work(job: Job, steps: int | None, least: int, answering: float) -> None:
    write_json(job.control / "manifest.json", manifest.collect(job.profile, tree_digest(LIBRARY), REPOSITORY))
    if steps is not None:
        write_json(job.control / "steps", {"steps": steps, "seeds": job.seeds})  # nothing is measured then
    job.start()
    try:
        seeds = job.seeds
        if steps is None:
            seconds = job.measure()
            if seconds is None:
                raise RTTError(
                    "no trained arm has measured a step: see the ends of the logs; with --steps nothing is measured"
                )
            left = job.end - PACKING - time.monotonic()
            steps, n = choose(left, seconds, answering, len(seeds), least, job.profile.rl.steps)
            seeds = seeds[:n]
            job.notes |= {"seconds of a step": round(seconds, 3)}
            job.say(f"a step of all arms takes {seconds:.2f} s: {steps} steps of each run, seeds {', '.join(seeds)}")
        job.run(steps, seeds)
    finally:
        job.stop()
        for seed in {spec.seed for spec in job.done()} - job.packed:
            job.pack(seed)


def main(arguments: Sequence[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("rtt_lib.run.gpu_job.work", description=__doc__, formatter_class=raw)
    parser.add_argument("profile", type=Path)
    parser.add_argument("out", type=Path)
    since = "when the time began: of the machine's monotonic clock (now)"
    parser.add_argument("--since", type=float, default=time.monotonic(), help=since)
    parser.add_argument("--seconds", type=float, default=540, help="from then until everything is packed (540)")
    parser.add_argument("--seeds", help="comma-separated; default: all of the profile")
    parser.add_argument("--steps", type=int, help="rollout steps of each run; default: as many as end in time")
    parser.add_argument("--least", type=int, default=40, help="steps without which a further seed is not begun (40)")
    parser.add_argument("--answering", type=float, default=120, help="seconds that a seed's evaluation takes (120)")
    options = parser.parse_args(arguments)

    def begin() -> None:
        profile = load_profile(options.profile)
        seeds = options.seeds.split(",") if options.seeds else list(dict.fromkeys(s.seed for s in plan(profile)))
        control = options.profile.parent / "control"
        shutil.rmtree(control, ignore_errors=True)  # of an earlier job
        job = Job(profile, options.out, control, seeds, options.since, options.since + options.seconds)
        packed = options.profile.parent / "packed.json"
        job.notes |= json.loads(packed.read_text()) if packed.is_file() else {}
        work(job, options.steps, options.least, options.answering)

    return guarded(begin)


if __name__ == "__main__":
    sys.exit(main())
