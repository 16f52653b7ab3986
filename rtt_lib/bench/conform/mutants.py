"""Would the conformance set notice a slip in one of our own checkers? Small changes to each, one at a time.

    python -m rtt_lib.bench.conform.mutants [SHARE] > survivors.txt

A change is an off by one, a strip or a change of case left out, any for all, and for or, a lost `not`. It is noticed if
one stored verdict comes out differently. Left out are changes to what checks arguments (the set has right ones only),
to reasons, and those that change where the evidence lies on some item but no verdict.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import rtt_lib.verify
from rtt_lib.bench.conform.items import Item, read

VERIFY = Path(rtt_lib.verify.__file__).parent
# The files of each family's checkers, and the benchmarks whose items they answer.
FAMILIES = {
    "ifeval.py": ("ifeval",),
    "ifbench/*.py": ("ifbench", "ifbench-head"),
    "muldimif/*.py": ("muldimif",),
    "text.py": ("ifeval", "ifbench", "ifbench-head", "muldimif"),
}
# What checks arguments, names things, or makes evidence out of a verdict that is already there.
NOT_CHECKERS = {
    "text_arg", "count_arg", "words_arg", "relation_arg", "keyword_pattern", "number", "index", "words_of", "parsed",
    "_constraint", "place", "verifier_id", "category", "nltk_missing", "needs_nltk", "__str__", "locate", "match_spans",
    "span", "token_spans", "spans_of", "_listed", "_spans", "_relevant", "_too_deep", "_evidence", "_ends", "find_all",
    "understood",
}  # fmt: skip
# Changes that no response can show, with the reason.
AS_FIRST = "only the first piece of the split is used"
SPLIT_LATER = "what follows looks for words, and white space at the ends adds none"
OPENED = "the first bracket makes it 1"
NEVER = "cannot be so"
PLACES = "shifts the place of evidence"
EQUIVALENT = {
    ("text.py", "module", "64  ->  65"): "how many texts are remembered",
    ("text.py", "language", "0  ->  1"): "a seed, and the set holds the verdicts that no seed changes",
    ("ifeval.py", "_first_word", "1  ->  2"): AS_FIRST,
    ("ifeval.py", "number_placeholders", "1  ->  2"): "the character after the last ] of a line ends no placeholder",
    ("ifeval.py", "letter_frequency", "text_arg(args, 'letter').strip()  ->  text_arg(args, 'letter')"):
        "the official code draws a letter where white space makes the argument longer than one",
    ("ifeval.py", "json_format", "body.removesuffix('```').strip()  ->  body.removesuffix('```')"):
        "JSON may stand between white space",
    ("ifeval.py", "repeat_prompt", "response[start:].rstrip()  ->  response[start:]"): "only the beginning is compared",
    ("ifeval.py", "end_checker", "0  ->  1"): PLACES,
    ("ifbench/common.py", "tokens", "position < len(response)  ->  position <= len(response)"): NEVER,
    ("ifbench/custom.py", "mcq_count_length", "part.strip()  ->  part"): "the split takes white space with the number",
    ("ifbench/custom.py", "csv_special_character", "1  ->  2"): AS_FIRST,
    ("ifbench/custom.py", "_quotes_something_special", "1  ->  2"): AS_FIRST,
    ("ifbench/custom.py", "csv_quotes", "1  ->  2"): AS_FIRST,
    ("ifbench/custom.py", "date_format_list", "99  ->  100"): "a day has two digits",
    ("ifbench/format.py", "parentheses", "0  ->  1"): OPENED,
    ("ifbench/format.py", "quotes", "0  ->  1"): OPENED,
    ("ifbench/format.py", "thesis", "close < 0  ->  close <= 0"): NEVER,
    ("ifbench/format.py", "thesis", "0  ->  1"): NEVER,
    ("ifbench/sentences.py", "module", "6  ->  7"): PLACES,
    ("ifbench/sentences.py", "module", "4  ->  5"): PLACES,
    ("ifbench/sentences.py", "split_2025", "piece.rstrip()  ->  piece"): PLACES,
    ("ifbench/sentences.py", "split_2025", "0  ->  1"): PLACES,
    ("ifbench/words.py", "module", "100  ->  101"): "100 is no prime",
    ("ifbench/words.py", "odd_even_syllables", "word.text.lower()  ->  word.text"): "syllapy takes no notice of case",
    ("ifbench/words.py", "last_first", "1  ->  2"): AS_FIRST,
    ("ifbench/words.py", "start_verb", "3  ->  4"): "the tag of the first word needs two more",
    ("muldimif/keywords.py", "KeywordRule", "1  ->  2"): "no rule with keywords keeps the default",
    ("muldimif/keywords.py", "parse", "match[1].lower()  ->  match[1]"): "the name is compared without case",
    ("muldimif/keywords.py", "_parts", "line.split('.', 1)[1].strip()  ->  line.split('.', 1)[1]"): SPLIT_LATER,
    ("muldimif/keywords.py", "_sections", "0  ->  1"): "all characters of the line are the same",
    ("muldimif/keywords.py", "_sections", "'\\n'.join(lines).strip()  ->  '\\n'.join(lines)"): SPLIT_LATER,
    ("muldimif/keywords.py", "_table_column", "not headers or not table  ->  not headers and (not table)"):
        "a table without rows has no cells either",
    ("muldimif/keywords.py", "_table_column",
     "re.sub('^#+\\\\s*', '', row[header]).strip()  ->  re.sub('^#+\\\\s*', '', row[header])"): SPLIT_LATER,
    ("muldimif/languages.py", "parse_english", "text.strip()  ->  text"): SPLIT_LATER,
    ("muldimif/languages.py", "extract", "cell.strip()  ->  cell"): SPLIT_LATER,
    ("muldimif/layout.py", "bullet_items", "line.split(' ', 1)[1].strip()  ->  line.split(' ', 1)[1]"): SPLIT_LATER,
    ("muldimif/markdown.py", "_parse_headings", "1  ->  2"): "the second group is a title, no level",
    ("muldimif/markdown.py", "_levels", "0  ->  1"): "the patterns let numbers through alone",
    ("muldimif/punctuation.py", "parse", "text.strip().lower().rstrip('.')  ->  text.strip().lower()"): SPLIT_LATER,
    ("muldimif/punctuation.py", "parse", "text.strip()  ->  text"): SPLIT_LATER,
    ("muldimif/punctuation.py", "check", "rule.unit == 'sentence'  ->  rule.unit != 'sentence'"):
        "says what is missing where the nltk data are",
    ("muldimif/structured.py", "parse_nesting", "text.lower()  ->  text"): "the patterns take no notice of case",
    ("muldimif/structured.py", "fenced", "1  ->  2"): "any negative number says that there is no end",
    ("muldimif/structured.py", "fenced", "end >= 0  ->  end > 0"): NEVER,
    ("muldimif/structured.py", "fenced", "0  ->  1"): NEVER,
    ("muldimif/tables.py", "table_lines", "1  ->  2"): "the character after the last bar begins no line of its own",
    ("muldimif/tables.py", "check", "0  ->  1"): "a rule about columns has answered by then",
    ("muldimif/tables.py", "check_row_cap", "len(line) > 1  ->  len(line) >= 1"): "a single bar has no cells",
    ("muldimif/wording.py", "read_compound", "text.strip()  ->  text"): "the patterns capture none",
    ("muldimif/words.py", "parse", "text.lower().strip('\"').strip()  ->  text.lower().strip('\"')"): SPLIT_LATER,
    ("muldimif/words.py", "parse", "text.strip()  ->  text"): SPLIT_LATER,
    ("muldimif/words.py", "_parts",
     "line.split(':', 1)[-1].split('.', 1)[-1].strip()  ->  line.split(':', 1)[-1].split('.', 1)[-1]"): SPLIT_LATER,
    ("muldimif/words.py", "_lines", "line.lstrip('#').strip()  ->  line.lstrip('#')"): SPLIT_LATER,
}  # fmt: skip
SECONDS = 60  # of CPU time; an endless loop is noticed


@dataclass(frozen=True)
class Mutant:
    """One change: where, which, and what came of it (`noticed`, `evidence`: only spans change, `survived`)."""

    file: str
    function: str
    line: int
    kind: str
    change: str
    number: int  # the how many-th place of its file
    outcome: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.function, self.change


# ------------------------------------------------------------------------------------------------- making the changes

COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
STRIPS, CASES = ("strip", "lstrip", "rstrip"), ("lower", "upper", "casefold")


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(kind, the changed node) for each small change that this node allows."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        changed = copy.deepcopy(node)
        changed.ops[0] = COMPARED[type(node.ops[0])]()
        yield "off by one" if not isinstance(node.ops[0], ast.Eq | ast.NotEq) else "not", changed
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in (*STRIPS, *CASES):
        yield "strip" if node.func.attr in STRIPS else "case", node.func.value
    elif isinstance(node, ast.Attribute) and node.attr == "IGNORECASE":
        yield "case", ast.Constant(0)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("any", "all"):
        other = {"any": "all", "all": "any"}[node.func.id]
        yield "any/all", ast.Call(ast.Name(other, ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.BoolOp):
        yield "any/all", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not", node.operand


class _Places(ast.NodeTransformer):
    """Counts the places where something can be changed, and changes the one that is wanted."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted, self.found, self.functions = wanted, [], ["module"]

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
            return node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return self._visit_inside(node)
        for kind, changed in _changes(node):
            number = len(self.found)
            change = f"{_shown(node)}  ->  {_shown(changed)}"
            self.found.append((self.functions[-1], node.lineno, kind, change))
            if number == self.wanted:
                return ast.copy_location(changed, node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Verdict":
            node.args[:1] = [self.visit(node.args[0])]  # the other arguments are reasons and evidence
            return node
        return self.generic_visit(node)

    def _visit_inside(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if node.name in NOT_CHECKERS:
            return node
        self.functions.append(node.name)
        node.body = [self.visit(child) for child in node.body]  # without decorators, defaults and annotations
        self.functions.pop()
        return node


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 70 else text[:67] + "..."


def mutants(pattern: str) -> list[Mutant]:
    """All changes to the files of a family."""
    found = []
    for file in sorted(VERIFY.glob(pattern)):
        places = _Places()
        places.visit(ast.parse(file.read_text()))
        name = str(file.relative_to(VERIFY))
        found += [Mutant(name, *place, number) for number, place in enumerate(places.found)]
    return found


def changed_module(mutant: Mutant) -> ast.Module:
    tree = _Places(mutant.number).visit(ast.parse((VERIFY / mutant.file).read_text()))
    return ast.fix_missing_locations(tree)


# ---------------------------------------------------------------------------------------------------- trying them out


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds one module of ours in its changed form, and lets Python's loader run it as it runs any module."""

    def __init__(self, mutant: Mutant) -> None:
        parts = Path(mutant.file).with_suffix("").parts
        self.package = parts[-1] == "__init__"
        self.name = ".".join(("rtt_lib", "verify", *parts[: -1 if self.package else None]))
        self.file = VERIFY / mutant.file
        self.source = ast.unparse(changed_module(mutant))

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self.file), is_package=self.package)
        if self.package:
            spec.submodule_search_locations = [str(self.file.parent)]
        return spec

    def is_package(self, name: str) -> bool:
        return self.package

    def get_source(self, name: str) -> str:
        return self.source


Decided = tuple[bool | None, tuple]  # value and spans of a verdict


def _decider(benchmark: str) -> Callable[[str, Any, str, str], Decided]:
    """What the rules say, by the modules that are loaded now."""
    find_rule = importlib.import_module("rtt_lib.verify.registry").find_rule

    def decide(name: str, args: Any, prompt: str, response: str) -> Decided:
        verdict = find_rule(f"{benchmark}:{name}").check(args, prompt, response)
        return verdict.value, verdict.spans

    return decide


Question = tuple[str, str, Any, str, str, bool, tuple]  # benchmark, check, args, prompt, response, official, spans


Used = dict[tuple[str, str], set[tuple[str, str]]]  # (file, function) -> the (benchmark, check)s that call it


def questions(benchmarks: Sequence[str]) -> tuple[list[Question], Used]:
    """What to ask, the checks in turn so that a difference shows early, with the verdict and today's evidence; and
    which checks call which functions, seen while they decide."""
    rows: dict[tuple[str, str], list[Question]] = {}
    used: Used = {}
    for benchmark in benchmarks:
        decide = _decider(benchmark)
        for item in _shuffled(read(benchmark)):
            for (name, args), value in zip(item.checks, item.verdicts[benchmark], strict=True):
                if value is not None:
                    with _watched(used, (benchmark, name)):
                        spans = decide(name, args, item.prompt, item.response)[1]
                    row = (benchmark, name, args, item.prompt, item.response, value, spans)
                    rows.setdefault((benchmark, name), []).append(row)
    return [row for turn in zip_longest(*rows.values()) for row in turn if row is not None], used


@contextlib.contextmanager
def _watched(used: Used, check: tuple[str, str]) -> Iterator[None]:
    """Note the functions of ours that run in here as used by the check."""

    def note(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(VERIFY)):
            used.setdefault((os.path.relpath(code.co_filename, VERIFY), code.co_name), set()).add(check)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def _shuffled(items: list[Item]) -> list[Item]:
    return random.Random(0).sample(items, len(items))


def outcome(mutant: Mutant, asked: Sequence[Question]) -> str:
    """What the set says about a mutant; to be called in a process of its own, for the change stays loaded."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # then SIGPROF ends the process
    for name in [name for name in sys.modules if name.startswith("rtt_lib.verify.")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(mutant))
    try:
        deciders = {benchmark: _decider(benchmark) for benchmark in {row[0] for row in asked}}
        evidence = False
        for benchmark, name, args, prompt, response, value, spans in asked:
            found = deciders[benchmark](name, args, prompt, response)
            if found[0] is not value:
                return "noticed"
            evidence = evidence or found[1] != spans
    except Exception:  # a checker that raises is noticed as well
        return "noticed"
    return "evidence" if evidence else "survived"


def _in_a_child(mutant: Mutant, asked: Sequence[Question]) -> Mutant:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, outcome(mutant, asked).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not said and not os.WIFSIGNALED(status):
        raise RuntimeError(f"no outcome of {mutant}")
    return replace(mutant, outcome=said or "noticed")


def try_out(pattern: str, share: float = 1.0) -> list[Mutant]:
    """The outcome of a random share of a family's mutants."""
    found = mutants(pattern)
    chosen = random.Random(0).sample(found, max(1, round(share * len(found))))
    asked, used = questions(FAMILIES[pattern])
    tried = []
    for mutant in sorted(chosen, key=lambda m: (m.file, m.number)):
        checks = used.get((mutant.file, mutant.function))  # None: it runs when the module is loaded
        tried.append(_in_a_child(mutant, [row for row in asked if checks is None or row[:2] in checks]))
    return tried


def report(tried: Sequence[Mutant]) -> str:
    """How many were noticed, by kind of change, and the survivors."""
    lines = []
    for name in sorted({mutant.kind for mutant in tried}):
        lines.append(f"{name:<12}{_noticed([mutant for mutant in tried if mutant.kind == name])}")
    lines += [f"{'all':<12}{_noticed(tried)}", ""]
    for mutant in tried:
        if mutant.outcome == "survived" and mutant.key not in EQUIVALENT:
            lines.append(f"{mutant.file}:{mutant.line} {mutant.function}: {mutant.kind}: {mutant.change}")
    return "\n".join(lines)


def noticed(tried: Sequence[Mutant]) -> float:
    """The share noticed, of those that can change a verdict."""
    counts = _counts(tried)
    return counts["noticed"] / max(1, counts["noticed"] + counts["survived"])


def _counts(tried: Sequence[Mutant]) -> Counter[str]:
    """By outcome; a survivor is `equivalent` where no response can show the change."""
    return Counter(
        "equivalent" if mutant.outcome == "survived" and mutant.key in EQUIVALENT else mutant.outcome
        for mutant in tried
    )


def _noticed(tried: Sequence[Mutant]) -> str:
    counts = _counts(tried)
    told = counts["noticed"] + counts["survived"]
    share = f"{counts['noticed']} of {told} noticed ({noticed(tried):.1%})"
    return f"{share}; {counts['evidence']} change evidence alone, {counts['equivalent']} nothing that can be seen"


def main(words: Sequence[str]) -> None:
    share = float(words[0]) if words else 1.0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rows = pool.starmap(try_out, [(pattern, share) for pattern in FAMILIES])
    print(report([mutant for row in rows for mutant in row]))


if __name__ == "__main__":
    main(sys.argv[1:])
