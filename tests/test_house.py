"""The floor plan: imports go one way, worlds and methods do not know each other, a new one is a module and a line."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import toy_method
import toy_world

from rtt_lib import methods, worlds
from rtt_lib.errors import RTTError
from rtt_lib.fingerprint import LIBRARY, imports_of
from rtt_lib.methods.arms import ARMS, Arm
from rtt_lib.profile import REPOSITORY, Experiment
from rtt_lib.studies.execute import is_done, run_all
from rtt_lib.studies.plan import plan
from rtt_lib.studies.profiles import load_profile
from rtt_lib.studies.records import results_table

# From top to bottom: a folder imports from those after it. "" is what lies in rtt_lib itself.
ORDER = (
    *("run", "report", "analysis", "train", "studies", "methods"),
    *("worlds", "bench", "relevance", "rubrics", "verify", ""),
)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def with_types(path: Path) -> tuple[str, ...]:
    """Every import of the library, also inside functions and under TYPE_CHECKING."""
    source = re.sub(r"\bif TYPE_CHECKING:", "if True:", path.read_text(encoding="utf-8"))
    return imports_of(source)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (LIBRARY / parts[1]).is_dir() else ""


ARROWS = {name: with_types(path) for name, path in modules().items() if not name.endswith("__main__")}


def test_imports_between_folders_go_one_way():
    assert {room(name) for name in ARROWS} == set(ORDER)
    backward = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if ORDER.index(room(other)) < ORDER.index(room(name))
    ]
    assert backward == []


def test_no_modules_import_one_another():
    below: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in below:
            below[name] = set()
            for other in ARROWS[name]:
                below[name] |= {other} | reached(other)
        return below[name]

    for name in ARROWS:
        below.clear()
        assert name not in reached(name), f"{name} imports itself through others"


def test_a_backward_arrow_would_be_seen():
    assert imports_of("def f():\n    from rtt_lib.report import site") == ("rtt_lib.report.site",)
    assert ORDER.index("report") < ORDER.index("bench")


def test_methods_know_no_world_and_worlds_no_method():
    for name, others in ARROWS.items():
        named = {other for other in others if re.match(r"rtt_lib\.worlds\.(micro|text|english|judged|levels)", other)}
        assert room(name) != "methods" or not named, f"{name} names {named}"
        assert room(name) != "worlds" or not any(room(other) == "methods" for other in others)


def test_nobody_outside_a_world_asks_which_world_it_is():
    """Comparing `data.source` with a name is the world's own business."""
    for name, path in modules().items():
        if name.startswith("rtt_lib.worlds"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                texts = [ast.unparse(part) for part in (node.left, *node.comparators)]
                assert not ("'micro'" in texts and any("source" in text for text in texts)), f"{name}:{node.lineno}"


def test_the_tests_of_a_module_are_found_by_its_name():
    there = {path.stem.removeprefix("test_") for path in (REPOSITORY / "tests").rglob("test_*.py")}
    without = []
    for path in modules().values():
        *folders, name = path.relative_to(LIBRARY).with_suffix("").parts
        if name in ("__init__", "__main__") or name.endswith("_child"):
            continue
        names = {name, "_".join([*folders[-1:], name])}
        if folders[-1:] in (["ifbench"], ["muldimif"], ["conform"]):
            names.add(folders[-1])
        if not any(stem == wanted or stem.startswith(f"{wanted}_") for stem in there for wanted in names):
            without.append("/".join([*folders, name]))
    assert without == []


# --- a new world and a new method ---


@pytest.fixture
def with_toys(monkeypatch):
    """What a new world and a new method take: a module each, a line each, and an arm that uses the method."""
    monkeypatch.setitem(worlds.FAMILIES, "toy", toy_world.__name__)
    monkeypatch.setitem(methods.METHODS, "toy", toy_method.__name__)
    monkeypatch.setitem(ARMS, "Toy", Arm("Toy", "learns one word", trainer="toy", beta=0.0))
    monkeypatch.setitem(sys.modules, toy_world.__name__, toy_world)


def toy_profile(*arms: str):
    profile = load_profile("ci", {"data.source": "toy", "policy.model": "toy", "experiments": "{}", "rl.steps": "1"})
    return replace(profile, experiments={"core": Experiment(arms, ("A0",))})


@pytest.mark.usefixtures("with_toys")
def test_a_new_world_and_a_new_method_are_a_module_and_a_line_each(empty_store, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))
    monkeypatch.setattr("rtt_lib.studies.execute.worker_pool", toy_world.in_this_process)
    specs = plan(toy_profile("base", "Toy", "RL-CSR"))
    assert [str(spec.place) for spec in specs] == ["toy/base/A0", "toy/Toy/A0", "toy/RL-CSR/A0"]
    assert len({spec.training_fingerprint for spec in specs}) == 3
    assert {spec.arm.name for spec in run_all(specs, tmp_path, workers=1)} == {"base", "Toy", "RL-CSR"}
    assert all(map(is_done, specs))
    table = results_table(specs, tmp_path).set_index("arm")
    assert table.loc["Toy", "all satisfied"] == 1 > table.loc["base", "all satisfied"]
    assert table["world"].eq("toy").all() and list(table["say"]) == list(table["all satisfied"])


@pytest.mark.usefixtures("with_toys")
def test_a_new_world_refuses_what_it_cannot_do():
    with pytest.raises(RTTError, match=r"rl\.steps: the toy world lasts one step"):
        load_profile("ci", {"data.source": "toy", "policy.model": "toy", "experiments": "{}", "rl.steps": "2"})


def test_an_unknown_source_or_method_is_named_with_the_choices():
    with pytest.raises(
        RTTError, match="'nowhere' is not one of micro, composed, hir16k, conifer, ultrafeedback, english"
    ):
        load_profile("ci", {"data.source": "nowhere"})
    with pytest.raises(RTTError, match="unknown method 'magic': choose one of rtt-grpo, sft, dpo"):
        methods.find_method("magic")
