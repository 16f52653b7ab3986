"""Labelled examples: made from responses, and read from a file of one's own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rtt_lib.errors import RTTError
from rtt_lib.files import write_jsonl
from rtt_lib.relevance.corpus import build_examples, read_labelled, responses_by_rule, write_labelled
from rtt_lib.relevance.encoding import LabelledExample
from rtt_lib.rubrics.compose import compose, default_tasks
from rtt_lib.worlds.micro.language import WORLDS, Language, partly_honoured, sample_prompts


def micro_examples(n: int, seed: int) -> list[LabelledExample]:
    world, language = WORLDS["L"], Language()

    def respond(prompt, seed):
        return [("base", partly_honoured(prompt, world, language, random.Random(f"{prompt.id} {seed}")))]

    return build_examples(sample_prompts(world, n // 5, seed), seed, respond=respond)


def test_corpus_labels_every_criterion_of_every_response():
    examples = micro_examples(50, seed=1)
    assert len(examples) == 50
    assert {example.criterion.family for example in examples} >= {"start", "no_commas"}
    for example in examples:
        whole = example.criterion.family.endswith("_words")
        assert example.label.whole == whole
        if example.criterion.family in ("exclude", "no_commas"):
            assert bool(example.label.spans) == (example.verdict is False)


def test_corpus_of_composed_prompts_has_both_verdicts():
    examples = build_examples(compose(default_tasks(), 6, seed=0, min_constraints=3), seed=0)
    assert {example.split for example in examples} == {"positive", "minimal", "omission"}
    assert all(example.verdict is True for example in examples if example.split == "positive")
    assert any(example.verdict is False for example in examples if example.split == "minimal")
    for example in examples:
        assert all(0 <= start <= end <= len(example.response) for start, end in example.label.spans)


def test_a_prohibition_is_broken_once_or_more_often_as_asked():
    prompts = compose(default_tasks(), 12, seed=0, families=("no_commas",))
    often = [responses_by_rule(prompt, 0, offences=3) for prompt in prompts]
    counts = [response.count(",") for made in often for how, response in made if how == "minimal"]
    assert set(counts) == {1, 2, 3}
    once = [response for prompt in prompts for how, response in responses_by_rule(prompt, 0) if how == "minimal"]
    assert {response.count(",") for response in once} == {1}


GOOD = {"id": "p", "criterion": {"text": "Name a cat."}, "response": "A cat.", "spans": [[2, 5]], "whole": False}


def _labels(folder: Path, **change: object) -> Path:
    return write_jsonl(folder / "own.jsonl", [GOOD, GOOD | change])


def test_labels_of_ones_own_are_read_and_written_alike(tmp_path):
    ((_, first), (id, second)) = read_labelled(_labels(tmp_path, verdict=True, made="by hand"), "taxonomy")
    assert (id, second.criterion.text, second.label.spans) == ("p", "Name a cat.", ((2, 5),))
    assert (first.verdict, second.verdict, second.split) == (None, True, "by hand")
    path = write_labelled(tmp_path / "again.jsonl", [("p", first), ("p", second)], "taxonomy")
    assert [example for _, example in read_labelled(path, "taxonomy")] == [first, second]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "field 'id' must be str"),
        ({"response": None}, "field 'response' must be str"),
        ({"spans": [[2, 7]]}, r"a span must be \[start, end\], 0 <= start < end <= 6, found \[2, 7\]"),
        ({"spans": [[3, 3]]}, "a span must be"),
        ({"spans": [[True, 3]]}, "a span must be"),
        ({"spans": ["cat"]}, "a span must be"),
        ({"whole": 1}, "field 'whole' must be bool"),
        ({"verdict": "yes"}, "'verdict' must be true, false or null"),
        ({"criterion": "Name a cat."}, "criterion: a criterion must be an object"),
    ],
)
def test_a_bad_label_is_named(tmp_path, change, message):
    with pytest.raises(RTTError, match=rf"own.jsonl:2: {message}"):
        read_labelled(_labels(tmp_path, **change), "taxonomy")


def test_no_labels_is_an_error(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(RTTError, match="holds no examples"):
        read_labelled(tmp_path / "none.jsonl", "taxonomy")
