"""What notebooks 03 and 09 examine: a profile's discriminators, and the responses they are examined on.

A micro profile trains its own, controls included, and has the oracle's labels. An English one trains the two that arms
read. A profile on text takes checkpoints that are there already. Both have the labels of the rule annotator, on
criteria that rules can check.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rtt_lib import store
from rtt_lib.analysis.rollouts import base_rollouts, rollout_examples
from rtt_lib.bench.benchmarks import benchmark_files
from rtt_lib.bench.generate import generate
from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.models import Precision, precision
from rtt_lib.profile import Evaluation, Profile
from rtt_lib.relevance.corpus import label_response
from rtt_lib.relevance.discriminator import Discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import load_discriminator
from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.compose import FAMILIES
from rtt_lib.schema import RubricPrompt
from rtt_lib.studies.discriminators import train_all
from rtt_lib.worlds import english as english_world
from rtt_lib.worlds import family
from rtt_lib.worlds import micro as micro_world
from rtt_lib.worlds.english import discriminators as english
from rtt_lib.worlds.english.corpus import HELD_OUT
from rtt_lib.worlds.micro import discriminators as micro
from rtt_lib.worlds.micro.discriminators import Variant
from rtt_lib.worlds.text import discriminators as text
from rtt_lib.worlds.text.checkpoints import discriminator_folder, how_to_get_one
from rtt_lib.worlds.text.evaluation import backend
from rtt_lib.worlds.text.prompts import held_out_prompts

Examples = list[LabelledExample]
BASE_POLICY = "the base policy"
LABELS = {"taxonomy": "taxonomy labels, as the paper", "greedy": "greedy labels, the baseline"}
ROLLOUT_PROMPTS, ROLLOUTS_EACH = 32, 4
ENGLISH_PROMPTS = 512  # one response to each: about 60 criteria of a family
STORED_RESPONSES = 40  # of each benchmark and model: D reads each once per criterion, which is slow on a CPU


@dataclass(frozen=True)
class Study:
    """The discriminators and what they are examined on.

    folders:   variant -> where it is
    train:     trains what is not there yet
    fresh:     n -> examples that no discriminator was trained on, from the same source
    written:   whose responses -> their examples: responses that nobody constructed
    unseen:    variant -> families that it was not trained on
    precision: what the discriminators calculate with
    """

    variants: Sequence[Variant]
    folders: Mapping[str, Path]
    train: Callable[[], Iterator[Variant]]
    fresh: Callable[[int], Examples]
    written: Callable[[], dict[str, Examples]]
    unseen: Mapping[str, Sequence[str]]
    precision: Precision = "float32"

    def load(self, name: str) -> Discriminator:
        found = load_discriminator(self.folders[name])
        found.model.to(getattr(torch, self.precision))
        return found


def study_of(profile: Profile) -> Study:
    return {micro_world: _micro, english_world: _english}.get(family(profile), _text)(profile)


def _micro(profile: Profile) -> Study:
    variants = micro.examined(profile)

    def written() -> dict[str, Examples]:
        steps, longest = profile.policy.pretrain_steps, profile.rl.max_response_tokens
        rollouts = base_rollouts(micro.BACKBONE_WORLD, steps, ROLLOUT_PROMPTS, ROLLOUTS_EACH, max_tokens=longest)
        return {BASE_POLICY: rollout_examples(rollouts)}

    return Study(
        variants=variants,
        folders={variant.name: micro.folder_of(profile, variant) for variant in variants},
        train=lambda: train_all(profile, variants),
        fresh=micro.fresh_examples,
        written=written,
        unseen={"held-out": micro.HELD_OUT},
    )


def _english(profile: Profile) -> Study:
    made = {"held_out": HELD_OUT, "balanced": True}
    variants = [Variant(name, words, annotator=name, **made) for name, words in LABELS.items()]

    def train() -> Iterator[Variant]:
        for variant in variants:
            english.trained(profile, variant.name)
            yield variant

    return Study(
        variants=variants,
        folders={name: english.folder_of(profile, name) for name in LABELS},
        train=train,
        fresh=english.fresh_examples,
        written=lambda: {BASE_POLICY: english.written_examples(profile, ENGLISH_PROMPTS)},
        unseen=dict.fromkeys(LABELS, HELD_OUT),
    )


def _text(profile: Profile) -> Study:
    words = LABELS | {"packed": "one pass for all criteria of a response"}
    folders = {name: discriminator_folder(profile, name) for name in words}
    taxonomy = folders["taxonomy"]
    there = {name: (folder, words[name]) for name, folder in folders.items() if folder.is_dir()}
    if "taxonomy" not in there:
        raise RTTError(f"profile {profile.name}: no discriminator in {taxonomy}: {how_to_get_one(profile)}")
    held_out = {name: _held_out_of(folder) for name, (folder, _) in there.items()}
    variants = [
        Variant(
            name, about, "greedy" if name == "greedy" else "taxonomy", held_out=held_out[name], balanced=True,
            packed=name == "packed",
        )
        for name, (_, about) in there.items()
    ]  # fmt: skip
    return Study(
        variants=variants,
        folders={name: folder for name, (folder, _) in there.items()},
        train=lambda: iter(variants),
        fresh=lambda n: text.held_out(n, FAMILIES),
        written=lambda: _written(profile),
        unseen=held_out,
        precision=precision(),
    )


def _held_out_of(folder: Path) -> tuple[str, ...]:
    """The families that a checkpoint was not trained on, from the metrics that lie beside it."""
    metrics = folder / "metrics.json"
    return tuple(read_json(metrics)["held out"]) if metrics.is_file() else ()


def _written(profile: Profile) -> dict[str, Examples]:
    """The base policy's responses to held-out prompts; other models' to benchmarks, where such files are there."""
    prompts, rl = held_out_prompts(profile)[:ROLLOUT_PROMPTS], profile.rl
    settings = Evaluation((), None, ROLLOUTS_EACH, rl.temperature, rl.top_p, rl.top_k, rl.max_response_tokens)
    path = generate(
        prompts, profile.policy.model, settings, store.root() / "rollouts" / f"{profile.name}.jsonl", backend(profile),
        precision(),
    )  # fmt: skip
    return {BASE_POLICY: _label(prompts, [row for _, row in read_jsonl(path)])} | _stored(profile)


def _stored(profile: Profile) -> dict[str, Examples]:
    """Responses of real models, from RTT_TEST_DATA/graders: only their scores are shown, never their text."""
    files, found = benchmark_files(profile), {}
    folder = Path(os.environ.get("RTT_TEST_DATA", ""), "graders")
    for benchmark in ("ifeval", "ifbench"):
        for path in sorted(folder.glob(f"{benchmark}.*.jsonl.gz")) if benchmark in files else ():
            prompts = [replace(p, id=p.prompt) for p in read_benchmark(benchmark, files[benchmark])]
            rows = [dict(row, id=row["prompt"]) for _, row in read_jsonl(path)]
            rows = random.Random("stored responses").sample(rows, min(STORED_RESPONSES, len(rows)))
            found[path.name.removesuffix(".jsonl.gz")] = _label(prompts, rows)
    return found


def _label(prompts: Sequence[RubricPrompt], rows: Sequence[Mapping]) -> Examples:
    asked = {prompt.id: prompt for prompt in prompts}
    return [
        example
        for row in rows
        if row["response"]
        for example in label_response(asked[row["id"]], row["response"], made="written")
    ]
