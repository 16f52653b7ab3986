"""Which discriminator a profile on text reads: the shipped one, or the folder of one that a person trained."""

from __future__ import annotations

from pathlib import Path

from rtt_lib import store
from rtt_lib.profile import REPOSITORY, Profile
from rtt_lib.relevance.shipped import SHIPPED
from rtt_lib.worlds.text.sources import CONSTRUCTED

KINDS = ("taxonomy", "greedy", "packed")


def discriminator_folder(profile: Profile, kind: str) -> Path:
    """The checkpoint that the profile names; else the shipped one, or a place in the store for other models.

    kind: `taxonomy` or `greedy`, the labels it was trained on; or `packed`, one pass for all criteria
    """
    settings = profile.discriminator
    if settings.checkpoint:
        chosen = REPOSITORY / settings.checkpoint
    else:
        chosen = SHIPPED if settings.model == SHIPPED.name else own_folder(profile)
    return beside(chosen, kind)


def own_folder(profile: Profile) -> Path:
    """Where a discriminator that is trained for the profile belongs."""
    return store.root() / "discriminators" / Path(profile.discriminator.model).name


def beside(folder: Path, kind: str) -> Path:
    """The others lie beside the one that reads one criterion at a time and is trained on taxonomy labels."""
    return folder if kind == "taxonomy" else folder.with_name(f"{folder.name}-{kind}")


def weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def how_to_get_one(profile: Profile, kind: str = "taxonomy") -> str:
    """A discriminator on text: from somewhere else, or trained on labels by rule, or after the paper by an LLM."""
    named = "name a folder with one as discriminator.checkpoint"
    training, changed = f"-m rtt_lib.run.train_discriminator {profile.name}", ""
    labels, answers = "LABELS.jsonl", " --omitter URL Qwen/Qwen3-4B-Instruct-2507"
    if kind == "packed":
        training += " --packed"
    if kind == "greedy":  # other labels, on the responses of the first
        changed, answers = " --set discriminator.annotator=greedy", f"{answers} --answers {labels}.answers"
        labels = "GREEDY.jsonl"
    if profile.data.source in CONSTRUCTED:
        return f"{named}, or train one on labels by rule: python {training}{changed}"
    return (
        f"{named}, or make one after the paper, its labels by an LLM: python -m rtt_lib.run.make_labels "
        f"{profile.name} {labels}{answers}{changed}, then accelerate launch {training} --labels {labels}{changed}"
    )
