"""`rtt run --dry-run`: what would run, with which commands, models, data and machines, and what is missing here."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from rtt_lib import worlds
from rtt_lib.profile import Profile
from rtt_lib.run import doctor, memory
from rtt_lib.run.pipeline import Step
from rtt_lib.run.sizes import billions_of
from rtt_lib.studies.execute import GPUS_PER_MACHINE, command_line
from rtt_lib.studies.plan import plan

BYTES_PER_WEIGHT = 2  # bf16, as hubs have it
OWN_BYTES = 4  # policies are trained and saved in float32
IN_CHECKPOINT = 3  # weights and Adam's two moments


def describe(
    profile: Profile, steps: Sequence[Step], results: Path, overrides: Sequence[str] = (), typed: str | None = None
) -> str:
    """The plan as text, one section a heading.

    overrides: what `--set` changed in the profile; typed: how the profile was named, where that is by a path.
    """
    sections = {
        "Notebooks": [_step_line(step) for step in steps],
        "Launch commands": launch_commands(profile, results, overrides, typed),
        "Models": models(profile),
        "Data": [_data_line(profile)],
        "Machine": machine(profile),
        "Missing here": missing(profile, typed) or ["nothing"],
    }
    blocks = [f"{profile.name}: {profile.about}"]
    blocks += [f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in sections.items() if lines]
    return "\n\n".join(blocks)


def _step_line(step: Step) -> str:
    return f"{step.notebook.stem:28} {'done' if step.reason is None else f'would run ({step.reason})'}"


def launch_commands(
    profile: Profile, results: Path, overrides: Sequence[str] = (), typed: str | None = None
) -> list[str]:
    """What to start, in order; a profile that needs no GPU is one process and needs none of it.

    `rtt run` starts the trainings itself, unless they need more GPUs than one machine has.
    """
    compute = profile.compute
    if not compute.policy_gpus:
        return []
    commands = []
    if compute.judge_gpus and compute.judge_model:
        commands.append(_judge_command(compute.judge_model, compute.judge_gpus, compute.judge_url))
    if compute.vllm == "server":
        commands.append(f"trl vllm-serve --model {profile.policy.model}")
    results = results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) else results
    named = _as_typed(profile, typed)
    if compute.policy_gpus > GPUS_PER_MACHINE:
        commands.append(
            "# each of these on every machine: MACHINE_RANK is its number from 0, MAIN_IP the address of number 0"
        )
        commands += [command_line(spec, named.name, overrides) for spec in plan(profile)]
    changed = [word for override in overrides for word in ("--set", override)]
    return [*commands, shlex.join(["rtt", "run", named.name, "--results", str(results), *changed])]


def _as_typed(profile: Profile, typed: str | None) -> Profile:
    """The profile under the name for printed commands: its path, if a path was given, since no folder lists it."""
    return replace(profile, name=typed or profile.name)


def _judge_command(model: str, gpus: int, url: str | None) -> str:
    port = urlsplit(url or "").port or 8000
    copies = f" --data-parallel-size {gpus // GPUS_PER_MACHINE}" if gpus > GPUS_PER_MACHINE else ""
    return f"vllm serve {model} --tensor-parallel-size {min(GPUS_PER_MACHINE, gpus)}{copies} --port {port}"


def models(profile: Profile) -> list[str]:
    named = {"policy": profile.policy.model, "discriminator": profile.discriminator.model}
    if profile.compute.judge_model:
        named["judge"] = profile.compute.judge_model
    return [f"{role:14} {model}{_size(model)}" for role, model in named.items()]


def _size(model: str) -> str:
    billions = billions_of(model)
    return "" if billions is None or billions < 0.01 else f" ({billions * BYTES_PER_WEIGHT:.1f} GB)"


def _data_line(profile: Profile) -> str:
    data = profile.data
    family = worlds.family(profile)
    where = data.path or family.DATA.get(data.source, "the hub")
    prompts = f"; {data.train_prompts} training prompts" if family.COUNTS_PROMPTS else ""
    return f"{data.source}: {where}{prompts}"


def trainings(profile: Profile) -> dict[int, int]:
    """How many runs of all experiments, each once, train for how many steps. The base policy is not trained."""
    return Counter(spec.profile.rl.steps for spec in plan(profile) if spec.trained)


def disk_needed(profile: Profile) -> float:
    """GB: the models, one resumable checkpoint, and the final weights of each trained arm."""
    policy, discriminator = (billions_of(model) or 0 for model in (profile.policy.model, profile.discriminator.model))
    downloads = BYTES_PER_WEIGHT * (policy + discriminator)
    return downloads + OWN_BYTES * policy * (IN_CHECKPOINT + sum(trainings(profile).values()))


def machine(profile: Profile) -> list[str]:
    compute = profile.compute
    runs = ", ".join(f"{count} trainings of {steps} steps" for steps, count in sorted(trainings(profile).items()))
    gpus = f"GPUs: {compute.policy_gpus} for the policy, {compute.judge_gpus} for the judge"
    return [
        gpus if compute.policy_gpus else "GPUs: none needed",
        *memory.lines(profile),
        f"disk: {max(1, round(disk_needed(profile)))} GB",
        f"runs: {runs or 'no training'}",
    ]


def missing(profile: Profile, typed: str | None = None) -> list[str]:
    """What the profile needs and is not here, in the doctor's words."""
    lacks = doctor.lacking(profile, doctor.Present())
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < disk_needed(profile):
        lacks.append(f"disk: {free:.0f} GB are free")
    return [*lacks, *_missing_discriminators(profile, typed)]


def _missing_discriminators(profile: Profile, typed: str | None) -> list[str]:
    """The discriminators that RL needs and that are not there. A profile on text does not train them itself."""
    if not worlds.family(profile).TRAINED_BY_A_PERSON:
        return []
    from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one, weight_files

    kinds = dict.fromkeys(spec.arm.discriminator for spec in plan(profile) if spec.arm.discriminator)
    return [
        f"no discriminator in {folder}: {how_to_get_one(_as_typed(profile, typed), kind)}"
        for kind in kinds
        for folder in [discriminator_folder(profile, kind)]
        if not weight_files(folder)
    ]
