"""The benchmarks by name: their files, and their prompts from a file or the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rtt_lib.errors import RTTError
from rtt_lib.profile import Profile
from rtt_lib.rubrics.benchmarks import read_benchmark
from rtt_lib.rubrics.sources import load_prompts
from rtt_lib.schema import RubricPrompt

FILES = {"ifeval": "ifeval.jsonl", "ifbench": "ifbench.jsonl", "muldimif": "muldimif.json"}
# Graded by a judge, or questions with one right answer: from the hub, or from a file <name>.jsonl, .csv or .parquet;
# FollowBench also from a folder `followbench` of its files.
DATA_SETS = ("advancedif", "followbench", "math500", "gpqa", "mmlu-pro")
ENDINGS = (".jsonl", ".csv", ".parquet")
TITLES = {
    "ifeval": "IFEval",
    "ifbench": "IFBench",
    "muldimif": "MulDimIF",
    "advancedif": "AdvancedIF",
    "followbench": "FollowBench",
    "math500": "MATH-500",
    "gpqa": "GPQA",
    "mmlu-pro": "MMLU-Pro",
}


def benchmark_files(profile: Profile) -> dict[str, Path]:
    """The benchmarks' files that are here: in `data.path`, or in `benchmarks` of RTT_TEST_DATA."""
    folders = [Path(profile.data.path)] if profile.data.path else []
    if "RTT_TEST_DATA" in os.environ:
        folders.append(Path(os.environ["RTT_TEST_DATA"], "benchmarks"))
    found = {}
    wanted = {name: [file] for name, file in FILES.items()}
    wanted |= {name: [name + ending for ending in ENDINGS] for name in DATA_SETS}
    wanted["followbench"].append("followbench")
    for name, names in wanted.items():
        here = [folder / file for folder in folders for file in names if (folder / file).exists()]
        if here:
            found[name] = here[0]
    return found


def prompts_of(name: str, files: Mapping[str, Path]) -> list[RubricPrompt]:
    """A benchmark's prompts, from its file or the hub."""
    if name in files and name in FILES:
        return read_benchmark(name, files[name])
    from rtt_lib.models import hub_answers  # slow to import

    if name not in files and not hub_answers():
        raise RTTError("its file is neither in data.path nor in RTT_TEST_DATA/benchmarks, and the hub does not answer")
    return load_prompts(name, files.get(name))
