"""Train the text discriminator that is shipped: SmolLM2-135M + LoRA, on composed prompts.

    python -m rtt_lib.relevance.text_training OUTPUT [--examples 3840] [--epochs 1] ...

Three criterion families are held out of training and reported apart. The metrics are written to OUTPUT/adapter with
the settings and versions that made them, and a model card; that folder is what is shipped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from rtt_lib.files import read_json, write_json, write_text
from rtt_lib.manifest import git_state
from rtt_lib.profile import REPOSITORY
from rtt_lib.profile import Discriminator as Settings
from rtt_lib.relevance.annotate import Annotator, greedy, taxonomy
from rtt_lib.relevance.corpus import build_examples
from rtt_lib.relevance.discriminator import TRAINING_LOG, Discriminator, train_discriminator
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.relevance.validate import family, score_examples, table
from rtt_lib.report.theme import markdown_table
from rtt_lib.rubrics.compose import FAMILIES, compose, default_tasks

HELD_OUT = ("label", "no_quotes", "sentences")  # a local positive, a local negative and a global one
# What is hard to learn is where a segment is: few tokens, and the criterion's own words must be found again.
TRAIN_SHARES = {"segments": 0.6, "nowhere": 0.2, "everywhere": 0.2}
TEST_SHARES = {"segments": 1 / 3, "nowhere": 1 / 3, "everywhere": 1 / 3}
COLUMNS = ["group", "examples", "precision", "recall", "f1", "f1_low", "f1_high", "auc"]
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
) -> list[LabelledExample]:
    """`n` examples from about as many prompts as keep a prompt's share small; `longest` characters a response."""
    composed = compose(default_tasks(), max(60, n // 2), seed=seed, max_constraints=4, families=families)
    examples = build_examples(composed, seed, annotator)
    return mixed([e for e in examples if longest is None or len(e.response) <= longest], n, seed, shares)


def held_out(n: int, families: Sequence[str], seed: int = 10_000) -> list[LabelledExample]:
    """Fresh prompts with taxonomy labels, whatever the discriminator was trained on."""
    return corpus(n, seed, families, taxonomy)


def evaluate(discriminator: Discriminator, n: int) -> dict:
    """Tables by family on held-out prompts of the trained families, and on the families held out."""
    trained = [family for family in FAMILIES if family not in HELD_OUT]
    return {
        "trained families": table(score_examples(discriminator, held_out(n, trained)), family),
        "held-out families": table(score_examples(discriminator, held_out(n // 4, HELD_OUT)), family),
    }


def card(metrics: dict) -> str:
    """The model card: what it is, how it was made, what it is worth."""
    lines = [
        f"# Token-level relevance discriminator, SmolLM2-135M + LoRA, {metrics['settings']['annotator']} labels",
        "",
        "Given a criterion and a response: which tokens does the criterion depend on? A LoRA adapter and a token head;",
        "`rtt_adapter.json` names the base file and its hash, and the adapter is merged into it when it is loaded.",
        "",
        "    rtt attribute --criterion 'Avoid the word \"very\".' --response 'It was a very cold night.'",
        "",
        f"Made by `python -m rtt_lib.relevance.text_training` with {metrics['settings']}, {metrics['versions']}, on",
        "composed prompts with responses and labels by rule. English, short responses, verifiable criteria: on",
        "anything else, soft criteria above all, look at what it marks before you believe it. A response that was made",
        "to violate has one offence, mostly: of a forbidden word that comes twice, the second may go unmarked.",
        "",
        "Scores over tokens at p = 0.5, on fresh prompts. A global criterion marks the whole",
        "response, so it has no AUC. Intervals (95%) resample examples.",
    ]
    for name in ("trained families", "held-out families"):
        lines += ["", f"## {name.capitalize()}", "", markdown_table(pd.DataFrame(metrics[name])[COLUMNS])]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="smollm2-135m", help="the backbone: a hub id, a folder or a GGUF file")
    parser.add_argument("--annotator", choices=ANNOTATORS, default="taxonomy")
    parser.add_argument("--examples", type=int, default=3840)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--longest", type=int, default=260, help="characters of a training response: what a CPU bears")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test-examples", type=int, default=600)
    arguments, made_at = parser.parse_args(), git_state(REPOSITORY)
    settings = Settings(
        arguments.model,
        annotator=arguments.annotator,
        samples=arguments.examples,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        micro_batch=16,
        global_batch=16,
        max_length=512,
        lora_rank=arguments.rank,
        bf16=True,
    )
    families = [family for family in FAMILIES if family not in HELD_OUT]
    annotator = ANNOTATORS[arguments.annotator]
    examples = corpus(arguments.examples, arguments.seed, families, annotator, TRAIN_SHARES, arguments.longest)
    discriminator = train_discriminator(
        examples,
        arguments.model,
        arguments.output,
        settings,
        arguments.seed,
        balanced=True,
        options={"save_steps": 50, "save_strategy": "steps", "lr_scheduler_type": "cosine"},
    )
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")}
    about = {"settings": vars(arguments) | {"output": None}, "held out": HELD_OUT, "versions": versions} | made_at
    metrics = about | evaluate(discriminator, arguments.test_examples)
    write_json(arguments.output / "adapter" / TRAINING_LOG, read_json(arguments.output / TRAINING_LOG))
    for folder in (arguments.output, arguments.output / "adapter"):  # whichever becomes discriminator.checkpoint
        write_json(folder / "metrics.json", metrics)
    write_text(arguments.output / "adapter" / "README.md", card(metrics))


if __name__ == "__main__":
    main()
