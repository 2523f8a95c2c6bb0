"""The arrows of the design, and what the command line may load."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
HEAVY = ("torch", "torchvision", "wandb", "submitit", "numpy", "pydantic", "matplotlib")

WITH_TORCH = {"data", "model", "methods", "runtime", "evaluate", "stage", "bench", "export", "look"}

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "redact": set(),
    "output": set(),
    "temporary": {"errors"},
    "spec": {"errors"},
    "tasks": {"recipe", "spec"},
    "imagefolder": {"errors"},
    "keyed_split": {"errors", "imagefolder"},
    "data_roots": set(),
    "class_folders": {"errors", "imagefolder"},
    "interpreter": set(),
    "backend": {"recipe", "spec"},
    "command": {"errors", "redact", "site"},
    "recipe": {"errors", "redact", "spec"},
    "store": {"errors", "redact", "output", "spec"},
    "site": {"backend", "data_roots", "errors", "recipe"},
    "mask_files": {"data_roots", "errors", "imagefolder", "recipe"},
    "box_files": {"data_roots", "errors", "imagefolder", "mask_files", "recipe"},
    "data_check": {
        *("data_roots", "errors", "recipe", "class_folders"),
        *("box_files", "mask_files", "imagefolder"),
    },
    "replace": {"errors", "store"},
    "input_notes": {"errors", "store"},
    "inputs": {
        "errors",
        "input_notes",
        "imagefolder",
        "data_check",
        "data_roots",
        "mask_files",
        "box_files",
        "recipe",
        "store",
    },
    "mask_check": {"data_roots", "errors", "imagefolder", "input_notes", "mask_files", "recipe"},
    "annotation_check": {
        *("box_files", "data", "data_roots", "errors", "imagefolder", "input_notes", "mask_files"),
        *("recipe", "store"),
    },
    "source": {"recipe", "store"},
    "estimate": {"errors", "recipe", "store", "spec"},
    "makespan": set(),
    "plan": {"errors", "recipe", "store", "estimate", "makespan", "source", "spec"},
    "runtime": {"errors", "recipe", "store", "spec"},
    "data": {
        *("command", "data_check", "data_roots", "errors", "imagefolder", "recipe", "store"),
        *("runtime", "class_folders", "keyed_split", "mask_files", "box_files"),
    },
    "model": {"data_roots", "errors", "recipe", "runtime"},
    "methods": {"errors", "recipe", "runtime", "model", "spec"},
    "evaluate": {"errors", "recipe", "runtime", "model", "data"},
    "stage": {
        *("data_roots", "errors", "redact", "inputs", "recipe", "source", "store", "spec"),
        *(WITH_TORCH - {"stage", "bench", "export", "look"}),
    },
    "bench": {"data_roots", "errors", "interpreter", "recipe", "redact", "store", "estimate"}
    | {"replace", "temporary"}
    | (WITH_TORCH - {"bench", "export", "look"}),
    "look": {"errors", "imagefolder", "recipe", "source", "spec", "store"}
    | (WITH_TORCH - {"bench", "export", "look"}),
    "export": {"errors", "output", "redact", "recipe", "store", "spec", "runtime", "data", "model"},
    "track": {"errors", "interpreter", "redact", "output", "recipe", "store", "spec", "temporary"},
    "report": {
        *("command", "errors", "output", "recipe", "redact", "replace", "spec", "store"),
        *("temporary", "track"),
    },
    "preflight": {"recipe", "report", "spec"},
    "check": {"command", "errors", "output", "recipe", "store", "track", "report", "spec"},
    "launch": {
        *("errors", "redact", "output", "recipe", "store", "track", "site", "estimate", "plan"),
        *("interpreter", "runtime", "stage", "inputs", "command", "spec", "backend"),
        *("data_roots", "look", "source"),
    },
    "app": {
        *("command", "errors", "recipe", "store", "spec", "site", "data_check", "inputs"),
        *("estimate", "plan", "report", "check", "launch", "track", "stage", "export"),
        *("data_roots", "imagefolder", "keyed_split", "mask_check", "model", "preflight"),
        *("annotation_check", "replace", "temporary"),
    },
    "doctor": {
        *("command", "errors", "interpreter", "recipe", "store", "track", "site", "launch"),
        *("data_roots", "spec", "runtime", "temporary"),
    },
    "certify": {
        *("command", "errors", "interpreter", "recipe", "store", "site", "data_check", "plan"),
        *("launch", "runtime", "data", "model", "methods", "stage", "spec"),
    },
}
"""What each part may import, itself aside. A part that is not named here may import all."""


def module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that a file imports, wherever in it, unless for the types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        else:
            yield from imports(node)


def everything(tree: ast.AST) -> Iterator[str]:
    """Every name that a file imports, also for the types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(ast.Module([node], []))


def outermost(tree: ast.Module) -> Iterator[str]:
    """What a file imports as it is loaded."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from imports(ast.Module([node], []))


@cache
def part(name: str) -> str:
    """data of harness.data.loader; "" of harness itself, what it defines, and of other packages."""
    top, *inner = name.split(".")
    folder = ROOT.joinpath(*inner[:1])
    known = top == "harness" and inner and (folder.is_dir() or folder.with_suffix(".py").exists())
    return inner[0] if known else ""


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "name", ["harness", "harness.app", "harness.cli", "harness.cli.app", "harness.errors"]
)
def test_the_command_line_loads_nothing_heavy(name: str) -> None:
    assert not loaded_by(f"import {name}") & {*HEAVY, "yaml"}


def test_the_store_is_read_with_the_standard_library_alone() -> None:
    names = [module(path) for path in FILES if part(module(path)) == "store"]
    loaded = loaded_by("import " + ", ".join(names))
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    started = {name.split(".")[0] for name in loaded_by("")}
    assert foreign - started == {"harness"}
    own = {part(name) for name in loaded if name.startswith("harness.")}
    assert own <= {"errors", "redact", "output", "spec", "store"}


def test_plans_reports_checks_and_mirrors_load_no_torch() -> None:
    light = {"recipe", "store", "site", "estimate", "plan", "track", "report", "check"}
    light |= {"imagefolder", "inputs", "app", "preflight"}
    names = [module(path) for path in FILES if part(module(path)) in light]
    assert len(names) > 40
    assert not loaded_by("import " + ", ".join(names)) & {"torch", "wandb", "submitit"}


def test_arrows_run_one_way() -> None:
    wrong = []
    for path in FILES:
        own, tree = part(module(path)), parsed(path)
        found = set(imports(tree))
        foreign = {name.split(".")[0] for name in found} & {"torch", "torchvision"}
        if foreign and own not in WITH_TORCH:
            lazy = own in ("app", "launch", "doctor", "certify")
            if not lazy or any(name.startswith("torch") for name in outermost(tree)):
                wrong.append(f"{path} imports {foreign}")
        inner = {part(name) for name in found if name.split(".")[0] == "harness"} - {own, ""}
        if more := inner - ARROWS.get(own, inner):
            wrong.append(f"{path} imports {more}")
    assert wrong == []


def test_only_commands_import_commands_and_the_application() -> None:
    """Jobs reach the application by its name."""
    wrong = []
    for path in FILES:
        own, tree = part(module(path)), parsed(path)
        inner = {part(name) for name in everything(tree)} - {own}
        if (own != "cli" and "cli" in inner) or (own not in ("cli", "") and "app" in inner):
            wrong.append(path)
    assert wrong == []


def test_a_tracker_is_named_where_it_is_declared_and_nowhere_else() -> None:
    """wandb is the only one of the harness's own: what knows it by name is its package's."""
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if re.search(r"wandb|W&B|Weights & Biases", path.read_text(), re.IGNORECASE)
    }
    assert {name for name in naming if not name.startswith("track/wandb/")} == {"spec/registry.py"}


def test_a_launcher_is_named_where_it_is_declared_and_by_those_who_look_after_it() -> None:
    """Whoever plans, stores, submits and reports reads the declaration, or calls the protocol."""
    blind = {part(module(path)) for path in FILES} - {"doctor", "launch", "runtime", "spec", ""}
    assert blind > {"app", "certify", "check", "cli", "estimate", "plan", "report", "site", "store"}
    naming = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if part(module(path)) in blind
        if re.search(r"slurm|sbatch|scancel|submitit", path.read_text(), re.IGNORECASE)
    ]
    assert naming == []


def test_launchers_are_declared_with_the_standard_library_alone() -> None:
    loaded = loaded_by("from harness.spec.registry import launchers\nlaunchers()")
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign - {name.split(".")[0] for name in loaded_by("")} == {"harness"}
    assert {part(name) for name in loaded} <= {"", "errors", "spec", "launch"}


def test_trackers_are_declared_with_the_standard_library_alone() -> None:
    loaded = loaded_by("from harness.spec.registry import trackers\ntrackers()")
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign - {name.split(".")[0] for name in loaded_by("")} == {"harness"}
    assert {part(name) for name in loaded} <= {"", "errors", "spec", "track"}
    assert {name for name in loaded if part(name) == "track"} <= {
        "harness.track",
        "harness.track.wandb",
        "harness.track.wandb.config",
    }


def test_every_part_has_its_arrows() -> None:
    parts = {part(module(path)) for path in FILES} - {"", "cli"}
    assert parts >= set(ARROWS)
    unbound = parts - set(ARROWS)
    assert unbound <= {"bench", "weights"}, f"say in ARROWS what {unbound} may import"


def test_nothing_imports_in_a_circle() -> None:
    """Neither as it is loaded, nor later, nor for the types."""
    known = {module(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        targets = set()
        for name in everything(parsed(path)):
            while name and name not in known:
                name = name.rpartition(".")[0]
            targets.add(name)
        graph[module(path)] = targets - {"", "harness", module(path)}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_a_file_can_be_read_in_one_sitting() -> None:
    files = [*FILES, *Path(__file__).parent.rglob("*.py")]
    assert [path for path in files if len(path.read_text().splitlines()) > 400] == []


def test_these_tests_can_fail() -> None:
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import a\nimport b.c\n"
        "def f():\n    from d import e\ntry:\n    import g\nexcept ImportError: ...\n"
    )
    assert set(imports(tree)) == {"b.c", "d.e", "g"}
    assert set(outermost(tree)) == {"b.c", "g"}
    assert set(everything(tree)) == {"a", "b.c", "d.e", "g"}
    assert (part("harness.data.loader"), part("harness.plan.Plan")) == ("data", "plan")
    assert (part("harness"), part("harness.__version__")) == ("", "")
    assert "pydantic" in loaded_by("import harness.recipe.schema")
