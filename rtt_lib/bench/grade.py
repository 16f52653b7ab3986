"""`rtt grade`: anyone's responses to a benchmark, verdict by verdict.

Rules decide IFEval, IFBench, MulDimIF and a part of FollowBench. A judge decides the rest of FollowBench, InFoBench and
AdvancedIF.

Undecided verdicts (null) are left out of the accuracy over instructions. Responses that have one are left out of the
accuracy over prompts. The summary says how many were left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtt_lib.command import count, end_with
from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl, write_jsonl
from rtt_lib.machine import cores
from rtt_lib.rubrics.benchmarks import BenchmarkRow, field, read_rows
from rtt_lib.verify.loose import loose_verdict, strict_verdict
from rtt_lib.verify.registry import find_rule
from rtt_lib.verify.verdict import aon

RULED = ("ifeval", "ifbench", "muldimif")
FOLLOWBENCH, INFOBENCH, ADVANCEDIF = "followbench", "infobench", "advancedif"
JUDGED = {FOLLOWBENCH: "prompt", INFOBENCH: "id", ADVANCEDIF: "id"}  # what a response is matched to its prompt by
Values = list[bool | None]
PIECE = 20  # responses that a process grades at a time
# Starting a process takes longer than grading fewer responses than this. A forked one has everything loaded.
START, PER_PROCESS = ("fork", 100) if sys.platform == "linux" else ("spawn", 1000)
ABOUT = """\
Grade responses. RESPONSES holds one JSON object a line: {"prompt": ..., "response": ...}, for MulDimIF {"id": ...,
"response": ...}; further fields are ignored, several responses to one prompt are graded each on its own, names ending
in .gz are read compressed. OUT gets one line per response, in the same order: {"key": ..., "strict": [...],
"loose": [...]}, for MulDimIF {"id": ..., "verdicts": [...], "verdicts_parsed": [...]}, one entry per constraint, null
where it could not be decided. A summary with the accuracies goes to standard output.

For FollowBench --data is the folder of its six files, or one file with their rows, and OUT gets {"id": ...,
"verdicts": [...]}: one entry where a rule decides the level as a whole, else one for each constraint. Rules decide 350
of its 820 prompts. Of the others a judge, --judge-url and --judge-model, is asked about each constraint; without one
their verdicts are null. The summary holds HSR, SSR and CSL (rtt_lib.bench.followbench).

For InFoBench and AdvancedIF RESPONSES holds {"id": ..., "response": ...}, and OUT gets {"id": ..., "verdicts": [...]}.
The judge decides all their criteria; without one every verdict is null. --data is a file with the published rows, or
the data set's id on the hub. The rows of AdvancedIF have no id: row n, or line n of a .jsonl file, is advancedif-n. The
summary holds InFoBench's DRFR, the share of all questions that are answered yes. Of AdvancedIF it holds
overall_pass_rate, the share of responses that satisfy their whole rubric, and micro_pass_rate, the share of all
criteria that are satisfied."""
UNDECIDED = """\
Undecided verdicts are left out of the accuracy over instructions, and responses with an undecided verdict out of the
accuracy over prompts, whatever their other verdicts. The same holds for InFoBench and AdvancedIF, over criteria and
over responses. The summary counts both kinds."""


@dataclass(frozen=True)
class Answer:
    """One response with the benchmark row it answers."""

    row: BenchmarkRow
    response: str


GradeOne = Callable[[Answer, Counter[str]], dict]
Piece = tuple[list[dict], Counter[str]]  # graded responses, and why verdicts on them are undecided


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    name = options.benchmark
    _spare_nltk_its_own_imports(("nltk",) if name == "ifbench" else ("nltk", "nltk.tokenize"))
    if options.ifbench_version and name != "ifbench":
        raise RTTError(f"--ifbench-version chooses the checkers of ifbench: leave it out to grade {name}")
    if name in JUDGED:
        return _grade_with_judge(options)
    if options.judge_url or options.judge_model:
        raise RTTError(f"--judge-url and --judge-model are for {', '.join(JUDGED)}: rules decide all of {name}")
    if options.ifbench_version == "head":
        name = "ifbench-head"
    with _what_is_read_stays():
        rows = read_rows(name, options.data)
        answers = read_answers(options.responses, rows, "id" if name == "muldimif" else "prompt")
    grade_one = grade_muldimif if name == "muldimif" else grade_instructions
    graded, reasons = grade_all(grade_one, answers, options.processes or cores())
    _write(options.out, graded)
    answered = {answer.row.key for answer in answers}
    summary = {"benchmark": name, "prompts_without_response": len(rows) - len(answered), **summarise(graded)}
    summary["undecided_reasons"] = dict(reasons)
    print(json.dumps(summary, indent=2))
    return 0


def _grade_with_judge(options: argparse.Namespace) -> int:
    # what speaks to a judge is slow to import, and the other benchmarks need none of it
    from rtt_lib.bench import followbench
    from rtt_lib.endpoint import Endpoint
    from rtt_lib.rubrics.sources import load_prompts
    from rtt_lib.verify.followbench import LevelVerifier
    from rtt_lib.verify.judge import Judge

    name = options.benchmark
    if options.processes:
        raise RTTError(f"--processes is for {', '.join(RULED)}: of {name} a judge decides, many questions at once")
    if bool(options.judge_url) != bool(options.judge_model):
        raise RTTError("name both: --judge-url and --judge-model")
    judge = Judge(Endpoint(options.judge_url, options.judge_model)) if options.judge_url else None
    prompts = load_prompts(name, options.data)
    rows = [BenchmarkRow(str(options.data), prompt.id, prompt) for prompt in prompts]
    answers = read_answers(options.responses, rows, JUDGED[name])
    asked = [answer.row.prompt for answer in answers]
    verdicts = LevelVerifier(judge)(
        [prompt.prompt for prompt in asked],
        [answer.response for answer in answers],
        [prompt.criteria for prompt in asked],
    )
    ids, values = [prompt.id for prompt in asked], [[verdict.value for verdict in row] for row in verdicts]
    _write(options.out, [{"id": id, "verdicts": row} for id, row in zip(ids, values, strict=True)])
    reasons = Counter(verdict.reason for row in verdicts for verdict in row if verdict.value is None)
    summary = {"benchmark": name, "prompts_without_response": len(prompts) - len(set(ids))}
    scores = followbench.summarise(ids, values) if name == FOLLOWBENCH else summarise_judged(name, values)
    print(json.dumps(summary | scores | {"undecided_reasons": dict(reasons)}, indent=2))
    return 0


def _write(path: Path, graded: Sequence[dict]) -> None:
    try:
        write_jsonl(path, graded)
    except OSError as error:
        raise RTTError(f"{path}: cannot be written ({error.strerror})") from error


def _spare_nltk_its_own_imports(packages: Sequence[str]) -> None:
    """Spare this short command much of its time: nltk's packages import all that they have, the rules use little of it.

    An empty package of the same name finds the same modules. numpy and others are for parts that nobody uses here.
    IFBench reads a corpus of nltk, which needs all of nltk.tokenize.
    """
    if "nltk" in sys.modules:
        return
    for name in packages:
        spec = importlib.util.find_spec(name)
        sys.modules[name] = importlib.util.module_from_spec(spec)  # which is not executed
    sys.modules["nltk"].grammar = sys.modules["nltk"].sem = None  # what nltk.data takes from it for other kinds of file
    unused = [name for name in ("numpy", "scipy", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # None: what an import finds for a module that is not installed
    try:
        import nltk.tokenize.punkt  # noqa: F401
        from nltk.tokenize.destructive import NLTKWordTokenizer
    finally:
        for name in unused:
            del sys.modules[name]
    sys.modules["nltk.tokenize"].NLTKWordTokenizer = NLTKWordTokenizer  # the one name that the rules import from it


@contextlib.contextmanager
def _what_is_read_stays() -> Iterator[None]:
    """Keep the collector of cycles away from what is read, also when a process ends: that takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "rtt grade", description=ABOUT, epilog=UNDECIDED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", choices=(*RULED, *JUDGED))
    parser.add_argument("responses", type=Path, metavar="RESPONSES", help="the responses, JSONL")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the benchmark's published input file; of infobench and advancedif also its id on the hub, "
        "kqsong/InFoBench or facebook/AdvancedIF",
    )
    parser.add_argument("--out", type=Path, required=True, help="where the verdicts go, JSONL")
    parser.add_argument(
        "--ifbench-version",
        choices=("2025", "head"),
        help="of ifbench alone: the checkers of the paper's time, 2025 (default), or head, those of the IFBench "
        "repository in August 2026; 18 of 3,350 verdicts differ",
    )
    parser.add_argument(
        "--processes",
        type=count,
        metavar="N",
        help=f"for {', '.join(RULED)}: processes that share the work; by default one for each core, fewer where "
        "responses are few",
    )
    parser.add_argument("--judge-url", metavar="URL", help=f"for {', '.join(JUDGED)}: an OpenAI-compatible server")
    parser.add_argument("--judge-model", metavar="MODEL", help="its model; the key, if any, is read from $RTT_API_KEY")
    return parser


def read_answers(path: Path, rows: Sequence[BenchmarkRow], by: str) -> list[Answer]:
    """The responses of `path`, each matched to its row by `by`: the prompt's exact text, or the item's id."""
    known = {row.prompt.id if by == "id" else row.prompt.prompt: row for row in rows}
    answers = []
    for number, line in read_jsonl(path):
        where = f"{path}:{number}"
        name = str(field(line, by, (str, int) if by == "id" else str, where))
        response = field(line, "response", str, where)
        if name not in known:
            raise RTTError(f"{where}: this {by} is not in the benchmark file: {name[:80]!r}")
        answers.append(Answer(known[name], response))
    if not answers:
        raise RTTError(f"{path}: holds no responses")
    return answers


def grade_all(grade_one: GradeOne, answers: Sequence[Answer], processes: int) -> Piece:
    """Every response by `grade_one`, in order, and why verdicts are undecided. Few responses need no further process.

    Whatever the number of processes, the first response that cannot be graded is the one in the error.
    """
    pieces = [answers[start : start + PIECE] for start in range(0, len(answers), PIECE)]
    work, workers = partial(_grade_piece, grade_one), min(processes, len(answers) // PER_PROCESS)
    done = _by_processes(work, pieces, workers) if workers > 1 else [work(piece) for piece in pieces]
    reasons: Counter[str] = Counter()
    for _, found in done:
        reasons.update(found)
    return [row for rows, _ in done for row in rows], reasons


def _by_processes(
    work: Callable[[Sequence[Answer]], Piece], pieces: Sequence[Sequence[Answer]], workers: int
) -> list[Piece]:
    import multiprocessing  # what few responses need not wait for
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context(START), _begin_process, (os.getpid(),)) as pool:
            return list(pool.map(work, pieces))
    except BrokenProcessPool as error:
        raise RTTError("a process was ended from outside, perhaps for want of memory: try --processes 1") from error


def _begin_process(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers to it
    end_with(parent)


def _grade_piece(grade_one: GradeOne, answers: Sequence[Answer]) -> Piece:
    reasons: Counter[str] = Counter()
    return [grade_one(answer, reasons) for answer in answers], reasons


def grade_instructions(answer: Answer, reasons: Counter[str]) -> dict:
    """Strict and loose verdicts on one response to IFEval or IFBench; why one is undecided is counted in `reasons`."""
    strict: Values = []
    loose: Values = []
    prompt, response = answer.row.prompt.prompt, answer.response
    for criterion in answer.row.prompt.criteria:
        rule = find_rule(criterion.verifier)
        try:
            as_it_is = strict_verdict(rule, criterion.args, prompt, response)
            relaxed = loose_verdict(rule, criterion.args, prompt, response, as_it_is)
        except RTTError as error:
            raise RTTError(f"{answer.row.where}: {criterion.verifier}: {error}") from error
        strict.append(as_it_is.value)
        loose.append(relaxed.value)
        undecided = (verdict.reason for verdict in (as_it_is, relaxed) if verdict.value is None)
        reasons.update(dict.fromkeys(undecided, 1))  # once, in this order, whichever process counts
    return {"key": answer.row.key, "strict": strict, "loose": loose}


def grade_muldimif(answer: Answer, reasons: Counter[str]) -> dict:
    """Official-compatible verdicts, and beside them null where the official parser has no rule for the wording."""
    from rtt_lib.verify.muldimif import parsed

    verdicts: Values = []
    only_parsed: Values = []
    for criterion in answer.row.prompt.criteria:
        try:
            verdict = find_rule(criterion.verifier).check(criterion.args, answer.row.prompt.prompt, answer.response)
            has_rule = parsed(criterion.args)
        except RTTError as error:
            raise RTTError(f"{answer.row.where}: {criterion.text[:80]!r}: {error}") from error
        verdicts.append(verdict.value)
        only_parsed.append(verdict.value if has_rule else None)
        reasons.update([verdict.reason] if verdict.value is None else [])
    return {"id": answer.row.key, "verdicts": verdicts, "verdicts_parsed": only_parsed}


def summarise(graded: Sequence[dict]) -> dict:
    """Accuracies per reading of the verdicts (strict, loose; verdicts, verdicts_parsed); null if nothing is known."""
    readings = [name for name in graded[0] if name not in ("key", "id")]
    first = readings[0]
    return {
        "responses": len(graded),
        "instructions": sum(len(row[first]) for row in graded),
        "undecided": sum(row[first].count(None) for row in graded),
        **{name: _accuracies([row[name] for row in graded]) for name in readings},
    }


def summarise_judged(benchmark: str, rows: Sequence[Values]) -> dict:
    """The published scores of InFoBench or AdvancedIF; null if nothing is known."""
    found = _accuracies(rows)
    counts = {
        "responses": len(rows),
        "undecided_responses": found["undecided_prompts"],
        "undecided_verdicts": found["undecided_instructions"],
    }
    if benchmark == INFOBENCH:
        return counts | {"drfr": found["instruction_accuracy"]}
    return counts | {"overall_pass_rate": found["prompt_accuracy"], "micro_pass_rate": found["instruction_accuracy"]}


def prompt_score(values: Values) -> float:
    """1 if every constraint is satisfied, 0 if one is violated, NaN if one is undecided.

    This is not the reward `aon`, for which one violation is enough. By that rule a response with an undecided verdict
    would count if another verdict is violated, and be left out if the others hold: only its failures would count.
    """
    return math.nan if None in values else aon(values)


def _accuracies(rows: Sequence[Values]) -> dict:
    known = [value for row in rows for value in row if value is not None]
    prompts = [score for score in map(prompt_score, rows) if not math.isnan(score)]
    return {
        "prompt_accuracy": sum(prompts) / len(prompts) if prompts else None,
        "instruction_accuracy": sum(known) / len(known) if known else None,
        "undecided_prompts": len(rows) - len(prompts),
        "undecided_instructions": sum(len(row) for row in rows) - len(known),
    }
