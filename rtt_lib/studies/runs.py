"""One training run and many: what is trained is a `RunSpec`, what comes back is a folder with its record.

    runs/<world>/<arm>/<seed>/result.json   evaluation, fingerprint
    runs/<world>/<arm>/<seed>/log.csv       one row per rollout step
    runs/<world>/<arm>/<seed>/policy/       the trained policy

A folder whose fingerprint matches is not run again; a run that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import json
import math
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.methods.arms import Arm, find_arm
from rtt_lib.profile import RL, Profile

if TYPE_CHECKING:
    from rtt_lib.studies.text_runs import TextRunSpec

# What a trained policy depends on: change the code of one of these files (comments and layout aside), or a version,
# and its runs are done again. Arms and profiles are in the spec itself. What else a run imports, and why it is not
# here, tests/test_runs.py lists.
_CODE = (
    "credit.py",
    "bench/micro.py",
    "models.py",
    "relevance/annotate.py",
    "relevance/base.py",
    "relevance/discriminator.py",
    "relevance/encoding.py",
    "relevance/sources.py",
    "relevance/spans.py",
    "rubrics/micro.py",
    "rubrics/schema.py",
    "train/baselines.py",
    "train/micro_policy.py",
    "train/micro_run.py",
    "train/rtt_grpo.py",
    "train/settings.py",
    "verify/__init__.py",
    "verify/batch.py",
    "verify/micro.py",
    "verify/registry.py",
    "verify/verdict.py",
)
_PACKAGES = ("torch", "transformers", "trl", "tokenizers", "accelerate", "peft")
_LIBRARY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's outcome; `seed` A0 is base model A with RL seed 0."""

    arm: Arm
    world: str
    seed: str
    rl: RL
    pretrain_steps: int
    evaluation_prompts: int
    discriminator: str | None = None

    @property
    def place(self) -> Path:
        return Path(self.world) / self.arm.name / self.seed

    def fingerprint(self) -> str:
        settings = replace(self, arm=replace(self.arm, about=""), discriminator=None)  # words and places decide nothing
        digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
        digest.update(code_fingerprint(_CODE).encode())
        if self.discriminator:
            digest.update(self._discriminator_weights().read_bytes())
        return digest.hexdigest()[:16]

    def _discriminator_weights(self) -> Path:
        weights = Path(self.discriminator, "model.safetensors")
        if not weights.is_file():
            raise RTTError(
                f"arm {self.arm.name}: no discriminator in {self.discriminator}: `rtt run PROFILE --only 03` trains it"
            )
        return weights


@cache
def code_fingerprint(files: tuple[str, ...]) -> str:
    """Of files of the library, or of all files of a folder: code without comments and layout, data as it is."""
    paths = [path for name in files for path in _files(_LIBRARY / name)]
    sources = [ast.dump(ast.parse(path.read_text("utf-8"))) if path.suffix == ".py" else _sha(path) for path in paths]
    versions = [importlib.metadata.version(package) for package in _PACKAGES]
    return hashlib.sha256("".join(sources + versions).encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in below if file.is_file() and "__pycache__" not in file.parts]


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plan(profile: Profile, experiments: Sequence[str], results: Path) -> list[RunSpec] | list[TextRunSpec]:
    """The runs that the named experiments of a profile need, each once; those a profile lacks are left out."""
    if profile.data.source != "micro":
        from rtt_lib.studies import text_runs

        return text_runs.plan(profile, experiments, results)
    specs: dict[Path, RunSpec] = {}
    for name in experiments:
        if name not in profile.experiments:
            continue
        experiment = profile.experiments[name]
        for world in experiment.worlds:
            for arm in map(find_arm, experiment.arms):
                for seed in experiment.seeds:
                    spec = RunSpec(
                        arm=arm,
                        world=world,
                        seed=seed,
                        rl=profile.rl,
                        pretrain_steps=profile.policy.pretrain_steps,
                        evaluation_prompts=profile.evaluation.prompts,
                        discriminator=_discriminator_folder(arm, results),
                    )
                    specs[spec.place] = spec
    return list(specs.values())


def _discriminator_folder(arm: Arm, results: Path) -> str | None:
    """Where notebook 03 leaves the discriminators that the arms use."""
    if arm.response_only:
        return None
    folders = {"discriminator": "taxonomy", "raw": "taxonomy", "truncated": "taxonomy", "greedy": "greedy"}
    folder = folders.get(arm.relevance)
    return str(results / "discriminator" / folder) if folder else None


def run_all(
    specs: Sequence[RunSpec] | Sequence[TextRunSpec], results: Path, workers: int
) -> Iterator[RunSpec | TextRunSpec]:
    """Run what is not done yet on `workers` processes and yield each spec as it is finished.

    The base policies come first, once each, since many runs start from them.
    """
    if specs and not isinstance(specs[0], RunSpec):
        from rtt_lib.studies import text_runs

        yield from text_runs.run_all(specs, results, workers)
        return
    runs = results / "runs"
    waiting = []
    for spec in specs:
        if is_done(spec, runs):
            yield spec
        else:
            waiting.append(spec)
    if not waiting:
        return
    for spec in waiting:
        spec.fingerprint()  # a discriminator that is missing is said now, not after the base policies
    with worker_pool(workers) as pool:
        bases = {(s.world, s.seed[0], s.pretrain_steps) for s in waiting}
        for job in [pool.submit(ensure_base, runs, *base) for base in sorted(bases)]:
            job.result()
        jobs = {pool.submit(run, spec, runs): spec for spec in waiting}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that train. Where one training fails, those that run are brought to their end, none is begun."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=quiet_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def is_done(spec: RunSpec, runs: Path) -> bool:
    """The record is there, made by the same code and settings, and so is the policy (which is not published)."""
    folder = runs / spec.place
    if not ((folder / "result.json").exists() and (folder / "policy" / "model.safetensors").exists()):
        return False
    return read_json(folder / "result.json")["fingerprint"] == spec.fingerprint()


def base_folder(runs: Path, world: str, base: str) -> Path:
    return runs / world / "base policies" / base


def ensure_base(runs: Path, world: str, base: str, steps: int) -> Path:
    """The folder of a world's base policy, A or B: pretrained now, unless it is there already, by the same code."""
    import torch

    from rtt_lib.worlds.micro.language import find_world
    from rtt_lib.worlds.micro.policy import pretrain

    folder = base_folder(runs, world, base)
    stamp = f"{steps} steps, code {code_fingerprint(('train/micro_policy.py', 'rubrics/micro.py'))[:16]}"
    if not ((folder / "stamp").exists() and (folder / "stamp").read_text() == stamp):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # also in a notebook's own process: the policy is the same on any number of cores
        try:
            pretrain(find_world(world), steps, ord(base), folder)
        finally:
            torch.set_num_threads(threads)
        write_text(folder / "stamp", stamp)
    return folder


def run(spec: RunSpec, runs: Path) -> None:
    """Train and evaluate; leaves `result.json` last, so that its presence means the run is complete."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rtt_lib.worlds.micro.evaluation import evaluate
    from rtt_lib.worlds.micro.language import find_world
    from rtt_lib.worlds.micro.training import train

    folder, fingerprint, started = runs / spec.place, spec.fingerprint(), time.perf_counter()
    forget_other_attempts(folder, fingerprint)
    base = base_folder(runs, spec.world, spec.seed[0])
    torch.manual_seed(int(spec.seed[1:]))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    log = train(model, tokenizer, spec, folder)
    model.save_pretrained(folder / "policy")
    tokenizer.save_pretrained(folder / "policy")
    if log:
        write_text(folder / "log.csv", pd.DataFrame(log).to_csv(index=False, float_format="%.6g"))
    world = find_world(spec.world)
    scores = evaluate(model, tokenizer, world, spec.evaluation_prompts, spec.rl.max_response_tokens)
    record = {"fingerprint": fingerprint, "arm": spec.arm.name, "world": spec.world, "seed": spec.seed, **scores}
    write_json(folder / "timing.json", {"seconds": round(time.perf_counter() - started, 2)})
    write_json(folder / "result.json", record)
    shutil.rmtree(folder / "attempt", ignore_errors=True)


def forget_other_attempts(folder: Path, fingerprint: str) -> None:
    """Checkpoints of an attempt with other settings or code must not be gone on from."""
    stamp = folder / "attempt" / "fingerprint"
    if not (stamp.exists() and stamp.read_text() == fingerprint):
        shutil.rmtree(folder, ignore_errors=True)
        write_text(stamp, fingerprint)


def quiet_worker() -> None:
    """One thread per worker (results do not depend on the number of cores); no orphan outlives its parent."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    import datasets
    import torch
    import transformers

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# --- reading what was run ---


def results_table(specs: Sequence[RunSpec] | Sequence[TextRunSpec], results: Path) -> pd.DataFrame:
    """One row per run that is done: arm, world, seed and the scores, families as columns."""
    rows = []
    for spec in specs:
        path = results / "runs" / spec.place / "result.json"
        if path.exists():
            rows.append(_flat(read_json(path)))
    columns = ["arm", "world", "seed"]
    return pd.DataFrame(rows, columns=None if rows else columns)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    sampled, outside = record["sampled"], record["out_of_domain"]
    row = {
        "arm": record["arm"],
        "world": record["world"],
        "seed": record["seed"],
        "all satisfied": sampled["all_satisfied"],
        "per constraint": sampled["satisfied"],
        "greedy all satisfied": record["greedy"]["all_satisfied"],
        "out of domain": outside["satisfied"],
        "language loss": record["language_loss"],
        "mean words": record["mean_words"],
        "truncated": record["truncated"],
        **sampled["families"],
    }
    return {name: math.nan if value is None else value for name, value in row.items()}  # None: not measured on text


def curves_table(specs: Sequence[RunSpec] | Sequence[TextRunSpec], results: Path) -> pd.DataFrame:
    """Every logged step of every run that is done, with arm, world and seed."""
    frames = []
    for spec in specs:
        path = results / "runs" / spec.place / "log.csv"
        if path.exists() and (path.parent / "result.json").exists():
            frames.append(pd.read_csv(path).assign(arm=spec.arm.name, world=spec.world, seed=spec.seed))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["arm", "world", "seed", "step"])
