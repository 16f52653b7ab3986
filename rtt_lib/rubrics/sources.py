"""Every data set by name, from the hub or from a local file: rows validated one by one, each error names its row.

| name | hub id | becomes |
|---|---|---|
| hir16k | sastpg/HIR-16K | RubricPrompt: rules, sandboxed code and soft criteria, by the row's source type |
| tulu3 | allenai/tulu-3-sft-mixture | Demonstration: a prompt without rubric and a strong LLM's response |
| ifeval, ifbench, muldimif | google/IFEval, allenai/IFBench_test, Junjie-Ye/MulDimIF | RubricPrompt, all hard |
| advancedif, infobench | facebook/AdvancedIF, kqsong/InFoBench | RubricPrompt, all soft |
| math500, gpqa, mmlu-pro | HuggingFaceH4/MATH-500, Idavidrein/gpqa, TIGER-Lab/MMLU-Pro | Question with its answer |
| conifer | ConiferLM/Conifer | Conversation: questions from easy to hard, or with feedback |
| ultrafeedback | HuggingFaceH4/ultrafeedback_binarized | RubricPrompt without criteria, for SERL |

`load_prompts` has one more: followbench, YuxinJiang/FollowBench, whose rows make prompts in groups.

The hub's IFBench is the later state (300 prompts): the 294 of the paper's time need the local file. GPQA is the main
set of 448, which the paper's numbers fit; it and AdvancedIF want their terms accepted on the hub first (HF_TOKEN).
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtt_lib.errors import RTTError
from rtt_lib.files import read_json, read_jsonl
from rtt_lib.rubrics import followbench
from rtt_lib.rubrics.benchmarks import BENCHMARKS, convert_row, field, require_arguments
from rtt_lib.rubrics.conifer.conversations import Conversation, conversation_from_json
from rtt_lib.schema import JUDGE, Criterion, RubricPrompt, chat_text
from rtt_lib.verify import muldimif
from rtt_lib.verify.answers import LETTERS
from rtt_lib.verify.registry import find_rule

log = logging.getLogger(__name__)

MATH_FORM = "{question}\n\nThink it through step by step and put the final answer in \\boxed{{}}."
CHOICE_FORM = (
    "{question}\n\n{options}\n\nThink it through step by step. Let the last line of your reply be "
    '"Answer: LETTER", where LETTER stands for the option you choose.'
)


@dataclass(frozen=True)
class Question:
    """An out-of-domain item: no rubric, one right answer. `kind`: math (answer in \\boxed{}) or choice (a letter)."""

    id: str
    prompt: str
    answer: str
    kind: str
    options: int = 0  # how many there are to choose from

    def as_prompt(self) -> RubricPrompt:
        """Its only criterion is the right answer, so that whatever grades rubrics grades questions too."""
        args = {"answer": self.answer} | ({"options": self.options} if self.options else {})
        criterion = Criterion(f"The answer is {self.answer}.", f"answer:{self.kind}", args)
        return RubricPrompt(self.id, self.prompt, (criterion,), source=self.kind)


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the response that a strong LLM (or a person) gave: SFT and the discriminator's data."""

    prompt: RubricPrompt
    response: str


Item = RubricPrompt | Question | Demonstration | Conversation
Row = Mapping[str, Any]
Convert = Callable[[Row, str, random.Random], Item]


@dataclass(frozen=True)
class Source:
    """Where a data set is on the hub, and how one of its rows becomes an item."""

    hub_id: str
    convert: Convert
    split: str = "train"
    config: str | None = None
    data_files: str | None = None


def load(
    name: str, origin: str | Path | None = None, limit: int | None = None, seed: int = 0, drawn: bool = False
) -> list[Item]:
    """The items of data set `name`: from the hub, or from `origin` (a file, a folder or another hub id).

    `limit`: how many items: the first ones or, if `drawn`, random ones. Where possible, the others are not read at all.
    `seed` draws them, and shuffles the options of GPQA's questions, whose right answer always comes first in the data.
    """
    if name not in SOURCES:
        raise RTTError(f"unknown data set {name!r}: choose one of {', '.join(SOURCES)}")
    source, items, seen = SOURCES[name], [], {}
    for where, row in _rows(source, origin, draw=(limit, seed) if drawn and limit is not None else None):
        if limit is not None and len(items) == limit:
            break
        if not isinstance(row, Mapping):
            raise RTTError(f"{where}: expected an object, found {type(row).__name__}")
        item = source.convert(row, where, random.Random(f"{seed}:{len(items)}"))
        id = item.prompt.id if isinstance(item, Demonstration) else item.id
        if id in seen:
            raise RTTError(f"{where}: id {id!r} was already used at {seen[id]}")
        seen[id] = where
        items.append(item)
    if not items:
        raise RTTError(f"{origin or source.hub_id}: holds no rows")
    _report_unruled(name, items)
    return items


def load_prompts(name: str, origin: str | Path | None = None) -> list[RubricPrompt]:
    """The items of data set `name` as prompts that can be graded; see `load`."""
    if name == followbench.FAMILY:
        if origin is not None and (Path(origin).is_dir() or ".json" in Path(origin).name):
            return followbench.read_followbench(origin)
        return followbench.prompts_of_rows(_followbench_rows(origin))
    prompts = [item.as_prompt() if isinstance(item, Question) else item for item in load(name, origin)]
    if not all(isinstance(prompt, RubricPrompt) for prompt in prompts):
        raise RTTError(f"data set {name!r} has responses and no rubrics to grade them by")
    return prompts


def _report_unruled(name: str, items: Iterable[Item]) -> None:
    """Say which constraints go to the judge only because no rule of ours verifies them."""
    prompts = [item for item in items if isinstance(item, RubricPrompt)]
    unruled = Counter(c.args["unruled"] for prompt in prompts for c in prompt.criteria if "unruled" in c.args)
    if unruled:
        listed = ", ".join(f"{id} ({count})" for id, count in unruled.most_common())
        log.warning("%s: no rule here for %d criteria, the judge decides them: %s", name, unruled.total(), listed)


# ------------------------------------------------------------------------------------------------------------- rows


def _rows(source: Source, origin: str | Path | None, draw: tuple[int, int] | None) -> Iterator[tuple[str, Row]]:
    """(place, row) of a JSON file by our own reader, which knows the lines; of anything else through `datasets`.

    draw: (how many, seed) of rows at random, in the order of the data.
    """
    path = Path(origin) if origin is not None else None
    if path is not None and path.name.endswith((".jsonl", ".jsonl.gz")):
        rows = [(f"{path}:{number}", row) for number, row in read_jsonl(path)]
        yield from (rows[k] for k in _places(len(rows), draw))
    elif path is not None and path.suffix == ".json":
        rows = read_json(path)
        if not isinstance(rows, list):
            raise RTTError(f"{path}: expected a JSON array of rows, found {type(rows).__name__}")
        yield from ((f"{path}: row {k + 1}", rows[k]) for k in _places(len(rows), draw))
    else:
        name, data = str(origin or source.hub_id), _dataset(source, path)
        yield from ((f"{name}: row {k + 1}", data[k]) for k in _places(len(data), draw))


def _followbench_rows(origin: str | Path | None) -> Iterator[tuple[str, Row]]:
    """English rows of all categories, one after another: from a table of them, or from the hub's six files."""
    if origin is not None:
        yield from _rows(FOLLOWBENCH, origin, draw=None)
        return
    for category in followbench.CATEGORIES:
        source = replace(FOLLOWBENCH, data_files=f"data_en/{followbench.file_name(category)}")
        yield from _rows(source, None, draw=None)


def _places(n: int, draw: tuple[int, int] | None) -> Sequence[int]:
    return range(n) if draw is None else sorted(random.Random(f"rows {draw[1]}").sample(range(n), min(draw[0], n)))


def _dataset(source: Source, path: Path | None) -> Any:
    import datasets

    try:
        if path is not None and path.is_file():
            format = {".parquet": "parquet", ".csv": "csv"}.get(path.suffix)
            if format is None:
                raise RTTError(f"{path}: use a .jsonl, .json, .parquet or .csv file, or a folder of them")
            return datasets.load_dataset(format, data_files=str(path), split="train")
        if path is not None:
            return datasets.load_dataset(str(path), split=source.split)
        return datasets.load_dataset(
            source.hub_id, source.config, data_files=source.data_files,
            split="train" if source.data_files else source.split,
        )  # fmt: skip
    except RTTError:
        raise
    # the loader and the hub client raise dozens of kinds of errors; all mean the same to the user
    except Exception as error:
        cause = str(error.__cause__ or error).strip().split("\n")[0]
        raise RTTError(
            f"{path or source.hub_id}: cannot be loaded ({type(error).__name__}: {cause}). Give a local file, or see "
            "that the hub can be reached and, for gated data, that HF_TOKEN is set and the terms are accepted"
        ) from error


def _id(row: Row, name: str, where: str) -> str:
    return str(field(row, name, (int, str), where))


def _number(where: str) -> str:
    """The line or row of a place, for rows without an id: the path before it is this machine's own."""
    return where.rsplit(":", 1)[-1].removeprefix(" row ")


def _strings(row: Row, name: str, where: str) -> list[str]:
    values = field(row, name, list, where)
    if not values or not all(isinstance(value, str) and value.strip() for value in values):
        raise RTTError(f"{where}: field '{name}' must be a list of non-empty strings, found {str(values)[:80]}")
    return values


def _parsed(row: Row, name: str, kind: type, where: str) -> Any:
    """A field that holds JSON, as text or already parsed."""
    value = field(row, name, (str, kind), where)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RTTError(f"{where}: field '{name}' is not valid JSON ({error})") from error
    return field({name: value}, name, kind, where)


def _turns(messages: Any, name: str, where: str) -> tuple[tuple[str, str], ...]:
    """(role, text) of a chat."""
    if not isinstance(messages, list) or not messages:
        raise RTTError(f"{where}: field '{name}' must be a non-empty list of messages")
    place = f"{where}: {name}"
    return tuple((field(m, "role", str, place), field(m, "content", str, place)) for m in messages)


def _prompt(id: str, turns: tuple[tuple[str, str], ...], criteria: Iterable[Criterion], source: str) -> RubricPrompt:
    """A chat; a single user message needs no other form than its text."""
    text = chat_text([{"role": role, "content": content} for role, content in turns])
    return RubricPrompt(id, text, tuple(criteria), source=source, messages=() if text == turns[0][1] else turns)


# ----------------------------------------------------------------------------------------------------- rubric prompts


def _benchmark(name: str) -> Convert:
    return lambda row, where, rng: convert_row(name, row, where).prompt


def _hir(row: Row, where: str, rng: random.Random) -> RubricPrompt:
    """HiR-16K: `source` is type1 (IFTrain), type2 (Chatbot Arena), type3 (MulDimIF) or type4 (VerIF)."""
    kind, texts = field(row, "source", str, where), _strings(row, "criteria", where)
    if kind not in HIR_TYPES:
        raise RTTError(f"{where}: unknown source type {kind!r} in field 'source': known are {', '.join(HIR_TYPES)}")
    truth = _parsed(row, "ground_truth", dict, where)
    criteria = HIR_TYPES[kind](truth, texts, f"{where}: ground_truth")
    prompt = row.get("prompt")
    is_chat = isinstance(prompt, list)
    turns = _turns(prompt, "prompt", where) if is_chat else (("user", field(row, "prompt", str, where)),)
    return _prompt(_id(row, "id", where), turns, criteria, f"hir16k:{kind}")


def _aligned(truth: Row, name: str, texts: list[str], where: str) -> list:
    values = field(truth, name, list, where)
    if len(values) != len(texts):
        raise RTTError(f"{where}: {len(values)} entries in '{name}' for {len(texts)} criteria")
    return values


def _by_instruction(*families: str) -> Callable[[Row, list[str], str], Iterator[Criterion]]:
    """Criteria with instruction ids: our rule where one of the families has it, else the judge on the text."""

    def convert(truth: Row, texts: list[str], where: str) -> Iterator[Criterion]:
        ids, kwargs = _aligned(truth, "instruction_id_list", texts, where), _aligned(truth, "kwargs", texts, where)
        for number, (text, id, args) in enumerate(zip(texts, ids, kwargs, strict=True), 1):
            if not isinstance(id, str) or not isinstance(args, dict | None):
                raise RTTError(f"{where}: expected an instruction id and its arguments, found {id!r} and {args!r}")
            verifier = next((f"{family}:{id}" for family in families if _has_rule(f"{family}:{id}")), JUDGE)
            known = {name: value for name, value in (args or {}).items() if value is not None}
            criterion = Criterion(text, verifier, known if verifier != JUDGE else {"unruled": id})
            require_arguments(criterion, f"{where}: instruction {number}")
            yield criterion

    return convert


def _has_rule(id: str) -> bool:
    try:
        find_rule(id)
    except RTTError:
        return False
    return True


def _hir_muldimif(truth: Row, texts: list[str], where: str) -> Iterator[Criterion]:
    """MulDimIF's triples; a category or a wording that no rule stands behind is the judge's."""
    for text, triple in zip(texts, _aligned(truth, "constraints", texts, where), strict=True):
        if not isinstance(triple, list) or [type(part) for part in triple] != [str, str, str]:
            raise RTTError(f"{where}: a constraint must be [type, subtype, text], found {triple!r}")
        args = dict(zip(("type", "subtype", "text"), triple, strict=True))
        verifier = _muldimif_rule(args)
        yield Criterion(text, verifier, args) if verifier else Criterion(text, args={"unruled": "/".join(triple[:2])})


def _muldimif_rule(args: Row) -> str | None:
    try:
        return muldimif.verifier_id(args["type"], args["subtype"]) if muldimif.parsed(args) else None
    except RTTError:  # a category that MulDimIF's test set does not have
        return None


def _hir_verif(truth: Row, texts: list[str], where: str) -> Iterator[Criterion]:
    """`checker` says [rule] or [llm]; a rule's code defines `check_following(instruction, response)`."""
    checkers, functions = _aligned(truth, "checker", texts, where), _aligned(truth, "functions", texts, where)
    for text, checker, code in zip(texts, checkers, functions, strict=True):
        if isinstance(checker, str) and checker.startswith("[llm]"):
            yield Criterion(text)
        elif isinstance(checker, str) and checker.startswith("[rule]") and isinstance(code, str):
            yield Criterion(text, "code:python", {"code": code, "function": "check_following"})
        else:
            raise RTTError(f"{where}: checker {checker!r} is neither '[llm]' nor '[rule]' with code")


# The row's source type decides the verifier (PAPER section 5; the released code does the same).
HIR_TYPES: dict[str, Callable[[Row, list[str], str], Iterator[Criterion]]] = {
    "type1": _by_instruction("ifeval", "ifbench"),
    "type2": _by_instruction("ifbench", "ifeval"),
    "type3": _hir_muldimif,
    "type4": _hir_verif,
}


def _advancedif(row: Row, where: str, rng: random.Random) -> RubricPrompt:
    """A chat and a JSON list of soft criteria inside `prompt_metadata`; the rows have no id of their own."""
    turns = _turns(_parsed(row, "conversation_history", list, where), "conversation_history", where)
    metadata = _parsed(row, "prompt_metadata", dict, where)
    rubrics = _strings({"rubrics": _parsed(metadata, "rubrics", list, f"{where}: prompt_metadata")}, "rubrics", where)
    kind = field(row, "benchmark_name", str, where)
    return _prompt(f"advancedif-{_number(where)}", turns, map(Criterion, rubrics), f"advancedif:{kind}")


def _infobench(row: Row, where: str, rng: random.Random) -> RubricPrompt:
    """An instruction with, for most, an input to work on; its decomposed questions, to be answered YES or NO, are the
    criteria."""
    instruction, given = field(row, "instruction", str, where), field(row, "input", str, where)
    questions = _strings(row, "decomposed_questions", where)
    prompt = f"{instruction}\n\n{given}" if given.strip() else instruction
    return RubricPrompt(_id(row, "id", where), prompt, tuple(map(Criterion, questions)), source="infobench")


def _tulu(row: Row, where: str, rng: random.Random) -> Demonstration:
    """Its prompts carry no rubric: one has to be extracted by an LLM before they train the discriminator."""
    turns = _turns(row.get("messages"), "messages", where)
    if turns[-1][0] != "assistant" or len(turns) < 2:
        raise RTTError(f"{where}: field 'messages' must end with the assistant's reply to a message")
    source = field(row, "source", str, where) if row.get("source") else "tulu3"
    return Demonstration(_prompt(_id(row, "id", where), turns[:-1], (), source), turns[-1][1])


def _conifer(row: Row, where: str, rng: random.Random) -> Conversation:
    """The public rows need no more than `messages`; those of `rtt_lib.run.make_conifer` say more."""
    return conversation_from_json(row, where, f"conifer-{_number(where)}")


def _ultrafeedback(row: Row, where: str, rng: random.Random) -> RubricPrompt:
    """The prompt alone. The data's responses and ratings are not read. The rows' own ids stand for texts, some of
    which occur twice."""
    return RubricPrompt(f"ultrafeedback-{_number(where)}", field(row, "prompt", str, where), (), source="ultrafeedback")


# ---------------------------------------------------------------------------------------------------------- questions


def _math(row: Row, where: str, rng: random.Random) -> Question:
    problem, answer = field(row, "problem", str, where), field(row, "answer", str, where)
    return Question(_id(row, "unique_id", where), MATH_FORM.format(question=problem), answer, "math")


def _gpqa(row: Row, where: str, rng: random.Random) -> Question:
    right = field(row, "Correct Answer", str, where).strip()
    options = [right, *(field(row, f"Incorrect Answer {k}", str, where).strip() for k in (1, 2, 3))]
    rng.shuffle(options)
    id = str(row.get("Record ID") or f"gpqa-{_number(where)}")
    return _choice(id, field(row, "Question", str, where), options, LETTERS[options.index(right)])


def _mmlu_pro(row: Row, where: str, rng: random.Random) -> Question:
    options, answer = _strings(row, "options", where), field(row, "answer", str, where)
    if answer not in LETTERS[: len(options)] or len(answer) != 1:
        raise RTTError(f"{where}: field 'answer' must be the letter of one of {len(options)} options, found {answer!r}")
    return _choice(_id(row, "question_id", where), field(row, "question", str, where), options, answer)


def _choice(id: str, question: str, options: list[str], answer: str) -> Question:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    prompt = CHOICE_FORM.format(question=question.strip(), options=listed)
    return Question(id, prompt, answer, "choice", len(options))


FOLLOWBENCH = Source("YuxinJiang/FollowBench", _benchmark(followbench.FAMILY))
HUB_IDS = {"ifeval": "google/IFEval", "ifbench": "allenai/IFBench_test", "ifbench-head": "allenai/IFBench_test"}
SOURCES = {
    "hir16k": Source("sastpg/HIR-16K", _hir),
    "tulu3": Source("allenai/tulu-3-sft-mixture", _tulu),
    **{name: Source(HUB_IDS[name], _benchmark(name)) for name in BENCHMARKS if name in HUB_IDS},
    "muldimif": Source("Junjie-Ye/MulDimIF", _benchmark("muldimif"), data_files="Data/test.json"),
    "advancedif": Source("facebook/AdvancedIF", _advancedif),
    "infobench": Source("kqsong/InFoBench", _infobench),
    "math500": Source("HuggingFaceH4/MATH-500", _math, split="test"),
    "gpqa": Source("Idavidrein/gpqa", _gpqa, config="gpqa_main"),
    "mmlu-pro": Source("TIGER-Lab/MMLU-Pro", _mmlu_pro, split="test"),
    "conifer": Source("ConiferLM/Conifer", _conifer, split="train_sft"),
    "ultrafeedback": Source("HuggingFaceH4/ultrafeedback_binarized", _ultrafeedback, split="train_prefs"),
}
