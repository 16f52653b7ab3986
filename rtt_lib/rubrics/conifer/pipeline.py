"""Conifer's stages in their order, from seeds to conversations: every answer is kept, every loss is counted.

All answers stay in `Run.cache`, also those that cannot be used, so a stopped run asks only what it has not asked
and comes to the same file. What is random depends on the text it is about alone, not on which other answers were lost.
Only a question that the server did not answer (or cut) is asked again by the same command.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rtt_lib.endpoint import THINKING, Endpoint, EndpointError, Usage, chat_many
from rtt_lib.errors import RTTError
from rtt_lib.progress import progress
from rtt_lib.rubrics.conifer import stages
from rtt_lib.rubrics.conifer.conversations import EASY_TO_HARD, EXTERNAL, INTERNAL, Conversation, pairs
from rtt_lib.rubrics.conifer.stages import Fields, Lost, Stage, encodable
from rtt_lib.templates import AT_LEAST, MOST_FAILURES, PART, fill, load_template

HERE = Path(__file__).parent
SEEDS, REWRITTEN = 6000, 1000  # how many seeds are kept, and how many rewrites go to the format-and-number branch
COLUMNS = ("asked", "failed", "refused", "unparsable", "filtered", "kept", "twice", "made")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Question:
    """A question made of a seed. constraints: by category."""

    id: str
    text: str
    constraints: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rewrite:
    """A question at a level from 1 to 5. used: the constraints on form and number, in the branch that adds them."""

    question: str  # its id
    level: int
    text: str
    used: tuple[str, ...] = ()
    answer: str = ""

    @property
    def id(self) -> str:
        return f"{self.question}/{'form-' if self.used else ''}{self.level}"


@dataclass
class Run:
    """Who is asked, and the book that is kept.

    weak writes the drafts that `critic` judges; `strong` does all the rest.
    counts: by stage; asked = failed + refused + unparsable + filtered + kept. `made` is what the kept answers hold,
    without what is there `twice`.
    lost:   one row for each answer that went no further, and why.
    """

    strong: Endpoint
    weak: Endpoint
    critic: Endpoint
    cache: Path
    templates: Path = HERE / "templates"
    usage: Usage = field(default_factory=Usage)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lost: list[dict[str, str]] = field(default_factory=list)

    def ask(
        self, stage: Stage, items: Sequence[Item], fields: Callable[[Item], Fields], endpoint: Endpoint | None = None
    ) -> list[tuple[Item, Any]]:
        """(item, what was read from its answer) for every usable answer. Too many failures of the server end the run.

        `fields(item)` are the template's; an item has an `id`, unless it is a seed.
        """
        text = self.wording(stage)
        asked = replace(endpoint or self.strong, parameters=stage.parameters, whole=stage.whole)
        count = self.counts.setdefault(stage.name, Counter())
        kept: list[tuple[Item, Any]] = []
        for start in progress(range(0, len(items), PART), stage.name):
            part = items[start : start + PART]
            questions = [[{"role": "user", "content": fill(text, fields(item)).strip()}] for item in part]
            answers = chat_many(asked, questions, self.usage, self.cache / stage.name.replace(" ", "_"), encodable)
            for item, answer in zip(part, answers, strict=True):
                count["asked"] += 1
                found = read(stage, answer, fields(item))
                outcome = outcome_of(found)
                count[outcome] += 1
                if isinstance(found, RTTError):
                    self.lose(stage.name, outcome, getattr(item, "id", str(item)), str(found))
                else:
                    kept.append((item, found))
            if count["failed"] >= AT_LEAST and count["failed"] > MOST_FAILURES * count["asked"]:
                raise RTTError(
                    f"{stage.name}: {count['failed']} of {count['asked']} questions got no answer, the last: "
                    f"{self.lost[-1]['why']}. All answers are kept in {self.cache}; the same command carries on"
                )
        count["made"] += len(kept)
        return kept

    def wording(self, stage: Stage) -> str:
        """The person's own template where there is one, else ours."""
        own = self.templates / f"{stage.template}.txt"
        return load_template(stage.template, stage.fields, own.parent if own.is_file() else HERE / "templates")

    def lose(self, stage: str, outcome: str, item: str, why: str) -> None:
        self.lost.append({"stage": stage, "outcome": outcome, "item": item, "why": why})

    def distinct(self, stage: Stage, made: Sequence[Item], text: Callable[[Item], str]) -> list[Item]:
        """What a stage has made, each text once."""
        found: dict[str, Item] = {}
        for item in made:
            if text(item) in found:
                self.lose(stage.name, "twice", item.id, text(item))
            found.setdefault(text(item), item)
        self.counts[stage.name].update(twice=len(made) - len(found))
        self.counts[stage.name]["made"] = len(found)
        return list(found.values())


def read(stage: Stage, answer: str | EndpointError, fields: Fields) -> Any:
    """What goes on from an answer, or an RTTError that says why nothing does."""
    if isinstance(answer, EndpointError):
        return answer
    if not encodable(answer):
        return Lost("unparsable", "half a surrogate pair")
    try:
        return stage.read(THINKING.sub("", answer, count=1).strip(), fields)
    except Lost as lost:
        return lost


def outcome_of(found: Any) -> str:
    if isinstance(found, Lost):
        return found.outcome
    return "failed" if isinstance(found, EndpointError) else "kept"


# --- the stages ---


def build(seeds: Sequence[str], run: Run, rewritten: int = REWRITTEN, seed: int = 0) -> list[Conversation]:
    """Conversations from the seeds, those of one question together: easy to hard, internal and external feedback.

    rewritten: of all rewrites so many, drawn at random, get constraints on form and number.
    """
    questions = constrained(answerable(reframed(seeds, run), run), run)
    rewrites = recombined(questions, run)
    form = with_form(rewrites, rewritten, seed, run)
    rewrites = consistent(rewrites, stages.SECOND_FILTER, run)
    form = consistent(form, stages.SECOND_FILTER_FORMAT, run)
    plain, accounted = answered(rewrites, run), with_account(form, run)
    conversations = [*easy_to_hard(plain), *map(internal, accounted), *external(plain, run)]
    place = {question.id: n for n, question in enumerate(questions)}
    return sorted(conversations, key=lambda made: place[made.id.rpartition("/")[0]])


def fit_seeds(texts: Iterable[str], most: int, run: Run) -> list[str]:
    """The first `most` that are English, short enough and not too short, each once."""
    found: dict[str, None] = {}
    count = run.counts.setdefault("seeds", Counter())
    for text in texts:
        if len(found) == most:
            break
        count["asked"] += 1
        why = stages.unfit(text)
        if why is None and text in found:
            count["twice"] += 1
            run.lose("seeds", "twice", text, text)
        if why is not None:
            run.lose("seeds", "filtered", text, why)
        count["filtered" if why else "kept"] += 1
        found |= {} if why else {text: None}
    count["made"] = len(found)
    return list(found)


def reframed(seeds: Sequence[str], run: Run) -> list[Question]:
    answers = run.ask(stages.REFRAME, seeds, lambda text: {"seed": text})
    number = {text: n for n, text in enumerate(seeds, 1)}
    made = [
        Question(f"s{number[text]}.q{k}", question) for text, found in answers for k, question in enumerate(found, 1)
    ]
    return run.distinct(stages.REFRAME, made, lambda question: question.text)


def answerable(questions: Sequence[Question], run: Run) -> list[Question]:
    return [item for item, _ in run.ask(stages.FIRST_FILTER, questions, lambda item: {"question": item.text})]


def constrained(questions: Sequence[Question], run: Run) -> list[Question]:
    answers = run.ask(stages.CONSTRAINTS, questions, lambda item: {"question": item.text})
    return [replace(item, constraints=found) for item, found in answers]


def recombined(questions: Sequence[Question], run: Run) -> list[Rewrite]:
    def fields(item: Question) -> Fields:
        return {"question": item.text, "constraints": stages.listed_by_category(item.constraints)}

    answers = run.ask(stages.RECOMBINE, questions, fields)
    made = [Rewrite(item.id, level, text) for item, found in answers for level, text in enumerate(found, 1)]
    return run.distinct(stages.RECOMBINE, made, lambda rewrite: rewrite.text)


def with_form(rewrites: Sequence[Rewrite], n: int, seed: int, run: Run) -> list[Rewrite]:
    """`n` of the rewrites, each with constraints on form and number from a shortlist of its own."""
    drawn = set(sorted(rewrites, key=lambda item: chance(item, seed, "order").random())[:n])
    chosen = [item for item in rewrites if item in drawn]  # in their order

    def fields(item: Rewrite) -> Fields:
        return {"question": item.text, "constraints": stages.listed(shortlist(item, seed))}

    answers = run.ask(stages.FORMAT_NUMBER, chosen, fields)
    made = [replace(item, text=text, used=used) for item, (text, used) in answers]
    return run.distinct(stages.FORMAT_NUMBER, made, lambda rewrite: rewrite.text)


def chance(item: Rewrite, seed: int, what: str) -> random.Random:
    """Chance for this text alone."""
    return random.Random(f"{seed} {what} {item.text}")


@functools.cache
def form_constraints() -> dict[str, tuple[str, ...]]:
    """All constraints of each kind: format, number."""
    data = yaml.safe_load((HERE / "data" / "format_number.yaml").read_text(encoding="utf-8"))
    return {kind: tuple(texts) for kind, texts in data.items()}


def shortlist(item: Rewrite, seed: int) -> list[str]:
    rng = chance(item, seed, "shortlist")
    return [text for kind, n in stages.OFFERED.items() for text in rng.sample(form_constraints()[kind], n)]


def consistent(rewrites: Sequence[Rewrite], stage: Stage, run: Run) -> list[Rewrite]:
    return [item for item, _ in run.ask(stage, rewrites, lambda item: {"question": item.text})]


def answered(rewrites: Sequence[Rewrite], run: Run) -> list[Rewrite]:
    """Each question is answered on its own, also those that will stand in one conversation."""
    answers = run.ask(stages.ANSWER, rewrites, lambda item: {"question": item.text})
    return [replace(item, answer=answer) for item, answer in answers]


def with_account(rewrites: Sequence[Rewrite], run: Run) -> list[Rewrite]:
    """Answers that end with how the constraints on form and number were met."""
    answers = run.ask(
        stages.INTERNAL, rewrites, lambda item: {"question": item.text, "constraints": stages.listed(item.used)}
    )
    return [replace(item, answer=answer) for item, answer in answers]


# --- conversations ---


def easy_to_hard(rewrites: Sequence[Rewrite]) -> list[Conversation]:
    """One for each question, of the levels that are left, from easy to hard."""
    groups: dict[str, list[Rewrite]] = {}
    for item in rewrites:
        groups.setdefault(item.question, []).append(item)
    return [
        Conversation(
            f"{question}/levels",
            pairs(*((item.text, item.answer) for item in found)),
            EASY_TO_HARD,
            tuple(item.level for item in found),
        )
        for question, group in groups.items()
        for found in [sorted(group, key=lambda item: item.level)]
    ]


def internal(item: Rewrite) -> Conversation:
    return Conversation(item.id, pairs((item.text, item.answer)), INTERNAL, (item.level,))


def external(rewrites: Sequence[Rewrite], run: Run) -> list[Conversation]:
    """The hardest questions with a weak model's draft and the critique of it before the strong model's answer.

    Where the critic has nothing to object, the conversation is the question and the strong model's answer.
    """
    hardest = [item for item in rewrites if item.level == stages.LEVELS]
    drafts = run.ask(stages.WEAK, hardest, lambda item: {"question": item.text}, run.weak)
    found = run.ask(
        stages.CRITIQUE,
        [Draft(item, draft) for item, draft in drafts],
        lambda drafted: {
            "question": drafted.rewrite.text,
            "reference": drafted.rewrite.answer,
            "draft": drafted.text,
        },
        run.critic,
    )
    return [drafted.conversation(critique) for drafted, critique in found]


@dataclass(frozen=True)
class Draft:
    """What the weak model wrote."""

    rewrite: Rewrite
    text: str

    @property
    def id(self) -> str:
        return self.rewrite.id

    def conversation(self, critique: str) -> Conversation:
        item, id = self.rewrite, f"{self.rewrite.question}/external"
        if not critique:
            return Conversation(id, pairs((item.text, item.answer)), EXTERNAL, (item.level,))
        messages = pairs((item.text, self.text), (f"{critique}\n\n{stages.REVISE}", item.answer))
        return Conversation(id, messages, EXTERNAL, (item.level, item.level), (1,))


# --- the book ---


def table(counts: Mapping[str, Counter[str]]) -> str:
    """One line a stage; `twice` are texts that were there already, `made` what goes on to the next stage."""
    width = max(map(len, counts))
    lines = [" ".join([f"{'':<{width}}", *(f"{name:>10}" for name in COLUMNS)])]
    lines += [" ".join([f"{name:<{width}}", *(f"{count[c]:>10}" for c in COLUMNS)]) for name, count in counts.items()]
    return "\n".join(lines)
