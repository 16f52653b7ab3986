"""YAML becomes dataclasses as written, or one message names file, line, key and mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_profile import SMALL, message


def test_unknown_key_names_file_line_key_and_neighbour(write_profile) -> None:
    path = write_profile(SMALL.replace("  steps: 150", "  stepps: 150"))
    text = message(path)
    assert text.startswith(f"{path}:10: rl.stepps: unknown key; did you mean 'steps'?")


def test_unknown_section(write_profile) -> None:
    assert "rll: unknown key; did you mean 'rl'?" in message(write_profile(SMALL.replace("\nrl:", "\nrll:")))


def test_missing_key(write_profile) -> None:
    path = write_profile(SMALL.replace("  steps: 150\n", ""))
    assert message(path) == f"{path}:9: rl: the key 'steps' is missing"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "rl__steps",
            '"150"',
            "rl.steps: expected a whole number, found the text '150' (write it without quotes)",
        ),
        ("rl__steps", "150.0", "expected a whole number, found the number 150.0 (write 150)"),
        ("rl__steps", "true", "expected a whole number, found true"),
        ("rl__steps", "", "expected a whole number, found nothing"),
        ("rl__steps", "010", "expected a whole number, found the text '010'"),
        ("rl__learning_rate", "'1e-6'", "expected a number, found the text '1e-6' (write it without quotes)"),
        ("rl__learning_rate", ".nan", "expected a number, found the text '.nan'"),
        ("policy__model", "7", "expected text, found the whole number 7"),
        ("discriminator__bf16", "yes", "expected true or false, found the text 'yes'"),
        ("discriminator__seeds", "0", "expected a list, [a, b], found the whole number 0"),
        ("discriminator__seeds", "[0, a]", "expected a whole number, found the text 'a'"),
        ("experiments", "[core]", "expected keys and values, found a list ['core']"),
        ("rl", "3", "rl: expected keys and values, found the whole number 3"),
        ("rl__steps__deep", "3", "rl.steps has no keys below it"),
        ("compute__vllm", "serve", "'serve' is not one of off, colocate, server; did you mean 'server'?"),
        ("compute__vllm", "3", "expected text, found the whole number 3"),
    ],
)
def test_wrong_type(write_profile, key: str, value: str, says: str) -> None:
    text = message(write_profile(), **{key: value})
    assert text.startswith(f"--set {key.replace('__', '.')}={value}: ")
    assert says in text


def test_wrong_type_in_the_file_names_its_line(write_profile) -> None:
    path = write_profile(SMALL.replace("150", '"150"'))
    assert message(path).startswith(f"{path}:10: rl.steps: expected a whole number")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected keys and values, found nothing"),
        ("- a\n- b\n", "expected keys and values, found a list"),
        ("about: [a\n", ":2: not valid YAML"),
        (SMALL + "about: again\n", ":18: not valid YAML (key 'about' stands twice)"),
        (SMALL.replace("about: a test", "about: &a [*a]"), "about: expected text, found a list"),
        ("? [a]\n: 1\n", ":1: not valid YAML (a key must be a word)"),
        (SMALL.replace("a test", "!!timestamp noon"), "not valid YAML"),
        (SMALL.replace("150", "1" * 5000), "not valid YAML"),
        (SMALL.replace("about: a test", "about: !!python/object/apply:os.getcwd []"), ":1: not valid YAML"),
    ],
)
def test_what_is_not_a_profile(write_profile, text: str, says: str) -> None:
    assert says in message(write_profile(text))


def test_a_file_that_is_not_text(write_profile, tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in message(path)
