"""The micro world's discriminators: the three kinds that the arms use, and others that show what each choice does.

    taxonomy, greedy, packed      seed 0, what runs from base policy A read
    taxonomy-seed1, ...           seed 1, what runs from base policy B read, and so on
    held-out, balanced, bidirectional

Each is a function of code and profile alone and is kept in the store.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from rtt_lib import store
from rtt_lib.files import read_json, write_json
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.models import load_backbone_for_tokens, load_tokenizer
from rtt_lib.profile import Profile
from rtt_lib.relevance.annotate import greedy, taxonomy
from rtt_lib.relevance.discriminator import (
    MICRO_TEMPLATE,
    TRAINING_LOG,
    Backbone,
    Discriminator,
    train_discriminator,
)
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import PackedDiscriminator, train_packed
from rtt_lib.relevance.shipped import quiet
from rtt_lib.worlds.base import discriminator_number
from rtt_lib.worlds.micro.corpus import micro_examples
from rtt_lib.worlds.micro.language import find_world
from rtt_lib.worlds.micro.policy import base_fingerprint, base_policy

WORLDS = ("M", "U")  # together they have every family, and short and long responses
BACKBONE_WORLD, BACKBONE_BASE = "L", "A"  # this base policy is there anyway: every profile trains from it
HELD_OUT = ("include", "exactly")  # one local family and one global one
ANNOTATORS = {"taxonomy": taxonomy, "greedy": greedy}
KINDS = ("taxonomy", "greedy", "packed")  # that arms read
# Here the length depends on the family, so a batch of one length holds few families. From some base policies the
# training then never learns to mark include and exclude.
OPTIONS = {"disable_tqdm": True, "train_sampling_strategy": "random"}


@dataclass(frozen=True)
class Variant:
    """One discriminator; `name` is its folder.

    held_out:      families that its training data leave out
    balanced:      relevant and irrelevant tokens weigh the same in the loss
    bidirectional: the same backbone with its causal mask lifted, so that p_t sees the whole response
    packed:        one pass for all criteria of a response (`rtt_lib.relevance.packed`)
    """

    name: str
    about: str
    annotator: str = "taxonomy"
    seed: int = 0
    held_out: tuple[str, ...] = ()
    balanced: bool = False
    bidirectional: bool = False
    packed: bool = False


def of_kind(kind: str, seed: int = 0) -> Variant:
    """The kinds that arms read, with any seed."""
    name = f"{kind}-seed{seed}" if seed else kind
    match kind:
        case "greedy":
            return Variant(name, "greedy labels, the paper's baseline", annotator="greedy", seed=seed)
        case "packed":
            return Variant(name, "one pass for all criteria of a response", packed=True, seed=seed)
    return Variant(name, f"taxonomy labels, seed {seed}" if seed else "taxonomy labels, as the paper", seed=seed)


def variants(profile: Profile) -> list[Variant]:
    """Everything that a profile asks for: what notebook 03 trains, and what each run reads."""
    seeds = {seed for experiment in profile.experiments.values() for seed in experiment.seeds}
    numbers = sorted({discriminator_number(seed) for seed in seeds})
    read = [of_kind(kind, number) for kind in KINDS for number in numbers]
    return list({variant.name: variant for variant in [*examined(profile), *read]}.values())


def examined(profile: Profile) -> list[Variant]:
    """Everything notebook 03 trains, what RL needs first."""
    more = [seed for seed in profile.discriminator.seeds if seed != 0]
    return [
        *(of_kind(kind) for kind in KINDS),
        *(of_kind("taxonomy", seed) for seed in more),
        Variant("held-out", f"never trained on {' and '.join(HELD_OUT)}", held_out=HELD_OUT),
        Variant("balanced", "both classes weigh the same in the loss", balanced=True),
        Variant("bidirectional", "sees the whole response: the control for END", bidirectional=True),
    ]


def fingerprint(profile: Profile, variant: Variant) -> str:
    """Changes with everything that decides the weights: variant, settings, base policy, code, versions."""
    settings = {
        key: value for key, value in asdict(profile.discriminator).items() if key not in ("seeds", "checkpoint")
    }
    return short(
        {
            "variant": asdict(replace(variant, name="", about="")),  # words decide nothing
            "settings": settings,
            "base": base_fingerprint(BACKBONE_WORLD, BACKBONE_BASE, profile.policy.pretrain_steps),
            "code": code_digest("rtt_lib.worlds.micro.discriminators"),
        }
    )


def folder_of(profile: Profile, variant: Variant) -> Path:
    return store.folder_of("discriminators", fingerprint(profile, variant))


def trained(profile: Profile, variant: Variant) -> Path:
    """The folder of a variant: trained now unless it is there already; an interrupted training is resumed.

    Its weights are kept in half precision, so that the package can bring those of the published runs.
    """

    def work(folder: Path) -> None:
        quiet()  # the timings of progress bars would make every executed notebook different
        with contextlib.redirect_stdout(None):  # the trainer prints its log
            train = train_packed if variant.packed else train_discriminator
            found = train(
                examples_for(profile, variant),
                backbone(base, variant),
                folder,
                profile.discriminator,
                variant.seed,
                balanced=variant.balanced,
                options=OPTIONS,
            )
        found.model.half().save_pretrained(folder)  # as base policies are kept
        write_json(folder / TRAINING_LOG, _without_times(read_json(folder / TRAINING_LOG)))

    base = base_policy(BACKBONE_WORLD, BACKBONE_BASE, profile.policy.pretrain_steps)
    return store.make(folder_of(profile, variant), work, {"name": variant.name, "profile": profile.name})


def examples_for(profile: Profile, variant: Variant) -> list[LabelledExample]:
    examples = _corpus(profile.discriminator.samples, variant.seed, variant.annotator)
    return [example for example in examples if example.criterion.family not in variant.held_out]


@lru_cache(maxsize=2)
def _corpus(samples: int, seed: int, annotator: str) -> list[LabelledExample]:
    return micro_examples([find_world(name) for name in WORLDS], samples, seed, ANNOTATORS[annotator])


def fresh_examples(n: int) -> list[LabelledExample]:
    """Prompts and responses that no discriminator is trained on, with the oracle's labels."""
    return micro_examples([find_world(name) for name in WORLDS], n, "test", prompts="test")


def backbone(base: Path, variant: Variant) -> Backbone:
    """The base policy's body under a new token head."""
    torch.manual_seed(variant.seed)
    kind = PackedDiscriminator if variant.packed else Discriminator
    model = load_backbone_for_tokens(base, outputs=kind.OUTPUTS)
    if variant.bidirectional:
        model.config.is_causal = False  # transformers' own switch: it is saved with the checkpoint
    return Backbone(model, load_tokenizer(base), MICRO_TEMPLATE)


def _without_times(log: dict) -> dict:
    """How fast it was differs from run to run; the rest does not."""
    rows = [{k: v for k, v in row.items() if not k.endswith(("_runtime", "_per_second"))} for row in log["log"]]
    return log | {"log": rows}
