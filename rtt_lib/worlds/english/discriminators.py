"""The English world's discriminators, on base policy A as backbone, kept in the store.

One half of the examples is constructed: responses that keep everything, their minimal modifications, and responses
that keep a part. The other half are the base policy's own responses, sampled as in RL: text like this is what the
discriminator reads later. The rule annotator labels both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from rtt_lib import store
from rtt_lib.fingerprint import code_digest, short
from rtt_lib.models import load_backbone_for_tokens, load_tokenizer
from rtt_lib.profile import Profile
from rtt_lib.relevance.annotate import Annotator, taxonomy
from rtt_lib.relevance.corpus import build_examples, label_response
from rtt_lib.relevance.discriminator import Backbone, Discriminator, train_discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.negatives import minimal
from rtt_lib.relevance.packed import PackedDiscriminator, train_packed
from rtt_lib.relevance.shipped import quiet
from rtt_lib.rubrics.compose import FAMILIES
from rtt_lib.schema import RubricPrompt
from rtt_lib.worlds.english.corpus import DIALS, demonstration, held_out_prompts, partly_kept, training_prompts
from rtt_lib.worlds.english.policy import base_fingerprint, base_policy, one_thread
from rtt_lib.worlds.text.discriminators import ANNOTATORS, TEST_SHARES, TRAIN_SHARES, mixed
from rtt_lib.worlds.text.world import one_each

BACKBONE_BASE = "A"
KINDS = (*ANNOTATORS, "packed")  # the labels of one that reads one criterion at a time; or one pass for all of them
TEMPLATE = "{criterion}\n{response}"
SAMPLED = "sampled"  # how a response was made: by the base policy
# Of the composer, no profile's data.seed: prompts of constructed and of sampled examples, to train on and to test on.
# One seed asks the same of every list of tasks, so that each of the four has its own.
CONSTRUCTED, POLICYS, FRESH, WRITTEN = range(3_000_000, 3_000_004)
SEED = 0  # of what discriminators are tested on


def fingerprint(profile: Profile, kind: str, seed: int = 0) -> str:
    """Changes with everything that decides the weights: labels, settings, base policy, sampling, code, versions."""
    settings, rl = asdict(profile.discriminator), profile.rl
    return short(
        {
            "kind": kind,
            "seed": seed,
            "settings": {name: value for name, value in settings.items() if name not in ("seeds", "checkpoint")},
            "base": base_fingerprint(BACKBONE_BASE, profile.policy.pretrain_steps),
            "sampling": [rl.temperature, rl.top_p, rl.top_k, rl.max_response_tokens, profile.compute.sampler],
            "dials": asdict(DIALS),
            "code": code_digest("rtt_lib.worlds.english.discriminators"),
        }
    )


def folder_of(profile: Profile, kind: str, seed: int = 0) -> Path:
    return store.folder_of("discriminators", fingerprint(profile, kind, seed))


def trained(profile: Profile, kind: str, seed: int = 0) -> Path:
    """The folder of a discriminator, one of KINDS: trained now unless it is there already."""
    base = base_policy(BACKBONE_BASE, profile.policy.pretrain_steps)

    def work(folder: Path) -> None:
        quiet()
        with one_thread(), contextlib.redirect_stdout(None):  # the trainer prints its log
            examples = examples_for(profile, ANNOTATORS.get(kind, taxonomy), base, folder, seed)
            torch.manual_seed(seed)
            form = PackedDiscriminator if kind == "packed" else Discriminator
            train = train_packed if kind == "packed" else train_discriminator
            model = load_backbone_for_tokens(base, outputs=form.OUTPUTS)
            parts = Backbone(model, load_tokenizer(base), TEMPLATE)
            options = {"disable_tqdm": True}
            train(examples, parts, folder, profile.discriminator, seed, balanced=True, options=options)

    about = {"name": f"english, {kind}, seed {seed}", "profile": profile.name}
    return store.make(folder_of(profile, kind, seed), work, about)


def examples_for(profile: Profile, annotator: Annotator, base: Path, folder: Path, seed: int) -> list[LabelledExample]:
    """Half of them constructed, half sampled from the policy in `base`, as even as can be over families."""
    each = profile.discriminator.samples // 2
    prompts = training_prompts(each, POLICYS)
    given = constructed(max(20, each // 4), annotator, seed)
    sources = given, sampled(profile, prompts, annotator, base, folder, seed)
    return [example for source in sources for example in mixed(source, each, seed, TRAIN_SHARES)]


def constructed(prompts: int, annotator: Annotator, seed: int) -> list[LabelledExample]:
    return build_examples(training_prompts(prompts, CONSTRUCTED), seed, annotator, by_rule)


def by_rule(prompt: RubricPrompt, seed: int) -> Iterator[tuple[str, str]]:
    """How a response was made, and the response."""
    positive = demonstration(prompt, seed)
    yield "positive", positive
    yield "partly kept", partly_kept(prompt, seed).response
    for k in range(len(prompt.criteria)):
        if (negative := minimal(prompt, positive, k, seed)) is not None:
            yield negative.strategy, negative.response


def sampled(
    profile: Profile, prompts: Sequence[RubricPrompt], annotator: Annotator, base: Path, folder: Path, seed: int
) -> list[LabelledExample]:
    """The responses to these prompts by the policy in `base`; files go into `folder`."""
    responses = one_each(prompts, base, profile, seed, folder)
    return [
        example
        for prompt, response in zip(prompts, responses, strict=True)
        if response
        for example in label_response(prompt, response, annotator, SAMPLED)
    ]


def fresh_examples(n: int) -> list[LabelledExample]:
    """Constructed responses to prompts on held-out tasks, of all families."""
    prompts = held_out_prompts(max(60, n // 2), FRESH, FAMILIES)
    return mixed(build_examples(prompts, SEED, taxonomy, by_rule), n, SEED, TEST_SHARES)


def written_examples(profile: Profile, prompts: int) -> list[LabelledExample]:
    """Responses of base policy A to prompts on held-out tasks."""
    base = base_policy(BACKBONE_BASE, profile.policy.pretrain_steps)
    folder = store.root() / "rollouts" / fingerprint(profile, "taxonomy")
    return sampled(profile, held_out_prompts(prompts, WRITTEN), taxonomy, base, folder, SEED)
