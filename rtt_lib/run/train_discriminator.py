"""Train a discriminator on text, with the settings of a profile's `discriminator` section.

    python -m rtt_lib.run.train_discriminator smol FOLDER
    accelerate launch -m rtt_lib.run.train_discriminator paper-qwen3-4b --labels LABELS.jsonl

Without --labels: on composed prompts with responses and labels by rule. With --own 0.5, half of the examples are the
responses of the profile's policy, sampled as in RL and labelled by rule; `python -m rtt_lib.run.compare_discriminators`
says what that is worth (docs/discriminators.md). With --labels: on a file of labels, the paper's way, of
`rtt_lib.run.make_labels` say.

The metrics are written beside the weights, with the settings and versions that made them, and a model card. Name the
folder as discriminator.checkpoint, unless it is the default one of a profile whose model is not the shipped one; a
second one, on greedy labels (`--set discriminator.annotator=greedy`), belongs beside it as FOLDER-greedy, one that
reads all criteria in one pass (`--packed`) as FOLDER-packed.

Under `accelerate launch` every GPU holds all weights and Adam's moments, some 64 GB for 4 billion; the paper used
ZeRO-2, which `accelerate config` turns on where DeepSpeed is installed (not tried here).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rtt_lib.command import count, guarded, parse_overrides
from rtt_lib.errors import RTTError
from rtt_lib.origin import git_state
from rtt_lib.profile import REPOSITORY
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds import family
from rtt_lib.worlds.text.checkpoints import beside, how_to_get_one, own_folder
from rtt_lib.worlds.text.discriminators import Training, train


def run(options: argparse.Namespace) -> None:
    profile = load_profile(options.profile, parse_overrides(options.overrides))
    kind = "packed" if options.packed else profile.discriminator.annotator
    if not family(profile).TRAINED_BY_A_PERSON:
        raise RTTError(
            f"profile {profile.name}: notebook 03 trains its discriminators, rtt run {profile.name} --only 03"
        )
    if profile.data.source not in family(profile).CONSTRUCTED and not options.labels:
        raise RTTError(f"profile {profile.name}: {how_to_get_one(profile, kind)}")
    folder = options.folder or beside(own_folder(profile), kind)
    by_rule_alone = options.own or options.offences > 1 or options.unweighted or options.longest or options.test
    if options.labels and by_rule_alone:
        raise RTTError(
            "--own, --offences, --unweighted, --longest and --test are for labels by rule: leave out --labels, or them"
        )
    given = {field.name: getattr(options, field.name) for field in fields(Training)}
    how = Training(**{name: value for name, value in given.items() if value is not None})
    train(profile, folder, how, git_state(REPOSITORY))


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: give a number from 0 to 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m rtt_lib.run.train_discriminator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("profile", help="a profile's name or path")
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="default: in the store, where the profile looks for it"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="a file of labels instead of composed prompts")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", nargs="+", action="extend", default=[])
    parser.add_argument("--packed", action="store_true", help="one pass for all criteria of a response")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--longest", type=count, metavar="N", help="characters of a composed training response, at most"
    )
    parser.add_argument("--test", type=count, metavar="N", help="fresh composed examples to examine it on (600)")
    parser.add_argument(
        "--own", type=share, default=0.0, metavar="SHARE", help="0 to 1: how much is the policy's own responses"
    )
    parser.add_argument(
        "--offences", type=count, default=1, metavar="N", help="a constructed negative of a prohibition has 1 to N"
    )
    parser.add_argument("--unweighted", action="store_true", help="relevant tokens count no more than others")
    options = parser.parse_args(arguments)
    return guarded(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
