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

WORLDS = ("L", "S", "M", "U")  # of the micro world: local, sparse, mixed, unequal lengths
SOFT_SOURCES = ("hir16k",)  # their rubrics hold soft criteria, which only a judge can verify
CONSTRUCTED = ("micro", "composed")  # for their prompts rules can write responses that satisfy everything
BENCHMARKS = ("ifeval", "ifbench", "muldimif", "advancedif", "math500", "gpqa", "mmlu-pro")
NAMED_MODELS = ("micro", "smollm2-135m", "smollm2-135m-gguf")  # neither a hub's nor a folder
# What nothing reads where data.source is micro.
UNREAD_IN_MICRO = {
    "data.train_prompts": "a run trains on rl.steps x rl.prompts_per_step prompts",
    "policy.lora_rank": "all weights of the micro policy are trained",
    "discriminator.checkpoint": "notebook 03 trains the discriminators",
    "evaluation.benchmarks": "no benchmark is in its language",
}
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Data:
    """What the policy is trained on.

    source: `micro` (the closed little language), `composed` (our tasks x constraints), or a data set by name
    (`hir16k`, read from the hub, or from `path`). responses: a strong LLM's to these prompts, for SFT and DPO, a
    JSONL file of `id` and `response`; rules write them for `micro` and `composed`.
    """

    source: Literal["micro", "composed", "hir16k"]
    path: str | None = None
    responses: str | None = None
    train_prompts: int = 2048
    seed: int = 0


@dataclass(frozen=True)
class Policy:
    """The model that learns. `model`: `micro`, `smollm2-135m`, a hub id, or a folder."""

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
    """Where it runs. `vllm`: off (transformers), colocate, or server."""

    workers: int = 2
    vllm: Literal["off", "colocate", "server"] = "off"
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


def load_profile(path_or_name: str | Path, overrides: Mapping[str, str] | None = None) -> Profile:
    """Read and check a profile.

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
    return profile


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


@dataclass(frozen=True)
class _Checks:
    """What the types alone cannot say: ranges, and values that cannot stand together."""

    profile: Profile
    where: Mapping[Keys, str]

    def run(self) -> None:
        self.ranges()
        self.sizes()
        self.source()
        self.models()
        self.unread()
        self.evaluation()
        self.judge()
        for name, experiment in self.profile.experiments.items():
            self.experiment(name, experiment)

    def require(self, holds: bool, dotted: str, message: str) -> None:
        if not holds:
            raise RTTError(f"{place(tuple(dotted.split('.')), self.where)}: {message}")

    def ranges(self) -> None:
        for names, holds, says in _RANGES:
            for dotted in names.split():
                value = _value(self.profile, dotted)
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
        data, policy = self.profile.data, self.profile.policy
        micro = data.source == "micro"
        self.require(
            micro or policy.model != "micro",
            "policy.model",
            f"the micro policy cannot read data.source = {data.source}",
        )
        self.require(not micro or policy.model == "micro", "policy.model", "data.source = micro needs the micro policy")
        self.require(
            policy.model != "micro" or policy.pretrain_steps > 0,
            "policy.pretrain_steps",
            "the micro policy starts from random weights: at least 1",
        )
        self.require(not (micro and data.path), "data.path", "the micro world is made on the spot: remove the path")
        checkpoint = self.profile.discriminator.checkpoint
        self.require(
            checkpoint is None or (REPOSITORY / checkpoint).is_dir(),
            "discriminator.checkpoint",
            f"no such folder: {REPOSITORY / (checkpoint or '')}",
        )
        self.require(data.path is None or Path(data.path).exists(), "data.path", f"no such file or folder: {data.path}")
        self.require(
            data.responses is None or (data.source not in CONSTRUCTED and Path(data.responses).is_file()),
            "data.responses",
            f"rules write them for {data.source}"
            if data.source in CONSTRUCTED
            else f"no such file: {data.responses} (rtt_lib.relevance.llm_corpus leaves one)",
        )

    def models(self) -> None:
        for dotted in ("policy.model", "discriminator.model"):
            model = _value(self.profile, dotted)
            self.require(not os.path.isabs(model) or os.path.exists(model), dotted, f"no such folder or file: {model}")

    def unread(self) -> None:
        """A resolved profile names every key, so only what differs from its default was meant to have an effect."""
        default = Profile("", "", Data("micro"), Policy("micro"), Discriminator("micro"), RL(steps=1))
        for dotted, instead in UNREAD_IN_MICRO.items():
            as_default = _value(self.profile, dotted) == _value(default, dotted)
            micro = self.profile.data.source == "micro"
            self.require(not micro or as_default, dotted, f"has no effect in the micro world: {instead}; remove it")

    def evaluation(self) -> None:
        evaluation = self.profile.evaluation
        self.require(
            bool(evaluation.prompts) or self.profile.data.source != "micro" or not self.profile.experiments,
            "evaluation.prompts",
            "is missing: on how many test prompts a policy of the micro world is examined (micro.yaml: 1024)",
        )
        self.unique("evaluation.benchmarks", evaluation.benchmarks)
        for name in evaluation.benchmarks:
            near = nearest(name, BENCHMARKS)
            self.require(
                name in BENCHMARKS, "evaluation.benchmarks", f"'{name}' is not one of {', '.join(BENCHMARKS)}{near}"
            )

    def judge(self) -> None:
        source = self.profile.data.source
        self.require(
            source not in SOFT_SOURCES or bool(self.profile.compute.judge_url),
            "compute.judge_url",
            f"data.source = {source} has soft criteria, which need a judge: give the address of an "
            "OpenAI-compatible server",
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
        micro = self.profile.policy.model == "micro"
        for seed in experiment.seeds:
            self.require(
                re.fullmatch(r"[A-Z](0|[1-9][0-9]*)", seed) is not None,
                f"{at}.seeds",
                f"'{seed}' is not a seed: a capital letter for the base model and a number, as A0",
            )
            self.require(
                micro or seed[0] == "A", f"{at}.seeds", f"'{seed}': only the micro policy has more than one base model"
            )
        self.worlds(f"{at}.worlds", experiment.worlds)
        self.arms(f"{at}.arms", experiment.arms)

    def worlds(self, dotted: str, worlds: tuple[str, ...]) -> None:
        source = self.profile.data.source
        if source != "micro":
            self.require(not worlds, dotted, f"only data.source = micro has worlds, here it is {source}")
            return
        self.require(bool(worlds), dotted, f"name at least one of {', '.join(WORLDS)}")
        for world in worlds:
            self.require(world in WORLDS, dotted, f"'{world}' is not one of {', '.join(WORLDS)}")

    def arms(self, dotted: str, arms: tuple[str, ...]) -> None:
        from rtt_lib.methods.arms import ARMS

        has_responses, rl = self.profile.data.responses is not None, self.profile.rl
        for arm in arms:
            near = nearest(arm, ARMS)
            self.require(arm in ARMS, dotted, f"unknown arm '{arm}'{near or '; there are: ' + ', '.join(ARMS)}")
            self.require(
                ARMS[arm].trainer not in ("sft", "dpo") or self.profile.data.source in CONSTRUCTED or has_responses,
                dotted,
                f"'{arm}' learns from responses: rules write them for {' and '.join(CONSTRUCTED)}, for other sources "
                "name a strong LLM's as data.responses",
            )
            self.require(
                ARMS[arm].scheme != "released" or self.profile.data.source == "micro",
                dotted,
                f"'{arm}' mixes up rows as the released code does, which needs rubrics of one length; those of text "
                "differ: leave it to a profile of the micro world",
            )
            self.require(
                ARMS[arm].trainer not in ("sft", "dpo") or has_responses or rl.prompts_per_step % rl.minibatches == 0,
                "rl.minibatches",
                f"'{arm}' learns from one response to each of rl.prompts_per_step = {rl.prompts_per_step} prompts, "
                f"which do not divide into {rl.minibatches} minibatches",
            )


def _value(profile: Profile, dotted: str) -> Any:
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
