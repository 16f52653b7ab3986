"""A profile: one YAML in `params/` that says how large everything is. Nothing else differs between sizes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rtt_lib.errors import RTTError
from rtt_lib.yaml_tree import Keys, build, nearest, parse, place, put, read

BENCHMARKS = ("ifeval", "ifbench", "muldimif", "advancedif", "followbench", "math500", "gpqa", "mmlu-pro")
NAMED_MODELS = ("micro", "english", "smollm2-135m", "smollm2-135m-gguf")  # neither a hub id nor a folder
REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "results"

Where = Mapping[Keys, str]  # a key of a profile -> where it was given


@dataclass(frozen=True)
class Data:
    """What the policy is trained on.

    source: a line of `rtt_lib.worlds`: `micro` (the closed little language), `english` (composed prompts and a small
    policy that is made on the spot), `composed` (our tasks x constraints), or a data set by name, from the hub or from
    `path` (`hir16k`, `conifer` for SFT alone, `ultrafeedback` for SERL alone). responses: a strong LLM's to these
    prompts, for SFT and DPO, a JSONL file of `id` and `response`; rules write them for `micro`, `english` and
    `composed`.
    """

    source: str
    path: str | None = None
    responses: str | None = None
    train_prompts: int = 2048
    seed: int = 0


@dataclass(frozen=True)
class Policy:
    """The model that learns. `model`: `micro`, `english`, `smollm2-135m`, a hub id, or a folder."""

    model: str
    pretrain_steps: int = 0
    lora_rank: int = 0


@dataclass(frozen=True)
class Discriminator:
    """D of section 4.1 and its training data."""

    model: str
    checkpoint: str | None = None
    annotator: Literal["taxonomy", "greedy"] = "taxonomy"
    samples: int = 4096
    epochs: float = 4
    learning_rate: float = 9e-6
    micro_batch: int = 4
    global_batch: int = 256
    max_length: int = 4096
    lora_rank: int = 0
    bf16: bool = False
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class RL:
    """RTT-GRPO, sections 3.2 and 4.2; an arm (`rtt_lib.methods.arms`) overrides alpha, beta, scheme and the like."""

    steps: int
    prompts_per_step: int = 64
    group_size: int = 8
    minibatches: int = 2
    learning_rate: float = 1e-6
    warmup_steps: int = 20
    clip_low: float = 0.2
    clip_high: float = 0.27
    temperature: float = 0.99
    top_p: float = 0.99
    top_k: int = 100
    max_prompt_tokens: int = 2048
    max_response_tokens: int = 4096
    beta: float = 0.5


@dataclass(frozen=True)
class Experiment:
    """Arms of one question, trained on the same prompts from the same base models with paired seeds.

    seeds: `A0` is base model A with RL seed 0.
    """

    arms: tuple[str, ...]
    seeds: tuple[str, ...]
    worlds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Benchmarks and decoding, section 5."""

    benchmarks: tuple[str, ...] = ()
    prompts: int | None = None
    completions: int = 5
    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    max_tokens: int = 4096
    seed: int = 0


@dataclass(frozen=True)
class Compute:
    """Where it runs, and what samples responses.

    vllm: off, colocate, or server. sampler: what samples without vLLM, `model.generate` of transformers or our own loop
    (`rtt_lib.bench.fast`), for Llama models without LoRA. share_prompts: compute a prompt once for all its responses
    (`python -m rtt_lib.run.speed prompts` measures what that saves).
    shipped: False makes base policies and discriminators of the micro world anew, also where the package brings them.
    """

    workers: int = 2
    shipped: bool = True
    vllm: Literal["off", "colocate", "server"] = "off"
    sampler: Literal["transformers", "fast"] = "transformers"
    share_prompts: bool = False
    policy_gpus: int = 0
    judge_gpus: int = 0
    judge_url: str | None = None
    judge_model: str | None = None


@dataclass(frozen=True)
class Profile:
    name: str
    about: str
    data: Data
    policy: Policy
    discriminator: Discriminator
    rl: RL
    experiments: dict[str, Experiment] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    compute: Compute = field(default_factory=Compute)


def read_profile(path_or_name: str | Path, overrides: Mapping[str, str] | None = None) -> tuple[Profile, Where]:
    """Read a profile and check what holds in every world; `rtt_lib.studies.profiles.load_profile` checks the rest.

    path_or_name: `micro` is `params/micro.yaml` of this repository (or of the current folder); anything with a
    folder or a `.yaml` ending is a path. overrides: dotted keys with YAML values, `{"rl.steps": "20"}`.
    A relative `data.path` or `data.responses` is relative to the profile's folder, and so is a folder named as
    `policy.model` or `discriminator.model` (or to the repository); in an override all are to the current folder.
    """
    path = find_profile(path_or_name)
    tree, where = read(path)
    _anchor_paths(tree, path.parent)
    for key, text in (overrides or {}).items():
        _override(tree, where, key, text)
    tree.setdefault("name", path.stem)
    profile = build(Profile, tree, (), where)
    _Checks(profile, where).run()
    return profile, where


def find_profile(path_or_name: str | Path) -> Path:
    """The YAML file of a profile's name or path."""
    text = str(path_or_name)
    if "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        path = _expanded(text)
        if not path.is_file():
            raise RTTError(f"{text}: no such profile file")
        return path
    folders = list(dict.fromkeys([REPOSITORY / "params", Path.cwd() / "params"]))
    for folder in folders:
        if (folder / f"{text}.yaml").is_file():
            return folder / f"{text}.yaml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise RTTError(f"no profile '{text}' in {folders[0]}{nearest(text, known)}; there are: {', '.join(known)}")


def _expanded(text: str) -> Path:
    """The path with ~ filled in."""
    try:
        if "\0" in text:
            raise ValueError("a path has no NUL in it")
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:  # the first: ~ of a user that is not there
        raise RTTError(f"{text!r}: {error}") from error


def _anchor_paths(tree: dict, folder: Path) -> None:
    data = tree.get("data")
    for key in ("path", "responses"):
        if isinstance(data, dict) and isinstance(data.get(key), str):
            data[key] = str((folder / _expanded(data[key])).resolve())
    for section in ("policy", "discriminator"):
        branch = tree.get(section)
        if isinstance(branch, dict) and isinstance(branch.get("model"), str):
            branch["model"] = _model_at(branch["model"], folder, REPOSITORY)


def _model_at(name: str, *folders: Path) -> str:
    """The absolute path of a model's folder or file, since notebooks run elsewhere; any other name as it is."""
    if not name or name in NAMED_MODELS:
        return name
    paths = [folder / _expanded(name) for folder in folders]
    found = [path for path in paths if os.path.exists(path)]  # unlike Path.exists, no error for a long name
    if found or name.startswith((".", "/", "~")):
        return str((found or paths)[0].resolve())
    return name


def _override(tree: dict, where: dict[Keys, str], dotted: str, text: str) -> None:
    """Set one dotted key to a YAML value."""
    source = f"--set {dotted}={text}"
    value = parse(text, source)
    if isinstance(value, str) and dotted in ("data.path", "data.responses"):
        value = str(_expanded(value).resolve())
    elif isinstance(value, str) and dotted in ("policy.model", "discriminator.model"):
        value = _model_at(value, Path.cwd())
    put(tree, where, dotted, value, source)


def require(holds: bool, dotted: str, message: str, where: Where) -> None:
    """If it does not hold, an error that names the place of the dotted key."""
    if not holds:
        raise RTTError(f"{place(tuple(dotted.split('.')), where)}: {message}")


@dataclass(frozen=True)
class _Checks:
    """What types cannot express: ranges, and values that exclude one another."""

    profile: Profile
    where: Where

    def run(self) -> None:
        self.ranges()
        self.sizes()
        self.source()
        self.models()
        self.sampler()
        self.evaluation()
        for name, experiment in self.profile.experiments.items():
            self.experiment(name, experiment)

    def require(self, holds: bool, dotted: str, message: str) -> None:
        require(holds, dotted, message, self.where)

    def ranges(self) -> None:
        for names, holds, says in _RANGES:
            for dotted in names.split():
                value = value_of(self.profile, dotted)
                self.require(value is None or holds(value), dotted, f"must be {says}, found {value}")
        name = self.profile.name
        self.require(
            re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None,
            "name",
            f"'{name}' must be letters, digits, '.', '_' and '-': it names the folder of the results",
        )

    def sizes(self) -> None:
        rl = self.profile.rl
        responses = rl.prompts_per_step * rl.group_size
        self.require(
            responses % rl.minibatches == 0,
            "rl.minibatches",
            f"{rl.prompts_per_step} prompts x {rl.group_size} responses = {responses} do not divide into "
            f"{rl.minibatches} minibatches",
        )
        d = self.profile.discriminator
        self.require(
            d.global_batch % d.micro_batch == 0,
            "discriminator.global_batch",
            f"{d.global_batch} is not a multiple of discriminator.micro_batch = {d.micro_batch}",
        )
        self.unique("discriminator.seeds", d.seeds)

    def source(self) -> None:
        path = self.profile.data.path
        self.require(path is None or Path(path).exists(), "data.path", f"no such file or folder: {path}")

    def models(self) -> None:
        for dotted in ("policy.model", "discriminator.model"):
            model = value_of(self.profile, dotted)
            self.require(not os.path.isabs(model) or os.path.exists(model), dotted, f"no such folder or file: {model}")

    def sampler(self) -> None:
        if self.profile.compute.sampler == "fast":
            off = self.profile.compute.vllm == "off"
            self.require(off, "compute.sampler", "'fast' samples without vLLM: set compute.vllm to off")
            whole = self.profile.policy.lora_rank == 0
            self.require(whole, "compute.sampler", "'fast' knows no LoRA: set policy.lora_rank to 0")

    def evaluation(self) -> None:
        evaluation = self.profile.evaluation
        self.unique("evaluation.benchmarks", evaluation.benchmarks)
        for name in evaluation.benchmarks:
            near = nearest(name, BENCHMARKS)
            self.require(
                name in BENCHMARKS, "evaluation.benchmarks", f"'{name}' is not one of {', '.join(BENCHMARKS)}{near}"
            )

    def unique(self, dotted: str, values: tuple) -> None:
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        self.require(not twice, dotted, f"stands twice: {', '.join(twice)}")

    def experiment(self, name: str, experiment: Experiment) -> None:
        at = f"experiments.{name}"
        for key in ("arms", "seeds", "worlds"):
            self.unique(f"{at}.{key}", getattr(experiment, key))
        for key in ("arms", "seeds"):
            self.require(bool(getattr(experiment, key)), f"{at}.{key}", "is empty: name at least one")


def value_of(profile: Profile, dotted: str) -> Any:
    """The value of a dotted key."""
    value: Any = profile
    for key in dotted.split("."):
        value = getattr(value, key)
    return value


_RANGES = (
    (
        "data.train_prompts discriminator.samples discriminator.micro_batch discriminator.global_batch "
        "discriminator.max_length rl.steps rl.prompts_per_step rl.minibatches rl.max_prompt_tokens "
        "rl.max_response_tokens evaluation.prompts evaluation.completions evaluation.max_tokens "
        "compute.workers",
        lambda value: value >= 1,
        "at least 1",
    ),
    ("rl.group_size", lambda value: value >= 2, "at least 2 (the group is what a response is compared with)"),
    (
        "data.seed policy.pretrain_steps policy.lora_rank discriminator.lora_rank rl.warmup_steps rl.top_k rl.beta "
        "evaluation.temperature evaluation.top_k evaluation.seed compute.policy_gpus compute.judge_gpus",
        lambda value: value >= 0,
        "at least 0",
    ),
    (
        "discriminator.epochs discriminator.learning_rate rl.learning_rate rl.clip_low rl.clip_high rl.temperature",
        lambda value: value > 0,
        "above 0",
    ),
    ("rl.top_p evaluation.top_p", lambda value: 0 < value <= 1, "above 0 and at most 1"),
)
