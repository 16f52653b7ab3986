"""Does RL lose anything with the discriminator that reads all criteria in one pass? Fixed before any of its runs.

Six paired differences, packed minus per criterion: the two arms of RTT in the worlds L, M and U, each in the measure
that it is rewarded by, over five base policies. Holm's p-values are over the six. A difference is shown where the
verdict is supported or contradicted; negligible means alike within two points (`rtt_lib.analysis.contrasts`).

    python -m rtt_lib.analysis.packed_rl [RESULTS]     writes RESULTS/tables/packed_rl.csv
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rtt_lib.analysis.contrasts import Contrast, decide, results_table
from rtt_lib.command import guarded
from rtt_lib.profile import RESULTS
from rtt_lib.studies.records import published_table
from rtt_lib.tables import markdown_table, save_table

REWARDED_BY = {"RTT-AON": "all satisfied", "RTT-CSR": "per constraint"}
COMPARISONS = tuple(
    Contrast(f"{arm} {world}", "One pass is better", {f"{arm} packed": 1, arm: -1}, measure, world)
    for arm, measure in REWARDED_BY.items()
    for world in ("L", "M", "U")
)


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    results = Path(given[0]) if given else RESULTS / "packed"
    table = results_table(decide(COMPARISONS, published_table(results))).drop(columns=["published", "limit"])
    save_table(table, "packed_rl", results)
    print(markdown_table(table))


if __name__ == "__main__":
    sys.exit(guarded(main))
