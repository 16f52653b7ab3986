"""The micro world's discriminators: the two that the arms use, and the others that show what each choice does.

    discriminator/taxonomy, greedy       seed 0, what RL reads
    discriminator/taxonomy-seed1, ...    the further seeds of the profile
    discriminator/held-out, balanced, bidirectional

Each folder is a function of code and profile alone, since the fingerprints of RL runs hash it; one whose stamp
matches is not trained again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.profile import Profile
from rtt_lib.relevance.annotate import greedy, taxonomy
from rtt_lib.relevance.discriminator import MICRO_TEMPLATE, TRAINING_LOG, Backbone, train_discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.shipped import quiet
from rtt_lib.studies.runs import code_fingerprint, ensure_base, worker_pool
from rtt_lib.worlds.micro.corpus import micro_examples
from rtt_lib.worlds.micro.language import find_world

WORLDS = ("M", "U")  # together they have every family, and short and long responses
BACKBONE_WORLD = "L"  # its base policy is there anyway: every profile trains in it
HELD_OUT = ("include", "exactly")  # one local family and one global one
ANNOTATORS = {"taxonomy": taxonomy, "greedy": greedy}
# Length goes with family here, so that batches of one length hold few families: from some base policies the
# training then settles where include and exclude are never marked.
OPTIONS = {"disable_tqdm": True, "train_sampling_strategy": "random"}

# As for runs, see `rtt_lib.studies.runs`.
_CODE = (
    "models.py",
    "relevance/annotate.py",
    "relevance/discriminator.py",
    "relevance/encoding.py",
    "relevance/micro_corpus.py",
    "relevance/micro_training.py",
    "relevance/spans.py",
    "rubrics/micro.py",
    "rubrics/schema.py",
    "verify/__init__.py",
    "verify/micro.py",
    "verify/registry.py",
    "verify/verdict.py",
)


@dataclass(frozen=True)
class Variant:
    """One discriminator; `name` is its folder.

    held_out:      families that its training data leave out
    balanced:      relevant and irrelevant tokens weigh the same in the loss
    bidirectional: the same backbone with its causal mask lifted, so that p_t sees the whole response
    """

    name: str
    about: str
    annotator: str = "taxonomy"
    seed: int = 0
    held_out: tuple[str, ...] = ()
    balanced: bool = False
    bidirectional: bool = False


def variants(profile: Profile) -> list[Variant]:
    """Everything notebook 03 trains, what RL needs first."""
    more = [seed for seed in profile.discriminator.seeds if seed != 0]
    return [
        Variant("taxonomy", "taxonomy labels, as the paper"),
        Variant("greedy", "greedy labels, the paper's baseline", annotator="greedy"),
        *(Variant(f"taxonomy-seed{seed}", f"taxonomy labels, seed {seed}", seed=seed) for seed in more),
        Variant("held-out", f"never trained on {' and '.join(HELD_OUT)}", held_out=HELD_OUT),
        Variant("balanced", "both classes weigh the same in the loss", balanced=True),
        Variant("bidirectional", "sees the whole response: the control for END", bidirectional=True),
    ]


def folder_of(results: Path, variant: Variant) -> Path:
    return results / "discriminator" / variant.name


def train_all(profile: Profile, results: Path, wanted: Sequence[Variant] | None = None) -> Iterator[Variant]:
    """Train what is not there yet, on `compute.workers` processes; yields each variant as it is ready."""
    if profile.data.source != "micro":
        raise RTTError(f"profile {profile.name}: data.source is {profile.data.source}; these need the micro world")
    quiet()  # the timings of progress bars would make every executed notebook different
    wanted = variants(profile) if wanted is None else wanted
    base = ensure_base(results / "runs", BACKBONE_WORLD, "A", profile.policy.pretrain_steps)
    waiting = []
    for variant in wanted:
        if is_trained(profile, results, variant, base):
            yield variant
        else:
            waiting.append(variant)
    if not waiting:
        return
    with worker_pool(min(profile.compute.workers, len(waiting))) as pool:
        jobs = {pool.submit(train_for, profile, results, variant, base): variant for variant in waiting}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


def is_trained(profile: Profile, results: Path, variant: Variant, base: Path) -> bool:
    stamp = folder_of(results, variant) / "stamp"
    return stamp.is_file() and stamp.read_text() == fingerprint(profile, variant, base)


def fingerprint(profile: Profile, variant: Variant, base: Path) -> str:
    """Changes with everything that decides the weights: variant, settings, base policy, code, versions."""
    settings = {
        key: value for key, value in asdict(profile.discriminator).items() if key not in ("seeds", "checkpoint")
    }
    variant = replace(variant, about="")  # the words about it decide nothing
    digest = hashlib.sha256(json.dumps([asdict(variant), settings], sort_keys=True).encode())
    digest.update(code_fingerprint(_CODE).encode())
    digest.update((base / "model.safetensors").read_bytes())
    return digest.hexdigest()[:16]


def train_for(profile: Profile, results: Path, variant: Variant, base: Path) -> None:
    """Train one variant beside its folder and move it there when complete; an interrupted training is resumed."""
    folder = folder_of(results, variant)
    attempt = folder.with_name(f".{variant.name}")
    with contextlib.redirect_stdout(None):  # the trainer prints its log
        train_discriminator(
            examples_for(profile, variant),
            backbone(base, bidirectional=variant.bidirectional, seed=variant.seed),
            attempt,
            profile.discriminator,
            variant.seed,
            balanced=variant.balanced,
            options=OPTIONS,
        )
    write_json(attempt / TRAINING_LOG, _without_times(read_json(attempt / TRAINING_LOG)))
    write_text(attempt / "stamp", fingerprint(profile, variant, base))
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(attempt, folder)


def examples_for(profile: Profile, variant: Variant) -> list[LabelledExample]:
    examples = _corpus(profile.discriminator.samples, variant.seed, variant.annotator)
    return [example for example in examples if example.criterion.family not in variant.held_out]


@lru_cache(maxsize=2)
def _corpus(samples: int, seed: int, annotator: str) -> list[LabelledExample]:
    return micro_examples([find_world(name) for name in WORLDS], samples, seed, ANNOTATORS[annotator])


def fresh_examples(n: int) -> list[LabelledExample]:
    """Prompts and responses that no discriminator is trained on, with the oracle's labels."""
    return micro_examples([find_world(name) for name in WORLDS], n, "test", prompts="test")


def backbone(base: Path, *, bidirectional: bool, seed: int) -> Backbone:
    """The base policy's body under a new token head."""
    import torch

    from rtt_lib.models import load_backbone_for_tokens, load_tokenizer

    torch.manual_seed(seed)
    model = load_backbone_for_tokens(base)
    if bidirectional:
        model.config.is_causal = False  # transformers' own switch: it is saved with the checkpoint
    return Backbone(model, load_tokenizer(base), MICRO_TEMPLATE)


def _without_times(log: dict) -> dict:
    """How fast it was differs from run to run; the rest does not."""
    rows = [{k: v for k, v in row.items() if not k.endswith(("_runtime", "_per_second"))} for row in log["log"]]
    return log | {"log": rows}
