"""Composed rubric prompts: a plain task and one to seven verifiable constraints that can hold together.

Everything is drawn from our own lists (`data/*.yaml`) and seeded: prompt i depends on the seed, the tasks and i alone.
Constraints never contradict each other: some pairs of families are never combined, no constraint's own words may
break another one, and lengths are drawn last, from what the others need (`least_sentences`).
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rtt_lib.errors import RTTError
from rtt_lib.files import read_jsonl
from rtt_lib.schema import Criterion, RubricPrompt
from rtt_lib.verify.composed import sentence_spans, word_spans
from rtt_lib.verify.registry import find_rule

DATA = Path(__file__).with_name("data")

# In drawing order: what the later ones ask for depends on the earlier ones.
FAMILIES = (
    "start", "end", "title", "postscript", "label", "nth_start", "placeholder", "aside", "quotation", "question",
    "lowercase", "uppercase", "keywords", "keyword_count", "bullets",
    "no_commas", "forbidden", "no_digits", "no_exclamations", "no_questions", "no_quotes", "no_first_person",
    "no_sentence_start", "paragraphs", "sentences", "sentence_words", "words",
)  # fmt: skip
NEGATIVE = tuple(name for name in FAMILIES if name.startswith("no_") or name == "forbidden")
_FIXED_CASE = ("start", "end", "postscript", "label", "nth_start")  # their words are given with their case
_PAIRS = [("lowercase", "uppercase"), ("start", "title"), ("end", "postscript"), ("question", "no_questions")]
_PAIRS += [("quotation", "no_quotes"), *((case, name) for case in ("lowercase", "uppercase") for name in _FIXED_CASE)]
INCOMPATIBLE = frozenset(frozenset(pair) for pair in _PAIRS)
# Difficulty: a part of [0, 1]. It sets the number of constraints and how tight their limits are.
DIFFICULTY = {"easy": (0.0, 0.35), "medium": (0.3, 0.7), "hard": (0.65, 1.0), "mixed": (0.0, 1.0)}
MAX_CONSTRAINTS = 7
WORDS_PER_SENTENCE = 8.5  # what constructed responses have, roughly

Args = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A plain instruction x, without constraints."""

    id: str
    prompt: str


@functools.cache
def load_data(name: str) -> Any:
    """One of the lists that come with the package: `tasks`, `words`, `wordings`, `sentences`."""
    return yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))


def default_tasks() -> list[Task]:
    """Every task template with every topic: more than 10,000 tasks without any download."""
    data = load_data("tasks")
    pairs = [(t, k) for t in range(len(data["templates"])) for k in range(len(data["topics"]))]
    return [Task(f"t{t:02d}-{k:03d}", data["templates"][t].format(topic=data["topics"][k])) for t, k in pairs]


def read_tasks(path: str | Path) -> list[Task]:
    """Tasks from JSONL with `id` and `prompt`; those marked `"maybe_constrained": true` are left out."""
    tasks, seen = [], {}
    for number, row in read_jsonl(path):
        for name in ("id", "prompt"):
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise RTTError(f"{path}:{number}: field '{name}' must be a non-empty string, found {row.get(name)!r}")
        if row["id"] in seen:
            raise RTTError(f"{path}:{number}: id {row['id']!r} was already used in line {seen[row['id']]}")
        seen[row["id"]] = number
        if row.get("maybe_constrained") is not True:
            tasks.append(Task(row["id"], row["prompt"]))
    if not tasks:
        raise RTTError(f"{path}: holds no tasks")
    return tasks


# ------------------------------------------------------------------------------------------------------- composing


def compose(
    tasks: Sequence[Task],
    n: int,
    seed: int,
    min_constraints: int = 1,
    max_constraints: int = MAX_CONSTRAINTS,
    difficulty: str = "mixed",
    families: Sequence[str] = FAMILIES,
) -> list[RubricPrompt]:
    """`n` distinct rubric prompts; `families` holds out whole constraint families by leaving them out."""
    _require_settings(tasks, min_constraints, max_constraints, difficulty, families)
    order = list(range(len(tasks)))
    random.Random(f"order:{seed}").shuffle(order)
    prompts, seen = [], set()
    for i in range(n):
        task = tasks[order[i % len(order)]]
        for attempt in range(50):
            rng = random.Random(f"{seed}:{i}:{attempt}")
            prompt = _compose_one(task, f"composed-{seed}-{i:06d}", rng, min_constraints, max_constraints,
                                  DIFFICULTY[difficulty], families)  # fmt: skip
            if prompt is not None and prompt.prompt not in seen:
                break
        else:
            raise RTTError(f"no {min_constraints} constraints of {', '.join(families)} go together with task {task.id}")
        seen.add(prompt.prompt)
        prompts.append(prompt)
    return prompts


def _require_settings(tasks: Sequence[Task], low: int, high: int, difficulty: str, families: Sequence[str]) -> None:
    if not tasks:
        raise RTTError("there are no tasks to compose with")
    if not 1 <= low <= high <= MAX_CONSTRAINTS:
        raise RTTError(f"min_constraints {low} and max_constraints {high} must be within 1 to {MAX_CONSTRAINTS}")
    if difficulty not in DIFFICULTY:
        raise RTTError(f"difficulty {difficulty!r}: choose one of {', '.join(DIFFICULTY)}")
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise RTTError(f"unknown constraint families {unknown}: choose from {', '.join(FAMILIES)}")


def _compose_one(
    task: Task, id: str, rng: random.Random, low: int, high: int, difficulty: tuple[float, float],
    families: Sequence[str],
) -> RubricPrompt | None:  # fmt: skip
    """One prompt, or None if fewer than `low` constraints found together."""
    hardness = rng.uniform(*difficulty)
    draft = Draft(task.prompt, rng, hardness)
    chosen = _choose_families(rng, families, min(high, low + int(hardness * (high - low + 1))))
    for name in sorted(chosen, key=FAMILIES.index):
        draft.add(name)
    if len(draft.args) < low:
        return None
    names = list(draft.args)
    rng.shuffle(names)
    criteria = tuple(Criterion(_wording(name, draft.args[name], rng), f"composed:{name}", draft.args[name])
                     for name in names)  # fmt: skip
    text = _layout(task.prompt.strip(), [criterion.text for criterion in criteria], rng)
    return RubricPrompt(id, text, criteria, task.prompt, "composed")


def _choose_families(rng: random.Random, families: Sequence[str], wanted: int) -> list[str]:
    chosen: list[str] = []
    for name in rng.sample(list(families), len(families)):
        if len(chosen) < wanted and not any(frozenset((name, other)) in INCOMPATIBLE for other in chosen):
            chosen.append(name)
    return chosen


def _layout(task: str, wordings: Sequence[str], rng: random.Random) -> str:
    """The prompt's text: the constraints run on, listed, numbered or ahead of the task."""
    form = rng.randrange(4)
    if form == 0:
        return " ".join([task, *wordings])
    if form == 1:
        return "\n".join([task, "", *(f"- {wording}" for wording in wordings)])
    if form == 2:
        heading = rng.choice(("Rules:", "Please note:", "What counts:", "Conditions:"))
        return "\n".join([task, "", heading, *(f"{k}) {wording}" for k, wording in enumerate(wordings, 1))])
    return f"{' '.join(wordings)}\n\n{task}"


# ------------------------------------------------------------------------------------------- drawing the parameters


@dataclass
class Draft:
    """Constraints drawn so far, by family. `tight` in [0, 1] says how little room the parameters leave."""

    task: str
    rng: random.Random
    tight: float
    args: dict[str, Args] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Draw parameters for family `name`; after some draws that clash with the others it is left out."""
        for _ in range(8):
            self.args[name] = _DRAW.get(name, lambda draft: {})(self)
            if consistent(self.args, self.task):
                return
        del self.args[name]

    def pick(self, name: str) -> Any:
        return self.rng.choice(load_data("words")[name])

    def most(self, loose: int, tight: int) -> int:
        return round(loose + self.tight * (tight - loose))


def consistent(args: Mapping[str, Args], task: str) -> bool:
    """No constraint's own words break another constraint, and no word that is counted or banned is in the task."""
    texts = list(_own_texts(args))
    counted = args.get("keyword_count", {}).get("word")
    if counted and (counted in args.get("keywords", {}).get("words", ()) or any(word_spans(counted, t) for t in texts)):
        return False
    ban = [*args.get("forbidden", {}).get("words", ()), *([counted] if counted else [])]
    if any(word_spans(word, task) for word in ban):
        return False
    texts += [*args.get("keywords", {}).get("words", ()), *([counted] if counted else [])]
    rules = [(find_rule(f"composed:{name}").check, args[name]) for name in NEGATIVE if name in args]
    return all(check(own, "", text + ".").value for check, own in rules for text in texts)


def _own_texts(args: Mapping[str, Args]) -> Iterator[str]:
    for name in _FIXED_CASE:
        if name in args:
            yield next(value for key, value in args[name].items() if key in ("phrase", "marker", "label", "word"))


def fixed_sentences(args: Mapping[str, Args]) -> int:
    """Sentences whose words a constraint gives: an opening, an ending, a postscript."""
    phrases = (args[name]["phrase"] for name in ("start", "end") if name in args)
    return sum(len(sentence_spans(phrase)) for phrase in phrases) + ("postscript" in args)


def least_sentences(args: Mapping[str, Args]) -> int:
    """How many sentences a response needs that gives each constraint a sentence of its own."""
    body = len(args["keywords"]["words"]) if "keywords" in args else 0
    body += args["keyword_count"]["n"] if "keyword_count" in args else 0
    body += sum(name in args for name in ("question", "quotation", "placeholder"))
    body = max(1, body, *(args[name]["n"] for name in ("paragraphs", "nth_start") if name in args))
    return body + fixed_sentences(args)


def _draw_words(draft: Draft) -> Args:
    """A range around what the other constraints need, so that it can be kept together with them."""
    args, rng = draft.args, draft.rng
    asked, fixed = args.get("sentences", {}), fixed_sentences(args)
    needed = max(least_sentences(args), asked.get("n", 0))
    target = WORDS_PER_SENTENCE * (needed - fixed) + 4 * fixed
    if asked.get("relation") in (None, "at_least"):  # the number of sentences is open: any length from there on
        target = max(target, rng.uniform(30, 105))
    target += 3.5 * args["bullets"]["n"] if "bullets" in args else 0
    target += 3.5 * sum(name in args for name in ("title", "label", "aside"))
    width = 0.45 - 0.2 * draft.tight
    low, high = max(5, round(target * (1 - width))), round(target * (1 + width))
    kind = rng.randrange(3)
    return {"min": low} if kind == 0 else {"max": high} if kind == 1 else {"min": low, "max": high}


def _draw_sentences(draft: Draft) -> Args:
    least, room = least_sentences(draft.args), draft.rng.randint(0, draft.most(4, 1))
    relation = draft.rng.choice(("exactly", "at_least", "at_most"))
    n = draft.rng.randint(3, 3 + draft.most(3, 6)) if relation == "at_least" else max(2, least) + room
    return {"relation": relation, "n": n}


def _draw_count(draft: Draft) -> Args:
    relation = draft.rng.choice(("exactly", "at_least"))
    return {"word": draft.pick("keywords"), "relation": relation, "n": draft.rng.randint(2, draft.most(2, 4))}


def _sample(draft: Draft, name: str, most: int) -> list[str]:
    return draft.rng.sample(load_data("words")[name], draft.rng.randint(1, most))


def _draw_title(draft: Draft) -> Args:
    left, right = draft.pick("title_marks")
    return {"left": left, "right": right}


_DRAW: dict[str, Callable[[Draft], Args]] = {
    "start": lambda draft: {"phrase": draft.pick("starts")},
    "end": lambda draft: {"phrase": draft.pick("ends")},
    "title": _draw_title,
    "postscript": lambda draft: {"marker": draft.pick("markers")},
    "label": lambda draft: {"label": draft.pick("labels")},
    "nth_start": lambda draft: {"n": draft.rng.randint(2, draft.most(3, 5)), "word": draft.pick("openers")},
    "keywords": lambda draft: {"words": _sample(draft, "keywords", draft.most(2, 4))},
    "keyword_count": _draw_count,
    "bullets": lambda draft: {"n": draft.rng.randint(2, draft.most(3, 6)), "mark": draft.pick("bullet_marks")},
    "forbidden": lambda draft: {"words": _sample(draft, "forbidden", draft.most(2, 5))},
    "no_sentence_start": lambda draft: {"word": draft.pick("avoided_starts")},
    "paragraphs": lambda draft: {"n": draft.rng.randint(2, draft.most(3, 5))},
    "sentences": _draw_sentences,
    "sentence_words": lambda draft: {"max": draft.rng.randint(draft.most(20, 16), draft.most(26, 18))},
    "words": _draw_words,
}


# ------------------------------------------------------------------------------------------------------- phrasings


def _wording(name: str, args: Args, rng: random.Random) -> str:
    """One of the family's phrasings with the parameters filled in."""
    listed = ", ".join(f'"{word}"' for word in args.get("words", [args.get("word")]) if word)
    shown = {**args, "listed": listed, "nth": _ordinal(args.get("n")), "times": _times(args.get("n"))}
    return rng.choice(load_data("wordings")[_variant(name, args)]).format(**shown)


def _variant(name: str, args: Args) -> str:
    if name in ("keywords", "forbidden"):
        return f"{name}.one" if len(args["words"]) == 1 else f"{name}.many"
    if name in ("sentences", "keyword_count"):
        return f"{name}.{args['relation']}"
    if name == "words":
        return "words.between" if len(args) == 2 else f"words.{next(iter(args))}"
    return name


def _ordinal(n: int | None) -> str:
    return {2: "second", 3: "third", 4: "fourth", 5: "fifth"}.get(n or 0, "")


def _times(n: int | None) -> str:
    return {1: "once", 2: "twice"}.get(n or 0, f"{n} times")
