"""Graders of other packages, each asked the way its own harness asks it. Run by the Python that has the package:

    python ports.py PORT BENCHMARK < questions.jsonl > answers.jsonl

and for the benchmarks' own code `python ports.py official BENCHMARK FOLDER SEED`. Imports nothing of this project. A line
in is {"instruction", "arguments", "prompt", "response"}, a line out {"verdict"} or {"error"}; null stands for a check
that the package does not have.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

Question = dict[str, Any]
Decide = Callable[[Question], bool | None]


def official(benchmark: str, folder: str, seed: str) -> Decide:
    """The benchmarks' own code, as it lies in `folder`. It asks for downloads that are not needed; none is made."""
    import langdetect
    import nltk

    nltk.download = lambda *_, **__: True
    for name in ("spacy", "spacy.cli"):  # IFBench imported it without using it
        module = types.ModuleType(name)
        module.load = module.download = lambda *_, **__: None
        sys.modules[name] = module
    sys.path.insert(0, folder)
    if benchmark == "muldimif":
        return _official_muldimif(Path(folder))
    if benchmark == "ifeval":
        from instruction_following_eval import instructions_registry
    elif benchmark == "ifbench":
        import instructions_registry
    else:
        from ifbench import instructions_registry

    def decide(question: Question) -> bool:
        random.seed(int(seed))
        langdetect.DetectorFactory.seed = int(seed)
        return _as_the_official_script(instructions_registry.INSTRUCTION_DICT, question)

    return decide


def _as_the_official_script(registry: dict, question: Question) -> bool:
    checker = registry[question["instruction"]](question["instruction"])
    checker.build_description(**question["arguments"])
    args = checker.get_instruction_args()
    if args and "prompt" in args:
        checker.build_description(prompt=question["prompt"])
    return bool(question["response"].strip() and checker.check_following(question["response"]))


def _official_muldimif(folder: Path) -> Decide:
    """`evaluation.py` runs an evaluation when imported, so that its table of checkers is read and not executed."""
    import scripts

    tree = ast.parse((folder / "evaluation.py").read_text(encoding="utf-8"))
    (table,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "class_mapping"
    )
    names = {key.value: call.func.id for key, call in zip(table.keys, table.values)}  # noqa: B905 (any Python 3.9)
    checkers = {name: getattr(scripts, name)() for name in set(names.values())}

    def decide(question: Question) -> bool:
        args = question["arguments"]
        return bool(checkers[names[f"{args['type']}_{args['subtype']}"]].check(args["text"], question["response"]))

    return decide


PORTS: dict[str, Callable[..., Decide]] = {"official": official}


def main(words: list[str]) -> None:
    name, *arguments = words
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a package prints is no answer
    decide = PORTS[name](*arguments)
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        try:
            row = {"verdict": decide(json.loads(line))}
        except Exception as error:  # what a harness would stop at
            row = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(row), file=answers)
    answers.close()


if __name__ == "__main__":
    main(sys.argv[1:])
