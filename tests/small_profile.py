"""A profile of the micro world as text, and the message where one does not load."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.studies.profiles import load_profile

SMALL = """\
about: a test
data:
  source: micro
policy:
  model: micro
  pretrain_steps: 5
discriminator:
  model: micro
rl:
  steps: 150
  learning_rate: 1e-6
experiments:
  core:
    arms: [RL-AON]
    seeds: [A0, B1]
    worlds: [L]
evaluation: {prompts: 8}
"""


def message(path: str | Path, **overrides: str) -> str:
    """The message of the RTTError that loading raises; in keywords `__` stands for the dot."""
    with pytest.raises(RTTError) as caught:
        load_profile(path, {key.replace("__", "."): value for key, value in overrides.items()})
    return str(caught.value)
