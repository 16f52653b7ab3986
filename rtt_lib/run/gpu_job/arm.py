"""One arm of a job, on that machine: measures a step, learns how many there are, then trains and evaluates each seed.

    python -m rtt_lib.run.gpu_job.arm PROFILE ARM CONTROL SEED [SEED ...]

CONTROL/<arm>.seconds     written here: of a rollout step
CONTROL/steps             written by `work`: {"steps": rollout steps of each run, "seeds": [those there is time for]}
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from rtt_lib.command import guarded
from rtt_lib.files import read_json, write_json
from rtt_lib.methods.arms import find_arm
from rtt_lib.methods.rl import trainer_of
from rtt_lib.profile import Profile
from rtt_lib.studies import execute
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.spec import RunSpec

MEASURED = 5  # rollout steps; the first is not counted, since it sets up kernels and graphs


class StepTimes(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_args, **_kwargs) -> None:
        self.ends.append(time.perf_counter())


def of_steps(profile: Profile, steps: int) -> Profile:
    return replace(profile, rl=replace(profile.rl, steps=steps))


def seconds_a_step(spec: RunSpec) -> float:
    """Of a rollout step with all that belongs to it but the saving."""
    task, _ = execute.task_of(spec)
    trainer, times = trainer_of(task), StepTimes()
    trainer.args.save_strategy = SaveStrategy.NO
    trainer.add_callback(times)
    trainer.train()
    return per_rollout_step(times.ends, spec.profile.rl.minibatches)


def per_rollout_step(ends: Sequence[float], minibatches: int) -> float:
    """Seconds between the ends of two rollout steps, from the ends of the optimizer steps; the first is left out."""
    rollouts = ends[minibatches - 1 :: minibatches]
    return (rollouts[-1] - rollouts[0]) / (len(rollouts) - 1)


def work(profile: Profile, arm: str, control: Path, seeds: Sequence[str]) -> None:
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape, and each batch has another

    def spec_of(seed: str, steps: int) -> RunSpec:
        return RunSpec(find_arm(arm), profile.data.source, seed, of_steps(profile, steps))

    said = control / "steps"
    if not said.exists():
        first = spec_of(seeds[0], MEASURED)
        write_json(control / f"{arm}.seconds", seconds_a_step(first) if first.trained else 0.0)
        _free()
    while not said.exists():
        time.sleep(0.1)
    chosen = read_json(said)
    for seed in chosen["seeds"]:
        spec = spec_of(seed, chosen["steps"])
        execute.train(spec)
        _free()
        execute.evaluate(spec)
        _free()
        print(f"{arm} {seed}: done", flush=True)


def _free() -> None:
    """What the last trainer or sampler left on the card."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rtt_lib.run.gpu_job.arm", description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path)
    parser.add_argument("arm")
    parser.add_argument("control", type=Path)
    parser.add_argument("seeds", nargs="+")
    options = parser.parse_args(arguments)
    return guarded(lambda: work(load_profile(options.profile), options.arm, options.control, options.seeds))


if __name__ == "__main__":
    sys.exit(main())
