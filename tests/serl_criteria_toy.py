"""python serl_criteria_toy.py FOLDER: one step of SERL by criterion, in one process or under torchrun in two.

Leaves what every row of it was given, and the policy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from serl_toy import Ruled, make

from rtt_lib.files import write_json
from rtt_lib.methods.serl_criteria import CriteriaSERLTrainer
from rtt_lib.relevance.sources import Oracle
from rtt_lib.worlds.micro.world import without_criterion


class RuledByCriterion(Ruled, CriteriaSERLTrainer):
    """What is generated depends on its place and on the question alone."""


def by_criterion(folder: Path, cls=RuledByCriterion, relevance=None, **changes) -> CriteriaSERLTrainer:
    extra = {"relevance": relevance or Oracle(), "without": without_criterion, "token_beta": 0.5}
    return make(folder, cls=cls, extra=extra, **changes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    trainer = by_criterion(folder)
    trainer.train()
    rank, kept = trainer.accelerator.process_index, trainer.kept
    rows = {"advantages": kept["advantages"].tolist(), "mask": kept["completion_mask"].tolist()}
    write_json(folder / f"rows{rank}.json", rows)
    if rank == 0:
        trainer.save_model(str(folder / "model"))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
