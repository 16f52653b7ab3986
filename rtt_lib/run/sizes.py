"""How large models are, as far as their names say it."""

from __future__ import annotations

import re

OWN_WEIGHTS = {"micro": 0.0005, "smollm2-135m": 0.135}  # billions, of models whose names do not say so


def billions_of(model: str) -> float | None:
    """Billions of weights as the model's name states them; None where it does not."""
    found = re.search(r"(\d+(?:\.\d+)?)[bB](?![a-zA-Z])", model)
    return OWN_WEIGHTS.get(model, float(found.group(1)) if found else None)
