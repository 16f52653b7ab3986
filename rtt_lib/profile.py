"""A profile: one YAML in `params/` that says how large everything is. Nothing else differs between sizes."""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from rtt_lib.errors import RTTError

WORLDS = ("L", "S", "M", "U")  # of the micro world: local, sparse, mixed, unequal lengths
SOFT_SOURCES = ("hir16k",)  # their rubrics hold soft criteria, which only a judge can verify
CONSTRUCTED = ("micro", "composed")  # for their prompts rules can write responses that satisfy everything
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
    """RTT-GRPO, sections 3.2 and 4.2; an arm (`rtt_lib.train.arms`) overrides alpha, beta, scheme and the like."""

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


Keys = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `1e-6` is a number, `off` is a word, and a key written twice is an error."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            problem = None if isinstance(key, yaml.ScalarNode) else "a key must be a word"
            if problem is None and key.value in seen:
                problem = f"key '{key.value}' stands twice"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*list(_first), ""])


def load_profile(path_or_name: str | Path, overrides: Mapping[str, str] | None = None) -> Profile:
    """Read and check a profile.

    path_or_name: `micro` is `params/micro.yaml` of this repository (or of the current folder); anything with a
    folder or a `.yaml` ending is a path. overrides: dotted keys with YAML values, `{"rl.steps": "20"}`.
    A relative `data.path` or `data.responses` is relative to the profile's folder; in an override they and a folder
    named as `policy.model` are to the current one.
    """
    path = find_profile(path_or_name)
    tree, where = _read(path)
    _anchor_paths(tree, path.parent)
    for key, text in (overrides or {}).items():
        _override(tree, where, key, text)
    tree.setdefault("name", path.stem)
    profile = _build(Profile, tree, (), where)
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
    raise RTTError(f"no profile '{text}' in {folders[0]}{_nearest(text, known)}; there are: {', '.join(known)}")


def _expanded(text: str) -> Path:
    """The path with ~ filled in."""
    try:
        if "\0" in text:
            raise ValueError("a path has no NUL in it")
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:  # the first: ~ of a user that is not there
        raise RTTError(f"{text!r}: {error}") from error


def _read(path: Path) -> tuple[dict, dict[Keys, str]]:
    """The YAML as plain values, and for every key the place to name in a message (`file:line`)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RTTError(f"{path}: cannot be read ({error})") from error
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        raise RTTError(f"{path}: expected keys and values, found {_kind(tree)}")
    where: dict[Keys, str] = {(): str(path)}
    _places(yaml.compose(text, _Loader), (), str(path), where)
    return tree, where


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader: it makes plain values only
    except (
        yaml.YAMLError,
        RecursionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        # All but the first two: a tag that misfits its value.
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise RTTError(f"{source}{line}: not valid YAML ({getattr(error, 'problem', None) or error})") from error


def _places(node: yaml.Node, keys: Keys, source: str, where: dict[Keys, str], depth: int = 3) -> None:
    """Fill `where` from the node tree; a profile is three levels deep, so an alias to itself ends as well."""
    if isinstance(node, yaml.MappingNode) and depth:
        for key, value in node.value:
            where[(*keys, key.value)] = f"{source}:{key.start_mark.line + 1}"
            _places(value, (*keys, key.value), source, where, depth - 1)


def _anchor_paths(tree: dict, folder: Path) -> None:
    data = tree.get("data")
    for key in ("path", "responses"):
        if isinstance(data, dict) and isinstance(data.get(key), str):
            data[key] = str((folder / _expanded(data[key])).resolve())


def _override(tree: dict, where: dict[Keys, str], dotted: str, text: str) -> None:
    """Set one dotted key to a YAML value."""
    keys = tuple(dotted.split("."))
    source = f"--set {dotted}={text}"
    branch = tree
    for depth, key in enumerate(keys[:-1], 1):
        branch = branch.setdefault(key, {})
        if not isinstance(branch, dict):
            raise RTTError(f"{source}: {'.'.join(keys[:depth])} has no keys below it")
        where.setdefault(keys[:depth], source)
    value = _parse(text, source)
    local = dotted in ("data.path", "data.responses")
    if isinstance(value, str) and (local or (dotted == "policy.model" and _expanded(value).exists())):
        value = str(_expanded(value).resolve())
    branch[keys[-1]] = value
    where[keys] = source


def _place(keys: Keys, where: Mapping[Keys, str]) -> str:
    """`file:line: dotted.key`, the line of the nearest key that is written."""
    at = next(where[keys[:end]] for end in range(len(keys), -1, -1) if keys[:end] in where)
    return f"{at}: {'.'.join(keys)}" if keys else at


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _build(cls: type, tree: Any, keys: Keys, where: Mapping[Keys, str]) -> Any:
    """An instance of a dataclass from a mapping: every key known, every type right, nothing converted silently."""
    if not isinstance(tree, dict):
        raise RTTError(f"{_place(keys, where)}: expected keys and values, found {_kind(tree)}")
    hints = get_type_hints(cls)
    for key in tree:
        if key not in hints:
            near = _nearest(str(key), hints)
            raise RTTError(f"{_place((*keys, str(key)), where)}: unknown key{near} (known: {', '.join(hints)})")
    for entry in fields(cls):
        if entry.name not in tree and entry.default is MISSING and entry.default_factory is MISSING:
            raise RTTError(f"{_place(keys, where)}: the key '{entry.name}' is missing")
    return cls(**{key: _convert(hints[key], value, (*keys, key), where) for key, value in tree.items()})


def _convert(hint: Any, value: Any, keys: Keys, where: Mapping[Keys, str]) -> Any:
    """The value as the annotation wants it, or an error naming the key."""
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _build(hint, value, keys, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(args[0], value, keys, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(args[0], item, keys, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {str(key): _convert(args[1], item, (*keys, str(key)), where) for key, item in value.items()}
    if origin is Literal and isinstance(value, str):
        if value in args:
            return value
        near = _nearest(value, args)
        raise RTTError(f"{_place(keys, where)}: '{value}' is not one of {', '.join(args)}{near}")
    if hint is float and type(value) in (int, float):
        if abs(value) > sys.float_info.max:
            raise RTTError(f"{_place(keys, where)}: must be finite, found {str(value)[:20]}")
        return float(value)
    if hint is type(value):
        return value
    hint_name = _EXPECTED[origin or hint]
    raise RTTError(f"{_place(keys, where)}: expected {hint_name}, found {_kind(value)}{_mend(hint, value)}")


_EXPECTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    tuple: "a list, [a, b]",
    dict: "keys and values",
    Literal: "text",
}


def _kind(value: Any) -> str:
    names = {bool: "", int: "the whole number ", float: "the number ", str: "the text ", list: "a list ", dict: "keys "}
    if value is None:
        return "nothing"
    shown = str(value).lower() if isinstance(value, bool) else repr(list(value) if isinstance(value, dict) else value)
    return names.get(type(value), f"a {type(value).__name__} ") + shown[:80]


def _mend(hint: Any, value: Any) -> str:
    if hint in (int, float) and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?", value):
        return " (write it without quotes)"
    if hint is int and isinstance(value, float) and value.is_integer():
        return f" (write {int(value)})"
    return ""


@dataclass(frozen=True)
class _Checks:
    """What the types alone cannot say: ranges, and values that cannot stand together."""

    profile: Profile
    where: Mapping[Keys, str]

    def run(self) -> None:
        self.ranges()
        self.sizes()
        self.source()
        self.judge()
        for name, experiment in self.profile.experiments.items():
            self.experiment(name, experiment)

    def require(self, holds: bool, dotted: str, message: str) -> None:
        if not holds:
            raise RTTError(f"{_place(tuple(dotted.split('.')), self.where)}: {message}")

    def value(self, dotted: str) -> Any:
        value = self.profile
        for key in dotted.split("."):
            value = getattr(value, key)
        return value

    def ranges(self) -> None:
        for names, holds, says in _RANGES:
            for dotted in names.split():
                value = self.value(dotted)
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
        if importlib.util.find_spec("rtt_lib.train.arms") is None:
            return
        from rtt_lib.train.arms import ARMS  # here, so that reading a profile is quick where no arm is named

        has_responses, rl = self.profile.data.responses is not None, self.profile.rl
        for arm in arms:
            near = _nearest(arm, ARMS)
            self.require(arm in ARMS, dotted, f"unknown arm '{arm}'{near or '; there are: ' + ', '.join(ARMS)}")
            self.require(
                ARMS[arm].trainer not in ("sft", "dpo") or self.profile.data.source in CONSTRUCTED or has_responses,
                dotted,
                f"'{arm}' learns from responses: rules write them for {' and '.join(CONSTRUCTED)}, for other sources "
                "name a strong LLM's as data.responses",
            )
            self.require(
                ARMS[arm].trainer not in ("sft", "dpo") or has_responses or rl.prompts_per_step % rl.minibatches == 0,
                "rl.minibatches",
                f"'{arm}' learns from one response to each of rl.prompts_per_step = {rl.prompts_per_step} prompts, "
                f"which do not divide into {rl.minibatches} minibatches",
            )


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
