"""What a result depends on, as one short text: values, files, and the code that was imported to make it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).resolve().parent
PACKAGE = LIBRARY.name
VERSIONS_OF = ("torch", "transformers", "trl", "tokenizers", "accelerate", "peft")
DATA_FOLDERS = ("data", "templates")  # beside a module: what it reads
# Modules that say how a thing is read, written, shown or measured, and never what is learnt.
NEUTRAL = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "errors",  # the words of messages
        "files",  # how a file is written
        "fingerprint",  # this module
        "machine",  # which hardware there is; what follows from it is in the settings of a run
        "methods",  # which methods there are
        "origin",  # where a record was made
        "methods.arms",  # which arms there are; what an arm is stands in the settings of a run
        "profile",  # how a profile is read; its values are in the settings of a run
        "progress",  # bars
        "store",  # where a run is kept
        "worlds",  # which worlds there are
        "yaml_tree",  # how YAML is read
    )
)


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def short(value: Any) -> str:
    """The first 16 digits of `digest`: the name of a folder."""
    return digest(value)[:16]


def file_digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(path: str | Path) -> list[Path]:
    """The file itself, or every file below the folder, without Python's compiled ones."""
    path = Path(path)
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]


def tree_digest(folder: str | Path) -> str:
    """sha256 over the names and contents of all files below a folder."""
    folder = Path(folder)
    return digest({file.relative_to(folder).as_posix(): file_digest(file) for file in files_below(folder)})


# --- code ---


@cache
def code_digest(*entry_points: str) -> str:
    """Of all code that the entry points import, directly or not, of the data files beside it, and of package versions.

    An entry point is the dotted name of a module, or of a package, which stands for all its modules. Comments, layout
    and docstrings do not count, nor do NEUTRAL modules.
    """
    modules = import_closure(*entry_points)
    parts = {name: _code(_text(path)) for name, path in modules.items() if name not in NEUTRAL}
    folders = {path.parent for name, path in modules.items() if name not in NEUTRAL and _is_ours(path)}
    for folder in folders:
        for data in DATA_FOLDERS:
            if (folder / data).is_dir():
                parts[f"{folder.name}/{data}"] = tree_digest(folder / data)
    return digest({"code": parts, "versions": versions()})


def versions() -> dict[str, str]:
    """Of the packages that training depends on, without the name of a build: 2.13.0 for torch 2.13.0+cpu."""
    return {name: importlib.metadata.version(name).partition("+")[0] for name in VERSIONS_OF}


def import_closure(*entry_points: str) -> dict[str, Path]:
    """Every module of the library that is imported from the entry points, with its file."""
    waiting = [(name, True) for entry in entry_points for name in (entry, *_modules_below(entry))]
    whole: dict[str, bool] = {}
    found: dict[str, Path] = {}
    while waiting:
        name, functions = waiting.pop()
        if whole.get(name) or (name in whole and not functions):
            continue
        whole[name] = functions
        found[name] = module_file(name)
        waiting += [(each, True) for each in imports_of(_text(found[name]), functions)]
        parts = name.split(".")  # Python runs the packages around a module, though not their functions
        around = (".".join(parts[:n]) for n in range(1, len(parts)))
        waiting += [(package, False) for package in around if _library_file(package)]
    return dict(sorted(found.items()))


@cache
def imports_of(source: str, functions: bool = True) -> tuple[str, ...]:
    """The library's modules that a source names in its imports, also those inside `functions`.

    Imports under `if TYPE_CHECKING` are left out: they are not run.
    """
    found: set[str] = set()
    for node in _nodes_that_run(ast.parse(source), functions):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if _library_file(name)}
            found |= modules if modules == inner else {*modules, node.module}
    return tuple(sorted(name for name in found if _library_file(name)))


def _nodes_that_run(tree: ast.AST, functions: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                yield child
                yield from _nodes_that_run(child, functions)
        elif functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _nodes_that_run(node, functions)


def module_file(name: str) -> Path:
    """The source of a module: the library's, or, for a world or method of somebody else's, where Python finds it."""
    if (path := _library_file(name)) is not None:
        return path
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name}")
    return Path(spec.origin)


def _library_file(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    place = LIBRARY.joinpath(*rest)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _modules_below(name: str) -> list[str]:
    first, *rest = name.split(".")
    folder = LIBRARY.joinpath(*rest)
    if first != PACKAGE or not folder.is_dir():
        return []
    places = [path.relative_to(LIBRARY).with_suffix("").parts for path in sorted(folder.rglob("*.py"))]
    return [".".join((PACKAGE, *(part for part in parts if part != "__init__"))) for parts in places]


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(LIBRARY)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache  # many entry points share most of their modules
def _code(source: str) -> str:
    """A source without comments, layout and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
