"""YAML as plain values with the place of every key, and dataclasses made of them. It knows of no profile."""

from __future__ import annotations

import difflib
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from rtt_lib.errors import RTTError

Keys = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `1e-6` is a number, `off` is a word, and a key written twice is an error."""

    yaml_implicit_resolvers: dict = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            problem = None if isinstance(key, yaml.ScalarNode) else "a key must be a word"
            if problem is None and key.value in seen:
                problem = f"key '{key.value}' stands twice"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", "n~\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*list(_first), ""])


def read(path: Path) -> tuple[dict, dict[Keys, str]]:
    """The YAML as plain values, and for every key the place to name in a message (`file:line`)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RTTError(f"{path}: cannot be read ({error})") from error
    tree = parse(text, str(path))
    if not isinstance(tree, dict):
        raise RTTError(f"{path}: expected keys and values, found {_kind(tree)}")
    where: dict[Keys, str] = {(): str(path)}
    _places(yaml.compose(text, _Loader), (), str(path), where)
    return tree, where


def parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader: it makes plain values only
    except (
        yaml.YAMLError,
        RecursionError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        # All errors but the first two come from a tag that does not fit its value.
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise RTTError(f"{source}{line}: not valid YAML ({getattr(error, 'problem', None) or error})") from error


def _places(node: yaml.Node, keys: Keys, source: str, where: dict[Keys, str], depth: int = 3) -> None:
    """Fill `where` from the node tree; a profile is three levels deep, so an alias to itself ends as well."""
    if isinstance(node, yaml.MappingNode) and depth:
        for key, value in node.value:
            where[(*keys, key.value)] = f"{source}:{key.start_mark.line + 1}"
            _places(value, (*keys, key.value), source, where, depth - 1)


def put(tree: dict, where: dict[Keys, str], dotted: str, value: Any, source: str) -> None:
    """Set one dotted key, `source` being the place to name in a message."""
    keys = tuple(dotted.split("."))
    branch = tree
    for depth, key in enumerate(keys[:-1], 1):
        branch = branch.setdefault(key, {})
        if not isinstance(branch, dict):
            raise RTTError(f"{source}: {'.'.join(keys[:depth])} has no keys below it")
        where.setdefault(keys[:depth], source)
    branch[keys[-1]] = value
    where[keys] = source


def place(keys: Keys, where: Mapping[Keys, str]) -> str:
    """`file:line: dotted.key`, the line of the nearest key that is written."""
    at = next(where[keys[:end]] for end in range(len(keys), -1, -1) if keys[:end] in where)
    return f"{at}: {'.'.join(keys)}" if keys else at


def nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def build(cls: type, tree: Any, keys: Keys, where: Mapping[Keys, str]) -> Any:
    """An instance of a dataclass from a mapping: every key known, every type right, nothing converted silently."""
    if not isinstance(tree, dict):
        raise RTTError(f"{place(keys, where)}: expected keys and values, found {_kind(tree)}")
    hints = get_type_hints(cls)
    for key in tree:
        if key not in hints:
            near = nearest(str(key), hints)
            raise RTTError(f"{place((*keys, str(key)), where)}: unknown key{near} (known: {', '.join(hints)})")
    for entry in fields(cls):
        if entry.name not in tree and entry.default is MISSING and entry.default_factory is MISSING:
            raise RTTError(f"{place(keys, where)}: the key '{entry.name}' is missing")
    return cls(**{key: _convert(hints[key], value, (*keys, key), where) for key, value in tree.items()})


def _convert(hint: Any, value: Any, keys: Keys, where: Mapping[Keys, str]) -> Any:
    """The value as the annotation wants it, or an error naming the key."""
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return build(hint, value, keys, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(args[0], value, keys, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(args[0], item, keys, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {str(key): _convert(args[1], item, (*keys, str(key)), where) for key, item in value.items()}
    if origin is Literal and isinstance(value, str):
        if value in args:
            return value
        near = nearest(value, args)
        raise RTTError(f"{place(keys, where)}: '{value}' is not one of {', '.join(args)}{near}")
    if hint is float and type(value) in (int, float):
        if abs(value) > sys.float_info.max:
            raise RTTError(f"{place(keys, where)}: must be finite, found {str(value)[:20]}")
        return float(value)
    if hint is type(value):
        return value
    hint_name = _EXPECTED[origin or hint]
    raise RTTError(f"{place(keys, where)}: expected {hint_name}, found {_kind(value)}{_mend(hint, value)}")


_EXPECTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    tuple: "a list, [a, b]",
    dict: "keys and values",
    Literal: "text",
}


def _kind(value: Any) -> str:
    names = {bool: "", int: "the whole number ", float: "the number ", str: "the text ", list: "a list ", dict: "keys "}
    if value is None:
        return "nothing"
    shown = str(value).lower() if isinstance(value, bool) else repr(list(value) if isinstance(value, dict) else value)
    return names.get(type(value), f"a {type(value).__name__} ") + shown[:80]


def _mend(hint: Any, value: Any) -> str:
    if hint in (int, float) and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?", value):
        return " (write it without quotes)"
    if hint is int and isinstance(value, float) and value.is_integer():
        return f" (write {int(value)})"
    return ""
