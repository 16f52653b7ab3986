"""Make the micro models that the package brings: `rtt_lib/shipped/`.

    python -m rtt_lib.run.ship_micro

After a change of code or versions that decides these models, run it and commit the folder. It keeps what is up to date,
makes what is not, and removes the rest. The store's own models are taken where they have the fingerprint.
"""

from __future__ import annotations

import sys

import torch

from rtt_lib import store
from rtt_lib.command import guarded
from rtt_lib.fingerprint import files_below
from rtt_lib.studies.profiles import load_profile
from rtt_lib.worlds.micro.shipped import explain, models, ship

COMMAND = "python -m rtt_lib.run.ship_micro"
PROFILE = "micro"


def main() -> int:
    torch.set_num_threads(1)  # as the workers that train the micro world
    wanted = models(load_profile(PROFILE))
    ship(wanted, COMMAND)
    size = sum(file.stat().st_size for file in files_below(store.SHIPPED))
    print(f"{explain(wanted)}; {size / 1e6:.1f} MB in {store.SHIPPED}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
