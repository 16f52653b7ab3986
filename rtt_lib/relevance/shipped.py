"""The SmolLM2-135M discriminators that ship with the package."""

from __future__ import annotations

from pathlib import Path

from rtt_lib.errors import RTTError

SHIPPED = Path(__file__).parent / "checkpoints" / "smollm2-135m"


def load(model: Path | None):
    """The named discriminator, of either kind, or the shipped adapter on SmolLM2-135M."""
    if model is None and not SHIPPED.is_dir():
        raise RTTError(
            f"{SHIPPED}: the shipped discriminator is not there: install the package with its data, or name one of "
            "your own with --model"
        )
    quiet()
    from rtt_lib.relevance.packed import load_discriminator

    return load_discriminator(model or SHIPPED)


def quiet() -> None:
    """Standard output belongs to the answer: no progress bars, no remarks from transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
