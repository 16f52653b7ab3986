"""Discriminators on text: what they are trained on, how they are examined, and the card beside the weights.

On composed prompts with responses and labels by rule; three criterion families are held out of training and reported
apart. The shipped SmolLM2-135M + LoRA is of this kind. A share of the responses may be the policy's own. Or on a file
of labels, in the paper's way say; one prompt in twenty is held out. `rtt_lib.run.train_discriminator` is the command.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import PartialState

from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.fingerprint import file_digest
from rtt_lib.models import on_gpu
from rtt_lib.profile import Profile
from rtt_lib.relevance.annotate import Annotator, greedy, taxonomy
from rtt_lib.relevance.corpus import build_examples, read_labelled, responses_by_rule
from rtt_lib.relevance.discriminator import TRAINING_LOG, Discriminator, train_discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.packed import load_discriminator, train_packed
from rtt_lib.relevance.validate import family, score_examples, table
from rtt_lib.rubrics.compose import FAMILIES, compose, default_tasks
from rtt_lib.tables import markdown_table
from rtt_lib.worlds.text.own_responses import own_examples

HELD_OUT = ("label", "no_quotes", "sentences")  # a local positive, a local negative and a global one
STAMP = "trained.json"  # in the folder: what its weights were trained with
HELD_OUT_PROMPTS = 20  # of a file of labels, one prompt in so many
CONSTRUCTED = "all responses constructed"
TRAINED = tuple(family for family in FAMILIES if family not in HELD_OUT)
# What is hard to learn is where a segment is: few tokens, and the criterion's own words must be found again.
TRAIN_SHARES = {"segments": 0.6, "nowhere": 0.2, "everywhere": 0.2}
TEST_SHARES = {"segments": 1 / 3, "nowhere": 1 / 3, "everywhere": 1 / 3}
# A policy that fails most criteria is read where nothing is relevant: there a false mark is what costs.
OWN_SHARES = {"segments": 0.4, "nowhere": 0.4, "everywhere": 0.2}
COLUMNS = ["group", "examples", "marked", "relevant", "precision", "recall", "f1", "f1_low", "f1_high", "auc"]
ANNOTATORS: dict[str, Annotator] = {"taxonomy": taxonomy, "greedy": greedy}


def kind(example: LabelledExample) -> str:
    """Where the relevant tokens are: everywhere, in segments, or nowhere."""
    return "everywhere" if example.label.whole else "segments" if example.label.spans else "nowhere"


def mixed(examples: Sequence[LabelledExample], n: int, seed: int, shares: Mapping[str, float]) -> list[LabelledExample]:
    """About `n` examples, `shares` of each kind, as even as can be over families within a kind."""
    rng = random.Random(f"mixed {seed}")
    pools: dict[str, dict[str, list[LabelledExample]]] = {name: defaultdict(list) for name in shares}
    for example in rng.sample(list(examples), len(examples)):
        pools[kind(example)][example.criterion.family].append(example)
    chosen = [e for name, share in shares.items() for e in _evenly(pools[name], round(share * n))]
    return rng.sample(chosen, len(chosen))


def _evenly(pools: dict[str, list[LabelledExample]], n: int) -> Iterator[LabelledExample]:
    """One of each family in turn, until `n` are drawn or all are used up."""
    turns = (pool[turn] for turn in range(n) for _, pool in sorted(pools.items()) if turn < len(pool))
    yield from islice(turns, n)


def corpus(
    n: int,
    seed: int,
    families: Sequence[str],
    annotator: Annotator,
    shares: Mapping[str, float] = TEST_SHARES,
    longest: int | None = None,
    offences: int = 1,
) -> list[LabelledExample]:
    """`n` examples from so many prompts that each gives only a few; responses of at most `longest` characters.

    offences: a minimal negative of a prohibition has one to so many
    """
    composed = compose(default_tasks(), max(60, n // 2), seed=seed, max_constraints=4, families=families)
    examples = build_examples(composed, seed, annotator, partial(responses_by_rule, offences=offences))
    return mixed([e for e in examples if longest is None or len(e.response) <= longest], n, seed, shares)


def held_out(n: int, families: Sequence[str], seed: int = 10_000) -> list[LabelledExample]:
    """Fresh prompts with taxonomy labels, whatever the discriminator was trained on."""
    return corpus(n, seed, families, taxonomy)


def evaluate(discriminator: Discriminator, n: int) -> dict:
    """Tables by family on held-out prompts of the trained families, and on the families held out."""
    return {
        "trained families": table(score_examples(discriminator, held_out(n, TRAINED)), family),
        "held-out families": table(score_examples(discriminator, held_out(n // 4, HELD_OUT)), family),
    }


def split_off(rows: Sequence[tuple[str, LabelledExample]]) -> tuple[list[LabelledExample], list[LabelledExample]]:
    """Training and held-out examples of a file of labels, whole prompts at a time, whatever else is in the file."""
    parts: tuple[list[LabelledExample], list[LabelledExample]] = ([], [])
    for id, example in rows:
        digest = hashlib.sha256(id.encode()).digest()
        parts[int.from_bytes(digest[:4]) % HELD_OUT_PROMPTS == 0].append(example)
    return parts


def evaluate_labels(discriminator: Discriminator, examples: Sequence[LabelledExample], longest: int) -> dict:
    """Agreement with the file's own labels on held-out prompts, by where the relevant tokens are and by how a response
    was made. Examples of more than `longest` tokens are left out: training cuts them, so D has never seen such
    positions.
    """
    encoder = discriminator.encoder
    lengths = [
        len(encoder.prefix(example.criterion.text)) + len(response.ids) + 1
        for example, response in zip(examples, encoder.responses([e.response for e in examples]), strict=True)
    ]
    short = [example for example, length in zip(examples, lengths, strict=True) if length <= longest]
    scored = score_examples(discriminator, short)
    return {
        f"held-out prompts by label, {len(examples) - len(short)} too long": table(scored, lambda s: kind(s.example)),
        "held-out prompts by response": table(scored, lambda s: s.example.split or "unknown"),
    }


def card(metrics: Mapping[str, Any]) -> str:
    """The model card: what it is, how it was made, what it is worth."""
    settings, by_rule = metrics["settings"], metrics["labels"] is None
    data = f"composed prompts, labels by rule, {metrics['corpus']}" if by_rule else "labels that an annotator wrote"
    limits = (
        "English, short responses, verifiable criteria: on",
        "anything else, soft criteria above all, look at what it marks before you believe it.",
    )
    one_offence = (
        "A response that was made to violate has one offence, mostly: of a forbidden word that comes twice, the second",
        "may go unmarked.",
    )
    lines = [
        f"# Token-level relevance discriminator, {settings['model']}, {settings['annotator']} labels",
        "",
        "Given a criterion and a response: which tokens does the criterion depend on? With `rtt_adapter.json` it is a",
        "LoRA adapter and a token head: that file names the base and its hash, and loading merges the two.",
        "",
        "    rtt attribute --model FOLDER --criterion 'Avoid the word \"very\".' --response 'A very cold night.'",
        "",
        f"Made by `python -m rtt_lib.run.train_discriminator` with {settings}, {metrics['versions']}, on {data}.",
        *(limits if by_rule else ()),
        *(one_offence if by_rule and metrics["corpus"] == CONSTRUCTED else ()),
        "",
        "Scores over tokens at p = 0.5; *marked* and *relevant* are shares of them. Where nothing is relevant, only",
        "*marked* tells (0 is right); where everything is, recall. Intervals (95%) resample examples.",
    ]
    for name, rows in metrics["tables"].items():
        lines += ["", f"## {name.capitalize()}", "", markdown_table(pd.DataFrame(rows, columns=COLUMNS))]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Training:
    """What a profile does not say.

    labels: a file, None for composed prompts; longest: characters of a constructed response; test: fresh examples;
    packed: one pass for all criteria of a response; own: the share of the examples that are the policy's own
    responses; offences: a constructed negative of a prohibition has one to so many; unweighted: relevant tokens count
    no more than others (Eq. 5 as it stands), as with a file of labels
    """

    labels: Path | None = None
    seed: int = 0
    longest: int | None = None
    test: int = 600
    packed: bool = False
    own: float = 0.0
    offences: int = 1
    unweighted: bool = False

    @property
    def balanced(self) -> bool:
        """Composed examples have few relevant tokens."""
        return self.labels is None and not self.unweighted


def examples_for(profile: Profile, how: Training) -> list[LabelledExample]:
    """`discriminator.samples` of them by rule: constructed, and the policy's own where a share of them is asked for."""
    settings = profile.discriminator
    annotator, n = ANNOTATORS[settings.annotator], round(how.own * settings.samples)
    examples = []
    if n < settings.samples:
        rest = settings.samples - n
        examples += corpus(rest, how.seed, TRAINED, annotator, TRAIN_SHARES, how.longest, how.offences)
    if n:
        examples += mixed(own_examples(profile, n, how.seed, TRAINED, annotator), n, how.seed, OWN_SHARES)
    return examples


def describe(how: Training) -> str:
    """The corpus by rule in a few words."""
    if not how.own and how.offences == 1:
        return CONSTRUCTED
    return f"{how.own:.0%} the policy's own responses, the others constructed with up to {how.offences} offences"


def train(profile: Profile, folder: Path, how: Training, made_at: Mapping[str, Any]) -> None:
    """Train, examine, and leave weights, metrics and card in `folder`. What is trained is not trained again.

    made_at: the commit, for the record
    """
    settings = profile.discriminator
    if how.labels:
        examples, unseen = split_off(read_labelled(how.labels, settings.annotator))
    else:
        examples = examples_for(profile, how)
    made = {
        "of": hashlib.sha256(repr((settings, how.seed, how.packed, how.balanced, examples)).encode()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        **made_at,
    }
    stamp = folder / STAMP
    if stamp.is_file() and read_json(stamp)["of"] == made["of"]:
        made = read_json(stamp)
    else:
        if PartialState().is_main_process:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(folder / "adapter", ignore_errors=True)  # of another training
        trained_with = train_packed if how.packed else train_discriminator
        trained_with(
            examples,
            settings.model,
            folder,
            settings,
            how.seed,
            balanced=how.balanced,
            options={
                "save_steps": 50,
                "save_strategy": "steps",
                "lr_scheduler_type": "cosine",
                "gradient_checkpointing": on_gpu() and not settings.lora_rank,  # all weights of a large model
            },
        )
    PartialState().wait_for_everyone()
    if not PartialState().is_main_process:
        return
    write_json(stamp, made)
    discriminator = load_discriminator(folder)  # as it will be used: whole, however it was trained
    metrics = {
        "settings": asdict(settings),
        "seed": how.seed,
        "longest": how.longest,
        "corpus": None if how.labels else describe(how),
        "balanced": how.balanced,
        "labels": how.labels and {"file": how.labels.name, "sha256": file_digest(how.labels)},
        "held out": [] if how.labels else HELD_OUT,
        **{name: value for name, value in made.items() if name != "of"},
        "tables": evaluate_labels(discriminator, unseen, settings.max_length)
        if how.labels
        else evaluate(discriminator, how.test),
    }
    for place in filter(Path.is_dir, (folder, folder / "adapter")):  # whichever becomes discriminator.checkpoint
        write_json(place / TRAINING_LOG, read_json(folder / TRAINING_LOG))
        write_json(place / "metrics.json", metrics)
        write_text(place / "README.md", card(metrics))
    print(f"{folder}: trained and examined")
