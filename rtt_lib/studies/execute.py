"""Doing runs: each is trained and evaluated once, whichever profile asks for it.

    runs/<fingerprint>/policy/, log.csv, made.json              the trained policy, one row per rollout step
    runs/<fingerprint>/attempt/                                 checkpoints, until it is trained
    runs/<fingerprint>/evaluations/<fingerprint>/result.json    the scores; beside it the responses
    runs/<fingerprint>/output.log                               what was printed, until it has succeeded

A run on GPUs is a process of its own, or one per GPU:

    accelerate launch --num_processes 8 -m rtt_lib.studies.execute PROFILE ARM WORLD SEED
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
import yaml
from accelerate import PartialState
from transformers import set_seed

from rtt_lib import origin, store
from rtt_lib.command import guarded, parse_overrides
from rtt_lib.errors import RTTError
from rtt_lib.files import plain, write_json, write_text
from rtt_lib.methods import find_method
from rtt_lib.methods.arms import find_arm
from rtt_lib.methods.task import Task
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.studies import records
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec
from rtt_lib.studies.workers import PARENT, end_with_parent, failed, output_to, worker_pool
from rtt_lib.worlds import family

MODULE = "rtt_lib.studies.execute"
GPUS_PER_MACHINE = 8
FSDP2 = REPOSITORY / "params" / "accelerate" / "fsdp2.yaml"


def run_all(specs: Sequence[RunSpec], results: Path, workers: int) -> Iterator[RunSpec]:
    """Run what is not done yet on `workers` processes and yield each spec as it is finished.

    What the profile's results record of the same code and settings is done, wherever its policy is. If only these
    records are to be read, yield the runs that are recorded and train nothing.
    """
    if records.only_records():
        recorded = records.recorded(results)
        yield from (spec for spec in specs if str(spec.place) in recorded)
        return
    waiting = []
    for spec in specs:
        if is_done(spec) or is_published(spec, results):
            records.collect_responses(spec, results)
            yield spec
        else:
            waiting.append(spec)
    if not waiting:
        return
    workers = 1 if waiting[0].profile.compute.policy_gpus else workers
    threads = family(waiting[0].profile).THREADS
    # The longest first, so that no core is idle at the end: with a discriminator, without, not trained at all.
    waiting.sort(key=lambda spec: (not spec.trained, spec.arm.response_only))
    with worker_pool(workers, threads, reuse=threads == 1) as pool:
        first = {(spec.world, spec.seed[0]): spec for spec in waiting}
        for job in [pool.submit(make_base, spec) for spec in first.values()]:  # many runs start from each
            job.result()
        jobs = {pool.submit(run, spec): spec for spec in waiting}
        for job in as_completed(jobs):
            job.result()
            records.collect_responses(jobs[job], results)
            yield jobs[job]


def make_base(spec: RunSpec) -> None:
    spec.home.base(spec.seed)


def is_trained(spec: RunSpec) -> bool:
    return store.made(spec.folder) is not None


def is_done(spec: RunSpec) -> bool:
    """Trained and evaluated here by the same code and settings, as completely as is possible here."""
    record = records.stored(spec)
    return is_trained(spec) and record is not None and not spec.home.lacking(record)


def is_published(spec: RunSpec, results: Path) -> bool:
    """Recorded in a profile's results by the same code and settings, as completely as is possible here."""
    record = records.published(spec, results)
    return record is not None and not spec.home.lacking(record)


def run(spec: RunSpec) -> None:
    """Train and evaluate, unless that is done. If another process is doing it, wait for it."""
    with store.locked(spec.folder):
        if is_done(spec):
            return
        log = spec.folder / "output.log"
        if spec.profile.compute.policy_gpus:
            _launch(spec, log)
        else:
            try:
                with output_to(log):
                    train(spec)
                    evaluate(spec)
            except RTTError as error:
                raise failed(f"run {spec.place}", str(error), log) from error
        log.unlink(missing_ok=True)


def train(spec: RunSpec) -> None:
    """Leave `policy/`, `log.csv` and, last, `made.json`; in every process of several."""
    folder, state, started = spec.folder, PartialState(), time.perf_counter()
    if is_trained(spec):
        return
    made_with = origin.here()  # now: hours later the checkout may be another one
    left_out, rows = 0, []
    if spec.trained:
        task, left_out = task_of(spec)
        rows = find_method(spec.arm.trainer).train(task, folder / "policy")
    if state.is_main_process:
        if rows:
            write_text(folder / "log.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
        about = {"name": str(spec.place), "profile": spec.profile.name, "prompts_too_long": left_out}
        about |= {"made_with": made_with, "seconds": round(time.perf_counter() - started, 2)}
        write_json(folder / store.MADE, about)
        shutil.rmtree(folder / "attempt", ignore_errors=True)


def task_of(spec: RunSpec) -> tuple[Task, int]:
    """What the run's method is given, and how many prompts are left out because they are too long."""
    set_seed(spec.number)
    model, tokenizer = spec.home.policy(spec.seed)
    prompts, left_out = spec.home.prompts(spec.number, tokenizer)
    task = Task(
        spec.arm,
        spec.profile.rl,
        spec.profile.compute,
        spec.discriminator_seed,
        spec.home,
        model,
        tokenizer,
        prompts,
        spec.folder / "attempt",
    )
    return task, left_out


def evaluate(spec: RunSpec) -> None:
    """`result.json` last: its presence means that the run is complete."""
    folder = spec.evaluation
    scores = spec.home.evaluate(spec.policy, folder / "responses", spec.number)
    about = {"fingerprint": spec.fingerprint, "arm": spec.arm.name, "world": spec.world, "seed": spec.seed}
    about |= {"made_with": (store.made(spec.folder) or {}).get("made_with")}
    write_json(folder / "result.json", about | scores)


# --- on GPUs ---


def launcher(profile: Profile) -> list[str]:
    """What runs a module of ours: Python, or one process per GPU by accelerate, weights spread over several (FSDP2)."""
    gpus = profile.compute.policy_gpus
    if not gpus:
        return ["python"]
    words = ["accelerate", "launch", *(["--config_file", str(FSDP2)] if gpus > 1 else [])]
    words += ["--num_processes", str(gpus)]
    if gpus > GPUS_PER_MACHINE:  # started once on every machine
        words += ["--num_machines", str(-(-gpus // GPUS_PER_MACHINE)), "--machine_rank", "$MACHINE_RANK"]
        words += ["--main_process_ip", "$MAIN_IP", "--main_process_port", "29500"]
    return [*words, "--mixed_precision", "bf16"]


def command_line(spec: RunSpec, typed: str, overrides: Sequence[str] = ()) -> str:
    """What a person types to train and evaluate one run.

    typed: how the profile was named; overrides: what `--set` changed in it
    """
    changed = [word for override in overrides for word in ("--set", override)]
    words = shlex.join([MODULE, typed, spec.arm.name, spec.world, spec.seed, *changed])
    return f"{' '.join(launcher(spec.profile))} -m {words}"


def _launch(spec: RunSpec, log: Path) -> None:
    """Train and evaluate in processes of their own, which end with this one."""
    profile = spec.profile
    if profile.compute.policy_gpus > GPUS_PER_MACHINE:
        raise RTTError(
            f"profile {profile.name} trains on {profile.compute.policy_gpus} GPUs of several machines: start "
            f"the launch commands that `rtt run {profile.name} --dry-run` prints, then run this again"
        )
    copy = write_text(spec.folder / "profile.yaml", yaml.safe_dump(plain(asdict(profile))))
    words = [word for word in launcher(profile)[1:] if word != "launch"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *words, "-m", MODULE]
    command += [str(copy), spec.arm.name, spec.world, spec.seed]
    folders = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {PARENT: str(os.getpid()), "PYTHONPATH": folders}
    with log.open("wb") as output:
        code = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    if code:
        raise failed(f"run {spec.place}", f"ended with exit code {code}", log)


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    end_with_parent()
    return guarded(lambda: _run_here(options, words))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(MODULE, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="a profile's name or path")
    parser.add_argument("arm", help="as in rtt_lib.methods.arms: RTT-AON, 'RTT-AON oracle', ...")
    parser.add_argument("world", help="L, M, S, U; or the profile's data source, composed say")
    parser.add_argument("seed", help="A0, A1, ...")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="overrides", nargs="+", action="extend", default=[], help="as rtt run"
    )
    parser.add_argument("--evaluate", action="store_true", help="only evaluate: the policy is trained already")
    return parser


def _run_here(options: argparse.Namespace, words: Sequence[str]) -> None:
    profile = load_profile(options.profile, parse_overrides(options.overrides))
    spec = RunSpec(find_arm(options.arm), options.world, options.seed, profile)
    if is_done(spec):
        return
    if options.evaluate:
        evaluate(spec)
        return
    train(spec)
    _go_on_to_evaluation(words)


def _go_on_to_evaluation(words: Sequence[str]) -> None:
    """Replace this process by the one that evaluates, so that nothing of the training stays in memory."""
    main_process = PartialState().is_main_process
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if not main_process:
        return
    distributed = re.compile(
        r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_.*|(TORCHELASTIC|ACCELERATE|FSDP)_.*"
    )
    environment = {name: value for name, value in os.environ.items() if not distributed.fullmatch(name)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", MODULE, *words, "--evaluate"], environment)


if __name__ == "__main__":
    sys.exit(main())
