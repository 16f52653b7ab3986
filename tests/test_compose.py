"""The composer: its constraints hold together, and every one of them is stated."""

import os
from collections import Counter
from pathlib import Path

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.relevance.responses import construct
from rtt_lib.rubrics.compose import (
    FAMILIES,
    INCOMPATIBLE,
    Task,
    compose,
    consistent,
    default_tasks,
    load_data,
    read_tasks,
)
from rtt_lib.schema import RubricPrompt
from rtt_lib.verify import verify
from rtt_lib.verify.registry import find_rule

TASKS = default_tasks()


@pytest.fixture(scope="module")
def prompts() -> list[RubricPrompt]:
    return compose(TASKS, 1000, seed=11)


# --------------------------------------------------------------------------------------------------------- composing


def test_more_than_ten_thousand_tasks_come_with_the_package():
    assert len({task.prompt for task in TASKS}) == len({task.id for task in TASKS}) == len(TASKS) >= 10_000
    assert not any("{" in task.prompt for task in TASKS)


def test_none_is_contradictory(prompts):
    for prompt in prompts:
        names = [c.family for c in prompt.criteria]
        assert len(names) == len(set(names))
        assert not any(pair <= set(names) for pair in INCOMPATIBLE)
        assert consistent({c.family: c.args for c in prompt.criteria}, prompt.task)


@pytest.mark.parametrize(
    ("args", "task"),
    [
        ({"no_exclamations": {}, "end": {"phrase": "Back to work!"}}, ""),
        ({"forbidden": {"words": ["maybe"]}, "start": {"phrase": "Well maybe"}}, ""),
        ({"keyword_count": {"word": "raft", "relation": "exactly", "n": 2}, "keywords": {"words": ["raft"]}}, ""),
        ({"no_sentence_start": {"word": "truth"}, "start": {"phrase": "Truth be told"}}, ""),
        ({"no_first_person": {}, "start": {"phrase": "My two pennies:"}}, ""),
        ({"forbidden": {"words": ["chess"]}}, "Write about chess clubs."),
    ],
)
def test_a_contradiction_is_seen(args, task):
    assert not consistent(args, task)
    for name in args:
        assert consistent({name: args[name]}, "")


def test_what_a_prompt_says_is_what_is_checked(prompts):
    for prompt in prompts:
        assert prompt.task in prompt.prompt
        for each in prompt.criteria:
            assert each.text in prompt.prompt
            for value in each.args.values():
                values = value if isinstance(value, list) else [value]
                told = each.text.replace("twice", "2 times").replace("second", "2").replace("third", "3")
                told = told.replace("fourth", "4").replace("fifth", "5")
                assert all(str(v) in told for v in values if v not in ("exactly", "at_least", "at_most")), each


def test_every_wording_is_used_and_complete():
    wordings = load_data("wordings")
    assert {name.split(".")[0] for name in wordings} == set(FAMILIES)
    assert all(len(set(texts)) >= 3 for texts in wordings.values())


def test_seeded_and_independent_of_n(prompts):
    assert compose(TASKS, 20, seed=11) == prompts[:20]
    assert compose(TASKS, 20, seed=12) != prompts[:20]
    assert len({prompt.prompt for prompt in prompts}) == len({prompt.id for prompt in prompts}) == 1000


def test_numbers_of_constraints_and_families(prompts):
    counts = Counter(len(prompt.criteria) for prompt in prompts)
    assert set(counts) == set(range(1, 8)) and min(counts.values()) > 80
    seen = Counter(c.family for prompt in prompts for c in prompt.criteria)
    assert set(seen) == set(FAMILIES)
    places = Counter((find_rule(f"composed:{f}").scope, find_rule(f"composed:{f}").polarity) for f in FAMILIES)
    assert places == {("local", "positive"): 11, ("local", "negative"): 8, ("global", "positive"): 8}


def test_difficulty_and_families():
    easy, hard = (compose(TASKS, 200, seed=1, difficulty=level) for level in ("easy", "hard"))
    mean = [sum(len(p.criteria) for p in part) / 200 for part in (easy, hard)]
    assert mean[0] < 3 and mean[1] > 5
    kept = tuple(name for name in FAMILIES if name not in ("no_commas", "words"))
    held_out = compose(TASKS, 100, seed=1, families=kept)
    assert {c.family for p in held_out for c in p.criteria} <= set(kept)
    four = compose(TASKS, 50, seed=1, min_constraints=4, max_constraints=4)
    assert {len(p.criteria) for p in four} == {4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_constraints": 0}, "within 1 to 7"),
        ({"max_constraints": 8}, "within 1 to 7"),
        ({"difficulty": "brutal"}, "difficulty 'brutal'"),
        ({"families": ("commas",)}, "unknown constraint families"),
        ({"families": ("lowercase", "uppercase"), "min_constraints": 2}, "no 2 constraints of lowercase, uppercase"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(RTTError, match=message):
        compose(TASKS, 3, seed=0, **settings)


def test_tasks_from_a_file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "a", "prompt": "Name a bird."}\n{"id": "b", "prompt": "x", "maybe_constrained": true}\n')
    assert read_tasks(path) == [Task("a", "Name a bird.")]
    prompts = compose(read_tasks(path), 5, seed=0)  # more prompts than tasks: other constraints each time
    assert len({p.prompt for p in prompts}) == 5
    assert all(verify(c, p.prompt, construct(p, 0)) for p in prompts for c in p.criteria)
    path.write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}\n')
    with pytest.raises(RTTError, match=r"tasks.jsonl:2: id 'a' was already used in line 1"):
        read_tasks(path)
    path.write_text('{"id": "a", "prompt": " "}\n')
    with pytest.raises(RTTError, match=r"tasks.jsonl:1: field 'prompt'"):
        read_tasks(path)


def test_given_tasks_compose_too():
    data = os.environ.get("RTT_TEST_DATA")
    if not data:
        pytest.skip("needs a larger set of tasks: RTT_TEST_DATA is not set")
    tasks = read_tasks(Path(data) / "tasks.jsonl")
    assert len(tasks) == 3529 - 42
    for prompt in compose(tasks, 200, seed=0):
        response = construct(prompt, 0)
        assert all(verify(c, prompt.prompt, response) for c in prompt.criteria)
